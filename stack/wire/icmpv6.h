#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"

namespace millrace::wire {

/// The first 8 bytes of an ICMPv6 message (RFC 4443 §2.1). `rest` is what the type makes of it. The checksum
/// has the IPv6 pseudo-header: transport_checksum() with kProtocolIcmpv6.
struct Icmpv6Header {
  static constexpr std::size_t kSize = 8;

  // Types of errors: below 128.
  static constexpr std::uint8_t kDestinationUnreachable = 1;
  static constexpr std::uint8_t kPacketTooBig = 2;
  static constexpr std::uint8_t kTimeExceeded = 3;
  static constexpr std::uint8_t kParameterProblem = 4;
  // Types of queries.
  static constexpr std::uint8_t kEchoRequest = 128;
  static constexpr std::uint8_t kEchoReply = 129;
  // Neighbour discovery (RFC 4861): see wire/neighbor_discovery.h.
  static constexpr std::uint8_t kRouterSolicitation = 133;
  static constexpr std::uint8_t kRouterAdvertisement = 134;
  static constexpr std::uint8_t kNeighborSolicitation = 135;
  static constexpr std::uint8_t kNeighborAdvertisement = 136;
  static constexpr std::uint8_t kRedirect = 137;

  // Codes of kDestinationUnreachable.
  static constexpr std::uint8_t kNoRoute = 0;
  static constexpr std::uint8_t kProhibited = 1;
  static constexpr std::uint8_t kBeyondScope = 2;
  static constexpr std::uint8_t kAddressUnreachable = 3;
  static constexpr std::uint8_t kPortUnreachable = 4;
  static constexpr std::uint8_t kPolicyFailed = 5;
  static constexpr std::uint8_t kRouteRejected = 6;
  // Codes of kTimeExceeded.
  static constexpr std::uint8_t kHopLimitExceeded = 0;
  static constexpr std::uint8_t kReassemblyTimeExceeded = 1;
  // Codes of kParameterProblem.
  static constexpr std::uint8_t kErroneousHeader = 0;
  static constexpr std::uint8_t kUnknownNextHeader = 1;
  static constexpr std::uint8_t kUnknownOption = 2;

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
  /// Of kPacketTooBig.
  [[nodiscard]] constexpr std::uint32_t mtu() const { return rest; }
  /// Of kParameterProblem: which byte of the quoted packet.
  [[nodiscard]] constexpr std::uint32_t pointer() const { return rest; }
  /// Errors quote a packet and are never answered with an error (RFC 4443 §2.4 (e.1)).
  [[nodiscard]] constexpr bool is_error() const { return type < 128; }

  [[nodiscard]] static std::optional<Icmpv6Header> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    return Icmpv6Header{bytes[0], bytes[1], load_be16(&bytes[2]), load_be32(&bytes[4])};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize);
    out[0] = type;
    out[1] = code;
    store_be16(&out[2], checksum);
    store_be32(&out[4], rest);
  }
  friend bool operator==(const Icmpv6Header&, const Icmpv6Header&) = default;
};

}  // namespace millrace::wire
