#pragma once

#include <span>
#include <vector>

#include "ip/ip.h"

namespace millrace::ip {

/// Routes by longest prefix. A host has a handful: they are kept from the longest to the shortest and looked
/// through in that order; connections cache what they found.
class RouteTable {
 public:
  /// A route with the destination and interface of one that is there replaces it.
  void add(const Route& route);
  /// Null: none.
  [[nodiscard]] const Route* find(const IpAddress& destination) const;
  [[nodiscard]] std::span<const Route> all() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace millrace::ip
