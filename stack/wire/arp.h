#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "wire/address_bytes.h"

namespace millrace::wire {

/// ARP for Ethernet and IPv4 (RFC 826); parse rejects every other pair of address kinds.
struct ArpPacket {
  static constexpr std::size_t kSize = 28;
  static constexpr std::uint16_t kRequest = 1;
  static constexpr std::uint16_t kReply = 2;

  std::uint16_t operation = 0;
  MacAddress sender_mac;
  IpAddress sender_ip;
  MacAddress target_mac;
  IpAddress target_ip;

  [[nodiscard]] static std::optional<ArpPacket> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize || load_be32(&bytes[0]) != kAddressKinds ||
        load_be16(&bytes[4]) != kAddressLengths) {
      return std::nullopt;
    }
    return ArpPacket{load_be16(&bytes[6]), load_mac(&bytes[8]), load_ipv4(&bytes[14]), load_mac(&bytes[18]),
                     load_ipv4(&bytes[24])};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize);
    store_be32(&out[0], kAddressKinds);
    store_be16(&out[4], kAddressLengths);
    store_be16(&out[6], operation);
    store_mac(&out[8], sender_mac);
    store_ipv4(&out[14], sender_ip);
    store_mac(&out[18], target_mac);
    store_ipv4(&out[24], target_ip);
  }
  friend bool operator==(const ArpPacket&, const ArpPacket&) = default;

 private:
  static constexpr std::uint32_t kAddressKinds = 0x0001'0800;  ///< hardware Ethernet, protocol IPv4
  static constexpr std::uint16_t kAddressLengths = 0x0604;
};

}  // namespace millrace::wire
