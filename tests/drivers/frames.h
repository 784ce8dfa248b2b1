#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/seq.h"
#include "packet/packet.h"
#include "packet/pool.h"

namespace millrace::drivers {

using Bytes = std::vector<std::uint8_t>;

/// A TCP or UDP frame to be made. Checksums are filled in; or left to the device (`partial`), the field then
/// holding the pseudo-header's sum.
struct FrameSpec {
  MacAddress destination_mac{{2, 0, 0, 0, 0, 2}};
  MacAddress source_mac{{2, 0, 0, 0, 0, 1}};
  IpAddress source = IpAddress::v4(198, 18, 0, 2);
  IpAddress destination = IpAddress::v4(198, 18, 0, 1);
  std::uint16_t source_port = 4000;
  std::uint16_t destination_port = 5000;
  bool udp = false;
  SeqNum seq{1};
  SeqNum ack{1};
  std::uint8_t flags = 0x10;  ///< ACK
  std::uint16_t window = 65535;
  Bytes options;
  Bytes payload;
  bool partial = false;
};

[[nodiscard]] Bytes make_frame(const FrameSpec& spec);
/// A frame of the local experimental EtherType: `length` bytes in all, a pattern that `seed` determines.
[[nodiscard]] Bytes raw_frame(std::size_t length, std::uint8_t seed, const MacAddress& destination,
                              const MacAddress& source);
[[nodiscard]] Bytes pattern(std::size_t length, std::uint32_t seed);

[[nodiscard]] PacketPtr to_packet(PacketPool& pool, const Bytes& bytes);
/// As above, with needs_checksum and, unless 0, gso_size set; what lies behind the headers goes into
/// fragments.
[[nodiscard]] PacketPtr to_offload_packet(PacketPool& pool, const FrameSpec& spec, std::uint16_t gso_size);
[[nodiscard]] Bytes bytes_of(const Packet& packet);

/// True when the TCP or UDP checksum of an IPv4 frame (no VLAN tag) is right.
[[nodiscard]] bool transport_checksum_ok(std::span<const std::uint8_t> frame);

}  // namespace millrace::drivers
