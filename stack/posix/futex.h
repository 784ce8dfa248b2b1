#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace millrace::posix {

/// futex(2), FUTEX_WAIT, private: sleeps while the word is `expected`, at most `timeout` (null: for ever).
/// May return for no reason.
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, const timespec* timeout);
void futex_wake(std::atomic<std::uint32_t>& word, int count);

inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace millrace::posix
