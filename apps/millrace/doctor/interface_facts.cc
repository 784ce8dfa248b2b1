#include "doctor/interface_facts.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>

#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <thread>

#include "af_packet/interface_info.h"
#include "unique_fd.h"

namespace millrace::doctor {

namespace {

struct InterfaceAddress {
  std::string interface;
  IpPrefix prefix;
};

std::uint8_t ones(const std::uint8_t* bytes, std::size_t size) {
  int count = 0;
  for (std::size_t i = 0; i < size; ++i) count += std::popcount(bytes[i]);
  return static_cast<std::uint8_t>(count);
}

std::optional<IpPrefix> prefix_of(const ifaddrs& entry) {
  if (entry.ifa_addr == nullptr || entry.ifa_netmask == nullptr) return std::nullopt;
  if (entry.ifa_addr->sa_family == AF_INET) {
    sockaddr_in address{}, mask{};
    std::memcpy(&address, entry.ifa_addr, sizeof address);
    std::memcpy(&mask, entry.ifa_netmask, sizeof mask);
    return IpPrefix{IpAddress::v4(ntohl(address.sin_addr.s_addr)),
                    static_cast<std::uint8_t>(std::popcount(mask.sin_addr.s_addr))};
  }
  if (entry.ifa_addr->sa_family == AF_INET6) {
    sockaddr_in6 address{}, mask{};
    std::memcpy(&address, entry.ifa_addr, sizeof address);
    std::memcpy(&mask, entry.ifa_netmask, sizeof mask);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &address.sin6_addr, bytes.size());
    return IpPrefix{IpAddress::v6(bytes), ones(mask.sin6_addr.s6_addr, sizeof mask.sin6_addr.s6_addr)};
  }
  return std::nullopt;
}

std::vector<InterfaceAddress> kernel_addresses() {
  std::vector<InterfaceAddress> all;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return all;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (const std::optional<IpPrefix> prefix = prefix_of(*entry)) all.push_back({entry->ifa_name, *prefix});
  }
  return all;
}

std::string name_of(int index) {
  std::array<char, IF_NAMESIZE> name{};
  return index > 0 && ::if_indextoname(static_cast<unsigned>(index), name.data()) != nullptr ? name.data()
                                                                                             : "";
}

std::optional<InterfaceFacts> query_by_index(int index) {
  const std::string name = name_of(index);
  return name.empty() ? std::nullopt : query_interface_facts(name);
}

/// The peer, looked for in another namespace by a thread of its own, which stays there until it ends.
std::optional<InterfaceFacts> query_elsewhere(int namespace_fd, int index) {
  std::optional<InterfaceFacts> found;
  std::thread([&] {
    if (::setns(namespace_fd, CLONE_NEWNET) == 0) found = query_by_index(index);
  }).join();
  return found;
}

struct NamespacePlace {
  std::string path, command_prefix, description;
};

std::vector<NamespacePlace> reachable_namespaces(const Files& files) {
  std::vector<NamespacePlace> all;
  for (const std::string& name : files.list("/run/netns"))
    all.push_back({"/run/netns/" + name, "ip netns exec " + name + " ", " in the network namespace " + name});
  all.push_back(
      {"/proc/1/ns/net", "nsenter --net=/proc/1/ns/net ", " in the network namespace of process 1"});
  return all;
}

}  // namespace

std::optional<InterfaceFacts> query_interface_facts(std::string_view name) {
  drivers::InterfaceInfo info;
  if (!drivers::query_interface(name, info)) return std::nullopt;
  const Ethtool ethtool(name);
  InterfaceFacts facts;
  facts.name = name;
  facts.index = info.index;
  facts.up = info.up;
  facts.ethernet = info.ethernet;
  facts.mtu = info.mtu;
  facts.carrier = ethtool.carrier().value_or(info.up);
  facts.driver = ethtool.driver();
  facts.offloads = ethtool.offloads();
  facts.rings = ethtool.rings();
  facts.channels = ethtool.channels();
  facts.link = query_link(info.index).value_or(LinkAttributes{});
  facts.master = name_of(facts.link.master);
  for (const InterfaceAddress& one : kernel_addresses()) {
    if (one.interface == name) facts.addresses.push_back(one.prefix);
  }
  return facts;
}

std::vector<InterfaceFacts> all_interfaces() {
  std::vector<InterfaceFacts> all;
  const std::unique_ptr<struct if_nameindex, decltype(&::if_freenameindex)> list(::if_nameindex(),
                                                                                 &::if_freenameindex);
  for (const struct if_nameindex* entry = list.get(); entry != nullptr && entry->if_index != 0; ++entry) {
    if (std::optional<InterfaceFacts> facts = query_interface_facts(entry->if_name))
      all.push_back(std::move(*facts));
  }
  return all;
}

std::optional<PeerFacts> find_peer(const Files& files, const InterfaceFacts& interface) {
  if (!interface.is_veth() || interface.link.peer == 0) return std::nullopt;
  if (!interface.link.peer_namespace) {
    std::optional<InterfaceFacts> here = query_by_index(interface.link.peer);
    return here ? std::optional(PeerFacts{{}, {}, std::move(*here)}) : std::nullopt;
  }
  for (const NamespacePlace& place : reachable_namespaces(files)) {
    const drivers::UniqueFd there{::open(place.path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!there || query_namespace_id(there.get()) != interface.link.peer_namespace) continue;
    if (std::optional<InterfaceFacts> found = query_elsewhere(there.get(), interface.link.peer))
      return PeerFacts{place.command_prefix, place.description, std::move(*found)};
  }
  return std::nullopt;
}

AddressClaim query_claim(const IpPrefix& given) {
  AddressClaim claim{.given = given, .route = {}, .interface = {}};
  claim.route = query_route(given.address).value_or(Route{});
  claim.interface = name_of(claim.route.interface);
  for (const InterfaceAddress& one : kernel_addresses()) {
    if (one.prefix.address != given.address) continue;
    claim.interface = one.interface;
    claim.configured = true;
    claim.length = one.prefix.length;
  }
  return claim;
}

}  // namespace millrace::doctor
