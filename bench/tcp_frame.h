#pragma once

#include <cstdint>

#include "base/mac_address.h"
#include "packet/packet.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/pseudo_header.h"
#include "wire/tcp.h"

namespace millrace::bench {

constexpr std::uint32_t kTcpHeaders = 14 + 20 + 20;

/// Headers of a TCP frame with `payload` bytes behind it; the checksum field holds the pseudo-header sum.
inline void write_tcp_headers(std::uint8_t* out, const MacAddress& to, const MacAddress& from,
                              std::uint32_t payload, std::uint32_t seq = 0) {
  wire::EthernetHeader{to, from, wire::kEtherTypeIpv4}.emit({out, 14});
  wire::Ipv4Header ip;
  ip.total_length = static_cast<std::uint16_t>(40 + payload);
  ip.dont_fragment = true;
  ip.ttl = 64;
  ip.protocol = wire::kProtocolTcp;
  ip.source = IpAddress::v4(198, 18, 0, 1);
  ip.destination = IpAddress::v4(198, 18, 0, 2);
  ip.emit({out + 14, 20});
  wire::TcpHeader tcp;
  tcp.source_port = 1;
  tcp.destination_port = 2;
  tcp.seq = SeqNum{seq};
  tcp.flags = wire::TcpFlags::kAck;
  tcp.checksum =
      wire::pseudo_header_sum(ip.source, ip.destination, wire::kProtocolTcp, 20 + payload).folded();
  tcp.emit({out + 34, 20});
}

/// The rest of that checksum is left to the device.
inline void leave_tcp_checksum(Offload& offload) {
  offload.needs_checksum = true;
  offload.checksum_start = 34;
  offload.checksum_offset = 16;
}

}  // namespace millrace::bench
