#include <algorithm>
#include <cstring>

#include "base/byte_order.h"
#include "ip/ip_layer.h"
#include "ip/v6_loopback.h"
#include "wire/ethernet.h"

namespace millrace::ip {

namespace {

using wire::Ipv4Header;
constexpr std::uint32_t kHeader = Ipv4Header::kSize;
constexpr std::size_t kSourceAt = 12;

}  // namespace

void IpLayer::on_ip_packet(PacketPtr packet, std::uint16_t ether_type, link::Interface& interface,
                           Instant now) {
  if (ether_type != wire::kEtherTypeIpv4) return;
  input(std::move(packet), &interface, now);
}

std::size_t IpLayer::looks_ahead() const {
  // Nobody else's flows are so many and so large.
  const Transport* const tcp = transports_[wire::kProtocolTcp];
  return tcp == nullptr ? 0 : tcp->looks_ahead();
}

void IpLayer::expect(std::uint16_t ether_type, std::span<const std::uint8_t> packet) {
  constexpr std::uint8_t kVersionAndSize = 0x45;  // without options
  constexpr std::size_t kProtocol = 9, kAddresses = 12;
  Transport& tcp = *transports_[wire::kProtocolTcp];
  if (ether_type != wire::kEtherTypeIpv4 || packet.size() < kHeader || packet[0] != kVersionAndSize ||
      packet[kProtocol] != wire::kProtocolTcp) {
    tcp.expect({}, {});
  } else {
    tcp.expect(packet.subspan(kAddresses, kHeader - kAddresses), packet.subspan(kHeader));
  }
}

std::size_t IpLayer::poll_loopback(std::size_t budget, Instant now) {
  std::size_t done = 0;
  for (; done < budget; ++done) {
    PacketPtr packet = loopback_.pop_front();
    if (packet == nullptr) break;
    input(std::move(packet), nullptr, now);
  }
  return done;
}

bool IpLayer::loopback_pending() const {
  return !loopback_.empty();
}

void IpLayer::input(PacketPtr&& packet, link::Interface* interface, Instant now) {
  counters_.add(Counter::kInReceives);
  PacketInfo info;
  if (interface != nullptr && accept_familiar(*packet, *interface, info)) [[likely]] {
    deliver(std::move(packet), info, now);
    return;
  }
  const std::optional<Ipv4Header> header = validate(*packet, interface != nullptr);
  if (!header) return;
  if (interface != nullptr && !source_acceptable(*header, *interface)) {
    counters_.add(Counter::kInMartianSource);
    counters_.add(Counter::kInAddrErrors);
    return;
  }
  info.source = from_carried(header->source);
  info.destination = from_carried(header->destination);
  info.protocol = header->protocol;
  info.ttl = header->ttl;
  info.tos = header->tos;
  info.interface = interface;
  if (!addressed_to_us(*header, *packet, info)) return;
  if (interface != nullptr && !info.broadcast) remember(*header, info);

  packet->set_network_header();
  packet->pull(header->header_length);
  if (header->more_fragments || header->fragment_offset != 0) {
    packet = reassembler_.add(std::move(packet), *header, now);
    if (packet == nullptr) return;
    if (interface != nullptr && interface->device().take_reassembled(*packet)) return;
  }
  deliver(std::move(packet), info, now);
}

std::uint64_t IpLayer::addresses_in(const std::uint8_t* header) {
  std::uint64_t both;
  std::memcpy(&both, header + kSourceAt, sizeof both);
  return both;
}

IpLayer::Familiar& IpLayer::familiar(std::uint64_t addresses) {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
  return familiar_[addresses * kOdd >> 60];
}

bool IpLayer::accept_familiar(Packet& packet, link::Interface& interface, PacketInfo& info) {
  static_assert(kFamiliar == 1 << 4);
  if (packet.linear_length() < kHeader || packet.link_broadcast) return false;
  const std::uint8_t* const p = packet.data();
  const std::uint64_t addresses = addresses_in(p);
  const Familiar& before = familiar(addresses);
  if (before.addresses != addresses || before.info.interface != &interface ||
      before.generation != generation_)
    return false;
  const std::uint32_t total_length = load_be16(p + 2);
  constexpr std::uint8_t kPlain = 0x45;
  const bool fragment = (load_be16(p + 6) & 0x3fff) != 0;
  if (p[0] != kPlain || fragment || total_length < kHeader || total_length > packet.length() ||
      Ipv4Header::checksum_of(p, kHeader) != 0)
    return false;
  info = before.info;
  info.tos = p[1];
  info.ttl = p[8];
  info.protocol = p[9];
  packet.trim(total_length);
  packet.set_network_header();
  packet.pull(kHeader);
  return true;
}

void IpLayer::remember(const Ipv4Header& header, const PacketInfo& info) {
  std::array<std::uint8_t, kHeader> as_carried;
  wire::store_ipv4(&as_carried[kSourceAt], header.source);
  wire::store_ipv4(&as_carried[kSourceAt + 4], header.destination);
  const std::uint64_t addresses = addresses_in(as_carried.data());
  familiar(addresses) = {addresses, generation_, info};
}

std::optional<Ipv4Header> IpLayer::validate(Packet& packet, bool from_wire) {
  const auto refuse = [this](Counter counter) {
    counters_.add(counter);
    return std::nullopt;
  };
  const std::uint32_t length = packet.length();
  if (length < kHeader) return refuse(Counter::kInHdrErrors);
  if (!packet.gather(kHeader)) return refuse(Counter::kInDiscards);
  const std::uint8_t* p = packet.data();
  const auto header_length = static_cast<std::uint32_t>((p[0] & 0xf) * 4);
  if (header_length > kHeader && header_length <= length && !packet.gather(header_length))
    return refuse(Counter::kInDiscards);

  // RFC 1122 §3.2.1.1, §3.2.1.2: another version or a wrong checksum is silently discarded.
  const std::optional<Ipv4Header> header = Ipv4Header::parse(packet.linear());
  if (!header) return refuse(Counter::kInHdrErrors);
  if (from_wire && Ipv4Header::checksum_of(packet.data(), header->header_length) != 0) {
    counters_.add(Counter::kInCsumErrors);
    return refuse(Counter::kInHdrErrors);
  }
  if (header->total_length > length) return refuse(Counter::kInTruncatedPkts);
  if (header->header_length > kHeader &&
      !options_acceptable(packet.linear().subspan(kHeader, header->header_length - kHeader)))
    return std::nullopt;
  packet.trim(header->total_length);  // Ethernet pads to 60 bytes
  return header;
}

bool IpLayer::options_acceptable(std::span<const std::uint8_t> options) {
  constexpr std::uint8_t kEnd = 0, kNoOperation = 1, kLooseSourceRoute = 131, kStrictSourceRoute = 137;
  while (!options.empty() && options[0] != kEnd) {
    std::size_t size = 1;
    if (options[0] != kNoOperation) {
      if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) {
        counters_.add(Counter::kInHdrErrors);
        return false;
      }
      size = options[1];
    }
    // RFC 7126 §4.3, §4.4: source routes serve only attackers.
    if (options[0] == kLooseSourceRoute || options[0] == kStrictSourceRoute) {
      counters_.add(Counter::kInSourceRouted);
      return false;
    }
    options = options.subspan(size);
  }
  return true;
}

bool IpLayer::source_acceptable(const Ipv4Header& header, const link::Interface& interface) {
  // RFC 1122 §3.2.1.3: invalid as a source off the wire. Our own address as the source is LAND, or a loop.
  const IpAddress& source = header.source;
  const std::uint32_t first = source.v4_value() >> 24;
  constexpr std::uint32_t kLoopback = 127, kMulticast = 224;  // and behind that what is reserved
  if (first == kLoopback || first >= kMulticast) return false;
  // "This host on this network" is how one asks for an address, by broadcast.
  if (first == 0) return source.is_unspecified() && header.destination.is_limited_broadcast();
  return !is_local(source) && !interface.is_directed_broadcast(source);
}

bool IpLayer::addressed_to_us(const Ipv4Header& header, const Packet& packet, PacketInfo& info) {
  const IpAddress& destination = header.destination;
  const bool from_wire = info.interface != nullptr;
  if (is_local(destination) && !(from_wire && destination.is_loopback())) {
    // RFC 1122 §3.3.6: a datagram to one host has no business in a broadcast frame.
    if (from_wire && packet.link_broadcast) {
      counters_.add(Counter::kInUnicastInBroadcast);
      return false;
    }
    return true;
  }
  const bool broadcast =
      destination.is_limited_broadcast() || (from_wire ? info.interface->is_directed_broadcast(destination)
                                                       : interface_with_broadcast(destination) != nullptr);
  if (broadcast) {
    counters_.add(Counter::kInBcastPkts);
    info.broadcast = true;
    return true;
  }
  counters_.add(destination.is_multicast() ? Counter::kInMulticast : Counter::kInNotOurs);
  counters_.add(Counter::kInAddrErrors);
  return false;
}

void IpLayer::deliver(PacketPtr&& packet, PacketInfo& info, Instant now) {
  packet->set_transport_header();
  if (info.protocol == wire::kProtocolIcmp) {
    counters_.add(Counter::kInDelivers);
    icmp_.on_packet(std::move(packet), info, now);
    return;
  }
  Transport* const transport = transports_[info.protocol];
  if (transport == nullptr) {
    counters_.add(Counter::kInUnknownProtos);
    icmp_.send_error(*packet, info.broadcast, wire::Icmpv4Header::kDestinationUnreachable,
                     wire::Icmpv4Header::kProtocolUnreachable, now);
    return;
  }
  counters_.add(Counter::kInDelivers);
  transport->on_packet(std::move(packet), info, now);
}

void IpLayer::on_reassembly_timeout(const Packet& first, Instant now) {
  const auto header = Ipv4Header::parse({first.network_header(), kHeader});
  const bool broadcast = header && !is_local(header->destination);
  icmp_.send_error(first, broadcast, wire::Icmpv4Header::kTimeExceeded,
                   wire::Icmpv4Header::kReassemblyTimeExceeded, now);
}

void IpLayer::send_port_unreachable(const Packet& packet, const PacketInfo& info, Instant now) {
  icmp_.send_error(packet, info.broadcast, wire::Icmpv4Header::kDestinationUnreachable,
                   wire::Icmpv4Header::kPortUnreachable, now);
}

/// RFC 1122 §3.3.1.4 leaves it to us how a dead next hop is told; the transports hear it as host unreachable.
void IpLayer::on_unreachable(PacketPtr packet, link::Interface& interface, Instant now) {
  (void)interface;
  counters_.add(Counter::kNeighbourFailed);
  const std::uint32_t look = std::min(packet->length(), kHeader + 8);
  if (!packet->gather(look)) return;
  const auto header = Ipv4Header::parse(packet->linear());
  if (!header || header->fragment_offset != 0 || packet->linear_length() < header->header_length + 8U) return;
  Transport* const transport = transports_[header->protocol];
  if (transport == nullptr) return;
  IcmpError error;
  error.kind = IcmpError::Kind::kHostUnreachable;
  error.source = error.reporter = header->source;
  error.destination = header->destination;
  error.local = true;
  std::copy_n(packet->data() + header->header_length, error.transport_header.size(),
              error.transport_header.begin());
  packet.reset();
  transport->on_icmp_error(error, now);
}

}  // namespace millrace::ip
