#include "link/gro.h"

#include <algorithm>
#include <cstring>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "wire/ip_protocol.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/pseudo_header.h"
#include "wire/tcp.h"

namespace millrace::link {

namespace {

using wire::TcpFlags;

constexpr std::uint32_t kMaxIpLength = 65535;
constexpr std::uint32_t kIpv4Header = wire::Ipv4Header::kSize;
constexpr std::uint32_t kIpv6Header = wire::Ipv6Header::kSize;

// Offsets within the headers; fields are compared where they lie.
constexpr std::size_t kIpv4Source = 12;
constexpr std::size_t kIpv6Source = 8;
constexpr std::uint32_t kTcpPorts = 4;  // both, at the beginning
constexpr std::size_t kTcpSeq = 4;
constexpr std::size_t kTcpAck = 8;
constexpr std::size_t kTcpDataOffset = 12;
constexpr std::size_t kTcpFlags = 13;
constexpr std::size_t kTcpWindow = 14;

bool same(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) {
  return std::memcmp(a, b, n) == 0;
}

IpAddress address_at(const std::uint8_t* p, bool v4) {
  return v4 ? wire::load_ipv4(p) : wire::load_ipv6(p);
}

bool checksum_is_good(const Packet& frame, std::uint32_t network_length, std::uint32_t total_length,
                      bool v4) {
  const std::uint8_t* const addresses = frame.data() + (v4 ? kIpv4Source : kIpv6Source);
  const std::uint32_t length = total_length - network_length;
  ChecksumSum sum = wire::pseudo_header_sum(
      address_at(addresses, v4), address_at(addresses + (v4 ? 4 : 16), v4), wire::kProtocolTcp, length);
  std::size_t at = 0;
  frame.for_each_piece(network_length, length, [&](std::span<const std::uint8_t> piece) {
    sum.add_at(at, piece);
    at += piece.size();
  });
  return sum.finish() == 0;
}

}  // namespace

/// Finds addresses and ports, and makes them linear. Fragments and packets with IPv6 extension headers are
/// not TCP for our purpose. Where lengths contradict each other header_length stays 0.
bool Gro::is_tcp(Packet& frame, Arrival& arrival) {
  if (!frame.gather(kIpv4Header)) return false;
  const std::uint8_t* ip = frame.data();
  std::uint32_t total_length = 0;
  arrival.v4 = ip[0] >> 4 == 4;
  if (arrival.v4) {
    arrival.network_length = static_cast<std::uint8_t>((ip[0] & 0xf) * 4);
    total_length = load_be16(ip + 2);
    if (ip[9] != wire::kProtocolTcp || (load_be16(ip + 6) & 0x3fff) != 0) return false;
    if (arrival.network_length < kIpv4Header) return false;
  } else {
    if (ip[0] >> 4 != 6 || !frame.gather(kIpv6Header)) return false;
    ip = frame.data();
    if (ip[6] != wire::kProtocolTcp) return false;
    arrival.network_length = kIpv6Header;
    total_length = kIpv6Header + load_be16(ip + 4);
  }
  const std::uint32_t tcp_at = arrival.network_length;
  if (!frame.gather(tcp_at + kTcpPorts)) return false;
  ip = frame.data();
  // Only to pass over other flows quickly: both ports and the low bits of the source.
  arrival.hash = load_be32(ip + tcp_at) ^ load_be32(ip + (arrival.v4 ? kIpv4Source : kIpv6Source + 12));

  const std::uint32_t options_at = tcp_at + std::uint32_t{wire::TcpHeader::kSize};
  if (total_length > std::min(frame.length(), kMaxIpLength) || options_at > total_length) return true;
  if (!frame.gather(options_at)) return true;
  const std::uint32_t header_length = tcp_at + (frame.data()[tcp_at + kTcpDataOffset] >> 4) * 4U;
  if (header_length < options_at || header_length > total_length || !frame.gather(header_length)) return true;
  arrival.header_length = static_cast<std::uint8_t>(header_length);
  arrival.total_length = static_cast<std::uint16_t>(total_length);
  return true;
}

/// A data segment that may begin or continue a merged packet; its checksums are good.
bool Gro::is_mergeable(Packet& frame, const Arrival& arrival) {
  if (arrival.header_length == 0) return false;
  const std::uint8_t* const ip = frame.data();
  constexpr std::uint8_t kForbidden = TcpFlags::kSyn | TcpFlags::kRst | TcpFlags::kUrg;
  const std::uint8_t flags = ip[arrival.network_length + kTcpFlags];
  if (arrival.payload() == 0 || (flags & TcpFlags::kAck) == 0 || (flags & kForbidden) != 0) return false;
  if (frame.offload.gso_size != 0 || frame.link_broadcast) return false;
  if (arrival.v4) {
    if (arrival.network_length != kIpv4Header || internet_checksum({ip, kIpv4Header}) != 0) return false;
  }
  if (frame.offload.rx_checksum != Offload::RxChecksum::kUnknown) return true;
  if (!checksum_is_good(frame, arrival.network_length, arrival.total_length, arrival.v4)) return false;
  frame.offload.rx_checksum = Offload::RxChecksum::kVerified;
  return true;
}

Gro::Flow* Gro::find(const Packet& frame, const Arrival& arrival) {
  if (held_ == 0) return nullptr;
  const std::uint8_t* const ip = frame.data();
  const std::size_t addresses_at = arrival.v4 ? kIpv4Source : kIpv6Source;
  const std::size_t addresses_length = arrival.v4 ? 8 : 32;
  for (Flow& flow : flows_) {
    if (flow.packet == nullptr || flow.first.hash != arrival.hash || flow.first.v4 != arrival.v4) continue;
    const std::uint8_t* const held = flow.packet->data();
    if (same(ip + addresses_at, held + addresses_at, addresses_length) &&
        same(ip + arrival.network_length, held + flow.first.network_length, kTcpPorts)) {
      return &flow;
    }
  }
  return nullptr;
}

/// True when a mergeable packet of the flow is the next segment of the packet being built, alike in all that
/// is lost by merging.
bool Gro::continues(const Flow& flow, const Packet& frame, const Arrival& arrival) {
  const std::uint8_t* const ip = frame.data();
  const std::uint8_t* const held_ip = flow.packet->data();
  if (flow.complete || arrival.header_length != flow.first.header_length ||
      arrival.network_length != flow.first.network_length || arrival.payload() > flow.first.payload() ||
      flow.total_length + arrival.payload() > kMaxIpLength) {
    return false;
  }
  if (arrival.v4) {
    const bool dont_fragment = (ip[6] & 0x40) != 0;
    // RFC 6864 §4.1: with DF the identification means nothing.
    const bool follows = load_be16(ip + 4) == static_cast<std::uint16_t>(flow.identification + 1);
    if (ip[1] != held_ip[1] || ip[6] != held_ip[6] || ip[8] != held_ip[8] || !(dont_fragment || follows))
      return false;
  } else if (!same(ip, held_ip, 4) || ip[7] != held_ip[7]) {
    return false;
  }
  const std::uint8_t* const tcp = ip + arrival.network_length;
  const std::uint8_t* const held = held_ip + flow.first.network_length;
  if (load_be32(tcp + kTcpSeq) != flow.next_seq || !same(tcp + kTcpAck, held + kTcpAck, 4) ||
      tcp[kTcpDataOffset] != held[kTcpDataOffset] || !same(tcp + kTcpWindow, held + kTcpWindow, 2)) {
    return false;
  }
  // CWR goes with the first segment only, as in a super-frame that is cut (RFC 3168 §6.1.2).
  constexpr std::uint8_t kMayDiffer = TcpFlags::kPsh | TcpFlags::kFin | TcpFlags::kCwr;
  if ((tcp[kTcpFlags] & TcpFlags::kCwr) != 0 || ((tcp[kTcpFlags] ^ held[kTcpFlags]) & ~kMayDiffer) != 0)
    return false;
  const std::size_t options_length =
      std::size_t{arrival.header_length} - arrival.network_length - wire::TcpHeader::kSize;
  return same(tcp + wire::TcpHeader::kSize, held + wire::TcpHeader::kSize, options_length);
}

/// False, and nothing done, when there is no memory or no room for one more fragment.
bool Gro::merge(Flow& flow, PacketPtr& frame, const Arrival& arrival) {
  // Before the first change: give_up() will write the headers.
  if (flow.segments == 1 && !flow.packet->make_writable(flow.first.header_length)) return false;
  const std::uint8_t* const ip = frame->data();
  const std::uint8_t flags = ip[arrival.network_length + kTcpFlags];
  const std::uint16_t identification = arrival.v4 ? load_be16(ip + 4) : std::uint16_t{0};
  frame->trim(arrival.total_length);
  frame->pull(arrival.header_length);
  if (!flow.packet->append(frame)) {
    frame->push(arrival.header_length);
    return false;
  }
  unmerged_ = 0;
  ++flow.segments;
  flow.next_seq += arrival.payload();
  flow.total_length += arrival.payload();
  flow.identification = identification;
  flow.flags |= flags;
  flow.complete = arrival.payload() < flow.first.payload() || (flags & TcpFlags::kFin) != 0;
  return true;
}

void Gro::start(Flow& flow, PacketPtr frame, const Arrival& arrival) {
  const std::uint8_t* const ip = frame->data();
  const std::uint8_t* const tcp = ip + arrival.network_length;
  frame->trim(arrival.total_length);
  flow.first = arrival;
  flow.next_seq = load_be32(tcp + kTcpSeq) + arrival.payload();
  flow.total_length = arrival.total_length;
  flow.segments = 1;
  flow.identification = arrival.v4 ? load_be16(ip + 4) : std::uint16_t{0};
  flow.flags = tcp[kTcpFlags];
  flow.complete = (flow.flags & TcpFlags::kFin) != 0;
  flow.packet = std::move(frame);
  ++held_;
}

Gro::Flow& Gro::vacant(PacketQueue& out) {
  for (Flow& flow : flows_) {
    if (flow.packet == nullptr) return flow;
  }
  Flow& victim = flows_[next_victim_];
  next_victim_ = (next_victim_ + 1) % kFlows;
  give_up(victim, out);
  return victim;
}

void Gro::give_up(Flow& flow, PacketQueue& out) {
  if (flow.segments > 1) {
    Packet& packet = *flow.packet;
    std::uint8_t* const ip = packet.data();
    if (flow.first.v4) {
      store_be16(ip + 2, static_cast<std::uint16_t>(flow.total_length));
      store_be16(ip + 10, 0);
      store_be16(ip + 10, internet_checksum({ip, kIpv4Header}));
    } else {
      store_be16(ip + 4, static_cast<std::uint16_t>(flow.total_length - kIpv6Header));
    }
    ip[flow.first.network_length + kTcpFlags] = flow.flags;
    packet.offload.rx_checksum = Offload::RxChecksum::kVerified;
    packet.offload.gso_size = static_cast<std::uint16_t>(flow.first.payload());
    packet.offload.gso_segs = flow.segments;
  }
  out.push_back(std::move(flow.packet));
  --held_;
}

void Gro::add(PacketPtr frame, PacketQueue& out) {
  unmerged_ = frame->length() > kSmall ? 0 : std::min(unmerged_ + 1, kPatience);
  Arrival arrival;
  if (!is_tcp(*frame, arrival)) {
    out.push_back(std::move(frame));
    return;
  }
  Flow* flow = find(*frame, arrival);
  if (!is_mergeable(*frame, arrival)) {
    if (flow != nullptr) give_up(*flow, out);
    out.push_back(std::move(frame));
    return;
  }
  if (flow != nullptr) {
    if (continues(*flow, *frame, arrival) && merge(*flow, frame, arrival)) return;
    give_up(*flow, out);
  } else {
    flow = &vacant(out);
  }
  start(*flow, std::move(frame), arrival);
}

void Gro::flush(PacketQueue& out) {
  if (held_ == 0) return;
  for (Flow& flow : flows_) {
    if (flow.packet != nullptr) give_up(flow, out);
  }
  next_victim_ = 0;
}

}  // namespace millrace::link
