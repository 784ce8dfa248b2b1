#include "tcp/port_table.h"

#include <algorithm>

#include "socket/bound_address.h"

namespace millrace::tcp {

namespace {

bool addresses_overlap(const PortTable::Binding& a, const PortTable::Binding& b) {
  return BoundAddress{a.address, a.v6_only}.overlaps({b.address, b.v6_only});
}

}  // namespace

Result<void> PortTable::bind(std::uint16_t port, const Binding& binding, bool in_use_by_flows) {
  const auto found = ports_.find(port);
  if (found != ports_.end()) {
    for (const Binding& other : found->second) {
      if (!addresses_overlap(binding, other)) continue;
      if (binding.reuse_port && other.reuse_port) continue;
      if (binding.reuse_address && other.reuse_address && other.listener == nullptr) continue;
      return Error::kAddressInUse;
    }
  }
  if (in_use_by_flows && !binding.reuse_address && !binding.reuse_port) return Error::kAddressInUse;
  ports_[port].push_back(binding);
  return {};
}

void PortTable::unbind(std::uint16_t port, const TcpSocket& socket) {
  const auto found = ports_.find(port);
  if (found == ports_.end()) return;
  std::erase_if(found->second, [&](const Binding& binding) { return binding.socket == &socket; });
  if (found->second.empty()) ports_.erase(found);
}

Result<void> PortTable::set_listener(std::uint16_t port, const TcpSocket& socket, Listener* listener) {
  auto& bindings = ports_.at(port);
  const auto own = std::find_if(bindings.begin(), bindings.end(),
                                [&](const Binding& binding) { return binding.socket == &socket; });
  if (listener != nullptr) {
    for (const Binding& other : bindings) {
      if (other.socket == &socket || other.listener == nullptr) continue;
      if (!addresses_overlap(*own, other)) continue;
      if (own->reuse_port && other.reuse_port) continue;
      return Error::kAddressInUse;
    }
  }
  own->listener = listener;
  return {};
}

Listener* PortTable::find_listener(const Endpoint& local, std::uint32_t hash) const {
  const auto found = ports_.find(local.port);
  if (found == ports_.end()) return nullptr;
  const auto pick = [&](auto&& matches) -> Listener* {
    for (const bool guests : {false, true}) {
      std::uint32_t count = 0;
      for (const Binding& binding : found->second)
        count += binding.guest == guests && matches(binding) ? 1 : 0;
      if (count == 0) continue;
      std::uint32_t index = hash % count;
      for (const Binding& binding : found->second) {
        if (binding.guest == guests && matches(binding) && index-- == 0) return binding.listener;
      }
    }
    return nullptr;
  };
  Listener* exact = pick([&](const Binding& binding) {
    return binding.listener != nullptr && binding.address == local.address;
  });
  if (exact != nullptr) return exact;
  const auto wildcard = [&](IpAddress::Family family) {
    return pick([&](const Binding& binding) {
      return binding.listener != nullptr && binding.address == IpAddress::any(family) &&
             BoundAddress{binding.address, binding.v6_only}.covers(local.address.family());
    });
  };
  Listener* const own_family = wildcard(local.address.family());
  if (own_family != nullptr || local.address.is_v6()) return own_family;
  return wildcard(IpAddress::Family::kV6);
}

}  // namespace millrace::tcp
