#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/mac_address.h"
#include "port.h"
#include "tcp_frame.h"
#include "wire/arp.h"

namespace millrace::bench {

struct CrowdSettings {
  std::string device;
  Endpoint server;
  std::uint16_t ports =
      1;  ///< of the server, from that one on; each has its share, one filled after the other
  std::size_t connections = 1000;
  IpAddress first = IpAddress::v4(198, 18, 0, 64);  ///< the clients' addresses begin here
  std::uint32_t addresses = 64;                     ///< that there are
  double rate = 50'000;  ///< connections a second, at most: opened, acknowledged once more, reset
};

/// The clients of one server that only seem to be there: no stack, but a few bytes for each, so that a
/// million fit where a kernel's own ports or memory would end. They complete handshakes, answer keepalives
/// and ARP, send a request where asked to, and reset their connections in the end. Every frame that is sent
/// answers one, or is one of a bounded rate.
class Crowd {
 public:
  using Clock = std::chrono::steady_clock;
  struct Counters {
    std::uint64_t established = 0, resent = 0, keepalives = 0, answers = 0, wrong = 0;
    std::uint64_t acknowledged = 0;  ///< once more
    std::uint64_t ended = 0;         ///< by the server
  };

  /// Throws std::runtime_error with one line for the user.
  explicit Crowd(const CrowdSettings& settings);

  /// Connections that are not open yet are opened as the rate allows. Returns false when there was nothing to
  /// do.
  bool connect_some();
  [[nodiscard]] bool all_connected() const { return counters_.established == peers_.size(); }
  /// Answers what came. False: nothing came.
  bool receive();
  /// A request on a connection; its answer counts when it comes.
  void ask(std::size_t index);
  /// From now on acknowledge_some() says once more to the server, on all open connections, that they are
  /// there. One whose last segment of the handshake was lost, and whose SYN-ACK was a cookie, the server
  /// knows nothing of.
  void acknowledge_again() { acknowledged_ = 0; }
  /// On some more of them, as the rate allows; false: there are none left.
  bool acknowledge_some();
  /// Resets some more of the open connections, as the rate allows; false: there are none left.
  bool reset_some();
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  enum class State : std::uint8_t { kNone, kSynSent, kOpen, kClosed };
  struct Peer {
    SeqNum snd_nxt, rcv_nxt;
    State state = State::kNone;
  };
  /// So many at most, and no more a second than the rate since the last call.
  std::size_t allowance(std::size_t most);
  [[nodiscard]] Endpoint endpoint_of(std::size_t index) const;
  [[nodiscard]] Endpoint server_of(std::size_t index) const;
  [[nodiscard]] std::optional<std::size_t> index_of(const Endpoint& endpoint) const;

  void find_server();
  void send_arp(std::uint16_t operation, const IpAddress& sender, const MacAddress& target_mac,
                const IpAddress& target);
  void send_segment(std::size_t index, std::uint8_t flags, std::uint32_t payload = 0);
  void send_syn(std::size_t index);
  /// On some more of the open connections from `next` on, as the rate allows; false: there are none left.
  template <typename Send>
  bool send_on_some(std::size_t& next, Send send);
  void resend_lost(Clock::time_point now);
  void flush();

  void on_frame(const Packet& frame);
  void on_arp(const wire::ArpPacket& arp);
  void on_segment(std::size_t index, const wire::TcpHeader& tcp, std::span<const std::uint8_t> payload);
  void on_syn_ack(std::size_t index, const wire::TcpHeader& tcp);

  CrowdSettings settings_;
  Port port_;
  std::optional<MacAddress> server_mac_;
  std::vector<Peer> peers_;
  std::size_t opened_ = 0, first_waiting_ = 0, waiting_ = 0, acknowledged_ = 0, reset_ = 0;
  Clock::time_point last_allowance_, last_resend_;
  double allowed_ = 0;
  PacketQueue out_, in_;
  std::vector<std::uint8_t> bytes_;
  Counters counters_;
};

}  // namespace millrace::bench
