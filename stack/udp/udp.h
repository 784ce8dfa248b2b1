#pragma once

#include <cstdint>
#include <memory>

#include "base/counters.h"
#include "base/result.h"
#include "ip/ip_layer.h"
#include "socket/socket.h"

namespace millrace::udp {

struct Config {
  std::size_t receive_buffer = 212992;  ///< storage bytes queued a socket; Linux's rmem_default
  std::uint16_t ephemeral_first = 32768, ephemeral_last = 60999;  ///< Linux's ip_local_port_range
};

enum class Counter : std::uint8_t {
  kInDatagrams,
  kNoPorts,
  kInErrors,         ///< truncated or bad length
  kInCsumErrors,
  kRcvbufErrors,     ///< the socket's queue was full
  kOutDatagrams,
  kOutNoMemory,
  kCount,
};
[[nodiscard]] std::string_view name_of(Counter counter);

class UdpSocket;

/// UDP (RFC 768, RFC 1122 §4.1): the port table and the demultiplexer.
class Udp final : public ip::Transport {
 public:
  Udp(const Config& config, ip::IpLayer& ip, ReadyList& ready, Rng& rng);
  ~Udp() override;

  void on_packet(PacketPtr packet, const ip::PacketInfo& info, Instant now) override;
  void on_icmp_error(const ip::IcmpError& error, Instant now) override;
  [[nodiscard]] std::unique_ptr<Socket> create_socket();

  [[nodiscard]] const CounterSet<Counter>& counters() const { return counters_; }

 private:
  Config config_;
  ip::IpLayer& ip_;
  ReadyList& ready_;
  Rng& rng_;
  CounterSet<Counter> counters_;
};

}  // namespace millrace::udp
