#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ip_address.h"

namespace millrace::doctor {

/// What rtnetlink says of an interface and no file or ioctl does.
struct LinkAttributes {
  std::string kind;                   ///< "veth"; empty: hardware
  int master = 0;                     ///< the bridge or bond it is a port of; 0: none
  int peer = 0;                       ///< of a veth: the peer's index, in its namespace
  std::optional<int> peer_namespace;  ///< ours for that namespace; nullopt: it is this one
  bool xdp = false;                   ///< an XDP program is attached
};

/// What the kernel would do with a packet to an address.
struct Route {
  enum class Type : std::uint8_t { kLocal, kBroadcast, kOther };
  Type type = Type::kOther;
  IpPrefix prefix;    ///< of the entry that decided
  int interface = 0;  ///< index
};

/// These ask in the network namespace of the thread; nullopt: there is none, or the kernel does not say.
[[nodiscard]] std::optional<LinkAttributes> query_link(int index);
[[nodiscard]] std::optional<Route> query_route(const IpAddress& address);
/// The number that this namespace has for another one, which `fd` stands for.
[[nodiscard]] std::optional<int> query_namespace_id(int fd);

}  // namespace millrace::doctor
