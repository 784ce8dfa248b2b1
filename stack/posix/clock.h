#pragma once

#include <time.h>

#include "base/time.h"

namespace millrace::posix {

/// The time that production feeds the stack: CLOCK_MONOTONIC, through the vDSO.
[[nodiscard]] inline Instant clock_now() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return Instant{std::chrono::seconds{ts.tv_sec} + std::chrono::nanoseconds{ts.tv_nsec}};
}

/// now + d, without overflow: a far deadline is kNever.
[[nodiscard]] constexpr Instant after(Instant now, Duration d) {
  return d >= kNever - now ? kNever : now + d;
}

[[nodiscard]] inline timespec to_timespec(Duration d) {
  if (d < Duration::zero()) d = Duration::zero();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(d);
  timespec ts;
  ts.tv_sec = seconds.count();
  ts.tv_nsec = (d - seconds).count();
  return ts;
}

}  // namespace millrace::posix
