#pragma once

#include <cstdint>

#include "base/seq.h"
#include "base/time.h"
#include "tcp/scoreboard.h"

namespace millrace::tcp {

/// Loss detection by time (RFC 8985 §6): a segment is lost when one that was sent a reordering window later
/// has arrived. So are segments that were sent again and lost again.
class Rack {
 public:
  /// What an ACK says of one piece that it delivers.
  struct Arrival {
    SeqNum start, end;
    Instant sent_at;
    bool retransmitted = false;
    /// The ACK answers to an earlier transmission than the last (its echoed timestamp says so).
    bool of_earlier_copy = false;
  };
  void start(SeqNum snd_una) {
    *this = Rack{};
    fack_ = dsack_round_end_ = snd_una;
  }
  /// §6.2 steps 2 and 3. True: something sent later has arrived before.
  bool on_arrival(const Arrival& arrival, Duration min_rtt, Instant now);
  /// The same for all that was outstanding, sent once in one piece: nothing overtakes it.
  void on_arrival_of_all(Instant sent_at, SeqNum end, Duration rtt) {
    fack_ = SeqNum::max(fack_, end);
    if (valid_ && !sent_after(sent_at, end, xmit_at_, end_seq_)) return;
    valid_ = true;
    rtt_ = rtt;
    xmit_at_ = sent_at;
    end_seq_ = end;
  }
  /// So far, in bytes, something was overtaken earlier in this connection.
  void on_reordering(std::uint32_t bytes) {
    reordering_seen_ = true;
    reordering_ = bytes;
  }
  /// Step 4, the part of it about DSACK: the window was too small.
  void on_dsack(SeqNum snd_una, SeqNum snd_max);
  /// A recovery is over: a window that grew by DSACK lasts for sixteen of them.
  void on_recovery_exit();
  struct Context {
    bool in_recovery = false;
    bool many_sacked = false;  ///< three segments or more are reported
    Duration min_rtt{0}, srtt{0};
  };
  /// Steps 4 and 5: calls `lost(segment)` for each that is. Returns how long to wait until the next may be;
  /// zero: none is in doubt.
  template <typename F>
  [[nodiscard]] Duration detect(Scoreboard& board, const Context& context, Instant now, F&& lost);

  /// The farthest that something was overtaken, in bytes.
  [[nodiscard]] std::uint32_t reordering() const { return reordering_; }
  [[nodiscard]] bool reordering_seen() const { return reordering_seen_; }
  [[nodiscard]] Duration rtt() const { return rtt_; }

 private:
  static constexpr std::uint8_t kPersist = 16;
  [[nodiscard]] Duration reordering_window(const Context& context) const;
  /// §6.2: RACK_sent_after.
  [[nodiscard]] static bool sent_after(Instant a, SeqNum a_end, Instant b, SeqNum b_end) {
    return a > b || (a == b && a_end > b_end);
  }

  bool valid_ = false;
  bool reordering_seen_ = false;
  std::uint32_t reordering_ = 0;
  std::uint8_t multiplier_ = 1;
  std::uint8_t persist_ = kPersist;
  bool dsack_round_ = false;  ///< the window grew in this round trip already
  SeqNum dsack_round_end_;
  SeqNum end_seq_;
  SeqNum fack_;  ///< end of the highest piece known to have arrived
  Instant xmit_at_{};
  Duration rtt_{0};
};

template <typename F>
Duration Rack::detect(Scoreboard& board, const Context& context, Instant now, F&& lost) {
  if (!valid_) return Duration{0};
  const Duration window = reordering_window(context);
  Duration wait{0};
  for (Scoreboard::Segment* segment = board.oldest(); segment != nullptr;) {
    Scoreboard::Segment* const next = board.next_sent(*segment);
    if (!sent_after(xmit_at_, end_seq_, segment->sent_at(), segment->end())) break;
    if (const Duration left = segment->sent_at() + rtt_ + window - now; left <= Duration{0}) {
      lost(*segment);
    } else {
      wait = std::max(wait, left);
    }
    segment = next;
  }
  return wait;
}

}  // namespace millrace::tcp
