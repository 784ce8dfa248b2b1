#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "histogram.h"
#include "load.h"
#include "machine_cpu.h"

namespace millrace::load {

/// When to stop, and what to measure: nothing that began before the warm-up was over.
class Window {
 public:
  static constexpr auto kWarmUp = std::chrono::milliseconds(200);
  /// How long after the end of a run the last answers may come.
  static constexpr auto kLastAnswers = std::chrono::seconds(1);

  explicit Window(const Options& options)
      : count_(options.count),
        start_(Clock::now() + (count_ == 0 ? kWarmUp : Clock::duration::zero())),
        end_(start_ +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds))) {}

  [[nodiscard]] Clock::time_point start() const { return start_; }
  [[nodiscard]] Clock::time_point end() const { return end_; }

  /// A round trip, or several at once: when its request was sent, or should have been.
  void note(Clock::time_point began, Clock::time_point ended, std::uint64_t times = 1) {
    if (ended >= start_) {
      if (!cpu_) cpu_.emplace();
      answered_ += times;
    }
    if (began < start_) return;
    histogram_.add(static_cast<std::uint64_t>((ended - began).count()), times);
  }
  /// The client looked for answers, and found some or none: who always finds some is what limits the run.
  void look(bool found) {
    ++looks_;
    empty_looks_ += found ? 0 : 1;
  }
  /// Also without an answer.
  [[nodiscard]] bool over() {
    now_ = Clock::now();
    return count_ != 0 ? histogram_.count() >= count_ : now_ >= end_;
  }

  void fill(Report& report) const {
    const double elapsed = std::chrono::duration<double>(now_ - start_).count();
    report.add("round_trips", histogram_.count());
    report.add("rate", elapsed > 0 ? static_cast<double>(answered_) / elapsed : 0.0);
    report.add("p50_us", histogram_.quantile(0.5) / 1e3);
    report.add("p99_us", histogram_.quantile(0.99) / 1e3);
    report.add("p999_us", histogram_.quantile(0.999) / 1e3);
    if (answered_ != 0) report.add("cpu_us_each", cpu_->seconds() * 1e6 / static_cast<double>(answered_));
    if (looks_ != 0)
      report.add("empty_looks", static_cast<double>(empty_looks_) / static_cast<double>(looks_));
  }

 private:
  std::uint64_t count_;
  Clock::time_point start_, end_;
  Clock::time_point now_ = start_;  ///< when it was last looked at
  std::uint64_t answered_ = 0;      ///< in the window, whenever it was asked
  std::uint64_t looks_ = 0, empty_looks_ = 0;
  std::optional<MachineCpu> cpu_;  ///< since the first of these
  Histogram histogram_;
};

}  // namespace millrace::load
