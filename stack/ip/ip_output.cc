#include <algorithm>

#include "ip/fragment.h"
#include "ip/ip_layer.h"
#include "ip/v6_loopback.h"
#include "link/gso.h"

namespace millrace::ip {

namespace {

using wire::Ipv4Header;
constexpr std::uint32_t kHeader = Ipv4Header::kSize;
constexpr std::uint32_t kLargestPacket = 65535;
/// What the layers below push in front of our header.
constexpr std::uint32_t kLinkHeadroom = 18;

/// Room to write headers in front, where nobody else reads.
[[nodiscard]] bool make_room(PacketPtr& packet) {
  if (packet->headroom() >= kHeader + kLinkHeadroom && packet->headroom_writable()) return true;
  constexpr std::uint32_t kTransportHeaders = 60;
  packet = packet->clone(std::min(packet->linear_length(), kTransportHeaders), PacketPool::kHeadroom);
  return packet != nullptr;
}

}  // namespace

// --- routes

Result<RouteResult> IpLayer::route(const IpAddress& destination, Instant now) const {
  (void)now;  // what has expired was removed by a timer
  return route_from(destination, IpAddress{});
}

RouteResult IpLayer::dead_end(const IpAddress& destination) const {
  RouteResult result;
  result.next_hop = destination;
  if (interfaces_.empty()) return result;
  result.interface = interfaces_.front();
  result.mtu = result.link_mtu = interfaces_.front()->mtu();
  return result;
}

RouteResult IpLayer::broadcast_route(link::Interface& interface, const IpAddress& destination) const {
  RouteResult result;
  result.interface = &interface;
  result.next_hop = destination;
  result.mtu = result.link_mtu = interface.mtu();
  result.broadcast = true;
  if (!interface.addresses().empty()) result.source = interface.addresses().front().address;
  for (const IpPrefix& own : interface.addresses()) {
    if (own.directed_broadcast() == destination) result.source = own.address;
  }
  return result;
}

Result<RouteResult> IpLayer::route_from(const IpAddress& destination, const IpAddress& source) const {
  if (destination == kV6LoopbackStandIn || (destination.is_v6() && !destination.is_loopback()))
    return Error::kNetworkUnreachable;
  if (is_local(destination)) {
    RouteResult result;
    result.next_hop = destination;
    // As Linux: anything in 127/8 is spoken to from 127.0.0.1, an own address from itself.
    result.source =
        destination.is_v4() && destination.is_loopback() ? IpAddress::v4(127, 0, 0, 1) : destination;
    result.mtu = result.link_mtu = kLargestPacket;
    return result;
  }
  if (destination.is_limited_broadcast()) {
    link::Interface* interface = source.is_unspecified() ? nullptr : interface_owning(source);
    if (interface == nullptr && !interfaces_.empty()) interface = interfaces_.front();
    if (interface == nullptr) return Error::kNetworkUnreachable;
    return broadcast_route(*interface, destination);
  }
  if (link::Interface* interface = interface_with_broadcast(destination))
    return broadcast_route(*interface, destination);

  const Route* const route = routes_.find(destination);
  if (route == nullptr || route->interface == nullptr) return Error::kNetworkUnreachable;
  RouteResult result;
  result.interface = route->interface;
  result.next_hop = route->gateway && !destination.is_multicast() ? *route->gateway : destination;
  result.link_mtu = route->interface->mtu();
  if (route->mtu != 0) result.link_mtu = std::min(result.link_mtu, route->mtu);
  result.mtu = path_mtu_.get(destination, result.link_mtu);
  for (const IpPrefix& own : route->interface->addresses()) {
    if (result.source.is_unspecified() || own.contains(result.next_hop)) result.source = own.address;
    if (own.contains(result.next_hop)) break;
  }
  if (result.source.is_unspecified()) return Error::kNetworkUnreachable;  // no address to speak from
  return result;
}

// --- packets

Result<void> IpLayer::output(PacketPtr&& packet, const OutputOptions& options, Instant now) {
  const Result<RouteResult> result = route_from(options.destination, options.source);
  if (!result) {
    counters_.add(Counter::kOutNoRoutes);
    return result.error();
  }
  return output(std::move(packet), options, *result, now);
}

Result<void> IpLayer::output(PacketPtr&& packet, const OutputOptions& options, const RouteResult& route,
                             Instant now) {
  counters_.add(Counter::kOutRequests);
  const std::uint32_t total = packet->length() + kHeader;
  const bool super = packet->offload.gso_size != 0;
  if (total > kLargestPacket) {
    counters_.add(Counter::kOutDiscards);
    return Error::kMessageSize;
  }
  Ipv4Header header;
  header.tos = options.tos;
  header.total_length = static_cast<std::uint16_t>(total);
  header.dont_fragment = options.dont_fragment;
  header.ttl = options.ttl;
  header.protocol = options.protocol;
  header.source = to_carried(options.source.is_unspecified() ? route.source : options.source);
  header.destination = to_carried(options.destination);
  // A super-packet becomes many: each of its segments gets an identification from the first one's on.
  header.identification = options.dont_fragment
                              ? identification_.next_atomic()
                              : identification_.next(header.source, header.destination, header.protocol);
  if (total > route.mtu && !super) return output_fragments(std::move(packet), header, route, now);

  if (!make_room(packet)) {
    counters_.add(Counter::kOutDiscards);
    return Error::kNoBuffers;
  }
  header.emit({packet->push(kHeader), kHeader});
  packet->set_network_header();
  if (packet->offload.needs_checksum) {
    packet->offload.checksum_start = static_cast<std::uint16_t>(packet->offload.checksum_start + kHeader);
  }
  dispatch(std::move(packet), route, now);
  return {};
}

Result<void> IpLayer::output_fragments(PacketPtr packet, const Ipv4Header& header, const RouteResult& route,
                                       Instant now) {
  if (header.dont_fragment) {
    counters_.add(Counter::kFragFails);
    return Error::kMessageSize;
  }
  PacketQueue fragments;
  // The transport checksum covers all fragments, so no device can fill it in.
  if ((packet->offload.needs_checksum && !link::complete_checksum(*packet)) ||
      !fragment(std::move(packet), header, route.mtu, pool_, fragments)) {
    counters_.add(Counter::kFragFails);
    counters_.add(Counter::kOutDiscards);
    return Error::kNoBuffers;
  }
  counters_.add(Counter::kFragOKs);
  counters_.add(Counter::kFragCreates, fragments.size());
  while (PacketPtr piece = fragments.pop_front()) dispatch(std::move(piece), route, now);
  return {};
}

inline void IpLayer::dispatch(PacketPtr&& packet, const RouteResult& route, Instant now) {
  if (route.interface == nullptr) {
    loop_back(std::move(packet), now);
    return;
  }
  if (!route.broadcast) {
    route.interface->transmit(std::move(packet), route.next_hop, now);
    return;
  }
  counters_.add(Counter::kOutBcastPkts);
  // This host is one of those a broadcast is for: its own sockets hear it too, as in Linux.
  if (PacketPtr copy = packet->clone(packet->linear_length(), 0)) loop_back(std::move(copy), now);
  route.interface->transmit_broadcast(std::move(packet), now);
}

void IpLayer::loop_back(PacketPtr packet, Instant now) {
  if (loopback_.size() >= config_.loopback_packets) {
    counters_.add(Counter::kLoopbackDropped);
    return;
  }
  // It never leaves memory: nobody needs the checksum, nor to cut a super-packet.
  packet->offload.rx_checksum =
      packet->offload.needs_checksum ? Offload::RxChecksum::kPartial : Offload::RxChecksum::kVerified;
  packet->offload.needs_checksum = false;
  packet->timestamp = now;
  counters_.add(Counter::kLoopback);
  loopback_.push_back(std::move(packet));
}

}  // namespace millrace::ip
