#include "tcp/rack.h"

#include <algorithm>

namespace millrace::tcp {

bool Rack::on_arrival(const Arrival& arrival, Duration min_rtt, Instant now) {
  const Duration rtt = now - arrival.sent_at;
  bool overtaken = false;
  if (!arrival.retransmitted) {
    // Step 3: something sent once, below what has arrived already.
    if (arrival.end < fack_) {
      overtaken = reordering_seen_ = true;
      reordering_ = std::max(reordering_, SeqNum::distance(arrival.start, fack_));
    }
  } else if (arrival.of_earlier_copy || rtt < min_rtt) {
    // Step 2: it was the first transmission that arrived.
    fack_ = SeqNum::max(fack_, arrival.end);
    return overtaken;
  }
  on_arrival_of_all(arrival.sent_at, arrival.end, rtt);
  return overtaken;
}

void Rack::on_dsack(SeqNum snd_una, SeqNum snd_max) {
  if (dsack_round_ && snd_una < dsack_round_end_) return;
  dsack_round_ = true;
  dsack_round_end_ = snd_max;
  if (multiplier_ < 255) ++multiplier_;
  persist_ = kPersist;
}

void Rack::on_recovery_exit() {
  if (persist_ != 0 && --persist_ == 0) multiplier_ = 1;
}

Duration Rack::reordering_window(const Context& context) const {
  // Without a sign of reordering, the three duplicates of old (RFC 5681) trigger at once.
  if (!reordering_seen_ && (context.in_recovery || context.many_sacked)) return Duration{0};
  return std::min(context.min_rtt / 4 * multiplier_, context.srtt);
}

}  // namespace millrace::tcp
