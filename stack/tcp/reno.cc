#include "tcp/reno.h"

#include <algorithm>

#include "tcp/loss_window.h"

namespace millrace::tcp {

void Reno::on_ack(const AckSample& sample) {
  if (!sample.cwnd_limited || sample.in_recovery) return;
  if (cwnd_ < ssthresh_) {
    constexpr std::uint32_t kLimit = 2;  // RFC 3465 §2.2: L
    cwnd_ = std::min(kMaxCwnd, cwnd_ + slow_start_growth(sample.acked, sample.prior_in_flight, kLimit, mss_));
    return;
  }
  bytes_acked_ += sample.acked;
  if (bytes_acked_ >= cwnd_) {
    bytes_acked_ -= cwnd_;
    cwnd_ = std::min(kMaxCwnd, cwnd_ + mss_);
  }
}

void Reno::reduce(const LossSample& sample, std::uint32_t numerator, std::uint32_t denominator) {
  prior_cwnd_ = cwnd_;
  prior_ssthresh_ = ssthresh_;
  ssthresh_ = reduced_window(sample.in_flight, numerator, denominator, mss_);
  cwnd_ = ssthresh_;
  bytes_acked_ = 0;
}

void Reno::on_loss(const LossSample& sample) {
  reduce(sample, 1, 2);  // RFC 5681 §3.2 (2), equation (4)
}

void Reno::on_ecn(const LossSample& sample) {
  reduce(sample, 8, 10);  // RFC 8511 §3.1: beta_ecn; a router that marks keeps a short queue
}

void Reno::on_rto(const LossSample& sample, bool first) {
  if (first) {
    prior_cwnd_ = cwnd_;
    prior_ssthresh_ = ssthresh_;
    ssthresh_ = reduced_window(sample.in_flight, 1, 2, mss_);
  }
  cwnd_ = mss_;
  bytes_acked_ = 0;
}

void Reno::on_recovery_exit(Instant /*now*/, std::uint32_t in_flight) {
  cwnd_ = window_after_recovery(ssthresh_, in_flight, mss_);
}

void Reno::on_undo(Instant /*now*/) {
  cwnd_ = std::max(cwnd_, prior_cwnd_);
  ssthresh_ = std::max(ssthresh_, prior_ssthresh_);
}

void Reno::on_idle_restart(Duration idle, Duration rto) {
  // RFC 2861 §3: ssthresh remembers three quarters of the window.
  ssthresh_ = std::max(ssthresh_, cwnd_ / 4 * 3);
  cwnd_ = window_after_idle(cwnd_, initial_window_, idle, rto);
}

void Reno::resume(const RestingWindow& window) {
  cwnd_ = prior_cwnd_ = window.cwnd;
  ssthresh_ = prior_ssthresh_ = window.ssthresh;
}

void Reno::set_mss(std::uint32_t mss) {
  if (mss == mss_) return;
  // The window is counted in bytes; only its floor follows a smaller MSS.
  mss_ = mss;
  cwnd_ = std::max(cwnd_, mss_);
}

}  // namespace millrace::tcp
