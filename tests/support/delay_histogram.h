#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace millrace::test {

/// Delays in bins of 1/128 of their magnitude.
class DelayHistogram {
 public:
  void add(Duration delay) {
    ++bins_[bin(static_cast<std::uint64_t>(delay.count()))];
    ++count_;
    sum_ += delay;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Duration mean() const {
    return count_ == 0 ? Duration{0} : sum_ / static_cast<Duration::rep>(count_);
  }
  /// The middle of the bin up to which that share of all lies.
  [[nodiscard]] Duration quantile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBins; ++i) {
      seen += bins_[i];
      if (seen > wanted) return Duration{static_cast<Duration::rep>((lower_end(i) + lower_end(i + 1)) / 2)};
    }
    return Duration{0};
  }
  void clear() { *this = DelayHistogram(); }

 private:
  static constexpr unsigned kStepBits = 7;  // 128 steps in each power of two
  static constexpr std::size_t kBins = (64 - kStepBits + 1) << kStepBits;

  static std::size_t bin(std::uint64_t value) {
    if (value < 1u << kStepBits) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kStepBits - 1;
    return (std::size_t{shift} << kStepBits) + (value >> shift);
  }
  static std::uint64_t lower_end(std::size_t bin) {
    if (bin < 2u << kStepBits) return bin;
    const std::size_t shift = (bin >> kStepBits) - 1;
    return (bin - (shift << kStepBits)) << shift;
  }

  std::array<std::uint32_t, kBins> bins_{};
  std::uint64_t count_ = 0;
  Duration sum_{0};
};

}  // namespace millrace::test
