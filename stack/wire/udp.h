#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"

namespace millrace::wire {

/// RFC 768. Whether `length` fits the IP payload is for the receiver to check, as is a checksum of 0
/// ("none").
struct UdpHeader {
  static constexpr std::size_t kSize = 8;

  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t length = 0;  ///< of header and data
  std::uint16_t checksum = 0;

  [[nodiscard]] static std::optional<UdpHeader> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    return UdpHeader{load_be16(&bytes[0]), load_be16(&bytes[2]), load_be16(&bytes[4]), load_be16(&bytes[6])};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize);
    store_be16(&out[0], source_port);
    store_be16(&out[2], destination_port);
    store_be16(&out[4], length);
    store_be16(&out[6], checksum);
  }
  friend bool operator==(const UdpHeader&, const UdpHeader&) = default;
};

}  // namespace millrace::wire
