#include "ip/ip_layer.h"

#include <algorithm>

#include "ip/v6_loopback.h"

namespace millrace::ip {

IpLayer::IpLayer(const Config& config, PacketPool& pool, TimerWheel& timers, Rng& rng)
    : config_(config),
      pool_(pool),
      path_mtu_(config_, timers, rng, counters_, generation_),
      identification_(rng),
      reassembler_(config_, pool, timers, rng, counters_, *this),
      icmp_(config_, *this, pool, counters_) {}

IpLayer::~IpLayer() = default;

void IpLayer::register_transport(std::uint8_t protocol, Transport& transport) {
  transports_[protocol] = &transport;
}

void IpLayer::add_interface(link::Interface& interface) {
  interfaces_.push_back(&interface);
  for (const IpPrefix& prefix : interface.addresses()) {
    addresses_.insert(std::upper_bound(addresses_.begin(), addresses_.end(), prefix.address), prefix.address);
    add_route({prefix, std::nullopt, &interface});
  }
  ++generation_;
}

void IpLayer::add_route(const Route& route) {
  routes_.add(route);
  ++generation_;
}

void IpLayer::set_default_gateway(const IpAddress& gateway, link::Interface& interface) {
  add_route({IpPrefix{IpAddress{}, 0}, gateway, &interface});
}

std::span<const Route> IpLayer::routes() const {
  return routes_.all();
}

bool IpLayer::is_local(const IpAddress& address) const {
  if (address.is_loopback()) return true;
  // Of the few that most have, equality is told sooner than order.
  constexpr std::size_t kFew = 8;
  if (addresses_.size() <= kFew) {
    for (const IpAddress& own : addresses_) {
      if (own == address) return true;
    }
    return false;
  }
  return std::binary_search(addresses_.begin(), addresses_.end(), address);
}

bool IpLayer::is_bindable(const IpAddress& address) const {
  if (address == kV6LoopbackStandIn) return false;
  if (address.is_v6()) return address.is_unspecified() || address.is_loopback();
  return address.is_unspecified() || is_local(address) || address.is_limited_broadcast() ||
         address.is_multicast() || interface_with_broadcast(address) != nullptr;
}

link::Interface* IpLayer::interface_with_broadcast(const IpAddress& address) const {
  for (link::Interface* interface : interfaces_) {
    if (interface->is_directed_broadcast(address)) return interface;
  }
  return nullptr;
}

link::Interface* IpLayer::interface_owning(const IpAddress& address) const {
  for (link::Interface* interface : interfaces_) {
    if (interface->owns(address)) return interface;
  }
  return nullptr;
}

std::uint32_t IpLayer::path_mtu_claim(const IpAddress& destination, std::uint32_t claimed,
                                      Instant now) const {
  const Result<RouteResult> result = route(destination, now);
  const std::uint32_t in_force = result ? result->mtu : 65535;
  return std::min(path_mtu_.clamp(claimed), in_force);
}

void IpLayer::confirm_path_mtu(const IpAddress& destination, std::uint32_t mtu, Instant now) {
  const Result<RouteResult> result = route(destination, now);
  if (!result || result->interface == nullptr || result->broadcast) return;
  path_mtu_.lower(destination, mtu, result->mtu, now);
}

}  // namespace millrace::ip
