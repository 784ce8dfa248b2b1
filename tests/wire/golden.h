#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/icmpv4.h"
#include "wire/icmpv6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/ipv6_extensions.h"
#include "wire/neighbor_discovery.h"
#include "wire/tcp.h"
#include "wire/tcp_options.h"
#include "wire/udp.h"

namespace millrace::wire {

using Bytes = std::vector<std::uint8_t>;

/// The frames of tests/golden/NAME. Fails the test and returns none where the file cannot be read.
[[nodiscard]] std::vector<Bytes> golden(const std::string& name);
[[nodiscard]] const std::vector<std::string>& golden_names();

struct TcpSegment {
  TcpHeader header;
  TcpOptions options;
};
/// Neighbour discovery messages carry what follows the header themselves.
using Message = std::variant<std::monostate, TcpSegment, UdpHeader, Icmpv4Header, Icmpv6Header,
                             NeighborSolicitation, NeighborAdvertisement, RouterSolicitation>;

/// A frame taken apart into field structs, as far as they know it.
struct Decoded {
  EthernetHeader ethernet;
  std::optional<VlanTag> vlan;
  std::optional<ArpPacket> arp;
  std::optional<Ipv4Header> ipv4;
  Bytes ipv4_options;
  std::optional<Ipv6Header> ipv6;
  Bytes ipv6_extensions;  ///< as they are, but for a fragment header
  std::optional<Ipv6FragmentHeader> fragment;
  Message message;
  Bytes payload;  ///< what follows the last header

  /// The network header says that this is a part of a datagram only: no transport checksum can be looked at.
  [[nodiscard]] bool is_fragment() const;
  template <typename T>
  [[nodiscard]] const T& as() const {
    return std::get<T>(message);
  }
};

/// nullopt where a parser rejects the frame.
[[nodiscard]] std::optional<Decoded> decode(std::span<const std::uint8_t> frame);
/// Emits every struct, and computes every checksum anew.
[[nodiscard]] Bytes encode(const Decoded& decoded);

}  // namespace millrace::wire
