#include "tcp/dctcp.h"

#include <algorithm>

#include "tcp/loss_window.h"

namespace millrace::tcp {

namespace {

/// RFC 8257 §4.2: g = 1/16.
constexpr int kGainShift = 4;

}  // namespace

void Dctcp::on_ack(const AckSample& sample) {
  window_acked_ += sample.delivered;
  if (sample.ece) {
    window_marked_ += sample.delivered;
    // The window is reduced at its end; until then at least it does not double.
    if (cwnd_ < ssthresh_) ssthresh_ = cwnd_;
  }
  if (sample.acked_total >= window_end_) end_window(sample.sent_total);
  if (!sample.cwnd_limited || sample.in_recovery || sample.ece) return;
  if (cwnd_ < ssthresh_) {
    constexpr std::uint32_t kLimit = 2;
    cwnd_ = std::min(kMaxCwnd, cwnd_ + slow_start_growth(sample.acked, sample.prior_in_flight, kLimit, mss_));
    return;
  }
  bytes_acked_ += sample.acked;
  if (bytes_acked_ >= cwnd_) {
    bytes_acked_ -= cwnd_;
    cwnd_ = std::min(kMaxCwnd, cwnd_ + mss_);
  }
}

void Dctcp::end_window(std::uint64_t sent_total) {
  // §3.3: alpha = alpha (1 - g) + g M.
  if (window_acked_ != 0) {
    const auto share = static_cast<std::uint32_t>(window_marked_ * kAlphaOne / window_acked_);
    alpha_ = alpha_ - (alpha_ >> kGainShift) + (share >> kGainShift);
  }
  if (window_marked_ != 0 && !reduced_in_window_) reduce_by_alpha();
  window_acked_ = window_marked_ = 0;
  window_end_ = sent_total;
  reduced_in_window_ = false;
}

void Dctcp::save() {
  prior_cwnd_ = cwnd_;
  prior_ssthresh_ = ssthresh_;
  bytes_acked_ = 0;
}

void Dctcp::reduce_by_alpha() {
  // §3.3: cwnd = cwnd (1 - alpha / 2).
  save();
  cwnd_ = reduced_window(cwnd_, 2 * kAlphaOne - alpha_, 2 * kAlphaOne, mss_);
  ssthresh_ = cwnd_;
}

void Dctcp::on_ecn(const LossSample& /*sample*/) {
  if (reduced_in_window_) return;
  reduced_in_window_ = true;
  reduce_by_alpha();
}

void Dctcp::on_loss(const LossSample& sample) {
  // §3.5: as any TCP.
  save();
  reduced_in_window_ = true;
  ssthresh_ = reduced_window(sample.in_flight, 1, 2, mss_);
  cwnd_ = ssthresh_;
}

void Dctcp::on_rto(const LossSample& sample, bool first) {
  if (first) {
    save();
    ssthresh_ = reduced_window(sample.in_flight, 1, 2, mss_);
  }
  cwnd_ = mss_;
  bytes_acked_ = 0;
}

void Dctcp::on_recovery_exit(Instant /*now*/, std::uint32_t in_flight) {
  cwnd_ = window_after_recovery(ssthresh_, in_flight, mss_);
}

void Dctcp::on_undo(Instant /*now*/) {
  cwnd_ = std::max(cwnd_, prior_cwnd_);
  ssthresh_ = std::max(ssthresh_, prior_ssthresh_);
}

void Dctcp::on_idle_restart(Duration idle, Duration rto) {
  ssthresh_ = std::max(ssthresh_, cwnd_ / 4 * 3);
  cwnd_ = window_after_idle(cwnd_, initial_window_, idle, rto);
}

void Dctcp::set_mss(std::uint32_t mss) {
  mss_ = mss;
  cwnd_ = std::max(cwnd_, mss_);
}

}  // namespace millrace::tcp
