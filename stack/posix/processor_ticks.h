#pragma once

#include <fcntl.h>
#include <time.h>

#if defined(__x86_64__) && __has_include(<sys/rseq.h>)
#define MILLRACE_HAVE_RSEQ
#include <sys/rseq.h>
#endif

#include <algorithm>
#include <array>
#include <cstddef>
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

  /// Of the calling thread, as the kernel notes it (rseq(2), which glibc sets up): no call is needed.
  [[nodiscard]] static std::uint32_t processor() {
    std::uint32_t number = ~std::uint32_t{0};
#ifdef MILLRACE_HAVE_RSEQ
    asm volatile("movl %%fs:(%1), %0"
                 : "=r"(number)
                 : "r"(__rseq_offset + std::ptrdiff_t{offsetof(struct rseq, cpu_id)}));
#endif
    return number;
  }

  [[nodiscard]] static Instant kernel() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Instant{std::chrono::seconds{ts.tv_sec} + std::chrono::nanoseconds{ts.tv_nsec}};
  }

  /// The kernel's clock counts by it: it found it steady ("tsc"), or the hypervisor says how fast each
  /// processor's goes ("kvm-clock").
  [[nodiscard]] static bool trusted() {
    const char* const path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    const long fd = sys::call(SYS_openat, AT_FDCWD, sys::word(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    std::array<char, 16> text;
    const long length = sys::read(static_cast<int>(fd), text.data(), text.size());
    sys::close(static_cast<int>(fd));
    const std::string_view name(text.data(), static_cast<std::size_t>(std::max(length, 0L)));
    return name == "tsc\n" || name == "kvm-clock\n";
  }
};

}  // namespace millrace::posix
