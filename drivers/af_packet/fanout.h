#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace millrace::drivers {

/// Several AF_PACKET sockets on one interface, of which each frame goes to one: where link::FlowHome says, by
/// a classic BPF program that computes the same. The devices of the queues share it, each in a thread of its
/// own.
///
/// A group is bound to its interface, and a socket to its group, for good: after the interface was deleted
/// and made again, each queue joins with another socket.
class Fanout {
 public:
  explicit Fanout(std::uint32_t queues) : queues_(queues) {}

  /// To hold while a socket is made, bound and joins: when the interface goes down and up, the kernel brings
  /// sockets back in the order in which they were made, and it must be that in which they joined.
  [[nodiscard]] std::unique_lock<std::mutex> take_turn() { return std::unique_lock(mutex_); }
  /// For a socket that is bound to the interface and whose ring is there; the caller has the turn. The first
  /// one on an interface makes the group. Empty, or what failed.
  [[nodiscard]] std::string join(int socket, std::uint32_t queue, int interface_index);

 private:
  [[nodiscard]] std::string steer(int socket) const;

  std::uint32_t queues_;
  std::mutex mutex_;
  int interface_index_ = 0;
  int group_ = -1;                      ///< -1: none yet
  std::vector<std::uint32_t> members_;  ///< queues, in the order in which they joined
};

/// Whether each queue joined at its own number.
[[nodiscard]] bool in_order(std::span<const std::uint32_t> members);
/// Returns the place of a queue's socket in the group, for `members` that joined in that order: TCP and UDP
/// by link::FlowHome, all else (ARP, ICMP, fragments, other EtherTypes) and what is too short to queue 0.
/// What belongs to a queue that has not joined goes to any of the others.
[[nodiscard]] std::vector<sock_filter> steering_program(std::uint32_t queues,
                                                        std::span<const std::uint32_t> members);

}  // namespace millrace::drivers
