#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "packet/packet.h"

namespace millrace::drivers {

/// The header that goes before each frame of a socket with PACKET_VNET_HDR: virtio_net_hdr, in host byte
/// order. (Linux's own declaration does not compile as C++: it has a member named `class`.)
struct VnetHeader {
  static constexpr std::uint8_t kNeedsChecksum = 1;
  static constexpr std::uint8_t kDataValid = 2;
  static constexpr std::uint8_t kGsoNone = 0;
  static constexpr std::uint8_t kGsoTcp4 = 1;
  static constexpr std::uint8_t kGsoTcp6 = 4;
  static constexpr std::uint8_t kGsoUdp = 5;
  static constexpr std::uint8_t kGsoEcn = 0x80;  ///< a flag beside the type

  std::uint8_t flags = 0;
  std::uint8_t gso_type = kGsoNone;
  std::uint16_t header_length = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;

  [[nodiscard]] bool is_udp_gso() const { return (gso_type & ~kGsoEcn) == kGsoUdp; }
  /// What the kernel says of a frame it delivers. `head` is the start of the frame, of `frame_length` bytes
  /// in all.
  [[nodiscard]] Offload to_offload(std::span<const std::uint8_t> head, std::uint32_t frame_length) const;
  /// What the kernel must know to finish a frame we send. False when the frame asks for something it cannot
  /// do.
  [[nodiscard]] static bool from_packet(const Packet& packet, VnetHeader& header);

  /// What a packet with this header in front takes in an iovec array, and at most.
  static constexpr std::size_t kMaxPieces = Packet::kMaxFragments + 2;
  [[nodiscard]] static std::size_t piece_count(const Packet& packet) { return packet.fragment_count() + 2; }
  /// Fills in as many, for writing; returns the end.
  iovec* fill_pieces(const Packet& packet, iovec* pieces);
};
static_assert(sizeof(VnetHeader) == 10);

}  // namespace millrace::drivers
