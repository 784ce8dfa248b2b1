// Contexts across fork(2): whose the device is.
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "posix/context.h"

namespace millrace::posix {

namespace {

bool is_dead(pid_t process) {
  return kill(process, 0) != 0 && errno == ESRCH;
}

}  // namespace

Context::Ownership* Context::make_ownership() {
  void* page = mmap(nullptr, sizeof(Ownership), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc();
  return new (page) Ownership;
}

void Context::Unmap::operator()(Ownership* ownership) const {
  munmap(ownership, sizeof *ownership);
}

void Context::fall_asleep() {
  leader_ = nullptr;
  dormant_ = true;
}

void Context::after_fork_in_parent() {
  if (ownership_->owner.load() == 0) fall_asleep();
  unlock();
}

void Context::after_fork_in_child() {
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
  pid_t owner = ownership_->owner.load();
  while (owner != self) {
    if (owner != 0 && !is_dead(owner)) return false;
    if (ownership_->owner.compare_exchange_weak(owner, self)) break;
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
