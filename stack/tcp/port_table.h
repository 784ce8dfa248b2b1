#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "tcp/flow_table.h"

namespace millrace::tcp {

class Listener;
class TcpSocket;

/// Which local endpoints are bound, and who listens there. The rules of bind(2) on Linux: two sockets may
/// share a port when their addresses differ, when both set SO_REUSEADDR and neither listens, or when both set
/// SO_REUSEPORT.
class PortTable {
 public:
  struct Binding {
    TcpSocket* socket = nullptr;
    IpAddress address;  ///< unspecified: the wildcard
    bool reuse_address = false;
    bool reuse_port = false;
    Listener* listener = nullptr;
    bool v6_only = false;  ///< the wildcard of IPv6 leaves IPv4 alone
    bool guest = false;    ///< stands for a socket of another stack's
  };

  /// `in_use_by_flows`: connections or TIME-WAIT entries have this port, which only SO_REUSEADDR overlooks.
  [[nodiscard]] Result<void> bind(std::uint16_t port, const Binding& binding, bool in_use_by_flows);
  void unbind(std::uint16_t port, const TcpSocket& socket);
  /// listen(): kAddressInUse when somebody else listens on the same endpoint, without SO_REUSEPORT on both.
  [[nodiscard]] Result<void> set_listener(std::uint16_t port, const TcpSocket& socket, Listener* listener);
  [[nodiscard]] bool is_bound(std::uint16_t port) const { return ports_.contains(port); }

  /// The listener for a SYN: the exact address before the wildcard of its family before that of both; among
  /// several (SO_REUSEPORT) by hash, guests only where there is nobody else.
  [[nodiscard]] Listener* find_listener(const Endpoint& local, std::uint32_t hash) const;
  /// Those that are bound to it.
  [[nodiscard]] std::span<const Binding> bindings(std::uint16_t port) const {
    const auto found = ports_.find(port);
    return found == ports_.end() ? std::span<const Binding>{} : std::span<const Binding>{found->second};
  }

 private:
  std::unordered_map<std::uint16_t, std::vector<Binding>> ports_;
};

}  // namespace millrace::tcp
