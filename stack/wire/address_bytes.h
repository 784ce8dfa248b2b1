#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/byte_order.h"
#include "base/ip_address.h"
#include "link/mac_address.h"

namespace millrace::wire {

/// Addresses as they lie in a header. The caller has checked that the bytes are there.
[[nodiscard]] inline IpAddress load_ipv4(const std::uint8_t* p) {
  return IpAddress::v4(load_be32(p));
}
inline void store_ipv4(std::uint8_t* p, const IpAddress& address) {
  store_be32(p, address.v4_value());
}

[[nodiscard]] inline IpAddress load_ipv6(const std::uint8_t* p) {
  std::array<std::uint8_t, 16> bytes;
  std::copy_n(p, bytes.size(), bytes.begin());
  return IpAddress::v6(bytes);
}
inline void store_ipv6(std::uint8_t* p, const IpAddress& address) {
  std::copy_n(address.bytes().begin(), address.bytes().size(), p);
}

[[nodiscard]] inline MacAddress load_mac(const std::uint8_t* p) {
  MacAddress mac;
  std::copy_n(p, mac.bytes.size(), mac.bytes.begin());
  return mac;
}
inline void store_mac(std::uint8_t* p, const MacAddress& mac) {
  std::copy_n(mac.bytes.begin(), mac.bytes.size(), p);
}

}  // namespace millrace::wire
