#include "ip/route_table.h"

#include <algorithm>

namespace millrace::ip {

namespace {

[[nodiscard]] bool same_destination(const Route& a, const Route& b) {
  return a.destination.length == b.destination.length && a.interface == b.interface &&
         a.destination.contains(b.destination.address);
}

}  // namespace

void RouteTable::add(const Route& route) {
  const auto same = std::find_if(routes_.begin(), routes_.end(),
                                 [&](const Route& other) { return same_destination(route, other); });
  if (same != routes_.end()) {
    *same = route;
    return;
  }
  const auto shorter = std::find_if(routes_.begin(), routes_.end(), [&](const Route& other) {
    return other.destination.length < route.destination.length;
  });
  routes_.insert(shorter, route);
}

const Route* RouteTable::find(const IpAddress& destination) const {
  for (const Route& route : routes_) {
    if (route.destination.contains(destination)) return &route;
  }
  return nullptr;
}

}  // namespace millrace::ip
