#pragma once

#include <cstdint>

#include "base/seq.h"
#include "packet/packet.h"
#include "wire/tcp.h"
#include "wire/tcp_options.h"

namespace millrace::tcp {

using Flags = wire::TcpFlags;

inline constexpr std::uint8_t kEcnMask = 3, kEct0 = 2, kCongestionExperienced = 3;

/// A segment as a value: SEG.SEQ, SEG.ACK, SEG.LEN, SEG.WND, SEG.UP of RFC 9293, its options and its payload
/// (data() of the packet at the first payload byte). A super-packet from GRO or LRO is one segment.
struct Segment {
  SeqNum seq, ack;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  ///< as on the wire, not scaled
  std::uint16_t urgent_pointer = 0;
  std::uint32_t payload_length = 0;
  std::uint8_t ecn = 0;             ///< the codepoint of its IP header (RFC 3168 §5)
  std::uint16_t wire_segments = 1;  ///< how many segments of the wire are in it
  wire::TcpOptions options;
  PacketPtr packet;

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  /// SEG.LEN: payload, and one for each of SYN and FIN.
  [[nodiscard]] std::uint32_t length() const {
    return payload_length + (has(Flags::kSyn) ? 1u : 0u) + (has(Flags::kFin) ? 1u : 0u);
  }
  [[nodiscard]] SeqNum end() const { return seq + length(); }
};

}  // namespace millrace::tcp
