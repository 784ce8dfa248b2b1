#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "af_xdp/config.h"
#include "base/ip_address.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// The XDP program that sends an interface's frames to our sockets, each queue's to its own, and its
/// attachment, which ends with the process however that ends. An interface has room for one: the devices of
/// its queues share it, each in a thread of its own.
///
/// Where the kernel has an IPv4 address of the interface, it keeps its part: only IPv4 to our addresses, and
/// ARP that asks or answers them, is ours, and an SSH session lives on. Otherwise all frames are.
class XdpProgram {
 public:
  /// `queues`: all of ours have smaller numbers. `mode`: how to attach.
  XdpProgram(std::string interface, std::uint32_t queues, AfXdpConfig::Mode mode)
      : interface_(std::move(interface)), queues_(queues), mode_(mode) {}

  /// From now on every frame of `queue` goes to `socket`. The first that comes for an interface of this index
  /// attaches the program to it; the interface of before is gone then, also for who has not noticed yet.
  /// Empty, or what is wrong.
  [[nodiscard]] std::string attach(int interface_index, std::uint32_t queue, int socket);
  /// No frame of `queue` any more; the last one takes the program off.
  void detach(std::uint32_t queue);
  /// These are our addresses: takes no more than what concerns them, if the kernel has addresses of its own
  /// on the interface.
  void select(std::span<const IpPrefix> addresses);

  /// Attached to the interface's driver, not to the kernel's general hook.
  [[nodiscard]] bool native() const;

 private:
  /// The program on one interface.
  struct Attachment {
    int interface_index = 0;  ///< 0: none
    UniqueFd map;             ///< of sockets, by queue
    UniqueFd link;
    bool native = false;
    std::set<std::uint32_t> queues = {};  ///< that have a socket in the map
  };

  [[nodiscard]] std::string attach_to(int interface_index);
  [[nodiscard]] bool link(Attachment& attachment, int program, std::uint32_t flags) const;
  /// Those of our addresses that the program looks for; none: it takes all frames.
  [[nodiscard]] std::vector<std::uint32_t> selected() const;

  std::string interface_;
  std::uint32_t queues_;
  AfXdpConfig::Mode mode_;
  mutable std::mutex mutex_;
  Attachment attachment_;
  std::vector<IpPrefix> addresses_;
};

}  // namespace millrace::drivers
