// Contexts across fork(2): whose the device is.
#include <sys/mman.h>
#include <unistd.h>

#include "posix/context.h"

namespace millrace::posix {

void Context::Unmap::operator()(SharedState* state) const {
  munmap(state, sizeof *state);
}

void Context::fall_asleep() {
  leader_ = nullptr;
  last_led_.store(kEpoch, std::memory_order_relaxed);
  adopted_ = 0;
  dormant_ = true;
}

void Context::after_fork_in_parent() {
  // Not only when nobody owns it: the child may have claimed it by now.
  if (shared_->owner.load() != getpid()) fall_asleep();
  unlock();
}

void Context::after_fork_in_child() {
  tick_clock.after_fork_in_child();
  // The other threads, and with them all who slept here, exist in the parent only.
  fall_asleep();
  followers_.clear();
  device_sleeper_ = nullptr;
  told_count_ = 0;
  backup_.reset_after_fork();
  Waiter::forget_event_fd();
  unlock();
}

bool Context::claim() {
  const pid_t self = getpid();
  ContextLock guard(*this);
  pid_t owner = shared_->owner.load();
  while (owner != self) {
    if (owner != 0 && !is_dead(owner)) return false;
    if (shared_->owner.compare_exchange_weak(owner, self)) break;
  }
  if (!dormant_) return true;
  dormant_ = false;
  last_turn_ = last_traffic_ = clock_now();
  if (backup_.running()) {
    backup_.wake_up();
  } else {
    backup_.start();
  }
  return true;
}

}  // namespace millrace::posix
