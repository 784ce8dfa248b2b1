#include "tcp/hystart.h"

#include <algorithm>

#include "tcp/loss_window.h"

namespace millrace::tcp {

namespace {

// RFC 9406 §4.3.
constexpr Duration kMinRttThreshold = 4ms;
constexpr Duration kMaxRttThreshold = 16ms;
constexpr int kMinRttDivisor = 8;
constexpr std::uint32_t kRttSamples = 8;
constexpr std::uint32_t kGrowthDivisor = 4;
constexpr std::uint8_t kRounds = 5;
constexpr std::uint32_t kLimit = 8;  ///< L, not paced
/// RFC 3465 §2.3: after a timeout, when an ACK may tell of what arrived long ago.
constexpr std::uint32_t kLimitLater = 1;

}  // namespace

std::uint32_t HyStart::on_ack(const AckSample& sample, std::uint32_t mss) {
  if (state_ == State::kOff || state_ == State::kFinished)
    return slow_start_growth(sample.acked, sample.prior_in_flight, kLimitLater, mss);
  if (round_begins_) {
    // §4.2: windowEnd = SND.NXT. Taken with the round's first ACK, so that what the ACK before let out is in
    // it: else rounds would fall behind the bursts that an unpaced sender sends, and begin with the end of
    // one, whose round trips are the longest.
    round_begins_ = false;
    window_end_ = sample.sent_total;
  }
  const std::uint32_t growth = slow_start_growth(sample.acked, sample.prior_in_flight, kLimit, mss);
  const std::uint32_t grown = conservative() ? growth / kGrowthDivisor : growth;
  if (sample.rtt >= Duration{0}) take_sample(sample.rtt);
  if (sample.acked_total >= window_end_) end_round();
  return grown;
}

void HyStart::take_sample(Duration rtt) {
  current_round_min_ = std::min(current_round_min_, rtt);
  if (++samples_ < kRttSamples) return;
  if (conservative()) {
    // The round trip is shorter again: the delay was no queue of ours.
    if (current_round_min_ < baseline_min_) {
      baseline_min_ = Duration::max();
      state_ = State::kSlowStart;
    }
    return;
  }
  if (last_round_min_ == Duration::max()) return;
  const Duration threshold = std::clamp(last_round_min_ / kMinRttDivisor, kMinRttThreshold, kMaxRttThreshold);
  if (current_round_min_ < last_round_min_ + threshold) return;
  baseline_min_ = current_round_min_;
  conservative_rounds_ = 0;
  state_ = State::kConservative;
}

void HyStart::end_round() {
  round_begins_ = true;
  last_round_min_ = current_round_min_;
  current_round_min_ = Duration::max();
  samples_ = 0;
  // The part of a round in which it began counts.
  if (conservative() && ++conservative_rounds_ >= kRounds) state_ = State::kFinished;
}

}  // namespace millrace::tcp
