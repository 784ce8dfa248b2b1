#pragma once

#include <lwip/netif.h>
#include <lwip/tcp.h>

#include <chrono>
#include <cstdint>

#include "base/ip_address.h"
#include "port.h"

namespace millrace::bench {

/// lwIP, as Debian builds it, on one of our devices: the same driver and the same frames as Millrace's stack
/// has, with another TCP above. Its raw API is used from one thread, so that the library's own threads and
/// locks are not part of what is measured. One a process: lwIP's state is global.
class LwipHost {
 public:
  /// Throws std::runtime_error with one line for the user.
  LwipHost(const std::string& device, const IpPrefix& address);
  LwipHost(const LwipHost&) = delete;
  LwipHost& operator=(const LwipHost&) = delete;
  ~LwipHost();

  /// Echoes what comes to that port.
  void listen(std::uint16_t port);
  /// Takes what came, runs the timers that are due, and sends.
  void poll();

 private:
  using Clock = std::chrono::steady_clock;

  static err_t start(netif* interface);
  static err_t send(netif* interface, pbuf* frame);
  static err_t on_accept(void* self, tcp_pcb* connection, err_t error);
  static err_t on_data(void* self, tcp_pcb* connection, pbuf* data, err_t error);
  void deliver(Packet& frame);

  Port port_;
  netif interface_{};
  PacketQueue in_, out_;
  Clock::time_point next_timers_;
};

}  // namespace millrace::bench
