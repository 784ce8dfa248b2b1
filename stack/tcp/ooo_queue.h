#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/seq.h"
#include "packet/packet.h"
#include "wire/tcp_options.h"

namespace millrace::tcp {

/// Data that came before its turn, as disjoint, non-adjacent ranges in sequence order:
///
///     rcv_nxt          left     right       left   right
///        |  (hole)      [=========)  (hole)   [======)
///
/// Where new data overlaps old, what came first is kept, but for ranges that it covers whole.
class OutOfOrderQueue {
 public:
  /// Adds payload that starts at seq. Returns the bytes that were new; 0: all known (the packet is gone
  /// either way).
  std::uint32_t insert(SeqNum seq, PacketPtr payload);
  /// Takes the range that starts at or before rcv_nxt, with what lies before it cut off. False when there is
  /// none.
  [[nodiscard]] bool take_ready(SeqNum rcv_nxt, PacketQueue& out, SeqNum& right);
  /// Blocks for the SACK option: the range touched last first (RFC 2018 §4).
  [[nodiscard]] std::uint8_t sack_blocks(std::span<wire::SackBlock> out) const;
  void clear();

  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] std::uint32_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t storage() const { return storage_; }
  [[nodiscard]] std::size_t range_count() const { return ranges_.size(); }
  /// Bytes [seq, seq + length) touch a range, and so make no new one.
  [[nodiscard]] bool touches(SeqNum seq, std::uint32_t length) const;

 private:
  struct Range {
    SeqNum left, right;
    std::uint32_t touched = 0;
    std::size_t storage = 0;
    PacketQueue packets;
  };

  std::vector<Range> ranges_;
  std::uint32_t bytes_ = 0;
  std::size_t storage_ = 0;
  std::uint32_t clock_ = 0;
};

}  // namespace millrace::tcp
