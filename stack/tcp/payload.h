#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/pool.h"

namespace millrace::tcp {

// What the queues of received payload have in common: their packets carry in Packet::charge the storage they
// hold, and this keeps that near the payload.

/// Sets the payload's charge; copies it into smaller storage first when it fills little of its own. Without
/// memory for that the larger storage is kept.
void charge(Packet& payload);
/// The same for a payload that nothing waits before, and that is read soon, most of the time: while few
/// packets are in use it stays in the frame that it came in.
void charge_first(Packet& payload);

/// Copies small payload behind `last` where that has room. False: nothing done.
[[nodiscard]] bool coalesce(Packet& last, const Packet& payload);

/// Packets of consecutive payload after collapse().
struct Collapsed {
  std::size_t storage = 0;    ///< the sum of their charges
  std::uint32_t packets = 0;  ///< how many were copied away
};
/// Copies neighbours that waste storage together into full Buffers. What is dense stays where it is; the
/// result holds at most twice its payload and one small Buffer, unless the pool ran out of memory.
[[nodiscard]] Collapsed collapse(PacketQueue& queue);

}  // namespace millrace::tcp
