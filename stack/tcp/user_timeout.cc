#include "tcp/user_timeout.h"

namespace millrace::tcp {

namespace {

constexpr std::uint16_t kMinutes = 0x8000;  ///< the granularity bit
constexpr std::int64_t kMost = 0x7fff;

/// Rounded up, 1 at least.
std::int64_t count_of(Duration timeout, Duration unit) {
  return std::max<std::int64_t>(1, (timeout.count() + unit.count() - 1) / unit.count());
}

}  // namespace

std::uint16_t UserTimeout::encode(Duration timeout) {
  const std::int64_t seconds = count_of(timeout, 1s);
  if (seconds <= kMost) return static_cast<std::uint16_t>(seconds);
  return static_cast<std::uint16_t>(kMinutes | std::min(count_of(timeout, 60s), kMost));
}

Duration UserTimeout::decode(std::uint16_t value) {
  const std::int64_t count = value & kMost;
  return (value & kMinutes) != 0 ? count * Duration{60s} : count * Duration{1s};
}

}  // namespace millrace::tcp
