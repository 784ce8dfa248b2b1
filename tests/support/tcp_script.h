#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stack.h"
#include "support/fake_device.h"
#include "support/tcp_segment.h"
#include "tcp/connection.h"
#include "tcp/counters.h"

namespace millrace::test {

/// A conversation: one Stack in virtual time and a peer that says what the test tells it to.
///
///     TcpScript t;
///     t.establish();                        // or step by step: listen, inject(syn()), expect(synack()) ...
///     t.write(4000);
///     t.expect(data(1, 1461));
///     t.after(100ms).inject(ack(1).sack(1461, 2921));
///     t.expect_nothing();
///
/// Sequence numbers are relative: each side's SYN has 0, its first byte 1. What the stack sends is parsed,
/// its checksums and its payload (a fixed pattern of the stream position) are checked at once, and it waits
/// in order for expect(). What nobody expected by the end is a failure. Every failure comes with the
/// conversation so far.
///
/// Time moves only by after(), at() and the expect_..._after() family, in the steps that next_deadline() asks
/// for, so that a timer which is not announced never fires.
class TcpScript {
 public:
  struct Options {
    StackConfig stack;
    DeviceCaps caps;  ///< none: super-segments arrive cut by the MSS
    std::uint32_t mtu = 1500;
    std::uint64_t seed = 1;
    bool keep_frames = false;  ///< for frames()
    bool arp = false;          ///< the peer is known by its ARP, not for good

    /// write() is to take all at once, whatever the congestion window.
    Options() { stack.tcp.send_buffer = std::size_t{1} << 20; }
  };
  static constexpr IpAddress kOwn = IpAddress::v4(198, 18, 0, 1);
  static constexpr IpAddress kPeer = IpAddress::v4(198, 18, 0, 2);
  static constexpr std::uint16_t kServerPort = 80;

  TcpScript() : TcpScript(Options{}) {}
  explicit TcpScript(const Options& options);
  TcpScript(const TcpScript&) = delete;
  TcpScript& operator=(const TcpScript&) = delete;
  ~TcpScript();

  // --- time
  TcpScript& after(Duration by);
  /// Since the start of the test.
  TcpScript& at(Duration since_start);
  [[nodiscard]] Instant now() const { return now_; }

  // --- the peer
  /// The following segments are those of the peer's socket with this port: a conversation of its own.
  TcpScript& from_port(std::uint16_t port);
  /// ... and of another host of the peer's network, for as long as this port is spoken from.
  TcpScript& from_host(const IpAddress& address);
  void inject(const Seg& segment, const char* file = __builtin_FILE(), int line = __builtin_LINE());
  /// Several in one batch of the device.
  void inject_batch(std::initializer_list<Seg> segments);
  /// The frame of a segment, to be tampered with.
  [[nodiscard]] std::vector<std::uint8_t> frame_of(const Seg& segment);
  void inject_frame(const std::vector<std::uint8_t>& frame);
  /// An ICMP error about a segment of ours that starts at `seq`.
  void inject_icmp(std::uint8_t type, std::uint8_t code, std::uint32_t seq, std::uint16_t mtu = 0);

  /// The next segment of the stack is this one, and has been sent already.
  void expect(const Seg& segment, const char* file = __builtin_FILE(), int line = __builtin_LINE());
  /// Consecutive segments with exactly these bytes, however they are cut.
  void expect_stream(std::uint32_t from, std::uint32_t to, const char* file = __builtin_FILE(),
                     int line = __builtin_LINE());
  void expect_nothing(const char* file = __builtin_FILE(), int line = __builtin_LINE());
  /// Nothing is sent until `by` from now, and then, on the tick, this.
  void expect_after(Duration by, const Seg& segment, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE());
  void expect_nothing_for(Duration by, const char* file = __builtin_FILE(), int line = __builtin_LINE());
  /// Takes what was sent, unseen.
  std::vector<Seg> take_sent();
  /// Everything that was sent so far, as it came to the device: with Options::keep_frames.
  [[nodiscard]] const std::vector<SentFrame>& frames() const { return frames_; }
  /// How many more frames the device takes before it is full.
  void device_takes(std::size_t frames) {
    device_.room = frames;
    turn();
  }
  /// The device says that this has happened to it.
  void tell(DeviceEvent event) {
    device_.tell(event);
    turn();
  }
  /// ARP packets, and ICMP messages, that the stack sent.
  [[nodiscard]] std::size_t arp_sent() const { return arp_sent_; }
  [[nodiscard]] std::size_t icmp_sent() const { return icmp_sent_; }

  // --- the application
  void listen(int backlog = 16);
  /// Null when nothing waits.
  Socket* accept(const char* file = __builtin_FILE(), int line = __builtin_LINE());
  [[nodiscard]] bool try_accept();
  /// Creates a socket and connects it to the peer's port 80 (or from_port's). Returns connect()'s result.
  Error connect(std::uint16_t port = kServerPort);
  /// The same by MSG_FASTOPEN with n bytes of the pattern. Returns what sendto() would.
  Result<std::size_t> connect_with(std::size_t n, std::uint16_t port = kServerPort);
  /// LISTEN, SYN, SYN-ACK, ACK, accept: the stack is the server. `first` is the peer's SYN.
  void establish(const Seg& first = syn().mss(1460).sack_ok(), const char* file = __builtin_FILE(),
                 int line = __builtin_LINE());
  /// The same with the stack as the client; `answer` is the peer's SYN-ACK.
  void establish_active(const Seg& answer = synack().mss(1460).sack_ok(), const char* file = __builtin_FILE(),
                        int line = __builtin_LINE());
  [[nodiscard]] Socket& socket() { return *socket_; }
  [[nodiscard]] Socket& listener() { return *listener_; }
  [[nodiscard]] bool has_socket() const { return socket_ != nullptr; }
  /// Sends n bytes of the pattern; fails the test unless all are taken.
  void write(std::size_t n, const char* file = __builtin_FILE(), int line = __builtin_LINE());
  Result<std::size_t> try_write(std::size_t n, SendFlags flags = {});
  /// Reads up to n bytes and checks them against the pattern. Returns how many.
  std::size_t read(std::size_t n = std::size_t{1} << 22, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE());
  /// After a byte of the peer's (1:2) and one of ours in answer (1:2) the stack delays its ACKs, which it
  /// does not at the start of a connection.
  void make_interactive();
  Error read_error();
  [[nodiscard]] bool at_end_of_file();
  /// Of the socket; else of the listener; else of a new socket, which connect() will use.
  void set_option(SocketOption option, std::int64_t value);
  void shutdown(Shutdown how);
  /// close(2): the socket object is gone afterwards.
  void close();
  void close_listener();
  /// SO_ERROR.
  [[nodiscard]] Error error() { return socket_->take_error(); }
  [[nodiscard]] Ready readiness() const { return socket_->readiness(); }
  [[nodiscard]] TcpInfo info() const;
  [[nodiscard]] tcp::State state() const { return static_cast<tcp::State>(info().state); }
  void expect_state(tcp::State state, const char* file = __builtin_FILE(), int line = __builtin_LINE()) const;
  /// Runs what socket calls made directly on socket() have queued.
  void flush() { turn(); }

  // --- the inside
  [[nodiscard]] Stack& stack() { return *stack_; }
  [[nodiscard]] tcp::Tcp& tcp() { return stack_->tcp(); }
  [[nodiscard]] std::uint64_t count(tcp::Counter counter) const { return stack_->tcp().counters()[counter]; }
  [[nodiscard]] SeqNum our_iss() const { return current().our_iss.value_or(SeqNum{}); }
  /// No connection, request or TIME-WAIT entry is left, and no packet memory in use.
  void expect_clean(const char* file = __builtin_FILE(), int line = __builtin_LINE());

 private:
  /// What the peer knows of one conversation.
  struct Conversation {
    std::uint16_t own_port = kServerPort, peer_port = 0;
    IpAddress peer_address = kPeer;
    SeqNum peer_iss;
    std::optional<SeqNum> our_iss;
    std::uint32_t peer_next = 0;  ///< where the peer's next segment starts, relative
    std::uint32_t last_ack = 0;   ///< what the peer acknowledged last, relative
    std::uint16_t window = 65535;
    bool offered_timestamps = false, timestamps = false;
    std::uint32_t last_ts_value = 0;   ///< of the stack
    std::uint32_t first_ts_value = 0;  ///< of ours, at the start
    Instant ts_start{};
  };
  struct Sent {
    Seg segment;
    std::uint16_t peer_port = 0;
    Instant at{};
  };

  [[nodiscard]] Conversation& current() { return conversations_.at(port_); }
  [[nodiscard]] const Conversation& current() const { return conversations_.at(port_); }
  Conversation& open_conversation(std::uint16_t port);
  void turn();
  void run_until(Instant end);
  void collect();
  void on_sent_frame(const SentFrame& frame);
  void take_tcp(const wire::Ipv4View& packet, Instant at);
  void check_payload(const Seg& segment, std::span<const std::uint8_t> payload);
  void check(const Sent& sent, const Seg& wanted, const char* file, int line);
  void fail(const std::string& what, const char* file, int line) const;
  void note(std::string_view direction, const Seg& segment, std::uint16_t port, Instant at);
  [[nodiscard]] Seg complete(Seg segment);

  Instant start_;
  Instant now_;
  FakeDevice device_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<Socket> listener_, socket_;
  std::map<std::uint16_t, Conversation> conversations_;
  std::uint16_t port_ = 0;
  std::deque<Sent> sent_;
  bool keep_frames_, arp_;
  std::vector<SentFrame> frames_;
  std::vector<std::string> transcript_;
  std::uint64_t written_ = 0, read_ = 0;
  std::vector<std::uint8_t> read_room_;  // kept: it is large
  std::size_t icmp_sent_ = 0, arp_sent_ = 0;
};

/// Records that the running test shows this rule of an RFC; tests/tcp/conformance.py makes the table from it.
void rfc(std::string_view number, std::string_view section, std::string_view rule);

}  // namespace millrace::test
