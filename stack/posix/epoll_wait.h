#pragma once

#include <errno.h>
#include <signal.h>

#include "posix/clock.h"
#include "posix/system.h"
#include "posix/waiter.h"

namespace millrace::posix {

/// The course of epoll_pwait(2), whatever a set is: it looks, and sleeps, until there is something or time is
/// over.
///
///     int look(Instant now, bool poll, bool kernel)       what is ready now
///     long sleep(Instant now, Instant deadline, mask, WaitResult&)    0, or -errno
///     Instant now_after_turn()                            the time, when the sleep ended with kReady
template <typename Wait>
[[nodiscard]] long run_epoll_wait(Wait& wait, Duration timeout, const sigset_t* mask) {
  Instant now = clock_now();
  const bool at_once = timeout == Duration::zero();
  if (const int count = wait.look(now, at_once, at_once); count != 0) return count;
  if (at_once) {
    // As the system call: a pending signal that the mask lets through ends even a wait of no time.
    return mask != nullptr && sys::poll_now(nullptr, 0, mask) < 0 ? -EINTR : 0;
  }
  const Instant deadline = timeout == Duration::max() ? kNever : after(now, timeout);
  for (;;) {
    WaitResult result = WaitResult::kReady;
    if (const long wrong = wait.sleep(now, deadline, mask, result); wrong != 0) return wrong;
    now = result == WaitResult::kReady ? wait.now_after_turn() : clock_now();
    const bool kernel = result == WaitResult::kKernelReady || result == WaitResult::kTimedOut;
    if (const int count = wait.look(now, false, kernel); count != 0) return count;
    if (result == WaitResult::kTimedOut) return 0;
    if (result == WaitResult::kInterrupted) return -EINTR;
  }
}

}  // namespace millrace::posix
