#pragma once

#include <cstdint>

#include "link/interface.h"
#include "tcp/segment.h"
#include "tcp/tcp.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/pseudo_header.h"
#include "wire/tcp.h"
#include "wire/tcp_options.h"

namespace millrace::tcp {

/// Where the TCP header has its checksum.
inline constexpr std::uint16_t kChecksumOffset = 16;

/// What a segment's IP header says of congestion (RFC 3168 §5), beside what the socket asked for.
[[nodiscard]] inline std::uint8_t tos_of(const Tcp::Outgoing& outgoing) {
  if (!outgoing.ecn_capable) return outgoing.tos;
  return static_cast<std::uint8_t>((outgoing.tos & ~kEcnMask) | kEct0);
}

[[gnu::always_inline]] inline bool Tcp::send_usual(const FlowKey& key, const Outgoing& outgoing,
                                                   PacketPtr& payload, const ip::RouteResult& route,
                                                   Instant now) {
  constexpr auto kEthernet = static_cast<std::uint32_t>(wire::EthernetHeader::kSize);
  constexpr auto kIp = static_cast<std::uint32_t>(wire::Ipv4Header::kSize);
  constexpr auto kTcp = static_cast<std::uint32_t>(wire::TcpHeader::kSize);
  if (payload == nullptr || payload->fragment_count() != 0 || outgoing.gso_size != 0 ||
      outgoing.options != nullptr || !outgoing.dont_fragment || route.interface == nullptr ||
      route.broadcast || key.local.address.is_v6() || key.remote.address.is_v6())
    return false;
  const std::uint32_t tcp_header = kTcp + (outgoing.timestamps ? wire::TcpOptions::kTimestampsOnlySize : 0u);
  const std::uint32_t length = tcp_header + payload->linear_length();
  const std::uint32_t headers = kEthernet + kIp + tcp_header;
  if (kIp + length > route.mtu || payload->headroom() < headers || !payload->headroom_writable())
    return false;
  const MacAddress* const neighbour = route.interface->ready_for(route.next_hop, now);
  if (neighbour == nullptr) return false;

  std::uint8_t* const at = payload->push(headers);
  payload->set_headers(kEthernet, kEthernet + kIp);
  wire::EthernetHeader{*neighbour, route.interface->mac(), wire::kEtherTypeIpv4}.emit({at, kEthernet});
  wire::Ipv4Header ip;
  ip.tos = tos_of(outgoing);
  ip.total_length = static_cast<std::uint16_t>(kIp + length);
  ip.identification = ip_.note_atomic_output();
  ip.dont_fragment = true;
  ip.ttl = outgoing.ttl;
  ip.protocol = wire::kProtocolTcp;
  ip.source = key.local.address;
  ip.destination = key.remote.address;
  ip.emit({at + kEthernet, kIp});
  write_header(at + kEthernet + kIp, key, outgoing, tcp_header, length);
  if (outgoing.timestamps)
    wire::TcpOptions::emit_timestamps(at + kEthernet + kIp + kTcp, *outgoing.timestamps);
  payload->offload.needs_checksum = true;
  payload->offload.checksum_start = kEthernet + kIp;
  payload->offload.checksum_offset = kChecksumOffset;
  count(Counter::kOutSegs);
  route.interface->transmit_ready(std::move(payload), now);
  return true;
}

[[gnu::always_inline]] inline void Tcp::write_header(std::uint8_t* at, const FlowKey& key,
                                                     const Outgoing& outgoing, std::uint32_t header_length,
                                                     std::uint32_t length) const {
  wire::TcpHeader header;
  header.source_port = key.local.port;
  header.destination_port = key.remote.port;
  header.seq = outgoing.seq;
  header.ack = outgoing.ack;
  header.flags = outgoing.flags;
  if (outgoing.gso_size != 0 && config_.push_super_segments) header.flags |= Flags::kPsh;
  header.window = outgoing.window;
  header.urgent_pointer = outgoing.urgent_pointer;
  header.header_length = static_cast<std::uint8_t>(header_length);
  header.checksum =
      wire::pseudo_header_sum(key.local.address, key.remote.address, wire::kProtocolTcp, length).folded();
  header.emit({at, wire::TcpHeader::kSize});
}

}  // namespace millrace::tcp
