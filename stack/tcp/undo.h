#pragma once

#include <algorithm>
#include <cstdint>

#include "base/seq.h"

namespace millrace::tcp {

/// Evidence that a reduction was for nothing: the peer reports every segment that was sent again as a
/// duplicate (RFC 3708 by DSACK), or answers to the time of a transmission before the first of them (Eifel
/// detection, RFC 3522).
class Undo {
 public:
  void start() {
    active_ = true;
    any_ = false;
    open_ = 0;
  }
  void stop() { active_ = false; }
  /// `timestamp`: TSval of the segment sent again.
  void on_retransmitted(SeqNum left, SeqNum right, std::uint32_t segments, std::uint32_t timestamp) {
    if (!active_) return;
    if (!any_) {
      first_timestamp_ = timestamp;
      from_ = left;
      to_ = right;
    }
    from_ = SeqNum::min(from_, left);
    to_ = SeqNum::max(to_, right);
    any_ = true;
    open_ += segments;
  }
  /// What lies outside of all that was sent again, the network has doubled.
  void on_dsack(SeqNum left, SeqNum right, std::uint32_t segments) {
    if (active_ && any_ && left >= from_ && right <= to_) open_ -= std::min(open_, segments);
  }
  /// RFC 3522 §3.2 step 4: the echoed timestamp is older than the first retransmission.
  [[nodiscard]] bool echo_is_early(std::uint32_t echo) const {
    return active_ && any_ && static_cast<std::int32_t>(echo - first_timestamp_) < 0;
  }
  /// All that was sent again came twice.
  [[nodiscard]] bool all_duplicates() const { return active_ && any_ && open_ == 0; }
  [[nodiscard]] bool active() const { return active_; }

 private:
  bool active_ = false;
  bool any_ = false;
  SeqNum from_, to_;  ///< from the first to the last byte of what was sent again
  std::uint32_t open_ = 0;
  std::uint32_t first_timestamp_ = 0;
};

}  // namespace millrace::tcp
