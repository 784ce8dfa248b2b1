#include "posix/futex.h"

#include <linux/futex.h>

#include "posix/system.h"

namespace millrace::posix {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, const timespec* timeout) {
  sys::call(SYS_futex, sys::word(&word), FUTEX_WAIT_PRIVATE, expected, sys::word(timeout));
}

void futex_wake(std::atomic<std::uint32_t>& word, int count) {
  sys::call(SYS_futex, sys::word(&word), FUTEX_WAKE_PRIVATE, count);
}

}  // namespace millrace::posix
