#pragma once

#include "packet/packet.h"
#include "packet/pool.h"

namespace millrace::drivers {

/// Cuts a received UDP super-frame (a kernel peer's UDP_SEGMENT, or UDP GRO) into the datagrams it stands
/// for: to the layers above a super-frame is TCP. The datagrams' checksums are as the super-frame's: partial,
/// or verified. Appends to `out`; returns how many there should have been and were not, for want of memory. A
/// frame that is no UDP super-frame is passed on as it is.
[[nodiscard]] std::size_t cut_datagrams(PacketPool& pool, PacketPtr super_frame, PacketQueue& out);

}  // namespace millrace::drivers
