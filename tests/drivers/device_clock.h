#pragma once

#include <chrono>

#include "base/time.h"

namespace millrace::drivers {

/// The time of now, as production feeds it to devices.
inline Instant now() {
  return Instant{std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
}

}  // namespace millrace::drivers
