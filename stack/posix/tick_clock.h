#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>

#include "base/time.h"

namespace millrace::posix {

/// CLOCK_MONOTONIC, reckoned from the processor's time stamp counter. The kernel's own reading takes the same
/// counter, but waits before that for all loads under way (the vDSO's lfence), which for a stack that has
/// just asked for data from far away is dearer than the reading itself.
///
/// Each processor's counter is compared with the kernel's clock every kStride: those of a virtual machine
/// need not agree. It is trusted while two comparisons in a row find the same rate; otherwise, and where the
/// kernel's clock does not count by it, each call is the kernel's. So the time is off by what the kernel
/// slews within a stride, and by the noise of a comparison: fractions of a microsecond. Threads may see one
/// another's times so far apart; and one that finds a comparison under way, or has come to another processor,
/// a time that is behind its last one by as much.
///
/// Any thread, any number of them, signal handlers too: nobody waits here, who finds a comparison under way
/// asks the kernel.
///
/// `Source` has static functions: kernel(), the kernel's clock; ticks(), the counter; processor(), whose it
/// is, a large number where that is not known; trusted(), whether the counter may be used at all, asked once.
template <typename Source>
class TickClock {
 public:
  static constexpr Duration kStride = 1ms;
  /// A comparison that took longer was interrupted, and says nothing.
  static constexpr Duration kLongReading = 250ns;
  /// A time that was told is further ahead of the kernel's only when the counter went wrong.
  static constexpr Duration kNoise = 10us;
  /// Two rates are the same: the kernel slews by 500 ppm at most, the rest is for noise.
  static constexpr double kSameRate = 1e-3;

  /// The kernel is asked on all processors beyond these.
  static constexpr std::uint32_t kProcessors = 256;

  [[nodiscard]] Instant now() {
    const std::uint32_t processor = Source::processor();
    if (processor >= kProcessors) return Source::kernel();
    Counter& counter = counters_[processor];
    // A sequence lock: the version is odd while the other fields change.
    const std::uint32_t version = counter.version.load(std::memory_order_acquire);
    const std::uint64_t passed = Source::ticks() - counter.ticks.load(std::memory_order_acquire);
    const std::uint64_t good_for = counter.good_for.load(std::memory_order_acquire);
    const std::uint64_t scale = counter.scale.load(std::memory_order_acquire);
    const std::int64_t time = counter.time.load(std::memory_order_acquire);
    // One that came to another processor in between read that one's counter.
    if (Source::processor() != processor) [[unlikely]]
      return Source::kernel();
    if (passed < good_for && counter.version.load(std::memory_order_relaxed) == (version & ~1U)) [[likely]]
      return Instant(Duration(time + elapsed(passed, scale)));
    return compare(processor);
  }

  /// In the child of fork(2): a thread that does not exist there may have been amid a comparison.
  void after_fork_in_child() {
    for (Counter& counter : counters_) {
      const std::uint32_t version = counter.version.load(std::memory_order_relaxed);
      if (version % 2 == 0) continue;
      counter.set(0, 0, 0, 0);
      counter.version.store(version + 1, std::memory_order_release);
    }
  }

 private:
  enum class Use : std::uint8_t { kUnasked, kAllowed, kForbidden };

  /// One processor's.
  struct alignas(64) Counter {
    // Read by all.
    std::atomic<std::uint32_t> version{0};
    std::atomic<std::uint64_t> good_for{0};  ///< so many ticks after `ticks`; 0: it is not trusted
    std::atomic<std::uint64_t> ticks{0};
    std::atomic<std::int64_t> time{0};  ///< at `ticks`
    std::atomic<std::uint64_t> scale{0};

    // Of who compares.
    Instant compared_at{};
    std::uint64_t compared_ticks = 0;
    double rate = 0;  ///< nanoseconds a tick

    /// The latest time that may have been told, `at` being the counter's.
    [[nodiscard]] Instant reckoned(std::uint64_t at) const {
      const std::uint64_t passed =
          std::min(at - ticks.load(std::memory_order_relaxed), good_for.load(std::memory_order_relaxed));
      return Instant(Duration(time.load(std::memory_order_relaxed) +
                              elapsed(passed, scale.load(std::memory_order_relaxed))));
    }
    void set(std::uint64_t new_ticks, std::int64_t new_time, double new_rate, std::uint64_t new_good_for) {
      // Each with release: none is seen before the version became odd.
      ticks.store(new_ticks, std::memory_order_release);
      time.store(new_time, std::memory_order_release);
      scale.store(static_cast<std::uint64_t>(std::ldexp(new_rate, 32)), std::memory_order_release);
      good_for.store(new_good_for, std::memory_order_release);
    }
  };

  /// Nanoseconds in 2^-32: `ticks` of no more than a few strides do not overflow.
  static std::int64_t elapsed(std::uint64_t ticks, std::uint64_t scale) {
    return static_cast<std::int64_t>((ticks * scale) >> 32);
  }

  [[gnu::noinline]] Instant compare(std::uint32_t processor) {
    Counter& counter = counters_[processor];
    if (use_.load(std::memory_order_relaxed) == Use::kForbidden) return Source::kernel();
    std::uint32_t version = counter.version.load(std::memory_order_relaxed);
    if (version % 2 != 0 ||
        !counter.version.compare_exchange_strong(version, version + 1, std::memory_order_acquire))
      return Source::kernel();
    const Instant result = compare_alone(processor);
    counter.version.store(version + 2, std::memory_order_release);
    return result;
  }

  Instant compare_alone(std::uint32_t processor) {
    Counter& counter = counters_[processor];
    if (use_.load(std::memory_order_relaxed) == Use::kUnasked)
      use_.store(Source::trusted() ? Use::kAllowed : Use::kForbidden, std::memory_order_relaxed);
    if (use_.load(std::memory_order_relaxed) == Use::kForbidden) return Source::kernel();

    const std::uint64_t before = Source::ticks();
    const Instant kernel = Source::kernel();
    const std::uint64_t took = Source::ticks() - before;
    const std::uint64_t ticks = before + took / 2;
    if (Source::processor() != processor) return kernel;

    const Instant told = counter.reckoned(ticks);
    const Instant now = told > kernel && told - kernel < kNoise ? told : kernel;  // none is taken back
    const Duration since = kernel - counter.compared_at;
    if (since < kStride) return now;
    const auto counted = static_cast<std::int64_t>(ticks - counter.compared_ticks);
    // 0, and the same as no other: it stood still, or was set back.
    const double rate = counted > 0 ? static_cast<double>(since.count()) / static_cast<double>(counted) : 0;
    const bool interrupted = static_cast<double>(took) * rate > static_cast<double>(kLongReading.count());
    if (interrupted && counter.compared_at != kEpoch) return now;
    const bool same = rate > 0 && std::abs(rate - counter.rate) <= kSameRate * counter.rate;
    counter.compared_at = kernel;
    counter.compared_ticks = ticks;
    counter.rate = rate;
    if (!same) {
      counter.set(0, 0, 0, 0);
      return now;
    }
    counter.set(ticks, now.time_since_epoch().count(), rate,
                static_cast<std::uint64_t>(static_cast<double>(kStride.count()) / rate));
    return now;
  }

  std::atomic<Use> use_{Use::kUnasked};
  std::array<Counter, kProcessors> counters_{};
};

}  // namespace millrace::posix
