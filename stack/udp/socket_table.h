#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/ip_address.h"
#include "base/rng.h"

namespace millrace::udp {

class UdpSocket;

/// Which socket a datagram is for. Every bound socket is in one group, by what it accepts:
///
///     connected           (local address, local port, remote address, remote port)   tried first
///     bound to an address (local address, local port, -)
///     bound to any        (0.0.0.0,       local port, -)                             then this
///     bound to any of both families (::,  local port, -)                             tried last
///
/// and in the list of its port, for the questions that bind() asks. A lookup is three hash hits at most.
class SocketTable {
 public:
  using Group = std::vector<UdpSocket*>;

  explicit SocketTable(Rng& rng);

  /// By the socket's endpoints, which must not change while it is here.
  void insert(UdpSocket& socket);
  void erase(UdpSocket& socket);

  /// The most specific one; among several equal ones, SO_REUSEPORT spreads flows by hash (guests only
  /// where there is nobody else) and SO_REUSEADDR alone prefers the latest, as Linux does. Null: none.
  [[nodiscard]] UdpSocket* find(const Endpoint& local, const Endpoint& remote) const;
  /// Only a socket connected to `remote`.
  [[nodiscard]] UdpSocket* find_connected(const Endpoint& local, const Endpoint& remote) const;
  /// Those bound to exactly this local endpoint and to nobody. Null: none.
  [[nodiscard]] const Group* bound_to(const Endpoint& local) const;
  /// True when Linux would refuse to bind `socket` to `local` beside those that are there.
  [[nodiscard]] bool conflicts(const UdpSocket& socket, const Endpoint& local) const;
  [[nodiscard]] bool port_in_use(std::uint16_t port) const { return ports_.contains(port); }
  /// Those that have it, the latest last.
  [[nodiscard]] std::span<UdpSocket* const> on_port(std::uint16_t port) const {
    const auto found = ports_.find(port);
    return found == ports_.end() ? std::span<UdpSocket* const>{} : std::span<UdpSocket* const>{found->second};
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  /// remote is all zero for a socket that is not connected.
  struct Key {
    Endpoint local, remote;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Hash {
    std::uint64_t seed;
    std::size_t operator()(const Key& key) const;
  };

  [[nodiscard]] static Key key_of(const UdpSocket& socket);
  [[nodiscard]] const Group* find_group(const Key& key) const;
  /// Of those bound to ::, one that takes IPv4 too.
  [[nodiscard]] UdpSocket* find_dual(const Endpoint& local, const Endpoint& remote) const;
  [[nodiscard]] UdpSocket* pick(const Group& group, const Endpoint& local, const Endpoint& remote) const;

  std::uint64_t seed_;
  std::unordered_map<Key, Group, Hash> groups_;
  std::unordered_map<std::uint16_t, Group> ports_;
  std::size_t connected_ = 0;
  std::size_t size_ = 0;
};

}  // namespace millrace::udp
