#include "tcp/bbr.h"

#include <algorithm>

#include "tcp/loss_window.h"
#include "tcp/pacer.h"

namespace millrace::tcp {

namespace {

// "Core Algorithm Design Parameters"; in percent.
constexpr std::uint32_t kStartupPacingGain = 277;
constexpr std::uint32_t kDrainPacingGain = 50;
constexpr std::uint32_t kDownPacingGain = 90;
constexpr std::uint32_t kUpPacingGain = 125;
constexpr std::uint32_t kDefaultCwndGain = 200;
constexpr std::uint32_t kUpCwndGain = 225;
constexpr std::uint32_t kProbeRttCwndGain = 50;

/// "Pacing Rate": what a window a round trip makes, before there is a measurement.
std::uint64_t rate_of(std::uint32_t window, Duration rtt) {
  const auto ns = static_cast<std::uint64_t>(std::max(rtt, Duration{1us}).count());
  return std::uint64_t{window} * 1'000'000'000 / ns;
}
std::uint64_t initial_rate(std::uint32_t window, Duration rtt) {
  return rate_of(window, rtt) * kStartupPacingGain / 100;
}

}  // namespace

Bbr::Bbr(std::uint32_t mss, unsigned initial_window_segments, std::uint64_t seed)
    : CongestionControl(mss, initial_window_segments), random_(seed) {
  pacing_rate_ = initial_rate(initial_window_, 1ms);
}

void Bbr::on_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight) {
  // "Restarting From Idle".
  if (in_flight > bytes || delivered_total_ == 0 || after_timeout_) return;
  idle_restart_ = true;
  extra_acked_start_ = now;
  if (in_probe_bw()) {
    set_pacing_rate(100);
  } else if (state_ == State::kProbeRtt) {
    check_probe_rtt_done(now);
  }
}

void Bbr::on_ack(const AckSample& sample) {
  if (!has_rtt_ && sample.rtt >= Duration{0}) {
    has_rtt_ = true;
    pacing_rate_ = initial_rate(initial_window_, sample.rtt);
  }
  in_recovery_ = sample.in_recovery;
  if (!in_recovery_) saved_ = false;
  delivered_total_ = sample.delivered_total;
  limited_this_round_ |= sample.cwnd_limited;
  held_back_ = sample.rate.prior_delivered >= low_from_ && sample.rate.prior_delivered <= low_to_;
  app_limited_ = sample.rate.app_limited || held_back_;
  // "Per-ACK Steps": an ACK that delivers nothing has no rate sample, and tells of losses alone.
  if (sample.delivered != 0) {
    after_timeout_ = false;
    update_delivery_signals(sample);
    update_congestion_signals(sample);
    update_aggregation(sample);
    check_full_pipe(sample);
    check_startup_high_loss(sample);
    if (state_ == State::kStartup && full_bw_reached_) enter_drain();
    check_drain_done(sample);
    update_probe_cycle(sample);
    update_min_rtt(sample);
    check_probe_rtt(sample);
    advance_delivery_signals(sample);
    bound_bw();
    set_pacing_rate(pacing_gain());
  }
  set_cwnd(sample);
}

void Bbr::on_segment_lost(const LostSegment& segment) {
  note_loss();
  ++losses_in_round_;
  lost_in_round_ += segment.bytes;
  // "Probing for Bandwidth In ProbeBW": more than 2 % of what was in flight with the segment is lost.
  if (!probe_sample_ || !loss_too_high(segment.lost, segment.tx_in_flight)) return;
  // The segment may be a burst of many: up to which of its bytes were the losses below the threshold?
  const std::uint32_t before = segment.tx_in_flight - std::min(segment.bytes, segment.tx_in_flight);
  const std::uint32_t lost_before = segment.lost - std::min(segment.bytes, segment.lost);
  std::uint32_t prefix = 0;
  if (before / kLossThreshold > lost_before)
    prefix = static_cast<std::uint32_t>(std::uint64_t{before / kLossThreshold - lost_before} *
                                        kLossThreshold / (kLossThreshold - 1));
  inflight_too_high(segment.now, before + std::min(prefix, segment.bytes), segment.app_limited);
}

void Bbr::on_loss(const LossSample& /*sample*/) {
  begin_recovery(false);
}

void Bbr::on_ecn(const LossSample& sample) {
  // The draft leaves the reaction open but demands one ("ECN"): a round with marks is a round with losses.
  begin_recovery(false);
  note_loss();
  mark_in_round_ = true;
  if (state_ == State::kStartup) {
    constexpr std::uint32_t kRounds = 2;  // one may be a burst of somebody else's
    if (++ecn_rounds_ >= kRounds) leave_startup_for_congestion();
    return;
  }
  if (probe_sample_) inflight_too_high(sample.now, sample.in_flight, app_limited_);
}

void Bbr::on_rto(const LossSample& sample, bool first) {
  if (first) begin_recovery(true);
  lost_in_round_ += sample.in_flight;
  cwnd_ = mss_;
  after_timeout_ = true;
}

void Bbr::begin_recovery(bool timeout) {
  if (timeout) saved_ = false;
  note_loss();
  in_recovery_ = true;
}

void Bbr::on_recovery_exit(Instant /*now*/, std::uint32_t /*in_flight*/) {
  in_recovery_ = saved_ = false;
  restore_cwnd();
}

void Bbr::on_undo(Instant /*now*/) {
  // "Handling a Spurious Loss Recovery".
  in_recovery_ = saved_ = after_timeout_ = false;
  restore_cwnd();
  loss_in_round_ = false;
  full_pipe_.reset();
  bw_shortterm_ = std::max(bw_shortterm_, undo_bw_shortterm_);
  inflight_shortterm_ = std::max(inflight_shortterm_, undo_inflight_shortterm_);
  inflight_longterm_ = std::max(inflight_longterm_, undo_inflight_longterm_);
  if (left_startup_) {
    full_bw_reached_ = false;
    if (state_ != State::kProbeRtt) state_ = State::kStartup;
  } else if (left_up_ && state_ != State::kUp && state_ != State::kProbeRtt) {
    enter_refill();
  }
  left_startup_ = left_up_ = false;
}

void Bbr::set_mss(std::uint32_t mss) {
  mss_ = mss;
  cwnd_ = std::max(cwnd_, mss_);
}

// --- pacing rate

std::uint32_t Bbr::pacing_gain() const {
  switch (state_) {
    case State::kStartup:
      return kStartupPacingGain;
    case State::kDrain:
      return kDrainPacingGain;
    case State::kDown:
      return kDownPacingGain;
    case State::kUp:
      return kUpPacingGain;
    case State::kCruise:
    case State::kRefill:
    case State::kProbeRtt:
      break;
  }
  return 100;
}

void Bbr::set_pacing_rate(std::uint32_t gain) {
  std::uint64_t rate = bw_ * gain / 100 * (100 - kPacingMargin) / 100;
  // The least window goes out within a round trip. A recovery that gets on by a segment each round trip, as
  // without SACK, makes that the bandwidth; paced by it, what follows would take seconds to show another.
  if (rate != 0 && min_rtt_ != kNoRtt) rate = std::max(rate, rate_of(min_pipe_cwnd(), min_rtt_));
  // Until the pipe is full it only rises: samples may have been limited by the application.
  if (rate != 0 && (full_bw_reached_ || rate > pacing_rate_)) pacing_rate_ = rate;
}

std::uint32_t Bbr::send_quantum() const {
  return Pacer::quantum_of(pacing_rate_, mss_);
}

// --- congestion window

std::uint32_t Bbr::cwnd_gain() const {
  if (state_ == State::kUp) return kUpCwndGain;
  return state_ == State::kProbeRtt ? kProbeRttCwndGain : kDefaultCwndGain;
}

void Bbr::save_cwnd() {
  prior_cwnd_ = in_recovery_ || state_ == State::kProbeRtt ? std::max(prior_cwnd_, cwnd_) : cwnd_;
}

std::uint32_t Bbr::probe_rtt_cwnd() const {
  return std::max(bdp(bw_, kProbeRttCwndGain), min_pipe_cwnd());
}

void Bbr::set_cwnd(const AckSample& sample) {
  // "cwnd Adjustment Mechanism": down at once, up by no more than is delivered.
  const std::uint32_t grown = std::min(kMaxCwnd, cwnd_ + sample.delivered);
  const std::uint32_t max_inflight = quantized(std::min(kMaxCwnd, bdp(bw_, cwnd_gain()) + extra_acked_));
  if (full_bw_reached_) {
    cwnd_ = std::min(grown, max_inflight);
  } else if (cwnd_ < max_inflight || delivered_total_ < initial_window_) {
    cwnd_ = grown;
  }
  cwnd_ = std::max(cwnd_, after_timeout_ ? mss_ : min_pipe_cwnd());
  if (state_ == State::kProbeRtt) cwnd_ = std::min(cwnd_, probe_rtt_cwnd());
  bound_cwnd_for_model();
}

void Bbr::bound_cwnd_for_model() {
  std::uint32_t cap = kNoLimit;
  if (state_ == State::kCruise || state_ == State::kProbeRtt) {
    cap = inflight_with_headroom();
  } else if (in_probe_bw()) {
    cap = inflight_longterm_;
  }
  cap = std::max(std::min(cap, inflight_shortterm_), min_pipe_cwnd());
  cwnd_ = std::min(cwnd_, cap);
}

}  // namespace millrace::tcp
