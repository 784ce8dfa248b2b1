#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"
#include "base/seq.h"

namespace millrace::wire {

/// The control bits (RFC 9293 §3.1) as they lie in the header's fourteenth byte.
struct TcpFlags {
  static constexpr std::uint8_t kFin = 0x01;
  static constexpr std::uint8_t kSyn = 0x02;
  static constexpr std::uint8_t kRst = 0x04;
  static constexpr std::uint8_t kPsh = 0x08;
  static constexpr std::uint8_t kAck = 0x10;
  static constexpr std::uint8_t kUrg = 0x20;
  static constexpr std::uint8_t kEce = 0x40;
  static constexpr std::uint8_t kCwr = 0x80;

  std::uint8_t bits = 0;

  [[nodiscard]] constexpr bool has(std::uint8_t flag) const { return (bits & flag) != 0; }
  [[nodiscard]] constexpr bool fin() const { return has(kFin); }
  [[nodiscard]] constexpr bool syn() const { return has(kSyn); }
  [[nodiscard]] constexpr bool rst() const { return has(kRst); }
  [[nodiscard]] constexpr bool psh() const { return has(kPsh); }
  [[nodiscard]] constexpr bool ack() const { return has(kAck); }
  [[nodiscard]] constexpr bool urg() const { return has(kUrg); }
  [[nodiscard]] constexpr bool ece() const { return has(kEce); }
  [[nodiscard]] constexpr bool cwr() const { return has(kCwr); }
  friend constexpr bool operator==(TcpFlags, TcpFlags) = default;
};

/// RFC 9293 §3.1. Options lie behind the first 20 bytes: TcpOptions. The reserved bits are sent as zero and
/// ignored when received.
struct TcpHeader {
  static constexpr std::size_t kSize = 20;
  static constexpr std::size_t kMaxSize = 60;

  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  SeqNum seq;
  SeqNum ack;
  std::uint8_t flags = 0;  ///< of TcpFlags
  std::uint16_t window = 0;
  std::uint16_t checksum = 0;
  std::uint16_t urgent_pointer = 0;
  std::uint8_t header_length = kSize;  ///< in bytes, 20 to 60, a multiple of 4

  [[nodiscard]] constexpr bool has(std::uint8_t flag) const { return (flags & flag) != 0; }

  /// nullopt unless the whole header with its options lies in the span.
  [[nodiscard]] static std::optional<TcpHeader> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::uint8_t* p = bytes.data();
    const auto header_length = static_cast<std::uint8_t>((p[12] >> 4) * 4);
    if (header_length < kSize || header_length > bytes.size()) return std::nullopt;
    return TcpHeader{load_be16(p), load_be16(p + 2),  SeqNum{load_be32(p + 4)}, SeqNum{load_be32(p + 8)},
                     p[13],        load_be16(p + 14), load_be16(p + 16),        load_be16(p + 18),
                     header_length};
  }
  /// Writes the first 20 bytes.
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize);
    assert(header_length >= kSize && header_length <= kMaxSize && header_length % 4 == 0);
    std::uint8_t* p = out.data();
    store_be32(p, std::uint32_t{source_port} << 16 | destination_port);
    store_be32(p + 4, seq.value());
    store_be32(p + 8, ack.value());
    store_be32(p + 12, header_length / 4u << 28 | std::uint32_t{flags} << 16 | window);
    store_be32(p + 16, std::uint32_t{checksum} << 16 | urgent_pointer);
  }
  /// The bytes of the options, given what parse() was given.
  [[nodiscard]] std::span<const std::uint8_t> options(std::span<const std::uint8_t> bytes) const {
    return bytes.subspan(kSize, header_length - kSize);
  }
  friend bool operator==(const TcpHeader&, const TcpHeader&) = default;
};

}  // namespace millrace::wire
