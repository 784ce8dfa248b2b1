#pragma once

#include <time.h>

#include "base/time.h"
#include "posix/processor_ticks.h"
#include "posix/tick_clock.h"

namespace millrace::posix {

inline constinit TickClock<ProcessorTicks> tick_clock;

/// The time that production feeds the stack: CLOCK_MONOTONIC.
[[nodiscard]] inline Instant clock_now() {
  return tick_clock.now();
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
