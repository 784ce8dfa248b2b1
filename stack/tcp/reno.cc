#include "tcp/reno.h"

#include <algorithm>

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kMaxWindow = 1u << 30;

/// RFC 6928: min(10 MSS, max(2 MSS, 14600)), with the number of segments configurable.
std::uint32_t initial_window(std::uint32_t mss, unsigned segments) {
  return std::min(segments * mss, std::max(2 * mss, segments * 1460));
}

}  // namespace

Reno::Reno(std::uint32_t mss, unsigned initial_window_segments)
    : mss_(mss), initial_window_(initial_window(mss, initial_window_segments)), cwnd_(initial_window_) {}

void Reno::on_ack(const AckSample& sample) {
  if (!sample.cwnd_limited || sample.in_recovery) return;
  if (cwnd_ < ssthresh_) {
    // RFC 5681 §3.1 (2), RFC 3465 §2.2. A peer that acknowledges whole super-segments acknowledges many
    // segments at once; L counts per segment of the ACK's worth, so growth is by what was acknowledged, never
    // beyond doubling.
    cwnd_ = std::min(kMaxWindow, cwnd_ + std::min(sample.acked, std::max(2 * mss_, sample.prior_in_flight)));
    return;
  }
  bytes_acked_ += sample.acked;
  if (bytes_acked_ >= cwnd_) {
    bytes_acked_ -= cwnd_;
    cwnd_ = std::min(kMaxWindow, cwnd_ + mss_);
  }
}

std::uint32_t Reno::half_flight(std::uint32_t in_flight) const {
  return std::max(in_flight / 2, 2 * mss_);
}

void Reno::on_loss(const LossSample& sample) {
  // RFC 5681 §3.2 (2), equation (4).
  prior_cwnd_ = cwnd_;
  prior_ssthresh_ = ssthresh_;
  ssthresh_ = half_flight(sample.in_flight);
  cwnd_ = ssthresh_;
  bytes_acked_ = 0;
}

void Reno::on_rto(const LossSample& sample, bool first) {
  if (first) {
    prior_cwnd_ = cwnd_;
    prior_ssthresh_ = ssthresh_;
    ssthresh_ = half_flight(sample.in_flight);
  }
  cwnd_ = mss_;
  bytes_acked_ = 0;
}

void Reno::on_recovery_exit(Instant /*now*/, std::uint32_t in_flight) {
  cwnd_ = std::min(ssthresh_, std::max(in_flight, mss_) + mss_);
}

void Reno::on_undo(Instant /*now*/) {
  cwnd_ = std::max(cwnd_, prior_cwnd_);
  ssthresh_ = std::max(ssthresh_, prior_ssthresh_);
}

void Reno::on_idle_restart(Duration idle, Duration rto) {
  // RFC 2861 §3: ssthresh remembers three quarters of the window, which halves for every RTO without traffic.
  ssthresh_ = std::max(ssthresh_, cwnd_ / 4 * 3);
  const std::uint32_t floor = std::min(cwnd_, initial_window_);
  for (; idle > rto && cwnd_ > floor; idle -= rto) cwnd_ /= 2;
  cwnd_ = std::max(cwnd_, floor);
}

void Reno::set_mss(std::uint32_t mss) {
  if (mss == mss_) return;
  // The window is counted in bytes; only its floor follows a smaller MSS.
  mss_ = mss;
  cwnd_ = std::max(cwnd_, mss_);
}

}  // namespace millrace::tcp
