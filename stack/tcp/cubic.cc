#include "tcp/cubic.h"

#include <algorithm>

#include "tcp/loss_window.h"

namespace millrace::tcp {

namespace {

/// The curve's unit of time: a second is 2^12.
constexpr int kTimeShift = 12;
/// 256 s: the curve is then far above any window.
constexpr std::int64_t kMaxTime = std::int64_t{1} << (8 + kTimeShift);

// RFC 9438 §5.1: C = 0.4, beta_cubic = 0.7.
constexpr std::uint32_t kC = 2, kCDivisor = 5;
constexpr std::uint32_t kBeta = 7, kBetaDivisor = 10;
/// RFC 8511 §3.1: beta_ecn of CUBIC.
constexpr std::uint32_t kBetaEcn = 85, kBetaEcnDivisor = 100;
/// RFC 9438 §4.7: (1 + beta_cubic) / 2.
constexpr std::uint32_t kConvergence = 85, kConvergenceDivisor = 100;
/// RFC 9438 §4.3: alpha_cubic = 3 (1 - beta) / (1 + beta) = 9/17, and 1 later on.
constexpr std::uint64_t kAlpha = 9, kAlphaLater = 17, kAlphaDivisor = 17;

std::int64_t curve_time(Duration d) {
  constexpr Duration kMost = 256s;
  return (std::clamp(d, Duration{0}, kMost).count() << kTimeShift) / Duration{1s}.count();
}

/// The largest integer whose cube is at most x, for x <= 2^60.
std::int64_t cube_root(std::uint64_t x) {
  std::uint64_t root = 0;
  for (std::uint64_t bit = 1u << 20; bit != 0; bit >>= 1) {
    const std::uint64_t larger = root | bit;
    if (larger * larger * larger <= x) root = larger;
  }
  return static_cast<std::int64_t>(root);
}

}  // namespace

void Cubic::on_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight) {
  // §4.2, §5.8: the time without anything in flight does not count.
  if (in_flight > bytes || now <= last_ack_) return;
  if (curve_.running) curve_.epoch += now - last_ack_;
  last_ack_ = now;
}

void Cubic::on_ack(const AckSample& sample) {
  if (sample.rtt > Duration{0}) srtt_ = srtt_ == Duration{0} ? sample.rtt : (7 * srtt_ + sample.rtt) / 8;
  const Duration since_last = sample.now - last_ack_;
  last_ack_ = sample.now;
  if (sample.in_recovery) return;
  if (!sample.cwnd_limited) {
    if (curve_.running) curve_.epoch += since_last;
    return;
  }
  if (cwnd_ < ssthresh_) {
    slow_start(sample);
  } else {
    avoid_congestion(sample);
  }
}

void Cubic::slow_start(const AckSample& sample) {
  curve_.running = false;
  cwnd_ = std::min(kMaxCwnd, cwnd_ + hystart_.on_ack(sample, mss_));
  if (!hystart_.finished()) return;
  // §4.10: left without a loss, so that W_max is not known.
  hystart_.stop();
  ssthresh_ = cwnd_;
  curve_.cwnd_prior = cwnd_;
  curve_.w_max = 0;
}

void Cubic::begin_epoch(Instant now) {
  curve_.running = true;
  curve_.epoch = now;
  curve_.w_est = cwnd_;
  growth_rest_ = w_est_rest_ = 0;
  if (curve_.w_max <= cwnd_) {
    // §4.8, §4.10: nothing to return to; the curve begins at its flat middle.
    curve_.w_max = cwnd_;
    curve_.k = 0;
    return;
  }
  // K = cbrt((W_max - cwnd_epoch) / C) with the windows in segments.
  const std::uint64_t cubed =
      (std::uint64_t{curve_.w_max - cwnd_} * kCDivisor << 16) / (std::uint64_t{mss_} * kC);
  constexpr std::uint64_t kMost = std::uint64_t{1} << (60 - 3 * kTimeShift + 16);
  curve_.k = cube_root(std::min(cubed, kMost) << (3 * kTimeShift - 16));
}

std::uint32_t Cubic::w_cubic(Duration t) const {
  // W_cubic(t) = C (t - K)^3 + W_max. Half of the cube's fraction is dropped, so that the product with the
  // MSS fits.
  const std::int64_t d = std::min(curve_time(t) - curve_.k, kMaxTime);
  const std::int64_t cube = d * d * d / (1 << 16);
  const std::int64_t offset = cube * mss_ / kCDivisor * kC / (std::int64_t{1} << (3 * kTimeShift - 16));
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(curve_.w_max + offset, 0, kMaxCwnd));
}

void Cubic::avoid_congestion(const AckSample& sample) {
  if (!curve_.running) begin_epoch(sample.now);
  const Duration t = sample.now - curve_.epoch;

  // §4.3: W_est grows by alpha_cubic segments a window. It catches up with cwnd_prior as Reno would have.
  const std::uint64_t alpha = curve_.w_est >= curve_.cwnd_prior ? kAlphaLater : kAlpha;
  const std::uint64_t divisor = kAlphaDivisor * cwnd_;
  w_est_rest_ += alpha * sample.acked * mss_;
  curve_.w_est =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(kMaxCwnd, curve_.w_est + w_est_rest_ / divisor));
  w_est_rest_ %= divisor;
  if (w_cubic(t) < curve_.w_est) {
    cwnd_ = std::max(cwnd_, curve_.w_est);
    return;
  }
  // §4.2, §4.4, §4.5: towards where the curve will be a round trip from now, by half the window at most.
  const std::uint32_t target = std::clamp(w_cubic(t + srtt_), cwnd_, cwnd_ + cwnd_ / 2);
  growth_rest_ += std::uint64_t{target - cwnd_} * std::min(sample.acked, cwnd_);
  const auto growth = static_cast<std::uint32_t>(growth_rest_ / cwnd_);
  growth_rest_ %= cwnd_;
  cwnd_ = std::min(kMaxCwnd, cwnd_ + growth);
}

void Cubic::save() {
  saved_cwnd_ = cwnd_;
  saved_ssthresh_ = ssthresh_;
  saved_curve_ = curve_;
}

void Cubic::reduce(const LossSample& sample, std::uint32_t numerator, std::uint32_t denominator) {
  save();
  // §4.7: a window that did not reach the last W_max leaves room for others.
  curve_.w_max = cwnd_ < curve_.w_max
                     ? static_cast<std::uint32_t>(std::uint64_t{cwnd_} * kConvergence / kConvergenceDivisor)
                     : cwnd_;
  curve_.cwnd_prior = cwnd_;
  curve_.running = false;
  ssthresh_ = reduced_window(sample.in_flight, numerator, denominator, mss_);
  cwnd_ = ssthresh_;
  hystart_.stop();
}

void Cubic::on_loss(const LossSample& sample) {
  reduce(sample, kBeta, kBetaDivisor);
}

void Cubic::on_ecn(const LossSample& sample) {
  reduce(sample, kBetaEcn, kBetaEcnDivisor);
}

void Cubic::on_rto(const LossSample& sample, bool first) {
  if (first) {
    save();
    curve_.cwnd_prior = cwnd_;
    ssthresh_ = reduced_window(sample.in_flight, kBeta, kBetaDivisor, mss_);
  }
  // §4.8: the first congestion avoidance thereafter begins at the middle of its curve.
  curve_.w_max = 0;
  curve_.running = false;
  cwnd_ = mss_;
  hystart_.stop();
}

void Cubic::on_recovery_exit(Instant /*now*/, std::uint32_t in_flight) {
  cwnd_ = window_after_recovery(ssthresh_, in_flight, mss_);
}

void Cubic::on_undo(Instant /*now*/) {
  ssthresh_ = std::max(ssthresh_, saved_ssthresh_);
  // §4.9: unless the window has outgrown it, the curve goes on where it would be now.
  if (cwnd_ <= saved_cwnd_) {
    cwnd_ = saved_cwnd_;
    curve_ = saved_curve_;
  }
}

void Cubic::on_idle_restart(Duration idle, Duration rto) {
  ssthresh_ = std::max(ssthresh_, cwnd_ / 4 * 3);
  cwnd_ = window_after_idle(cwnd_, initial_window_, idle, rto);
}

void Cubic::resume(const RestingWindow& window) {
  cwnd_ = window.cwnd;
  ssthresh_ = window.ssthresh;
  curve_.w_max = window.w_max;
  save();
  // RFC 9406 §4.2: a slow start that knows an ssthresh is not the first.
  if (ssthresh_ != std::numeric_limits<std::uint32_t>::max()) hystart_.stop();
}

void Cubic::set_mss(std::uint32_t mss) {
  if (mss == mss_) return;
  // Windows are counted in bytes; only their floor follows, and the curve begins anew with the next ACK.
  mss_ = mss;
  cwnd_ = std::max(cwnd_, mss_);
  curve_.running = false;
}

}  // namespace millrace::tcp
