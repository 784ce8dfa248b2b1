#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::drivers {

/// Several AF_PACKET sockets on one interface, of which each frame goes to one: where link::FlowHome says, by
/// a classic BPF program that computes the same. The sockets join in the order of the queues. The kernel
/// leaves an interface that was deleted for good: a group cannot be bound to another one.
struct Fanout {
  std::uint32_t queues = 1;  ///< 1: no group
  int group = -1;            ///< -1: none yet; the first socket makes it

  /// For a socket that is bound and whose ring is there. Empty, or what failed.
  [[nodiscard]] std::string join(int socket);
};

/// Returns the number of the queue: TCP and UDP by link::FlowHome, all else (ARP, ICMP, fragments, other
/// EtherTypes) and what is too short 0.
[[nodiscard]] std::vector<sock_filter> steering_program(std::uint32_t queues);

}  // namespace millrace::drivers
