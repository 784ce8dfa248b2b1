#pragma once

#include <chrono>
#include <cstdint>

namespace millrace::kv {

/// Unix time in ms.
inline std::int64_t wall_clock_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace millrace::kv
