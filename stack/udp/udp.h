#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/apart.h"
#include "base/counters.h"
#include "base/result.h"
#include "base/rng.h"
#include "ip/ip_layer.h"
#include "socket/socket.h"
#include "udp/socket_table.h"

namespace millrace::udp {

struct Config {
  std::size_t receive_buffer = 212992;      ///< storage bytes queued a socket; Linux's rmem_default
  std::size_t receive_buffer_max = 212992;  ///< what SO_RCVBUF may ask for, before doubling; Linux's rmem_max
  std::size_t send_buffer = 212992;  ///< storage bytes a socket may have waiting for its device; wmem_default
  std::size_t send_buffer_max = 212992;                           ///< likewise for SO_SNDBUF; wmem_max
  std::uint16_t ephemeral_first = 32768, ephemeral_last = 60999;  ///< Linux's ip_local_port_range
};

/// Those above the line are what nstat calls Udp*.
enum class Counter : std::uint8_t {
  kInDatagrams,
  kNoPorts,
  kInErrors,  ///< truncated or bad length, and those below
  kInCsumErrors,
  kRcvbufErrors,  ///< the socket's queue was full
  kOutDatagrams,
  // --- ours
  kOutNoMemory,
  kOutBlocked,  ///< sends that had to wait for the device
  kIcmpErrors,  ///< ICMP errors that found their socket
  kCount,
};
[[nodiscard]] std::string_view name_of(Counter counter);
/// It says that a received frame was dropped, or what it asked for refused.
[[nodiscard]] bool counts_drop(Counter counter);

class UdpSocket;

/// UDP (RFC 768, RFC 1122 §4.1): the demultiplexer, and what its sockets share.
class alignas(kApart) Udp final : public ip::Transport {
 public:
  Udp(const Config& config, ip::IpLayer& ip, ReadyList& ready, Rng& rng);
  Udp(const Udp&) = delete;
  Udp& operator=(const Udp&) = delete;
  ~Udp() override;

  // --- from below
  void on_packet(PacketPtr packet, const ip::PacketInfo& info, Instant now) override;
  void on_icmp_error(const ip::IcmpError& error, Instant now) override;
  /// After the interfaces were flushed: senders that were told to wait may go on where there is room again.
  void resume_senders();

  // --- from above
  [[nodiscard]] std::unique_ptr<Socket> create_socket(IpAddress::Family family);
  /// See Stack::create_twin().
  [[nodiscard]] std::unique_ptr<Socket> create_twin(const UdpSocket& model, bool guest);
  [[nodiscard]] const CounterSet<Counter>& counters() const { return counters_; }
  [[nodiscard]] std::size_t bound_sockets() const { return table_.size(); }
  [[nodiscard]] bool is_bound(std::uint16_t port) const { return table_.port_in_use(port); }
  [[nodiscard]] const SocketTable& sockets() const { return table_; }

 private:
  friend class UdpSocket;
  void deliver_broadcast(PacketPtr packet, const Endpoint& local, const Endpoint& remote, Instant now);
  /// Until the device has taken some of what waits for it.
  void wait(UdpSocket& socket);
  /// RFC 6056 §3.3.1; 0 when all are taken.
  struct PeerOf {
    ip::RouteResult route;
    IpAddress source;
    Endpoint remote;
  };
  /// `peer`: the only one that will answer, so that the port can be one whose answers come in by our queue;
  /// null: any port.
  [[nodiscard]] std::uint16_t choose_port(const UdpSocket& socket, const IpAddress& address,
                                          const PeerOf* peer);

  Config config_;
  ip::IpLayer& ip_;
  ReadyList& ready_;
  Rng& rng_;
  SocketTable table_;
  struct Waiters;
  std::unique_ptr<Waiters> waiters_;
  CounterSet<Counter> counters_;
};

}  // namespace millrace::udp
