#pragma once

#include <cstdint>
#include <optional>

#include "packet/packet.h"

namespace millrace::link {

/// What the transport checksum is that somebody has left unfinished, on output (offload.needs_checksum) or
/// input (kPartial): everything from checksum_start to the end is summed, of a super-frame as if it were one
/// packet; the field holds the un-inverted pseudo-header sum. Nothing when the field lies outside the frame.
[[nodiscard]] std::optional<std::uint16_t> transport_checksum(const Packet& frame);

/// Fills in the transport checksum of a frame with offload.needs_checksum, as a device with that capability
/// would, and clears the wish. True also when there is nothing to do; false (frame unchanged, to be dropped)
/// when the field lies outside the frame, there is no memory to make it writable, or the frame is a
/// super-frame.
[[nodiscard]] bool complete_checksum(Packet& frame);

/// What becomes of the payload of a super-frame.
enum class SegmentPayload : std::uint8_t {
  kShare,  ///< fragments that share the super-frame's storage
  kCopy,   ///< copied behind the headers, for a device without scatter-gather
};

/// Cuts an Ethernet [+ 802.1Q] / IPv4 or IPv6 / TCP super-frame into frames of offload.gso_size payload
/// bytes, as a device with TSO would, and appends them to `out`. Each has headers of its own: lengths, IPv4
/// identification (counting up) and header checksum, sequence number and flags are those of the segment; the
/// TCP checksum is left to complete_checksum() or the device (needs_checksum is set). Header offsets are set.
/// A frame that fits in one segment is passed on as it is, less its gso_size. False: no TCP frame, or no
/// memory; it is dropped then, and nothing is appended.
[[nodiscard]] bool segment(PacketPtr super_frame, PacketQueue& out,
                           SegmentPayload payload = SegmentPayload::kShare);

}  // namespace millrace::link
