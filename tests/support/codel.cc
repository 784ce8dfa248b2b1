#include "support/codel.h"

#include <cmath>

namespace millrace::test {

bool Codel::above_for_long(Instant now, Duration sojourn, std::size_t bytes_left) {
  if (sojourn < target_ || bytes_left <= mtu_) {
    first_above_ = kNever;
    return false;
  }
  if (first_above_ == kNever) {
    first_above_ = now + interval_;
    return false;
  }
  return now >= first_above_;
}

Instant Codel::control_law(Instant from) const {
  return from + Duration{std::llround(static_cast<double>(interval_.count()) / std::sqrt(count_))};
}

bool Codel::congested(Instant now, Duration sojourn, std::size_t bytes_left) {
  const bool ok_to_drop = above_for_long(now, sojourn, bytes_left);
  if (dropping_) {
    if (!ok_to_drop) {
      dropping_ = false;
      return false;
    }
    if (now < drop_next_) return false;
    ++count_;
    drop_next_ = control_law(drop_next_);
    return true;
  }
  if (!ok_to_drop) return false;
  dropping_ = true;
  // RFC 8289 §5.4: a state left shortly ago is gone on with near the rate that it had found.
  const std::uint32_t delta = count_ - last_count_;
  count_ = delta > 1 && now - drop_next_ < 16 * interval_ ? delta : 1;
  drop_next_ = control_law(now);
  last_count_ = count_;
  return true;
}

}  // namespace millrace::test
