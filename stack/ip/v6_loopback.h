#pragma once

#include <array>

#include "base/ip_address.h"

namespace millrace::ip {

/// ::1 on the internal loopback. There are no IPv6 packets yet, so what ::1 says to itself travels in an IPv4
/// header with this address at both ends. Only this room knows: transports and sockets see ::1. The stand-in
/// cannot be bound or spoken to by its own name, and nothing in 127/8 comes in from a wire.
inline constexpr IpAddress kV6LoopbackStandIn = IpAddress::v4(127, 255, 255, 6);

inline constexpr IpAddress kV6Loopback =
    IpAddress::v6(std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

/// As an IPv4 header carries it. Precondition: IPv4, or ::1.
[[nodiscard]] constexpr IpAddress to_carried(const IpAddress& address) {
  return address.is_v6() ? kV6LoopbackStandIn : address;
}
/// What an address in an IPv4 header means.
[[nodiscard]] constexpr IpAddress from_carried(const IpAddress& address) {
  return address == kV6LoopbackStandIn ? kV6Loopback : address;
}

}  // namespace millrace::ip
