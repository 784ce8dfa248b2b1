#pragma once

#include "af_packet/vnet_header.h"
#include "link/net_device.h"
#include "packet/packet.h"
#include "packet/pool.h"

namespace millrace::drivers {

/// Cuts a received UDP super-frame (a kernel peer's UDP_SEGMENT, or UDP GRO) into the datagrams it stands
/// for: to the layers above a super-frame is TCP. The datagrams' checksums are as the super-frame's: partial,
/// or verified. Appends to `out`; returns how many there should have been and were not, for want of memory. A
/// frame that is no UDP super-frame is passed on as it is.
[[nodiscard]] std::size_t cut_datagrams(PacketPool& pool, PacketPtr super_frame, PacketQueue& out);

/// Passes on a frame as received, in order: to `out`, or to `pending`, from where the device delivers before
/// it reads on. A UDP super-frame becomes more frames than the budget may allow, so that goes to `pending`,
/// and what comes behind it, too. Counts in `stats`. Returns how many frames went to `out`: 0 or 1.
std::size_t pass_on(PacketPtr packet, const VnetHeader& header, PacketQueue& pending, PacketQueue& out,
                    DeviceStats& stats);

}  // namespace millrace::drivers
