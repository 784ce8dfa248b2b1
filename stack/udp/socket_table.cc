#include "udp/socket_table.h"

#include <algorithm>

#include "link/address_hash.h"
#include "socket/bound_address.h"
#include "udp/udp_socket.h"

namespace millrace::udp {

namespace {

[[nodiscard]] std::uint64_t hash_flow(const Endpoint& local, const Endpoint& remote, std::uint64_t seed) {
  const std::uint64_t ports = std::uint64_t{local.port} << 16 | remote.port;
  return link::hash_address(remote.address, link::hash_address(local.address, seed ^ ports << 32));
}

void erase_from(SocketTable::Group& group, UdpSocket& socket) {
  group.erase(std::find(group.begin(), group.end(), &socket));
}

}  // namespace

SocketTable::SocketTable(Rng& rng) : seed_(rng.u64()), groups_(16, Hash{rng.u64()}) {}

std::size_t SocketTable::Hash::operator()(const Key& key) const {
  return static_cast<std::size_t>(hash_flow(key.local, key.remote, seed));
}

SocketTable::Key SocketTable::key_of(const UdpSocket& socket) {
  return {socket.local_endpoint(), socket.is_connected() ? socket.remote() : Endpoint{}};
}

void SocketTable::insert(UdpSocket& socket) {
  groups_[key_of(socket)].push_back(&socket);
  ports_[socket.local_endpoint().port].push_back(&socket);
  if (socket.is_connected()) ++connected_;
  ++size_;
}

void SocketTable::erase(UdpSocket& socket) {
  const auto group = groups_.find(key_of(socket));
  erase_from(group->second, socket);
  if (group->second.empty()) groups_.erase(group);
  const auto port = ports_.find(socket.local_endpoint().port);
  erase_from(port->second, socket);
  if (port->second.empty()) ports_.erase(port);
  if (socket.is_connected()) --connected_;
  --size_;
}

const SocketTable::Group* SocketTable::find_group(const Key& key) const {
  const auto it = groups_.find(key);
  return it == groups_.end() ? nullptr : &it->second;
}

UdpSocket* SocketTable::pick(const Group& group, const Endpoint& local, const Endpoint& remote) const {
  if (group.size() == 1 || !group.front()->reuse_port()) return group.back();
  const auto guests = static_cast<std::size_t>(
      std::count_if(group.begin(), group.end(), [](const UdpSocket* socket) { return socket->is_guest(); }));
  const std::size_t own = group.size() - guests;
  const std::size_t hash = hash_flow(local, remote, seed_);
  if (own == 0 || guests == 0) return group[hash % group.size()];
  std::size_t index = hash % own;
  for (UdpSocket* socket : group) {
    if (!socket->is_guest() && index-- == 0) return socket;
  }
  return group.back();
}

UdpSocket* SocketTable::find_connected(const Endpoint& local, const Endpoint& remote) const {
  if (connected_ == 0) return nullptr;
  const Group* const group = find_group({local, remote});
  // An all-zero remote endpoint would be the key of those who are not connected.
  return group != nullptr && group->front()->is_connected() ? pick(*group, local, remote) : nullptr;
}

const SocketTable::Group* SocketTable::bound_to(const Endpoint& local) const {
  return find_group({local, Endpoint{}});
}

UdpSocket* SocketTable::find(const Endpoint& local, const Endpoint& remote) const {
  if (UdpSocket* socket = find_connected(local, remote)) return socket;
  if (const Group* group = bound_to(local)) return pick(*group, local, remote);
  if (const Group* group = bound_to({IpAddress::any(local.address.family()), local.port}))
    return pick(*group, local, remote);
  return local.address.is_v4() ? find_dual(local, remote) : nullptr;
}

UdpSocket* SocketTable::find_dual(const Endpoint& local, const Endpoint& remote) const {
  const Group* const group = bound_to({IpAddress::any(IpAddress::Family::kV6), local.port});
  if (group == nullptr) return nullptr;
  UdpSocket* const first = pick(*group, local, remote);
  if (!first->v6_only()) return first;
  const auto dual =
      std::find_if(group->begin(), group->end(), [](const UdpSocket* socket) { return !socket->v6_only(); });
  return dual == group->end() ? nullptr : *dual;
}

bool SocketTable::conflicts(const UdpSocket& socket, const Endpoint& local) const {
  const auto port = ports_.find(local.port);
  if (port == ports_.end()) return false;
  return std::any_of(port->second.begin(), port->second.end(), [&](const UdpSocket* other) {
    if (other == &socket) return false;
    const BoundAddress theirs{other->local_endpoint().address, other->v6_only()};
    return theirs.overlaps({local.address, socket.v6_only()}) &&
           !(socket.reuse_address() && other->reuse_address()) &&
           !(socket.reuse_port() && other->reuse_port());
  });
}

}  // namespace millrace::udp
