#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "base/byte_order.h"
#include "base/ip_address.h"
#include "base/mac_address.h"

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
  std::memcpy(bytes.data(), p, bytes.size());
  return IpAddress::v6(bytes);
}
inline void store_ipv6(std::uint8_t* p, const IpAddress& address) {
  std::memcpy(p, address.bytes().data(), address.bytes().size());
}

[[nodiscard]] inline MacAddress load_mac(const std::uint8_t* p) {
  MacAddress mac;
  std::memcpy(mac.bytes.data(), p, mac.bytes.size());
  return mac;
}
/// The six bytes as a number, to compare: in no order that means anything.
[[nodiscard]] inline std::uint64_t load_mac_word(const std::uint8_t* p) {
  std::uint32_t first;
  std::uint16_t rest;
  std::memcpy(&first, p, sizeof first);
  std::memcpy(&rest, p + sizeof first, sizeof rest);
  return std::uint64_t{rest} << 32 | first;
}
inline void store_mac(std::uint8_t* p, const MacAddress& mac) {
  std::memcpy(p, mac.bytes.data(), mac.bytes.size());
}

}  // namespace millrace::wire
