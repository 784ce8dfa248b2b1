#pragma once

#include "pipe/pipe.h"

namespace millrace::drivers {

/// What both kinds of pipe share: the rules for frames.

/// The capabilities of an end.
[[nodiscard]] DeviceCaps pipe_caps(const PipeOptions& options);
/// True when an end with these options takes the frame: of a legal size, and asking for no offload that is
/// off.
[[nodiscard]] bool pipe_accepts(const PipeOptions& options, const Packet& packet);
/// Bytes on the wire: a super-frame's headers count once a segment.
[[nodiscard]] std::uint64_t pipe_wire_bytes(const Packet& packet);
[[nodiscard]] inline std::size_t pipe_segments(const Packet& packet) {
  return packet.offload.gso_size == 0 ? 1 : std::max<std::size_t>(packet.offload.gso_segs, 1);
}
/// How the receiver sees an offload request of the sender.
[[nodiscard]] Offload pipe_received(const Offload& sent);

}  // namespace millrace::drivers
