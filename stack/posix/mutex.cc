#include "posix/mutex.h"

#include "posix/futex.h"

namespace millrace::posix {

void Mutex::lock_slow() {
  wanting_.fetch_add(1, std::memory_order_relaxed);
  acquire_slow();
  wanting_.fetch_sub(1, std::memory_order_relaxed);
}

void Mutex::acquire_slow() {
  // Sections are a few hundred nanoseconds: as long as it takes to fall asleep.
  for (int i = 0; i < 200; ++i) {
    std::uint32_t expected = kFree;
    if (state_.load(std::memory_order_relaxed) == kFree &&
        state_.compare_exchange_weak(expected, kHeld, std::memory_order_acquire))
      return;
    cpu_relax();
  }
  while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
    futex_wait(state_, kContended, nullptr);
  }
}

void Mutex::wake_one() {
  futex_wake(state_, 1);
}

}  // namespace millrace::posix
