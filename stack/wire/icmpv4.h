#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"

namespace millrace::wire {

/// The first 8 bytes of an ICMP message (RFC 792). `rest` is what the type makes of it; the data, or in an
/// error the quoted packet, follows. The checksum covers header and data without a pseudo-header:
/// internet_checksum().
struct Icmpv4Header {
  static constexpr std::size_t kSize = 8;

  // Types.
  static constexpr std::uint8_t kEchoReply = 0;
  static constexpr std::uint8_t kDestinationUnreachable = 3;
  static constexpr std::uint8_t kSourceQuench = 4;
  static constexpr std::uint8_t kRedirect = 5;
  static constexpr std::uint8_t kEchoRequest = 8;
  static constexpr std::uint8_t kTimeExceeded = 11;
  static constexpr std::uint8_t kParameterProblem = 12;
  static constexpr std::uint8_t kTimestampRequest = 13;
  static constexpr std::uint8_t kTimestampReply = 14;

  // Codes of kDestinationUnreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
  static constexpr std::uint8_t kNetworkUnreachable = 0;
  static constexpr std::uint8_t kHostUnreachable = 1;
  static constexpr std::uint8_t kProtocolUnreachable = 2;
  static constexpr std::uint8_t kPortUnreachable = 3;
  static constexpr std::uint8_t kFragmentationNeeded = 4;
  static constexpr std::uint8_t kSourceRouteFailed = 5;
  static constexpr std::uint8_t kNetworkUnknown = 6;
  static constexpr std::uint8_t kHostUnknown = 7;
  static constexpr std::uint8_t kSourceHostIsolated = 8;
  static constexpr std::uint8_t kNetworkProhibited = 9;
  static constexpr std::uint8_t kHostProhibited = 10;
  static constexpr std::uint8_t kNetworkUnreachableForTos = 11;
  static constexpr std::uint8_t kHostUnreachableForTos = 12;
  static constexpr std::uint8_t kAdministrativelyProhibited = 13;
  static constexpr std::uint8_t kHostPrecedenceViolation = 14;
  static constexpr std::uint8_t kPrecedenceCutoff = 15;

  // Codes of kTimeExceeded.
  static constexpr std::uint8_t kTtlExceeded = 0;
  static constexpr std::uint8_t kReassemblyTimeExceeded = 1;

  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint16_t checksum = 0;
  std::uint32_t rest = 0;

  [[nodiscard]] static constexpr std::uint32_t echo_rest(std::uint16_t identifier, std::uint16_t sequence) {
    return std::uint32_t{identifier} << 16 | sequence;
  }
  /// Of echo request and reply.
  [[nodiscard]] constexpr std::uint16_t identifier() const { return static_cast<std::uint16_t>(rest >> 16); }
  [[nodiscard]] constexpr std::uint16_t sequence() const { return static_cast<std::uint16_t>(rest); }
  /// Of kFragmentationNeeded (RFC 1191 §4); 0 from routers older than that.
  [[nodiscard]] constexpr std::uint16_t next_hop_mtu() const { return static_cast<std::uint16_t>(rest); }
  /// Of kParameterProblem: which byte of the quoted packet.
  [[nodiscard]] constexpr std::uint8_t pointer() const { return static_cast<std::uint8_t>(rest >> 24); }
  /// Errors quote a packet and are never answered with an error (RFC 1122 §3.2.2).
  [[nodiscard]] constexpr bool is_error() const {
    return type == kDestinationUnreachable || type == kSourceQuench || type == kRedirect ||
           type == kTimeExceeded || type == kParameterProblem;
  }

  [[nodiscard]] static std::optional<Icmpv4Header> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    return Icmpv4Header{bytes[0], bytes[1], load_be16(&bytes[2]), load_be32(&bytes[4])};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize);
    out[0] = type;
    out[1] = code;
    store_be16(&out[2], checksum);
    store_be32(&out[4], rest);
  }
  friend bool operator==(const Icmpv4Header&, const Icmpv4Header&) = default;
};

}  // namespace millrace::wire
