#pragma once

#include <algorithm>

#include "base/time.h"

namespace millrace::tcp {

/// Retransmission timeout by RFC 6298. The back-off is the caller's count; clamp() bounds the result.
class RttEstimator {
 public:
  RttEstimator(Duration initial, Duration min, Duration max) : rto_(initial), min_(min), max_(max) {}

  /// RFC 6298 (2.2), (2.3): alpha 1/8, beta 1/4. The variance term has the floor rto_min (as Linux), so that
  /// a quiet path's RTO is RTT + rto_min.
  void sample(Duration rtt) {
    rtt = std::max(rtt, Duration{1});
    latest_ = rtt;
    min_rtt_ = std::min(min_rtt_, rtt);
    if (!valid_) {
      srtt_ = rtt;
      rttvar_ = rtt / 2;
      valid_ = true;
    } else {
      const Duration delta = srtt_ > rtt ? srtt_ - rtt : rtt - srtt_;
      rttvar_ = (3 * rttvar_ + delta) / 4;
      srtt_ = (7 * srtt_ + rtt) / 8;
    }
    set_rto();
  }
  /// As it was when a connection fell silent.
  void resume(Duration srtt, Duration rttvar, Duration min_rtt) {
    srtt_ = latest_ = srtt;
    rttvar_ = rttvar;
    min_rtt_ = min_rtt;
    valid_ = true;
    set_rto();
  }
  /// A path as short as this was seen, whatever becomes of the sample.
  void note_minimum(Duration rtt) { min_rtt_ = std::min(min_rtt_, std::max(rtt, Duration{1})); }
  [[nodiscard]] Duration rto() const { return rto_; }
  /// RFC 6298 (5.5): doubled for each expiry, bounded.
  [[nodiscard]] Duration backed_off(unsigned expiries) const {
    Duration d = rto_;
    for (unsigned i = 0; i < expiries && d < max_; ++i) d *= 2;
    return std::min(d, max_);
  }
  /// RFC 6298 (5.7): the timer expired while waiting for the ACK of a SYN.
  void reset_after_syn_timeout() {
    constexpr Duration kAfterSyn = 3s;
    if (!valid_) rto_ = std::max(rto_, kAfterSyn);
  }
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] Duration srtt() const { return srtt_; }
  [[nodiscard]] Duration rttvar() const { return rttvar_; }
  [[nodiscard]] Duration latest() const { return latest_; }
  [[nodiscard]] Duration min_rtt() const { return valid_ ? min_rtt_ : Duration{0}; }

 private:
  void set_rto() { rto_ = std::min(max_, srtt_ + std::max(min_, 4 * rttvar_)); }

  Duration rto_, min_, max_;
  Duration srtt_{0}, rttvar_{0}, latest_{0}, min_rtt_ = Duration::max();
  bool valid_ = false;
};

}  // namespace millrace::tcp
