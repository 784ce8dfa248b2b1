#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <boost/intrusive/list.hpp>

#include "base/object_slabs.h"
#include "base/result.h"
#include "base/timer_wheel.h"
#include "ip/ip_layer.h"
#include "socket/report.h"
#include "socket/socket.h"
#include "tcp/delayed_acks.h"
#include "tcp/flow_table.h"
#include "tcp/options.h"
#include "tcp/receiver.h"
#include "tcp/recent_timestamp.h"
#include "tcp/segment.h"
#include "tcp/send_buffer.h"
#include "tcp/sender.h"
#include "tcp/small_queue.h"
#include "tcp/tcp.h"
#include "tcp/urgent.h"
#include "tcp/user_timeout.h"

namespace millrace::tcp {

class Listener;
class TcpSocket;

/// RFC 9293 §3.3.2, with Linux's numbers (TCP_INFO, ss).
enum class State : std::uint8_t {
  kEstablished = 1,
  kSynSent = 2,
  kSynReceived = 3,
  kFinWait1 = 4,
  kFinWait2 = 5,
  kTimeWait = 6,  ///< never of a Connection: TimeWait stands for it
  kClosed = 7,
  kCloseWait = 8,
  kLastAck = 9,
  kListen = 10,
  kClosing = 11,
};

struct PendingTag;
struct AcceptTag;
struct FastOpenTag;
struct DeviceWaiterTag;
using PendingHook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<PendingTag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
using AcceptHook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<AcceptTag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

using DeviceWaiterHook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<DeviceWaiterTag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
using FastOpenHook = boost::intrusive::list_base_hook<boost::intrusive::tag<FastOpenTag>>;

/// What a handshake agreed on.
struct Handshake {
  SeqNum iss, irs;
  std::uint32_t offered_window = 0;  ///< in our SYN or SYN-ACK
  std::uint16_t peer_mss = 536;
  std::optional<std::uint8_t> peer_scale;  ///< unset: no window scaling either way
  bool timestamps = false, sack = false, ecn = false;
  std::uint32_t ts_recent = 0;
  bool syn_retransmitted = false;
  Instant answered_at{};  ///< when our SYN-ACK went out: the first RTT sample
};

/// One TCP connection from SYN-SENT (or, for a passive open, ESTABLISHED) until CLOSED: the state machine and
/// its two halves. Owned by the Tcp layer: by its socket's handle while there is one, else by itself until it
/// is done (bury()).
class Connection final : public Flow,
                         public PendingHook,
                         public AcceptHook,
                         public FastOpenHook,
                         public DeviceWaiterHook,
                         public DelayedAckHook,
                         public LivesBrisklyInSlabs {
 public:
  Connection(Tcp& tcp, const FlowKey& key, const Options& options, const ip::RouteResult& route);
  ~Connection();

  // --- opening
  /// `iss_after`: the new ISS must lie behind it (the flow was in TIME-WAIT).
  void open_active(std::optional<SeqNum> iss_after, Instant now);
  /// `segment`, the third of a passive open, was acceptable; it is passed to on_segment() afterwards.
  void open_passive(const Handshake& handshake, Listener* listener, const Segment& segment, Instant now);

  /// RFC 7413: `syn` becomes a connection in SYN-RECEIVED, its data readable at once, and is answered.
  void open_fast(const Handshake& handshake, Listener* listener, Segment& syn, Instant now);
  /// An active open whose SYN waits for begin_with(): data from send_data(), or none to ask for a cookie.
  void open_deferred(std::optional<SeqNum> iss_after, Instant now);
  /// Sends the SYN, with as much of the data as Fast Open allows. kInProgress: with none.
  Result<std::size_t> begin_with(std::span<const ConstIoSlice> data, Instant now);
  [[nodiscard]] bool deferred() const { return deferred_; }
  void left_fast_open_queue() { fast_open_listener_ = nullptr; }

  // --- dormant.cc
  /// What a Dormant needs to stand for this connection. Unset: it cannot.
  [[nodiscard]] std::optional<ConnectionEssence> essence() const;
  /// Of a new one: what `essence` was taken from goes on, as this socket's. No timer runs yet.
  void resume(const ConnectionEssence& essence, TcpSocket& socket, Instant keepalive_deadline);
  /// After resume(), in the flow table: its timers run.
  void wake_up(Instant now);
  /// A Dormant has taken over: what is left ends without a trace.
  void let_go();

  // --- from the network
  void on_segment(Segment& segment, Instant now);
  void on_icmp_error(const ip::IcmpError& error, Instant now);
  /// An ACK is due that waited for data, if it waits still.
  void on_delayed_ack(Instant now);
  /// A segment will come (see Lookahead): what most of them touch here; what that points to; and so on. Each
  /// reads what the one before it fetched, and little else.
  void prefetch_itself() const;
  void prefetch_parts() const;
  void prefetch_owner() const;
  /// The end of a batch: data and ACKs go out.
  void output(Instant now);

  // --- from the application, through TcpSocket
  void attach(TcpSocket* socket);
  /// The socket object goes away.
  void detach(Instant now);
  Result<std::size_t> send_data(std::span<const ConstIoSlice> data, SendFlags flags, Instant now);
  Result<Received> receive(std::span<const IoSlice> out, ReceiveFlags flags);
  /// As Socket's; false: nothing is done.
  [[nodiscard]] bool send_whole(ConstIoSlice data, Instant now);
  [[nodiscard]] std::size_t receive_whole(IoSlice out);
  void shutdown_write(Instant now);
  void shutdown_read();
  /// close(2): FIN, or a reset when data was left unread or SO_LINGER says so.
  void close(Instant now);
  void abort(Instant now);
  Result<void> set_option(SocketOption option, std::int64_t value, Instant now);
  void fill(TcpInfo& info, Instant now) const;
  /// All but `info` (report.cc).
  void fill(SocketReport& report, Instant now) const;
  [[nodiscard]] Ready readiness() const;
  [[nodiscard]] std::size_t readable_bytes() const;
  /// Sequence number of the next byte that a read returns.
  [[nodiscard]] SeqNum read_position() const {
    return receiver_.rcv_nxt() - receiver_.queue().bytes() - (fin_received_ ? 1u : 0u);
  }
  [[nodiscard]] bool at_mark() const;
  /// tcp(7) TCP_INQ: in sequence space, so that the peer's FIN counts.
  [[nodiscard]] std::size_t bytes_left() const {
    return std::size_t{receiver_.queue().bytes()} + (fin_received_ ? 1 : 0);
  }

  [[nodiscard]] State state() const { return state_; }
  /// Null: none, or none any more.
  [[nodiscard]] TcpSocket* socket() const { return socket_; }
  /// kNever: without SO_KEEPALIVE.
  [[nodiscard]] Instant keepalive_deadline() const { return keepalive_deadline_; }
  [[nodiscard]] Options& options() { return options_; }
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] bool is_orphan() const { return closed_by_application_; }
  [[nodiscard]] const Sender& sender() const { return sender_; }
  [[nodiscard]] const Receiver& receiver() const { return receiver_; }
  [[nodiscard]] bool send_shutdown() const { return send_shutdown_; }
  [[nodiscard]] Listener* listener() const { return listener_; }
  void left_accept_queue() { listener_ = nullptr; }
  [[nodiscard]] bool uses_sack() const { return sack_; }
  [[nodiscard]] bool uses_timestamps() const { return timestamps_; }
  [[nodiscard]] std::uint32_t ts_recent() const { return ts_recent_.value(); }
  [[nodiscard]] std::uint32_t ts_offset() const { return ts_offset_; }
  /// SO_SNDBUF, as it has grown.
  [[nodiscard]] const SendBuffer& send_buffer() const { return send_buffer_; }
  [[nodiscard]] Error final_error() const { return final_error_; }
  /// What ICMP said since the last progress.
  [[nodiscard]] Error soft_error() const { return soft_error_; }
  /// The largest packet that is sent now, but for probes.
  [[nodiscard]] std::uint32_t path_mtu() const {
    return std::min(route_.mtu, sender_.mtu_probe().effective());
  }
  [[nodiscard]] bool buried() const { return buried_; }
  void set_buried() { buried_ = true; }

  // --- for the Sender
  void refresh_route(Instant now) {
    if (route_generation_ != tcp_.ip().route_generation()) reroute(now);
  }
  /// False: a segment with data should wait. What the device's queue dropped would count as lost on the way.
  [[nodiscard]] bool device_has_room(Instant now) const {
    return route_.interface == nullptr || route_.interface->make_room(now);
  }
  /// Somebody's wait in the interface's transmit queue.
  [[nodiscard]] bool device_holds_frames() const {
    return route_.interface != nullptr && route_.interface->tx_pending();
  }
  /// Bytes of ours that wait there.
  [[nodiscard]] std::uint32_t waiting_in_device() {
    if (!device_holds_frames()) return 0;
    return small_queue_.waiting(route_.interface->tx_left());
  }
  /// The same, after the device was offered them.
  [[nodiscard]] std::uint32_t refused_by_device(Instant now) {
    if (route_.interface != nullptr) route_.interface->offer(now);
    return waiting_in_device();
  }
  /// output() comes again when the device has room, and no more than so many bytes of ours wait there. True:
  /// it waits only from now on.
  bool wait_for_device(std::uint32_t left);
  /// That is so.
  [[nodiscard]] bool may_resume(Instant now) {
    refresh_route(now);
    return device_has_room(now) && waiting_in_device() <= resume_at_;
  }
  /// Sends a segment with our ACK, window and options on it.
  void send(Tcp::Outgoing& outgoing, PacketPtr&& payload, std::uint32_t length, Instant now);
  /// Payload bytes of a full segment that goes out now: the path's and the peer's MSS, less the options.
  [[nodiscard]] std::uint32_t segment_payload(Instant now);
  [[nodiscard]] std::uint32_t super_segment_payload(std::uint32_t mss) const;
  /// How it is found out which packets pass, on this path and by this socket's wish.
  [[nodiscard]] Config::MtuProbing mtu_probing() const;
  /// The largest packet that path MTU discovery may lead to: the route's, the peer's, the user's limit.
  [[nodiscard]] std::uint32_t mtu_limit() const;
  /// The size of a packet with a segment of this MSS, and payload of one with this size.
  [[nodiscard]] static std::uint32_t mtu_of(std::uint32_t mss);
  [[nodiscard]] std::uint32_t payload_within(std::uint32_t mtu) const;
  /// Others need not look for what this connection has found out.
  void share_path_mtu(std::uint32_t mtu, Instant now);
  /// How long data may stay unacknowledged. 0: only retransmissions are counted.
  [[nodiscard]] Duration user_timeout() const {
    if (options_.user_timeout != 0) return std::chrono::milliseconds(options_.user_timeout);
    return user_timeout_.adopted(sender_.rtt().rto());
  }
  /// TSval at `now`, in milliseconds (RFC 7323 §5.4).
  [[nodiscard]] std::uint32_t timestamp(Instant now) const {
    return ts_offset_ + static_cast<std::uint32_t>(to_ms(now.time_since_epoch()));
  }

 private:
  // connection_input.cc: RFC 9293 §3.10.7, in its order
  void on_syn_sent_segment(Segment& segment, Instant now);
  [[nodiscard]] bool check_timestamps(const Segment& segment, Instant now);
  [[nodiscard]] bool check_sequence(const Segment& segment, Instant now);
  void on_reset(const Segment& segment, Instant now);
  [[nodiscard]] bool check_ack(Segment& segment, Instant now);
  void on_acknowledged(Instant now);
  void on_text(Segment& segment, Instant now);
  void on_fin(Instant now);
  void note_ecn(const Segment& segment, Instant now);
  void become_established(const Segment& segment, Instant now);
  void confirm_neighbour(Instant now);
  void adopt_peer_options(const Segment& segment);
  void challenge_ack(Instant now);
  void send_duplicate_ack(const Segment& segment, Instant now);
  void note_timestamp(const Segment& segment, Instant now);
  void note_user_timeout(const Segment& segment);

  void adopt(const Handshake& handshake, Listener* listener, Instant now);
  void prepare_active(std::optional<SeqNum> iss_after, Instant now);
  // connection_fast_open.cc
  void conclude_fast_open(const Segment& answer, Instant now);
  void take_syn_data_ack(SeqNum ack, Instant now);
  void leave_fast_open(bool was_reset, Instant now);
  [[nodiscard]] PacketPtr syn_payload();
  [[nodiscard]] bool in_handshake() const {
    return state_ == State::kSynSent || state_ == State::kSynReceived;
  }
  /// In SYN-RECEIVED, and yet data goes out.
  [[nodiscard]] bool fast_opened() const { return state_ == State::kSynReceived && fast_open_; }

  void tell_user_timeout();
  [[nodiscard]] std::optional<std::uint16_t> user_timeout_option() const {
    if (!user_timeout_due_) return std::nullopt;
    return UserTimeout::encode(user_timeout());
  }
  void send_syn(bool with_ack, Instant now, const FastOpenCookie* cookie = nullptr);
  void send_ack(Instant now);
  void send_reset(Instant now);
  void push_held(Instant now);
  /// send(), with more options than timestamps.
  [[gnu::noinline]] void send_with_options(Tcp::Outgoing& outgoing, PacketPtr&& payload, std::uint32_t length,
                                           Instant now);
  [[gnu::noinline]] void send_unusual(const Tcp::Outgoing& outgoing, PacketPtr&& payload, Instant now);
  inline void complete(Tcp::Outgoing& outgoing, std::uint32_t length, Instant now);
  inline void note_sent(std::uint32_t length);
  [[nodiscard]] wire::TcpOptions::Timestamps timestamps(Instant now) const;
  void fill_options(wire::TcpOptions& options, bool with_duplicate, Instant now) const;
  [[nodiscard]] std::uint32_t path_payload() const;
  [[nodiscard]] std::uint16_t announced_mss() const;
  void start_mtu_search();
  void on_too_big(std::uint32_t mtu, Instant now);
  void reroute(Instant now);
  void enter_closed(Error error, Instant now);
  void go_time_wait(Instant now);
  void notify(Ready events);
  /// Keeps the entry for whoever would end this connection in our place; and gives it up.
  void publish();
  void unpublish();
  void touch();
  /// After a transmission.
  void settle(Instant now) {
    publish();
    update_timer(now);
  }
  [[nodiscard]] Error receive(std::span<const IoSlice> out, ReceiveFlags flags, Received& result);
  // connection_send.cc
  /// Bytes that may be charged now.
  [[nodiscard]] std::size_t send_limit() const;
  [[nodiscard]] std::uint32_t super_segment_goal() const;
  [[nodiscard]] SendBuffer::Queued queued() const;
  /// queued().charge()
  [[nodiscard]] std::size_t charge() const;
  /// How many of `wanted` bytes may be queued now.
  [[nodiscard]] std::size_t send_room(std::size_t wanted) const;
  /// Queues as many of the `wanted` bytes as there is room for, and makes room by sending.
  [[nodiscard]] std::size_t append(std::span<const ConstIoSlice> data, std::size_t wanted,
                                   MemoryLender* lender, Instant now);
  /// After a write that took something.
  void transmit_written(Instant now);
  [[nodiscard]] bool has_space() const;
  [[nodiscard]] std::size_t send_buffer_max() const;
  void grow_send_buffer();
  /// Tells who was told that there is no room to send, when there is.
  void tell_space();
  // connection_timer.cc
  /// When something is due that the protocol asks for, after the handshake; but for a delayed ACK.
  [[nodiscard]] Instant protocol_deadline() const;
  void update_timer(Instant now);
  [[gnu::noinline]] void list_delayed_ack(Instant next, Instant now);
  void on_timer(Instant now);
  void on_syn_timer(Instant now);
  void on_keepalive_timer(Instant now);
  void arm_keepalive(Instant now);
  // dormant.cc
  /// Established: from now on it may fall asleep.
  void start_idle_clock(Instant now);
  void on_idle_timer(Instant now);

  // In the order in which a segment takes the fewest cache lines: what each touches, from the delayed ACK's
  // hook on; the two halves, of which the sender begins and the receiver ends with what each touches, with
  // what few segments do between them; and more that each does, up to the middle of the options.
  Timer timer_;
  Tcp& tcp_;
  TcpSocket* socket_ = nullptr;
  State state_ = State::kClosed;
  bool closed_by_application_ = false;
  bool send_shutdown_ = false, receive_shutdown_ = false;
  bool timestamps_ = false, sack_ = false;
  bool user_timeout_due_ = false;        ///< the next segment tells the peer
  bool ecn_ = false;                     ///< agreed on, or asked for in our SYN
  bool congestion_experienced_ = false;  ///< ECE goes on what we send
  bool deferred_ = false;                ///< SYN-SENT, but the SYN waits for data
  /// Somebody was told that there is no room to send (a call, or readiness()): tell when there is.
  mutable bool wants_space_ = false;
  bool acknowledged_ = false;  ///< something was, since the last output()
  bool fin_received_ = false;
  Error soft_error_ = Error::kNone;
  std::uint8_t keepalive_probes_ = 0;
  std::uint16_t peer_mss_ = 536;
  std::uint32_t ts_offset_ = 0;
  std::uint32_t route_generation_ = 0;
  std::uint32_t segments_in_ = 0, segments_out_ = 0, data_segments_in_ = 0, data_segments_out_ = 0;
  std::uint64_t bytes_received_ = 0, bytes_acked_ = 0, bytes_sent_ = 0;
  /// In SYN-SENT and SYN-RECEIVED the SYN goes out again then; later the connection may fall asleep.
  Instant state_deadline_ = kNever;
  Instant keepalive_deadline_ = kNever, fin_wait_2_deadline_ = kNever;
  Instant last_received_{}, last_data_received_{};
  LiveEntry* live_ = nullptr;
  RecentTimestamp ts_recent_;
  ip::RouteResult route_;
  SendBuffer send_buffer_;

  Sender sender_;

  Listener* listener_ = nullptr;  ///< while in its accept queue
  bool syn_retransmitted_ = false;
  bool fast_open_ = false;  ///< began as a SYN with data, from the peer
  bool syn_data_acknowledged_ = false;
  bool cookie_asked_ = false;  ///< our SYN had a Fast Open option, or data
  bool peer_scaled_ = false;
  bool buried_ = false;
  std::uint8_t pending_scale_ = 0;  ///< the peer's, until SYN-RECEIVED ends
  std::uint8_t syn_tries_ = 0;
  std::uint8_t waits_for_ = 0;        ///< the interface, while it is linked as a waiter
  Error final_error_ = Error::kNone;  ///< why it is CLOSED
  std::uint32_t syn_data_ = 0;        ///< bytes in our SYN that nobody has acknowledged
  std::uint32_t offered_window_ = 0;
  std::uint32_t resume_at_ = 0;
  Instant syn_sent_at_{};
  Listener* fast_open_listener_ = nullptr;  ///< while it counts us
  Instant last_duplicate_ack_ = kEpoch;
  UserTimeout user_timeout_;

  Receiver receiver_;
  Urgent urgent_;
  Options options_;
  SmallQueue small_queue_;
};

}  // namespace millrace::tcp
