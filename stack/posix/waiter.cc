#include "posix/waiter.h"

#include <sched.h>
#include <sys/eventfd.h>

#include "posix/futex.h"
#include "posix/system.h"

namespace millrace::posix {

namespace {

/// The eventfd by which this thread is woken out of ppoll(2); made at its first such sleep, closed with the
/// thread.
class ThreadEventFd {
 public:
  ThreadEventFd() = default;
  ThreadEventFd(const ThreadEventFd&) = delete;
  ThreadEventFd& operator=(const ThreadEventFd&) = delete;
  ~ThreadEventFd() {
    if (fd_ >= 0) sys::close_own(fd_);
  }
  /// -1 when the process is out of descriptors: the sleeper then limits its sleep (see
  /// Context::sleep_on_devices).
  void forget() {
    if (fd_ >= 0) sys::close_own(fd_);
    fd_ = -1;
  }
  [[nodiscard]] int get() {
    if (fd_ < 0) fd_ = static_cast<int>(sys::keep_own(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
    return fd_;
  }

 private:
  int fd_ = -1;
};

thread_local ThreadEventFd thread_event_fd, second_thread_event_fd;

}  // namespace

void Waiter::announce(Bed bed) {
  bed_ = bed;
  if (bed == Bed::kEventFd && event_fd_ < 0) event_fd_ = thread_event_fd.get();
  told_.store(0, std::memory_order_relaxed);
  announced_ = true;
}

void Waiter::settle() {
  announced_ = false;
  for (int i = 0; ringing_.load(std::memory_order_acquire) != 0; ++i) {
    if (i < 100) {
      cpu_relax();
    } else {
      sched_yield();
    }
  }
  if (bed_ == Bed::kEventFd && event_fd_ >= 0 && told_.load(std::memory_order_relaxed) != 0) {
    std::uint64_t count;
    sys::read(event_fd_, &count, sizeof count);
  }
}

void Waiter::reset_after_fork() {
  ready = false;
  announced_ = false;
  told_.store(0, std::memory_order_relaxed);
  ringing_.store(0, std::memory_order_relaxed);
  if (event_fd_ >= 0) sys::close_own(event_fd_);
  event_fd_ = -1;
}

void Waiter::forget_event_fd() {
  thread_event_fd.forget();
  second_thread_event_fd.forget();
}

int Waiter::second_event_fd() {
  return second_thread_event_fd.get();
}

bool Waiter::tell() {
  if (!announced_ || told_.load(std::memory_order_relaxed) != 0) return false;
  ringing_.fetch_add(1, std::memory_order_relaxed);
  told_.store(1, std::memory_order_release);
  return true;
}

void Waiter::ring() {
  if (bed_ == Bed::kFutex) {
    futex_wake(told_, 1);
  } else if (event_fd_ >= 0) {
    const std::uint64_t one = 1;
    sys::write(event_fd_, &one, sizeof one);
  }
  ringing_.fetch_sub(1, std::memory_order_release);
}

void Waiter::sleep_on_futex(const timespec* timeout) {
  futex_wait(told_, 0, timeout);
}

}  // namespace millrace::posix
