#pragma once

#include <cstdint>

#include "base/seq.h"
#include "base/time.h"

namespace millrace::tcp {

/// TS.Recent (RFC 7323 §4.3), and the judgement of a segment's age by it: PAWS (§5.3).
///
/// R1 of PAWS drops whatever is older than TS.Recent. When a retransmission has filled a hole, that is also
/// all that was sent before it and overtaken by it: where the network reorders, good data that must then be
/// sent again. What PAWS is there to find, a duplicate from before the sequence numbers wrapped, was sent
/// earlier than anything of the last 2^31 bytes, as those lie at least a window behind what it pretends to
/// be. So a segment is also good when its timestamp is not older than TS.Recent was at a mark within them;
/// marks are a second apart, as no network reorders for longer.
///
///     old duplicates |   floor            mark          rcv_nxt
///     ---------------+-----+---------------+---------------+---> stream
///                          |<- at least a second, at most 2^31 bytes
class RecentTimestamp {
 public:
  /// Of the peer's SYN.
  void start(std::uint32_t value, SeqNum rcv_nxt, Instant now) {
    value_ = floor_ = mark_ = value;
    mark_seq_ = rcv_nxt;
    taken_at_ = mark_at_ = now;
  }
  /// False: from before the sequence numbers wrapped, or before this connection.
  [[nodiscard]] bool acceptable(std::uint32_t value, Instant now) const {
    return !before(value, value_) || !before(value, floor_) || expired(now);
  }
  /// A segment that covers what was acknowledged last (§4.3 (2)) bore `value`.
  void note(std::uint32_t value, SeqNum rcv_nxt, Instant now) {
    if (before(value, value_) && !expired(now)) return;
    value_ = value;
    taken_at_ = now;
    if (now - mark_at_ < kMarkEvery && SeqNum::distance(mark_seq_, rcv_nxt) < kMarkBytes) return;
    floor_ = mark_;
    mark_ = value;
    mark_seq_ = rcv_nxt;
    mark_at_ = now;
  }
  [[nodiscard]] std::uint32_t value() const { return value_; }
  [[nodiscard]] Instant taken_at() const { return taken_at_; }

 private:
  static constexpr Duration kMarkEvery = 1s;
  /// Two of them, and twice a receive window on top, are less than 2^31.
  static constexpr std::uint32_t kMarkBytes = 1u << 29;
  /// §5.5: a timestamp older than this says nothing about age.
  static constexpr Duration kExpiry = 24 * 24h;

  [[nodiscard]] static bool before(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::int32_t>(a - b) < 0;
  }
  [[nodiscard]] bool expired(Instant now) const { return now - taken_at_ > kExpiry; }

  std::uint32_t value_ = 0;
  std::uint32_t floor_ = 0;
  std::uint32_t mark_ = 0;
  SeqNum mark_seq_;
  Instant taken_at_{}, mark_at_{};
};

}  // namespace millrace::tcp
