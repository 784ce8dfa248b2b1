#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "doctor/ethtool.h"
#include "doctor/files.h"
#include "doctor/netlink.h"

namespace millrace::doctor {

/// An interface of the kernel, as it is now.
struct InterfaceFacts {
  std::string name;
  int index = 0;
  bool up = false;
  bool carrier = false;
  bool ethernet = false;
  std::uint32_t mtu = 0;
  std::string driver;
  std::string master;               ///< the bridge or bond it is a port of
  std::vector<IpPrefix> addresses;  ///< the kernel's
  std::optional<Offloads> offloads;
  std::optional<Rings> rings;
  std::optional<Channels> channels;
  LinkAttributes link;

  [[nodiscard]] bool is_veth() const { return link.kind == "veth"; }
};

/// The other end of a veth.
struct PeerFacts {
  std::string command_prefix;  ///< to run a command where it is: "ip netns exec blue "; empty: here
  std::string place;           ///< " in the network namespace blue", or empty
  InterfaceFacts interface;
};

/// Who would answer for an address that the stack is given.
struct AddressClaim {
  IpPrefix given;
  Route route;
  std::string interface;    ///< of the kernel's: the one that has the address, or where the route leads
  bool configured = false;  ///< it stands on `interface`, with `length`
  std::uint8_t length = 0;
};

/// In the network namespace of the thread; nullopt: there is no such interface.
[[nodiscard]] std::optional<InterfaceFacts> query_interface_facts(std::string_view name);
[[nodiscard]] std::vector<InterfaceFacts> all_interfaces();
/// Where it is in reach: here, or in a namespace that has a name or is that of process 1.
[[nodiscard]] std::optional<PeerFacts> find_peer(const Files& files, const InterfaceFacts& interface);
[[nodiscard]] AddressClaim query_claim(const IpPrefix& given);

}  // namespace millrace::doctor
