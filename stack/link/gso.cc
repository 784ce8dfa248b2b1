#include "link/gso.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "packet/pool.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/ipv6_extensions.h"
#include "wire/pseudo_header.h"
#include "wire/tcp.h"

namespace millrace::link {

namespace {

constexpr std::uint16_t kTcpChecksumOffset = 16;
constexpr std::uint16_t kUdpChecksumOffset = 6;
constexpr std::uint32_t kMaxVlanTags = 2;

/// Where the headers of a TCP frame lie; all of them in the linear region.
struct TcpFrame {
  std::uint32_t network_at = 0;
  std::uint32_t transport_at = 0;
  std::uint32_t payload_at = 0;
  bool v4 = true;
  IpAddress source, destination;
  wire::TcpHeader tcp;
};

/// gather(n) whose result is read at once; empty when there are fewer.
std::span<const std::uint8_t> first(Packet& frame, std::uint32_t n) {
  if (!frame.gather(n)) return {};
  return frame.linear();
}

bool locate_ipv4(Packet& frame, TcpFrame& found) {
  auto bytes = first(frame, found.network_at + std::uint32_t{wire::Ipv4Header::kSize});
  if (bytes.empty()) return false;
  bytes = first(frame, found.network_at + (bytes[found.network_at] & 0xfU) * 4);
  if (bytes.empty()) return false;
  const auto ip = wire::Ipv4Header::parse(bytes.subspan(found.network_at));
  if (!ip || ip->protocol != wire::kProtocolTcp || ip->more_fragments || ip->fragment_offset != 0)
    return false;
  found.transport_at = found.network_at + ip->header_length;
  found.source = ip->source;
  found.destination = ip->destination;
  return true;
}

bool locate_ipv6(Packet& frame, TcpFrame& found) {
  const std::uint32_t payload_at = found.network_at + std::uint32_t{wire::Ipv6Header::kSize};
  auto bytes = first(frame, payload_at);
  if (bytes.empty()) return false;
  const auto ip = wire::Ipv6Header::parse(bytes.subspan(found.network_at));
  if (!ip) return false;
  found.transport_at = payload_at;
  if (ip->next_header != wire::kProtocolTcp) {
    // Extension headers in front of TCP are rare and short; the walk stops where the bytes end.
    constexpr std::uint32_t kEnough = 256;
    bytes = first(frame, std::min(frame.length(), payload_at + kEnough));
    if (bytes.empty()) return false;
    const auto walk = wire::Ipv6ExtensionWalk::over(ip->next_header, bytes.subspan(payload_at));
    // With a routing header the pseudo-header has another destination (RFC 8200 §8.1): nobody here sends
    // those.
    if (walk.end != wire::Ipv6ExtensionWalk::End::kUpperLayer || walk.protocol != wire::kProtocolTcp ||
        walk.routing_header) {
      return false;
    }
    found.transport_at += static_cast<std::uint32_t>(walk.offset);
  }
  found.v4 = false;
  found.source = ip->source;
  found.destination = ip->destination;
  return true;
}

std::optional<TcpFrame> locate(Packet& frame) {
  TcpFrame found;
  auto bytes = first(frame, wire::EthernetHeader::kSize);
  if (bytes.empty()) return std::nullopt;
  std::uint16_t ether_type = load_be16(&bytes[12]);
  found.network_at = wire::EthernetHeader::kSize;
  for (std::uint32_t tags = 0; ether_type == wire::kEtherTypeVlan && tags < kMaxVlanTags; ++tags) {
    found.network_at += wire::VlanTag::kSize;
    bytes = first(frame, found.network_at);
    if (bytes.empty()) return std::nullopt;
    ether_type = load_be16(&bytes[found.network_at - 2]);
  }
  const bool ip = ether_type == wire::kEtherTypeIpv4   ? locate_ipv4(frame, found)
                  : ether_type == wire::kEtherTypeIpv6 ? locate_ipv6(frame, found)
                                                       : false;
  if (!ip) return std::nullopt;

  bytes = first(frame, found.transport_at + std::uint32_t{wire::TcpHeader::kSize});
  if (bytes.empty()) return std::nullopt;
  bytes = first(frame, found.transport_at + (bytes[found.transport_at + 12] >> 4) * 4U);
  if (bytes.empty()) return std::nullopt;
  const auto tcp = wire::TcpHeader::parse(bytes.subspan(found.transport_at));
  if (!tcp) return std::nullopt;
  found.tcp = *tcp;
  found.payload_at = found.transport_at + tcp->header_length;
  return found;
}

/// Flags and urgent pointer of the segment that begins `at` bytes into the payload.
void set_flags(wire::TcpHeader& tcp, std::uint32_t at, bool last) {
  using wire::TcpFlags;
  if (at != 0) tcp.flags &= static_cast<std::uint8_t>(~TcpFlags::kCwr);  // RFC 3168 §6.1.2: once
  if (!last) tcp.flags &= static_cast<std::uint8_t>(~(TcpFlags::kFin | TcpFlags::kPsh));
  if (!tcp.has(TcpFlags::kUrg)) return;
  if (tcp.urgent_pointer > at) {
    tcp.urgent_pointer = static_cast<std::uint16_t>(tcp.urgent_pointer - at);
  } else {
    tcp.urgent_pointer = 0;
    tcp.flags &= static_cast<std::uint8_t>(~TcpFlags::kUrg);
  }
}

/// Lengths, identification and header checksum of the `index`th segment, in place.
void fix_network_header(std::uint8_t* header, const TcpFrame& frame, std::uint32_t index,
                        std::uint32_t payload) {
  std::uint8_t* const ip = header + frame.network_at;
  const std::uint32_t network_length = frame.transport_at - frame.network_at;
  const std::uint32_t transport_length = frame.tcp.header_length + payload;
  if (!frame.v4) {
    store_be16(ip + 4,
               static_cast<std::uint16_t>(network_length - wire::Ipv6Header::kSize + transport_length));
    return;
  }
  store_be16(ip + 2, static_cast<std::uint16_t>(network_length + transport_length));
  store_be16(ip + 4, static_cast<std::uint16_t>(load_be16(ip + 4) + index));
  store_be16(ip + 10, 0);
  store_be16(ip + 10, internet_checksum({ip, network_length}));
}

PacketPtr cut(const Packet& super, const TcpFrame& frame, std::uint32_t index, std::uint32_t at,
              std::uint32_t length, SegmentPayload mode) {
  const std::uint32_t header_length = frame.payload_at;
  const bool copy = mode == SegmentPayload::kCopy;
  PacketPtr piece = super.pool().allocate(header_length + (copy ? length : 0));
  if (piece == nullptr) return nullptr;

  std::uint8_t* const header = piece->put(header_length);
  std::memcpy(header, super.data(), header_length);
  fix_network_header(header, frame, index, length);
  wire::TcpHeader tcp = frame.tcp;
  tcp.seq = tcp.seq + at;
  set_flags(tcp, at, header_length + at + length == super.length());
  tcp.checksum = wire::pseudo_header_sum(frame.source, frame.destination, wire::kProtocolTcp,
                                         frame.tcp.header_length + length)
                     .folded();
  std::uint8_t& offset_byte = header[frame.transport_at + 12];
  const auto reserved = static_cast<std::uint8_t>(offset_byte & 0x0f);  // not ours to clear
  tcp.emit({header + frame.transport_at, wire::TcpHeader::kSize});
  offset_byte |= reserved;

  piece->set_link_header();
  piece->pull(frame.network_at);
  piece->set_network_header();
  piece->pull(frame.transport_at - frame.network_at);
  piece->set_transport_header();
  piece->push(frame.transport_at);

  if (copy) {
    super.copy_out(header_length + at, {piece->put(length), length});
  } else if (!piece->append_shared(super, header_length + at, length)) {
    return nullptr;
  }
  piece->offload.needs_checksum = true;
  piece->offload.checksum_start = static_cast<std::uint16_t>(frame.transport_at);
  piece->offload.checksum_offset = kTcpChecksumOffset;
  piece->timestamp = super.timestamp;
  piece->interface_id = super.interface_id;
  piece->link_broadcast = super.link_broadcast;
  return piece;
}

}  // namespace

std::optional<std::uint16_t> transport_checksum(const Packet& frame) {
  const Offload& offload = frame.offload;
  if (std::uint32_t{offload.checksum_start} + offload.checksum_offset + 2 > frame.length())
    return std::nullopt;
  ChecksumSum sum;
  std::size_t at = 0;
  frame.for_each_piece(offload.checksum_start, frame.length() - offload.checksum_start,
                       [&](std::span<const std::uint8_t> piece) {
                         sum.add_at(at, piece);
                         at += piece.size();
                       });
  const std::uint16_t checksum = sum.finish();
  // RFC 768: a computed zero is sent as all ones, as zero means "none".
  return checksum == 0 && offload.checksum_offset == kUdpChecksumOffset ? 0xffff : checksum;
}

bool complete_checksum(Packet& frame) {
  Offload& offload = frame.offload;
  if (!offload.needs_checksum) return true;
  const std::uint32_t field_at = std::uint32_t{offload.checksum_start} + offload.checksum_offset;
  if (offload.gso_size != 0 || field_at + 2 > frame.length() || !frame.make_writable(field_at + 2))
    return false;
  store_be16(frame.data() + field_at, *transport_checksum(frame));
  offload.needs_checksum = false;
  return true;
}

bool segment(PacketPtr super_frame, PacketQueue& out, SegmentPayload payload) {
  Packet& super = *super_frame;
  const std::uint32_t size = super.offload.gso_size;
  const std::optional<TcpFrame> frame = locate(super);
  if (size == 0 || !frame) return false;

  const std::uint32_t total = super.length() - frame->payload_at;
  if (total <= size) {
    super.offload.gso_size = super.offload.gso_segs = 0;
    out.push_back(std::move(super_frame));
    return true;
  }
  PacketQueue pieces;
  std::uint32_t index = 0;
  for (std::uint32_t at = 0; at < total; at += size) {
    PacketPtr piece = cut(super, *frame, index++, at, std::min(size, total - at), payload);
    if (piece == nullptr) return false;
    pieces.push_back(std::move(piece));
  }
  out.splice_back(pieces);
  return true;
}

}  // namespace millrace::link
