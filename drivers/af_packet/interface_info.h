#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/mac_address.h"

namespace millrace::drivers {

/// What the kernel says of one of its interfaces.
struct InterfaceInfo {
  int index = 0;
  bool up = false;        ///< IFF_UP
  bool ethernet = false;  ///< its link layer is Ethernet
  std::uint32_t mtu = 0;
  MacAddress mac;
};

/// Asks by name. False: there is none of that name (or it vanished while we asked). Looks in the network
/// namespace of the thread, or of a socket.
[[nodiscard]] bool query_interface(std::string_view name, InterfaceInfo& info);
[[nodiscard]] bool query_interface(int socket, std::string_view name, InterfaceInfo& info);

/// "lo, eth0": the interfaces of this network namespace, for messages.
[[nodiscard]] std::string interface_names();

}  // namespace millrace::drivers
