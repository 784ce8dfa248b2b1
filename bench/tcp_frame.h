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

/// What such a frame says; a segment of a stream where nothing else is said.
struct TcpFrame {
  MacAddress to = {}, from = {};
  Endpoint source{IpAddress::v4(198, 18, 0, 1), 1}, destination{IpAddress::v4(198, 18, 0, 2), 2};
  SeqNum seq{}, ack{};
  std::uint8_t flags = wire::TcpFlags::kAck;
  std::uint16_t window = 0;
  std::uint32_t payload = 0;  ///< bytes behind the headers
};

/// Its headers; the checksum field holds the pseudo-header sum.
inline void write_tcp_headers(std::uint8_t* out, const TcpFrame& frame) {
  wire::EthernetHeader{frame.to, frame.from, wire::kEtherTypeIpv4}.emit({out, 14});
  wire::Ipv4Header ip;
  ip.total_length = static_cast<std::uint16_t>(40 + frame.payload);
  ip.dont_fragment = true;
  ip.ttl = 64;
  ip.protocol = wire::kProtocolTcp;
  ip.source = frame.source.address;
  ip.destination = frame.destination.address;
  ip.emit({out + 14, 20});
  wire::TcpHeader tcp;
  tcp.source_port = frame.source.port;
  tcp.destination_port = frame.destination.port;
  tcp.seq = frame.seq;
  tcp.ack = frame.ack;
  tcp.flags = frame.flags;
  tcp.window = frame.window;
  tcp.checksum =
      wire::pseudo_header_sum(ip.source, ip.destination, wire::kProtocolTcp, 20 + frame.payload).folded();
  tcp.emit({out + 34, 20});
}

/// The rest of that checksum is left to the device.
inline void leave_tcp_checksum(Offload& offload) {
  offload.needs_checksum = true;
  offload.checksum_start = 34;
  offload.checksum_offset = 16;
}

}  // namespace millrace::bench
