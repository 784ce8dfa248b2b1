#pragma once

#include <span>

#include "base/ip_address.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// Keeps the kernel's IP layer from what is sent to our addresses. A packet socket only gets a copy: the
/// kernel then looks for a route to an address that it does not have, allocates one for nothing and drops the
/// packet, in the time of whoever sent it, and frees what it allocated in bursts of some hundred
/// microseconds. A program on the tcx hook (Linux 6.6), behind packet sockets and before IP, drops these
/// packets at once. It is gone with the last descriptor of its link, however the process ends.
class IngressFilter {
 public:
  /// False, and nothing is changed, where the kernel has no such hook, CAP_NET_ADMIN or CAP_BPF is missing,
  /// or the kernel has one of the addresses itself: then it may have connections of its own there.
  bool attach(int interface_index, std::span<const IpPrefix> addresses);
  [[nodiscard]] bool attached() const { return static_cast<bool>(link_); }

 private:
  UniqueFd link_;
};

}  // namespace millrace::drivers
