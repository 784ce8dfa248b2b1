#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "af_xdp/config.h"
#include "base/ip_address.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// The XDP program that sends an interface's frames to our socket, and its attachment, which ends with the
/// process however that ends.
///
/// Where the kernel has an IPv4 address of the interface, it keeps its part: only IPv4 to our addresses, and
/// ARP that asks or answers them, is ours, and an SSH session lives on. Otherwise all frames are.
class XdpProgram {
 public:
  /// Attaches a program that sends every frame of `queue` to `socket`. Empty, or what is wrong.
  [[nodiscard]] std::string attach(int interface_index, std::uint32_t queue, int socket,
                                   AfXdpConfig::Mode mode);
  /// These are our addresses: takes no more than what concerns them, if the kernel has addresses of its own
  /// on the interface. False: the program of before stays.
  bool select(const std::string& interface, std::span<const IpPrefix> addresses);
  void detach();

  [[nodiscard]] bool native() const { return native_; }

 private:
  [[nodiscard]] UniqueFd load(std::span<const std::uint32_t> addresses) const;
  [[nodiscard]] bool link(int interface_index, int program, std::uint32_t flags);

  UniqueFd map_;
  UniqueFd link_;
  bool native_ = false;
};

}  // namespace millrace::drivers
