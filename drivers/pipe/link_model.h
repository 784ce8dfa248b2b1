#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace millrace::drivers {

/// The time arithmetic of one direction of a link: a transmitter of a given rate, which is busy with one
/// frame at a time.
class Transmitter {
 public:
  /// Bits a second; 0: no time passes.
  explicit Transmitter(std::uint64_t rate = 0) : rate_(rate) {}

  /// Begins with a frame of so many bytes as soon as it can; returns when the last bit has left.
  Instant send(std::uint64_t bytes, Instant now) {
    busy_until_ = std::max(busy_until_, now) + time_for(bytes);
    return busy_until_;
  }
  [[nodiscard]] Duration time_for(std::uint64_t bytes) const {
    if (rate_ == 0) return Duration::zero();
    // Rounded up. 8e9 bits-ns a byte: 64 bits are enough up to 2 GB.
    return Duration{static_cast<Duration::rep>((bytes * 8'000'000'000u + rate_ - 1) / rate_)};
  }
  [[nodiscard]] std::uint64_t rate() const { return rate_; }

 private:
  std::uint64_t rate_;
  Instant busy_until_{};
};

}  // namespace millrace::drivers
