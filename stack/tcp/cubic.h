#pragma once

#include <cstdint>

#include "tcp/congestion.h"
#include "tcp/hystart.h"

namespace millrace::tcp {

/// CUBIC (RFC 9438): after a reduction the window grows with the cube of the time towards what it was before,
/// stays near it, and goes on beyond; on short paths, where that is slower, as Reno does. HyStart++ (RFC
/// 9406) ends the first slow start, and a reaction to ECN is milder than one to loss (RFC 8511).
///
///     W_max ┤            ____╱   K seconds after the reduction the window is W_max again. Time in which the
///           │        ╱           application does not fill the window does not count (§5.8).
///           │     ╱
///     cwnd_ ┤   ╱
///     epoch │  |
///           └──┴─────────┴───── t
///              0         K
///
/// In integers: windows in bytes, the curve's time in 1/4096 s.
class Cubic : public CongestionControl {
 public:
  using CongestionControl::CongestionControl;

  void on_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight) override;
  void on_ack(const AckSample& sample) override;
  void on_loss(const LossSample& sample) override;
  void on_ecn(const LossSample& sample) override;
  void on_rto(const LossSample& sample, bool first) override;
  void on_recovery_exit(Instant now, std::uint32_t in_flight) override;
  void on_undo(Instant now) override;
  void on_idle_restart(Duration idle, Duration rto) override;
  void set_mss(std::uint32_t mss) override;
  [[nodiscard]] std::optional<RestingWindow> at_rest() const override {
    return RestingWindow{cwnd_, ssthresh_, curve_.w_max};
  }
  void resume(const RestingWindow& window) override;
  [[nodiscard]] std::string_view name() const override { return "cubic"; }

 private:
  /// What a reduction changes, and on_undo() brings back (§4.9).
  struct Curve {
    std::uint32_t w_max = 0;       ///< 0: begins with the window that congestion avoidance begins with
    std::uint32_t cwnd_prior = 0;  ///< before the last reduction
    std::uint32_t w_est = 0;       ///< Reno's window at this time (§4.3)
    bool running = false;          ///< congestion avoidance has begun: epoch and k hold
    Instant epoch{};
    std::int64_t k = 0;
  };

  void slow_start(const AckSample& sample);
  void avoid_congestion(const AckSample& sample);
  void begin_epoch(Instant now);
  [[nodiscard]] std::uint32_t w_cubic(Duration t) const;
  void save();
  void reduce(const LossSample& sample, std::uint32_t numerator, std::uint32_t denominator);

  Curve curve_;
  HyStart hystart_;
  Duration srtt_{0};
  Instant last_ack_{};             ///< time that counts for the curve has come so far
  std::uint64_t growth_rest_ = 0;  ///< of cwnd's division
  std::uint64_t w_est_rest_ = 0;
  // Before the last reduction.
  std::uint32_t saved_cwnd_ = 0, saved_ssthresh_ = 0;
  Curve saved_curve_;
};

}  // namespace millrace::tcp
