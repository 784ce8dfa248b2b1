#include <algorithm>

#include "tcp/bbr.h"
#include "tcp/loss_window.h"

// BBR's model of the path: draft-ietf-ccwg-bbr, "Updating Network Path Model Parameters".

namespace millrace::tcp {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr Duration kMinRttWindow = 10s;
constexpr Duration kProbeRttInterval = 5s;
constexpr std::uint32_t kHeadroom = 15;

/// What a rate delivers in a time.
std::uint64_t delivered_in(std::uint64_t rate, Duration time) {
  const auto ns = static_cast<std::uint64_t>(std::max(time, Duration{0}).count());
  return static_cast<std::uint64_t>(Wide{rate} * ns / 1'000'000'000);
}

std::uint32_t percent_of(std::uint32_t value, std::uint32_t percent) {
  return static_cast<std::uint32_t>(std::uint64_t{value} * percent / 100);
}

}  // namespace

// --- volumes

std::uint32_t Bbr::bdp(std::uint64_t bw, std::uint32_t gain) const {
  if (min_rtt_ == kNoRtt || bw == 0) return initial_window_;
  const std::uint64_t volume = std::min<std::uint64_t>(delivered_in(bw, min_rtt_), kMaxCwnd);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(volume * gain / 100, kMaxCwnd));
}

std::uint32_t Bbr::quantized(std::uint32_t inflight) const {
  // Three quanta: one in the queue of the device, one being cut, one being put together by the receiver.
  inflight = std::max({inflight, 3 * send_quantum(), min_pipe_cwnd()});
  return state_ == State::kUp ? inflight + 2 * mss_ : inflight;
}

std::uint32_t Bbr::inflight_with_headroom() const {
  if (inflight_longterm_ == kNoLimit) return kNoLimit;
  const std::uint32_t headroom = std::max(mss_, percent_of(inflight_longterm_, kHeadroom));
  return std::max(inflight_longterm_ - std::min(headroom, inflight_longterm_), min_pipe_cwnd());
}

std::uint32_t Bbr::target_inflight() const {
  return std::min(bdp(bw_, 100), cwnd_);
}

bool Bbr::loss_too_high(std::uint32_t lost, std::uint32_t tx_in_flight) const {
  // Of few segments one or two are more than 2 %, and as easily lost by chance: more than a standard
  // deviation (the root of what is expected, in segments) must be.
  const std::uint32_t expected = tx_in_flight / kLossThreshold;
  if (lost <= expected) return false;
  const std::uint64_t excess = lost - expected;
  return excess * excess > std::uint64_t{expected} * mss_;
}

// --- rates and rounds

void Bbr::update_round(const AckSample& sample) {
  round_start_ = sample.rate.prior_delivered >= next_round_delivered_;
  if (!round_start_) return;
  start_round();
  ++round_count_;
  ++rounds_since_probe_;
  extra_acked_filter_.advance();
  limited_last_round_ = limited_this_round_;
  limited_this_round_ = sample.cwnd_limited;
}

void Bbr::update_delivery_signals(const AckSample& sample) {
  loss_round_start_ = sample.rate.prior_delivered >= loss_round_delivered_;
  if (loss_round_start_) loss_round_delivered_ = delivered_total_;
  bw_latest_ = std::max(bw_latest_, sample.rate.bytes_per_second);
  inflight_latest_ = std::max(inflight_latest_, sample.rate.delivered);
}

void Bbr::update_congestion_signals(const AckSample& sample) {
  update_round(sample);
  const std::uint64_t rate = sample.rate.bytes_per_second;
  if (rate != 0 && (rate >= max_bw_ || !app_limited_)) {
    max_bw_filter_.add(rate);
    max_bw_ = max_bw_filter_.max();
  }
  if (!loss_round_start_) return;
  const bool congested = mark_in_round_ || loss_too_high(lost_in_round_, sample.rate.tx_in_flight);
  if (congested && !held_back_ && !probing_bw()) adapt_lower_bounds();
  if (!loss_in_round_) ecn_rounds_ = 0;
}

void Bbr::adapt_lower_bounds() {
  // "When not Probing for Bandwidth": towards what is delivered, but by no more than beta a round.
  if (bw_shortterm_ == kNoRate) bw_shortterm_ = max_bw_;
  if (inflight_shortterm_ == kNoLimit) inflight_shortterm_ = cwnd_;
  const std::uint64_t unhindered = bw_latest_ * 100 / (100 - kPacingMargin);
  bw_shortterm_ = std::max(unhindered, bw_shortterm_ * kBeta / 100);
  inflight_shortterm_ = std::max(inflight_latest_, percent_of(inflight_shortterm_, kBeta));
}

void Bbr::advance_delivery_signals(const AckSample& sample) {
  if (!loss_round_start_) return;
  bw_latest_ = sample.rate.bytes_per_second;
  inflight_latest_ = sample.rate.delivered;
  forget_losses();
}

void Bbr::forget_losses() {
  loss_in_round_ = mark_in_round_ = false;
  losses_in_round_ = lost_in_round_ = 0;
}

void Bbr::reset_congestion_signals() {
  forget_losses();
  bw_latest_ = 0;
  inflight_latest_ = 0;
}

void Bbr::reset_shortterm_model() {
  bw_shortterm_ = kNoRate;
  inflight_shortterm_ = kNoLimit;
}

void Bbr::bound_bw() {
  bw_ = std::min(max_bw_, bw_shortterm_);
}

void Bbr::note_loss() {
  if (!loss_in_round_) loss_round_delivered_ = delivered_total_;
  loss_in_round_ = true;
  // "Saving State Upon Loss Recovery"; once for a recovery, however many rounds it takes.
  if (saved_) return;
  saved_ = true;
  save_cwnd();
  left_startup_ = left_up_ = false;
  undo_bw_shortterm_ = bw_shortterm_;
  undo_inflight_shortterm_ = inflight_shortterm_;
  undo_inflight_longterm_ = inflight_longterm_;
}

// --- aggregation

void Bbr::update_aggregation(const AckSample& sample) {
  // What came beyond what the rate explains is data that somebody gathered: without as much more in flight,
  // the sender would stand still while it is being gathered.
  std::uint64_t expected = delivered_in(bw_, sample.now - extra_acked_start_);
  if (extra_acked_delivered_ <= expected) {
    extra_acked_delivered_ = 0;
    extra_acked_start_ = sample.now;
    expected = 0;
  }
  extra_acked_delivered_ += sample.delivered;
  const std::uint64_t extra = extra_acked_delivered_ - std::min(extra_acked_delivered_, expected);
  extra_acked_filter_.add(static_cast<std::uint32_t>(std::min<std::uint64_t>(extra, cwnd_)));
  // In Startup, of one round: the rate is still growing.
  constexpr std::size_t kStartupRounds = 2;  // the current one and the last
  extra_acked_ = full_bw_reached_ ? extra_acked_filter_.max() : extra_acked_filter_.max(kStartupRounds);
}

// --- round trip

void Bbr::update_min_rtt(const AckSample& sample) {
  probe_rtt_expired_ = probe_rtt_min_ != kNoRtt && sample.now > probe_rtt_min_stamp_ + kProbeRttInterval;
  if (sample.rtt >= Duration{0} && (sample.rtt < probe_rtt_min_ || probe_rtt_expired_)) {
    probe_rtt_min_ = sample.rtt;
    probe_rtt_min_stamp_ = sample.now;
  }
  const bool min_rtt_expired = min_rtt_ != kNoRtt && sample.now > min_rtt_stamp_ + kMinRttWindow;
  if (probe_rtt_min_ < min_rtt_ || min_rtt_expired) {
    min_rtt_ = probe_rtt_min_;
    min_rtt_stamp_ = probe_rtt_min_stamp_;
  }
}

}  // namespace millrace::tcp
