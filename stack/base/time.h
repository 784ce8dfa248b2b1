#pragma once

#include <chrono>
#include <cstdint>

namespace millrace {

/// The stack's notion of time. It has no now(): time is a parameter of every call that needs it, so that the
/// pure part runs as well in virtual time. In production the posix room feeds CLOCK_MONOTONIC.
struct StackClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<StackClock>;
  static constexpr bool is_steady = true;
};

using Duration = StackClock::duration;
using Instant = StackClock::time_point;

/// "No deadline": later than every other Instant.
inline constexpr Instant kNever = Instant::max();
inline constexpr Instant kEpoch = Instant{};

using namespace std::chrono_literals;  // 100ms reads as RFC text does

[[nodiscard]] constexpr std::int64_t to_ms(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

}  // namespace millrace
