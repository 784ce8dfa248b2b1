#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace millrace::ip {

/// Lets `per_second` events a second pass in the long run, and up to `burst` at once. Starts full.
class TokenBucket {
 public:
  TokenBucket(std::size_t per_second, std::size_t burst)
      : interval_(per_second == 0 ? Duration::max() : Duration{1s} / static_cast<Duration::rep>(per_second)),
        burst_(burst),
        tokens_(burst) {}

  [[nodiscard]] bool take(Instant now) {
    if (tokens_ < burst_ && now - filled_ >= interval_) {
      const auto earned = static_cast<std::uint64_t>((now - filled_) / interval_);
      tokens_ = static_cast<std::size_t>(std::min<std::uint64_t>(burst_, tokens_ + earned));
      filled_ = now - (now - filled_) % interval_;
    }
    if (tokens_ == 0) return false;
    if (tokens_-- == burst_) filled_ = now;  // time did not count while the bucket was full
    return true;
  }

 private:
  Duration interval_;
  std::size_t burst_;
  std::size_t tokens_;
  Instant filled_{};
};

}  // namespace millrace::ip
