#pragma once

#include <fcntl.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "posix/system.h"

namespace millrace::posix {

/// What TickClock reads: the processor's time stamp counter, where there is one that is known here.
struct ProcessorTicks {
  [[nodiscard]] static std::uint64_t ticks() {
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
  }

  [[nodiscard]] static Instant kernel() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Instant{std::chrono::seconds{ts.tv_sec} + std::chrono::nanoseconds{ts.tv_nsec}};
  }

  /// The kernel's clock is the counter: it found it steady, and the same on all processors.
  [[nodiscard]] static bool trusted() {
    const char* const path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    const long fd = sys::call(SYS_openat, AT_FDCWD, sys::word(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    std::array<char, 16> name;
    const long length = sys::read(static_cast<int>(fd), name.data(), name.size());
    sys::close(static_cast<int>(fd));
    return length > 0 && std::string_view(name.data(), static_cast<std::size_t>(length)) == "tsc\n";
  }
};

}  // namespace millrace::posix
