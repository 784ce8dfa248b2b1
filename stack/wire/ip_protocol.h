#pragma once

#include <cstdint>

namespace millrace::wire {

/// The Protocol field of IPv4 and the Next Header field of IPv6.
enum IpProtocol : std::uint8_t {
  kProtocolIcmp = 1,
  kProtocolTcp = 6,
  kProtocolUdp = 17,
  kProtocolIcmpv6 = 58,
};

}  // namespace millrace::wire
