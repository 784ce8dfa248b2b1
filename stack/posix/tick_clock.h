#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>

#include "base/time.h"

namespace millrace::posix {

/// CLOCK_MONOTONIC, reckoned from the processor's time stamp counter. The kernel's own reading takes the same
/// counter, but waits before that for all loads under way (the vDSO's lfence), which for a stack that has
/// just asked for data from far away is dearer than the reading itself.
///
/// The counter is compared with the kernel's clock every kStride. It is trusted while two comparisons in a
/// row find the same rate; otherwise, and where the kernel itself does not trust it, each call is the
/// kernel's. So the time is off by what the kernel slews within a stride, and by the noise of a comparison:
/// fractions of a microsecond. Threads may see one another's times so far apart,
/// and one that finds a comparison under way a time that is behind its last one by as much.
///
/// Any thread, any number of them, signal handlers too: nobody waits here, who finds a comparison under way
/// asks the kernel.
///
/// `Source` has static functions: kernel(), the kernel's clock; ticks(), the counter; trusted(), whether the
/// counter may be used at all, asked once.
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

  [[nodiscard]] Instant now() {
    // A sequence lock: the version is odd while the other fields change.
    const std::uint32_t version = version_.load(std::memory_order_acquire);
    const std::uint64_t passed = Source::ticks() - ticks_.load(std::memory_order_acquire);
    const std::uint64_t good_for = good_for_.load(std::memory_order_acquire);
    const std::uint64_t scale = scale_.load(std::memory_order_acquire);
    const std::int64_t time = time_.load(std::memory_order_acquire);
    if (passed < good_for && version_.load(std::memory_order_relaxed) == (version & ~1U)) [[likely]]
      return Instant(Duration(time + elapsed(passed, scale)));
    return compare();
  }

  /// In the child of fork(2): a thread that does not exist there may have been amid a comparison.
  void after_fork_in_child() {
    const std::uint32_t version = version_.load(std::memory_order_relaxed);
    if (version % 2 == 0) return;
    set(0, 0, 0, 0);
    version_.store(version + 1, std::memory_order_release);
  }

 private:
  enum class Use : std::uint8_t { kUnasked, kAllowed, kForbidden };

  /// Nanoseconds in 2^-32: `ticks` of no more than a few strides do not overflow.
  static std::int64_t elapsed(std::uint64_t ticks, std::uint64_t scale) {
    return static_cast<std::int64_t>((ticks * scale) >> 32);
  }

  [[gnu::noinline]] Instant compare() {
    if (use_.load(std::memory_order_relaxed) == Use::kForbidden) return Source::kernel();
    std::uint32_t version = version_.load(std::memory_order_relaxed);
    if (version % 2 != 0 ||
        !version_.compare_exchange_strong(version, version + 1, std::memory_order_acquire))
      return Source::kernel();
    const Instant result = compare_alone();
    version_.store(version + 2, std::memory_order_release);
    return result;
  }

  Instant compare_alone() {
    if (use_.load(std::memory_order_relaxed) == Use::kUnasked)
      use_.store(Source::trusted() ? Use::kAllowed : Use::kForbidden, std::memory_order_relaxed);
    if (use_.load(std::memory_order_relaxed) == Use::kForbidden) return Source::kernel();

    const std::uint64_t before = Source::ticks();
    const Instant kernel = Source::kernel();
    const std::uint64_t took = Source::ticks() - before;
    const std::uint64_t ticks = before + took / 2;

    const Instant told = reckoned(ticks);
    const Instant now = told > kernel && told - kernel < kNoise ? told : kernel;  // none is taken back
    const Duration since = kernel - compared_at_;
    if (since < kStride) return now;
    const double rate = static_cast<double>(since.count()) / static_cast<double>(ticks - compared_ticks_);
    const bool interrupted = static_cast<double>(took) * rate > static_cast<double>(kLongReading.count());
    if (interrupted && compared_at_ != kEpoch) return now;
    const bool same = std::abs(rate - rate_) <= kSameRate * rate_;  // false of no number, too
    compared_at_ = kernel;
    compared_ticks_ = ticks;
    rate_ = rate;
    if (!same) {
      set(0, 0, 0, 0);
      return now;
    }
    set(ticks, now.time_since_epoch().count(), rate,
        static_cast<std::uint64_t>(static_cast<double>(kStride.count()) / rate));
    return now;
  }

  /// The latest time that may have been told, `ticks` being the counter's.
  [[nodiscard]] Instant reckoned(std::uint64_t ticks) const {
    const std::uint64_t passed =
        std::min(ticks - ticks_.load(std::memory_order_relaxed), good_for_.load(std::memory_order_relaxed));
    return Instant(Duration(time_.load(std::memory_order_relaxed) +
                            elapsed(passed, scale_.load(std::memory_order_relaxed))));
  }

  void set(std::uint64_t ticks, std::int64_t time, double rate, std::uint64_t good_for) {
    // Each with release: none is seen before the version became odd.
    ticks_.store(ticks, std::memory_order_release);
    time_.store(time, std::memory_order_release);
    scale_.store(static_cast<std::uint64_t>(std::ldexp(rate, 32)), std::memory_order_release);
    good_for_.store(good_for, std::memory_order_release);
  }

  // Read by all: a cache line of their own.
  alignas(64) std::atomic<std::uint32_t> version_{0};
  std::atomic<Use> use_{Use::kUnasked};
  std::atomic<std::uint64_t> good_for_{0};  ///< so many ticks after ticks_; 0: the counter is not trusted
  std::atomic<std::uint64_t> ticks_{0};
  std::atomic<std::int64_t> time_{0};  ///< at ticks_
  std::atomic<std::uint64_t> scale_{0};

  // Of who compares.
  Instant compared_at_{};
  std::uint64_t compared_ticks_ = 0;
  double rate_ = 0;  ///< nanoseconds a tick
};

}  // namespace millrace::posix
