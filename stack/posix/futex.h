#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace millrace::posix {

/// futex(2), FUTEX_WAIT, private. `timeout` is relative, null for none. Returns 0 or an errno: EAGAIN when
/// the word is not `expected`, EINTR, ETIMEDOUT. Without a timeout the kernel itself restarts it after
/// handlers with SA_RESTART.
int futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, const timespec* timeout);
void futex_wake(std::atomic<std::uint32_t>& word, int count);

inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace millrace::posix
