#pragma once

#include "base/ip_address.h"

namespace millrace {

/// What a socket is bound to, as bind(2) tells sockets apart: an address, and of the IPv6 wildcard whether it
/// leaves IPv4 alone (RFC 3493 §5.3).
struct BoundAddress {
  IpAddress address;
  bool v6_only = false;

  /// Precondition: the address is a wildcard. Whether it stands for addresses of this family.
  [[nodiscard]] constexpr bool covers(IpAddress::Family family) const {
    return address.family() == family || (address.is_v6() && !v6_only);
  }
  /// Some packet could be for both.
  [[nodiscard]] constexpr bool overlaps(const BoundAddress& other) const {
    return (address.is_unspecified() && covers(other.address.family())) ||
           (other.address.is_unspecified() && other.covers(address.family())) || address == other.address;
  }
};

}  // namespace millrace
