#include <algorithm>

#include "tcp/bbr.h"

// BBR's states: draft-ietf-ccwg-bbr, "State Machine Operation".

namespace millrace::tcp {

namespace {

constexpr Duration kProbeRttDuration = 200ms;
constexpr std::uint32_t kStartupLosses = 6;
constexpr std::uint64_t kDrainRounds = 3;
/// Reno would have filled a path of this many segments in as many rounds, and wants to be left its share.
constexpr std::uint64_t kRenoRounds = 63;

}  // namespace

// --- Startup

void Bbr::check_full_pipe(const AckSample& sample) {
  if (!round_start_ || app_limited_ || !sample.rate.valid) return;
  full_pipe_.on_round(sample.rate.bytes_per_second);
  if (full_pipe_.full()) full_bw_reached_ = true;
}

void Bbr::check_startup_high_loss(const AckSample& sample) {
  // "Exiting Startup Based on Packet Loss": a round of recovery is over, with many losses in it.
  if (state_ != State::kStartup || full_bw_reached_ || !in_recovery_ || !loss_round_start_) return;
  if (losses_in_round_ >= kStartupLosses && loss_too_high(sample.rate.lost, sample.rate.tx_in_flight))
    leave_startup_for_congestion();
}

void Bbr::leave_startup_for_congestion() {
  left_startup_ = true;
  full_bw_reached_ = true;
  inflight_longterm_ = std::max(bdp(bw_, 100), inflight_latest_);
  enter_drain();
}

// --- Drain

void Bbr::enter_drain() {
  state_ = State::kDrain;
  drain_start_round_ = round_count_;
}

void Bbr::check_drain_done(const AckSample& sample) {
  if (state_ != State::kDrain) return;
  if (sample.in_flight <= quantized(bdp(bw_, 100)) || round_count_ > drain_start_round_ + kDrainRounds)
    enter_down(sample.now);
}

// --- ProbeBW

void Bbr::enter_down(Instant now) {
  reset_congestion_signals();
  probe_up_acked_per_inc_ = kNoLimit;
  pick_probe_wait();
  cycle_stamp_ = now;
  ack_phase_ = AckPhase::kProbeStopping;
  start_round();
  state_ = State::kDown;
}

void Bbr::enter_refill() {
  reset_shortterm_model();
  probe_up_rounds_ = 0;
  probe_up_acked_ = 0;
  prev_probe_precautionary_ = false;
  ack_phase_ = AckPhase::kRefilling;
  start_round();
  state_ = State::kRefill;
}

void Bbr::enter_up(const AckSample& sample) {
  probe_sample_ = true;
  ack_phase_ = AckPhase::kProbeStarting;
  start_round();
  full_pipe_.reset(sample.rate.bytes_per_second);
  state_ = State::kUp;
  raise_longterm_slope();
}

void Bbr::update_probe_cycle(const AckSample& sample) {
  if (!full_bw_reached_ || adapt_longterm_model(sample)) return;
  switch (state_) {
    case State::kDown:
      if (time_to_probe(sample.now)) {
        enter_refill();
      } else if (time_to_cruise(sample)) {
        state_ = State::kCruise;
      }
      break;
    case State::kCruise:
      if (time_to_probe(sample.now)) enter_refill();
      break;
    case State::kRefill:
      if (round_start_) enter_up(sample);
      break;
    case State::kUp:
      if (time_to_go_down(sample)) {
        prev_probe_too_high_ = false;
        enter_down(sample.now);
      }
      break;
    case State::kStartup:
    case State::kDrain:
    case State::kProbeRtt:
      break;
  }
}

bool Bbr::adapt_longterm_model(const AckSample& sample) {
  if (ack_phase_ == AckPhase::kProbeStarting && round_start_) ack_phase_ = AckPhase::kProbeFeedback;
  if (ack_phase_ == AckPhase::kProbeStopping && round_start_) {
    // The last of what was sent to probe is acknowledged.
    probe_sample_ = false;
    ack_phase_ = AckPhase::kInit;
    if (in_probe_bw() && !app_limited_) max_bw_filter_.advance();
    if (in_probe_bw() && prev_probe_precautionary_ && !prev_probe_too_high_) {
      // "Precautionary Bandwidth Probing": the risky volume did no harm, so it is probed for longer.
      enter_refill();
      return true;
    }
  }
  if (loss_too_high(sample.rate.lost, sample.rate.tx_in_flight) || inflight_longterm_ == kNoLimit)
    return false;
  inflight_longterm_ = std::max(inflight_longterm_, sample.rate.tx_in_flight);
  if (state_ == State::kUp) probe_longterm_upward(sample);
  return false;
}

bool Bbr::time_to_probe(Instant now) const {
  const std::uint64_t reno_rounds = std::min<std::uint64_t>(target_inflight() / mss_, kRenoRounds);
  return now > cycle_stamp_ + probe_wait_ || rounds_since_probe_ >= reno_rounds;
}

bool Bbr::time_to_cruise(const AckSample& sample) const {
  return sample.in_flight <= inflight_with_headroom() && sample.in_flight <= quantized(bdp(max_bw_, 100));
}

bool Bbr::time_to_go_down(const AckSample& sample) {
  if (prev_probe_too_high_ && sample.in_flight >= inflight_longterm_) {
    prev_probe_precautionary_ = true;
    return true;
  }
  if ((limited_this_round_ || limited_last_round_) && cwnd_ >= inflight_longterm_) {
    // It is the bound that keeps the rate from growing, not the path.
    full_pipe_.reset(sample.rate.bytes_per_second);
    return false;
  }
  return full_pipe_.full();
}

void Bbr::raise_longterm_slope() {
  constexpr std::uint32_t kMostRounds = 30;
  const std::uint32_t growth_this_round = 1u << probe_up_rounds_;
  probe_up_rounds_ = std::min(probe_up_rounds_ + 1, kMostRounds);
  probe_up_acked_per_inc_ = std::max(cwnd_ / growth_this_round, mss_);
}

void Bbr::probe_longterm_upward(const AckSample& sample) {
  if (!(limited_this_round_ || limited_last_round_) || cwnd_ < inflight_longterm_) return;
  probe_up_acked_ += sample.delivered;
  if (probe_up_acked_ >= probe_up_acked_per_inc_) {
    const std::uint32_t segments = probe_up_acked_ / probe_up_acked_per_inc_;
    probe_up_acked_ -= segments * probe_up_acked_per_inc_;
    inflight_longterm_ = std::min(kNoLimit - 1, inflight_longterm_ + segments * mss_);
  }
  if (round_start_) raise_longterm_slope();
}

void Bbr::inflight_too_high(Instant now, std::uint32_t tx_in_flight, bool app_limited) {
  prev_probe_too_high_ = true;
  probe_sample_ = false;  // one reaction to a probe
  if (!app_limited) {
    const auto least = static_cast<std::uint32_t>(std::uint64_t{target_inflight()} * kBeta / 100);
    inflight_longterm_ = std::max(tx_in_flight, least);
  }
  if (state_ != State::kUp) return;
  left_up_ = true;
  enter_down(now);
}

void Bbr::pick_probe_wait() {
  // "Time Scale for Bandwidth Probing": two to three seconds, or 62 to 63 rounds.
  rounds_since_probe_ = random() & 1;
  probe_wait_ = 2s + Duration{static_cast<std::int64_t>(random() % 1'000'000'000)};
}

std::uint64_t Bbr::random() {
  // A counter, mixed by multiplication and shifts (SplitMix64): this need not be unpredictable.
  random_ += 0x9e3779b97f4a7c15u;
  std::uint64_t mixed = random_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return mixed ^ (mixed >> 31);
}

// --- ProbeRTT

void Bbr::check_probe_rtt(const AckSample& sample) {
  if (state_ != State::kProbeRtt && probe_rtt_expired_ && !idle_restart_) {
    save_cwnd();
    state_ = State::kProbeRtt;
    probe_rtt_done_ = kNever;
    ack_phase_ = AckPhase::kProbeStopping;
    start_round();
    low_from_ = delivered_total_;
  }
  if (state_ == State::kProbeRtt) handle_probe_rtt(sample);
  idle_restart_ = false;
}

void Bbr::handle_probe_rtt(const AckSample& sample) {
  low_to_ = delivered_total_ + sample.in_flight;
  if (probe_rtt_done_ == kNever) {
    if (sample.in_flight > probe_rtt_cwnd()) return;
    probe_rtt_done_ = sample.now + kProbeRttDuration;
    probe_rtt_round_done_ = false;
    start_round();
    return;
  }
  if (round_start_) probe_rtt_round_done_ = true;
  if (probe_rtt_round_done_) check_probe_rtt_done(sample.now);
}

void Bbr::check_probe_rtt_done(Instant now) {
  if (probe_rtt_done_ == kNever || now <= probe_rtt_done_) return;
  probe_rtt_min_stamp_ = now;  // the next one comes an interval from now
  restore_cwnd();
  reset_shortterm_model();
  if (!full_bw_reached_) {
    state_ = State::kStartup;
    return;
  }
  enter_down(now);
  state_ = State::kCruise;  // the queue is drained already
}

}  // namespace millrace::tcp
