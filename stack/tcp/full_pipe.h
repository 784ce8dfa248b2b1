#pragma once

#include <cstdint>

namespace millrace::tcp {

/// Sees when sending faster delivers no faster (draft-ietf-ccwg-bbr, "Exiting Acceleration Based on Bandwidth
/// Plateau"): the pipe is full after three rounds in which the rate has grown by less than a quarter.
class FullPipe {
 public:
  /// Begins to look; growth counts from `rate` on.
  void reset(std::uint64_t rate = 0) {
    rate_ = rate;
    rounds_ = 0;
  }
  /// A round is over whose sample, not limited by the application, was `rate`.
  void on_round(std::uint64_t rate) {
    if (full()) return;
    if (rate >= rate_ + rate_ / 4) {
      reset(rate);
    } else {
      ++rounds_;
    }
  }
  [[nodiscard]] bool full() const { return rounds_ >= kRounds; }

 private:
  static constexpr std::uint8_t kRounds = 3;
  std::uint64_t rate_ = 0;
  std::uint8_t rounds_ = 0;
};

}  // namespace millrace::tcp
