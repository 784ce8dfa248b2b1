#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"
#include "base/mac_address.h"
#include "wire/address_bytes.h"

namespace millrace::wire {

enum EtherType : std::uint16_t {
  kEtherTypeIpv4 = 0x0800,
  kEtherTypeArp = 0x0806,
  kEtherTypeVlan = 0x8100,
  kEtherTypeIpv6 = 0x86dd,
};

/// Ethernet II. An ether_type below 0x600 is the length of an 802.3 frame, which nothing here speaks.
struct EthernetHeader {
  static constexpr std::size_t kSize = 14;

  MacAddress destination;
  MacAddress source;
  std::uint16_t ether_type = 0;

  [[nodiscard]] static std::optional<EthernetHeader> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    return EthernetHeader{load_mac(&bytes[0]), load_mac(&bytes[6]), load_be16(&bytes[12])};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize);
    store_mac(&out[0], destination);
    store_mac(&out[6], source);
    store_be16(&out[12], ether_type);
  }
  friend bool operator==(const EthernetHeader&, const EthernetHeader&) = default;
};

/// What follows an ether_type of kEtherTypeVlan (IEEE 802.1Q): the tag, then the type of what it wraps.
struct VlanTag {
  static constexpr std::size_t kSize = 4;

  std::uint8_t priority = 0;
  bool drop_eligible = false;
  std::uint16_t id = 0;
  std::uint16_t ether_type = 0;

  [[nodiscard]] static std::optional<VlanTag> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::uint16_t control = load_be16(&bytes[0]);
    return VlanTag{static_cast<std::uint8_t>(control >> 13), (control & 0x1000) != 0,
                   static_cast<std::uint16_t>(control & 0x0fff), load_be16(&bytes[2])};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize && priority < 8 && id < 0x1000);
    store_be16(&out[0], static_cast<std::uint16_t>(priority << 13 | (drop_eligible ? 0x1000 : 0) | id));
    store_be16(&out[2], ether_type);
  }
  friend bool operator==(const VlanTag&, const VlanTag&) = default;
};

}  // namespace millrace::wire
