#pragma once

#include <cassert>
#include <cstdint>
#include <span>

#include "base/checksum.h"
#include "base/ip_address.h"
#include "wire/ip_protocol.h"

namespace millrace::wire {

/// The sum over the pseudo-header that TCP, UDP and ICMPv6 checksums begin with (RFC 9293 §3.1, RFC 8200
/// §8.1). `length` is that of the transport header and its data.
[[nodiscard, gnu::always_inline]] inline ChecksumSum pseudo_header_sum(const IpAddress& source,
                                                                       const IpAddress& destination,
                                                                       std::uint8_t protocol,
                                                                       std::uint32_t length) {
  assert(source.family() == destination.family());
  ChecksumSum sum;
  if (source.is_v4()) {
    sum.add_dword(source.v4_value()).add_dword(destination.v4_value());
  } else {
    sum.add(source.bytes()).add(destination.bytes());
  }
  return sum.add_word(protocol).add_dword(length);
}

/// The checksum of a whole TCP, UDP or ICMPv6 message in one piece: with the checksum field zeroed, the value
/// to put there (UDP sends 0xffff for 0, RFC 768); with the field filled in, 0 when it is right.
[[nodiscard]] inline std::uint16_t transport_checksum(const IpAddress& source, const IpAddress& destination,
                                                      std::uint8_t protocol,
                                                      std::span<const std::uint8_t> message) {
  return pseudo_header_sum(source, destination, protocol, static_cast<std::uint32_t>(message.size()))
      .add(message)
      .finish();
}

}  // namespace millrace::wire
