#pragma once

#include <cstdint>
#include <limits>

#include "tcp/congestion.h"
#include "tcp/full_pipe.h"
#include "tcp/max_filter.h"

namespace millrace::tcp {

/// BBR version 3 (draft-ietf-ccwg-bbr): sends at the rate that the path was measured to deliver, with little
/// more in flight than the path holds, instead of filling its queue until it overflows.
///
///     Startup ─full─> Drain ─> Down ─> Cruise ─> Refill ─> Up        Every 5 s at most, unless a round trip
///        ^                      ^                           │        as short as the shortest was seen by
///        │                      └───────────────────────────┘        itself, from any state ProbeRtt, and
///        then └── ProbeRtt ──────────────────> Cruise                     Cruise (or Startup, if not full
///        yet).
///
/// The model of the path: max_bw, the fastest of two cycles of probing; min_rtt, the shortest round trip of
/// 10 s; and bounds that congestion taught. The long-term one (inflight_longterm) is what was in flight when
/// probing lost more than 2 %. The short-term ones (bw_shortterm, inflight_shortterm) follow what is
/// delivered while others cause losses, and are forgotten when the next probe begins.
///
/// Over three files: bbr.cc what the sender calls, and the rate and window that come out; bbr_model.cc the
/// model; bbr_state.cc the states. The draft knows no reaction to ECN; here a round with marks counts as one
/// with losses beyond the threshold. Nor does it conserve packets in a recovery's first round any more, as
/// earlier revisions did: where 1 % is lost at random every round is such a one, and the rate falls to a
/// third.
///
/// So that what is lost at random, up to the 2 % that the draft means to bear, does not take the rate down
/// round by round, this deviates from it in three ways: the short-term bounds follow rounds with more than 2
/// % lost, not any loss; 2 % are exceeded by more than chance explains; and the bounds do not follow what is
/// slow because BBR itself made it so, by the percent that it paces below them or by ProbeRtt.
class Bbr : public CongestionControl {
 public:
  enum class State : std::uint8_t { kStartup, kDrain, kDown, kCruise, kRefill, kUp, kProbeRtt };

  /// `seed`: probes come at random times, so that flows do not probe together.
  Bbr(std::uint32_t mss, unsigned initial_window_segments, std::uint64_t seed);

  void on_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight) override;
  void on_ack(const AckSample& sample) override;
  void on_segment_lost(const LostSegment& segment) override;
  void on_loss(const LossSample& sample) override;
  void on_ecn(const LossSample& sample) override;
  void on_rto(const LossSample& sample, bool first) override;
  void on_recovery_exit(Instant now, std::uint32_t in_flight) override;
  void on_undo(Instant now) override;
  /// Nothing: the window stays, and what is sent after idle is paced.
  void on_idle_restart(Duration idle, Duration rto) override { (void)idle, (void)rto; }
  void set_mss(std::uint32_t mss) override;
  [[nodiscard]] bool governs_recovery() const override { return true; }
  /// Its window may double in a round trip whatever was lost.
  [[nodiscard]] std::uint32_t send_buffer_windows() const override { return 3; }
  [[nodiscard]] std::string_view name() const override { return "bbr"; }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint64_t max_bw() const { return max_bw_; }
  [[nodiscard]] Duration min_rtt() const { return min_rtt_; }
  /// kNoLimit: none.
  [[nodiscard]] std::uint32_t inflight_longterm() const { return inflight_longterm_; }
  [[nodiscard]] std::uint32_t inflight_shortterm() const { return inflight_shortterm_; }
  [[nodiscard]] std::uint32_t extra_acked() const { return extra_acked_; }

 private:
  static constexpr std::uint64_t kNoRate = std::numeric_limits<std::uint64_t>::max();
  static constexpr Duration kNoRtt = Duration::max();
  static constexpr std::uint32_t kLossThreshold = 50;  ///< 1 / 2 %
  static constexpr std::uint32_t kPacingMargin = 1;    ///< percent
  static constexpr std::uint32_t kBeta = 70;  ///< percent that a round with losses leaves of a bound: CUBIC's

  /// What the feedback of these ACKs is about.
  enum class AckPhase : std::uint8_t { kInit, kRefilling, kProbeStarting, kProbeFeedback, kProbeStopping };

  // --- the control parameters (bbr.cc)
  void set_pacing_rate(std::uint32_t gain);
  void set_cwnd(const AckSample& sample);
  void bound_cwnd_for_model();
  [[nodiscard]] std::uint32_t send_quantum() const;
  [[nodiscard]] std::uint32_t min_pipe_cwnd() const { return 4 * mss_; }
  [[nodiscard]] std::uint32_t pacing_gain() const;
  [[nodiscard]] std::uint32_t cwnd_gain() const;
  void save_cwnd();
  void restore_cwnd() { cwnd_ = std::max(cwnd_, prior_cwnd_); }
  void begin_recovery(bool timeout);

  // --- the model (bbr_model.cc)
  void update_delivery_signals(const AckSample& sample);
  void update_congestion_signals(const AckSample& sample);
  void update_round(const AckSample& sample);
  void update_aggregation(const AckSample& sample);
  void update_min_rtt(const AckSample& sample);
  void advance_delivery_signals(const AckSample& sample);
  void bound_bw();
  void forget_losses();
  void reset_congestion_signals();
  void reset_shortterm_model();
  void adapt_lower_bounds();
  void start_round() { next_round_delivered_ = delivered_total_; }
  void note_loss();
  [[nodiscard]] std::uint32_t bdp(std::uint64_t bw, std::uint32_t gain) const;
  [[nodiscard]] std::uint32_t quantized(std::uint32_t inflight) const;
  [[nodiscard]] std::uint32_t inflight_with_headroom() const;
  [[nodiscard]] std::uint32_t target_inflight() const;
  [[nodiscard]] bool loss_too_high(std::uint32_t lost, std::uint32_t tx_in_flight) const;

  // --- the states (bbr_state.cc)
  void check_full_pipe(const AckSample& sample);
  void check_startup_high_loss(const AckSample& sample);
  void leave_startup_for_congestion();
  void enter_drain();
  void check_drain_done(const AckSample& sample);
  void enter_down(Instant now);
  void enter_refill();
  void enter_up(const AckSample& sample);
  void update_probe_cycle(const AckSample& sample);
  [[nodiscard]] bool adapt_longterm_model(const AckSample& sample);
  [[nodiscard]] bool time_to_probe(Instant now) const;
  [[nodiscard]] bool time_to_cruise(const AckSample& sample) const;
  [[nodiscard]] bool time_to_go_down(const AckSample& sample);
  void raise_longterm_slope();
  void probe_longterm_upward(const AckSample& sample);
  void inflight_too_high(Instant now, std::uint32_t tx_in_flight, bool app_limited);
  void check_probe_rtt(const AckSample& sample);
  void handle_probe_rtt(const AckSample& sample);
  void check_probe_rtt_done(Instant now);
  [[nodiscard]] std::uint32_t probe_rtt_cwnd() const;
  void pick_probe_wait();
  [[nodiscard]] std::uint64_t random();
  [[nodiscard]] bool in_probe_bw() const { return state_ >= State::kDown && state_ <= State::kUp; }
  [[nodiscard]] bool probing_bw() const {
    return state_ == State::kStartup || state_ == State::kRefill || state_ == State::kUp;
  }

  std::uint64_t random_;

  // Control parameters.
  std::uint32_t prior_cwnd_ = 0;  ///< the last known to be good, not modulated by recovery or ProbeRtt
  bool has_rtt_ = false;
  bool in_recovery_ = false;

  // Rounds.
  std::uint64_t delivered_total_ = 0;
  std::uint64_t next_round_delivered_ = 0;
  std::uint64_t round_count_ = 0;
  bool round_start_ = false;
  bool limited_this_round_ = false, limited_last_round_ = false;  ///< the window was full

  // The model.
  MaxFilter<std::uint64_t, 2> max_bw_filter_;  ///< a slot is a cycle of probing
  std::uint64_t max_bw_ = 0;
  std::uint64_t bw_shortterm_ = kNoRate;
  std::uint64_t bw_ = 0;
  Duration min_rtt_ = kNoRtt;
  Instant min_rtt_stamp_{};
  std::uint32_t inflight_longterm_ = kNoLimit;
  std::uint32_t inflight_shortterm_ = kNoLimit;
  MaxFilter<std::uint32_t, 10> extra_acked_filter_;  ///< a slot is a round
  std::uint32_t extra_acked_ = 0;
  std::uint64_t extra_acked_delivered_ = 0;
  Instant extra_acked_start_{};
  /// Samples of what was sent between these positions of delivery say less than the path can do: ProbeRtt.
  std::uint64_t low_from_ = kNoRate, low_to_ = 0;
  bool held_back_ = false;    ///< the sample of this ACK is such a one
  bool app_limited_ = false;  ///< likewise, or limited by the application

  // Congestion signals.
  std::uint64_t bw_latest_ = 0;        ///< of a round
  std::uint32_t inflight_latest_ = 0;  ///< likewise
  std::uint64_t loss_round_delivered_ = 0;
  std::uint32_t losses_in_round_ = 0;  ///< how often something was marked lost
  std::uint32_t lost_in_round_ = 0;    ///< bytes
  std::uint32_t ecn_rounds_ = 0;       ///< in a row, in Startup
  bool loss_round_start_ = false;
  bool loss_in_round_ = false;
  bool mark_in_round_ = false;

  // States.
  State state_ = State::kStartup;
  AckPhase ack_phase_ = AckPhase::kInit;
  FullPipe full_pipe_;
  bool full_bw_reached_ = false;
  bool probe_sample_ = false;  ///< what ACKs tell of was sent to probe
  bool prev_probe_too_high_ = false;
  bool prev_probe_precautionary_ = false;
  bool idle_restart_ = false;
  bool after_timeout_ = false;
  std::uint64_t drain_start_round_ = 0;
  std::uint64_t rounds_since_probe_ = 0;
  std::uint32_t probe_up_rounds_ = 0;
  std::uint32_t probe_up_acked_ = 0;
  std::uint32_t probe_up_acked_per_inc_ = kNoLimit;
  Duration probe_wait_{0};
  Instant cycle_stamp_{};
  Duration probe_rtt_min_ = kNoRtt;
  Instant probe_rtt_min_stamp_{};
  bool probe_rtt_expired_ = false;
  bool probe_rtt_round_done_ = false;
  Instant probe_rtt_done_ = kNever;  ///< kNever: not drained yet

  // Before the recovery that is on, for on_undo().
  bool saved_ = false;
  bool left_startup_ = false, left_up_ = false;  ///< by its losses
  std::uint64_t undo_bw_shortterm_ = kNoRate;
  std::uint32_t undo_inflight_shortterm_ = kNoLimit, undo_inflight_longterm_ = kNoLimit;
};

}  // namespace millrace::tcp
