#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include "base/seq.h"
#include "packet/packet.h"
#include "wire/tcp_options.h"

namespace millrace::tcp {

/// Data that came before its turn, as disjoint, non-adjacent ranges in sequence order:
///
///     rcv_nxt          left     right       left   right
///        |  (hole)      [=========)  (hole)   [======)
///
/// Where new data overlaps old, what came first is kept, but for ranges that it covers whole. The ranges are
/// a balanced tree, so that a peer that makes thousands of them makes no call slow, and a list by the time
/// they were touched, for the SACK option. Small payload that continues a range is copied behind its last
/// packet.
class OutOfOrderQueue {
 public:
  OutOfOrderQueue() = default;
  OutOfOrderQueue(const OutOfOrderQueue&) = delete;
  OutOfOrderQueue& operator=(const OutOfOrderQueue&) = delete;
  ~OutOfOrderQueue() { clear(); }

  /// Adds payload that starts at seq. Returns the bytes that were new; 0: all known (the packet is gone
  /// either way).
  std::uint32_t insert(SeqNum seq, PacketPtr payload);
  /// Takes the range that starts at or before rcv_nxt, with what lies before it cut off. False when there is
  /// none.
  [[nodiscard]] bool take_ready(SeqNum rcv_nxt, PacketQueue& out, SeqNum& right);
  /// Blocks for the SACK option: the range touched last first (RFC 2018 §4).
  [[nodiscard]] std::uint8_t sack_blocks(std::span<wire::SackBlock> out) const;
  /// Copies what wastes storage together, range by range; returns how many packets that spared.
  std::uint32_t collapse();
  /// Drops packets, the farthest first, until storage() is `most` or less, but none that starts before
  /// `from`. True when something was dropped.
  bool prune(std::size_t most, SeqNum from);
  void clear();

  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  [[nodiscard]] std::uint32_t bytes() const { return bytes_; }
  /// Storage that the packets hold.
  [[nodiscard]] std::size_t storage() const { return storage_; }
  [[nodiscard]] std::size_t range_count() const { return empty() ? 0 : ranges_.size(); }
  /// Bytes [seq, seq + length) touch a range, and so make no new one.
  [[nodiscard]] bool touches(SeqNum seq, std::uint32_t length) const;
  /// Ranges looked at so far while searching: what searching costs.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  struct Range : boost::intrusive::set_base_hook<>, boost::intrusive::list_base_hook<> {
    SeqNum left, right;
    std::uint32_t storage = 0;
    PacketQueue packets;

    friend bool operator<(const Range& a, const Range& b) { return a.left < b.left; }
  };
  using Ranges = boost::intrusive::set<Range>;

  /// The first range that ends behind seq, or right at it: the only one that can hold seq.
  [[nodiscard]] Ranges::const_iterator find(SeqNum seq) const;
  [[nodiscard]] Ranges::iterator find(SeqNum seq);
  void touch(Range& range);
  Range& make(const Ranges::iterator& before, SeqNum left, SeqNum right);
  /// Its packets go with it, and its bytes and storage no longer count.
  Ranges::iterator remove(const Ranges::iterator& range);
  void append(Range& range, PacketPtr payload);
  /// `next` starts where `range` ends.
  void join(Range& range, const Ranges::iterator& next);

  // What says that there is nothing comes last: see Receiver.
  Ranges ranges_;
  boost::intrusive::list<Range> recent_;  ///< touched last first
  std::unique_ptr<Range> spare_;          ///< the one that went last: mostly there is one hole at a time
  mutable std::uint64_t steps_ = 0;
  std::uint32_t storage_ = 0;
  std::uint32_t bytes_ = 0;
};

}  // namespace millrace::tcp
