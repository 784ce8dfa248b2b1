// epoll(7). The program's epoll descriptor is a real one of the kernel's. As soon as a socket of the stack's
// is to be watched, the stack adopts it: its own set then stands on the kernel's, and waits go through it.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <map>

#include "calls.h"
#include "posix/clock.h"

namespace millrace::preload {

namespace {

const char kick_mark = 0;
std::uint64_t mark() {
  return reinterpret_cast<std::uintptr_t>(&kick_mark);
}

/// Threads that wait in the kernel's epoll_wait for a set when the stack adopts it are sent out of it: an
/// eventfd in the set stays readable until the last of them has left.
class Kicks {
 public:
  void kick(int epoll_fd) {
    const long made = sys::keep_own(sys::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
    if (made < 0) return;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = mark()}};
    sys::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, static_cast<int>(made), &event);
    mutex_.lock();
    fds_[epoll_fd] = static_cast<int>(made);
    mutex_.unlock();
    if (descriptors.waiters(epoll_fd).load() == 0) all_left(epoll_fd);
  }
  void all_left(int epoll_fd) {
    mutex_.lock();
    const auto found = fds_.find(epoll_fd);
    const int fd = found != fds_.end() ? found->second : -1;
    if (fd >= 0) fds_.erase(found);
    mutex_.unlock();
    if (fd < 0) return;
    sys::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, nullptr);
    sys::close_own(fd);
  }

 private:
  posix::Mutex mutex_;
  std::map<int, int> fds_;
};

Kicks& kicks() {
  static Kicks* const all = new Kicks;
  return *all;
}

/// Counts a thread in the kernel's wait.
class KernelWait {
 public:
  explicit KernelWait(int epoll_fd) : epoll_fd_(epoll_fd), counted_(Descriptors::fits(epoll_fd)) {
    if (counted_) descriptors.waiters(epoll_fd_).fetch_add(1);
  }
  KernelWait(const KernelWait&) = delete;
  KernelWait& operator=(const KernelWait&) = delete;
  ~KernelWait() {
    if (counted_ && descriptors.waiters(epoll_fd_).fetch_sub(1) == 1 && descriptors.find(epoll_fd_) != 0)
      kicks().all_left(epoll_fd_);
  }

 private:
  int epoll_fd_;
  bool counted_;
};

/// Without marks; the number left.
int without_kicks(epoll_event* events, int count) {
  const auto* end = std::remove_if(events, events + count,
                                   [](const epoll_event& event) { return event.data.u64 == mark(); });
  return static_cast<int>(end - events);
}

long kernel_wait(int epoll_fd, epoll_event* events, int max, Duration limit, const sigset_t* mask) {
  // Milliseconds, rounded up: what pwait2 would cut is waited for too long, never too short.
  const auto ms =
      limit == Duration::max() ? -1 : std::min<std::int64_t>(INT32_MAX, (limit.count() + 999999) / 1000000);
  if (next.epoll_pwait != nullptr) {
    const int count = next.epoll_pwait(epoll_fd, events, max, static_cast<int>(ms), mask);
    return count < 0 ? -errno : count;
  }
  return sys::call(SYS_epoll_pwait, epoll_fd, sys::word(events), max, ms, sys::word(mask),
                   sys::kSignalSetBytes);
}

long wait(int epoll_fd, epoll_event* events, int max, Duration limit, const sigset_t* mask) {
  const Instant deadline = posix::after(posix::clock_now(), limit);
  for (;;) {
    const int stack_fd = descriptors.find(epoll_fd);
    if (stack_fd != 0 && !may_wait(epoll_fd)) return -EBADF;
    if (stack_fd != 0) return posix::wait_epoll(stack_fd, events, max, limit, mask);
    const KernelWait counted(epoll_fd);
    if (descriptors.find(epoll_fd) != 0) continue;
    const long count = kernel_wait(epoll_fd, events, max, limit, mask);
    if (count <= 0) return count;
    const int left = without_kicks(events, static_cast<int>(count));
    if (left != 0) return left;
    if (limit != Duration::max()) limit = std::max(Duration::zero(), deadline - posix::clock_now());
  }
}

int create(int flags) {
  const long made = sys::epoll_create1(flags);
  if (made < 0) return give<int>(made);
  const int fd = static_cast<int>(made);
  static_cast<void>(descriptors.take(fd));
  descriptors.set_epoll(fd, true);
  return fd;
}

}  // namespace

int adopt_epoll(int epoll_fd) {
  if (const int known = descriptors.find(epoll_fd); known != 0) return known;
  posix::Context* context = Shim::instance().context();
  if (context == nullptr || !Descriptors::fits(epoll_fd)) return 0;
  const long stack_fd = posix::create_epoll(*context, 0, epoll_fd);
  if (stack_fd < 0) return 0;
  descriptors.install(epoll_fd, static_cast<int>(stack_fd), false);
  if (descriptors.waiters(epoll_fd).load() != 0) kicks().kick(epoll_fd);
  return static_cast<int>(stack_fd);
}

extern "C" {

int millrace_epoll_create1(int flags) asm("epoll_create1");
int millrace_epoll_create1(int flags) {
  return create(flags);
}
int millrace_epoll_create(int size) asm("epoll_create");
int millrace_epoll_create(int size) {
  return size <= 0 ? give<int>(-EINVAL) : create(0);
}

int millrace_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) asm("epoll_ctl");
int millrace_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) {
  const auto kernel = [&] { return give<int>(sys::epoll_ctl(epoll_fd, operation, fd, event)); };
  int inner = stack_fd_of(fd);
  if (inner < 0) return -1;
  int set = descriptors.find(epoll_fd);
  if (inner == 0 && operation == EPOLL_CTL_ADD && fd != epoll_fd && descriptors.is_epoll(fd) &&
      descriptors.is_epoll(epoll_fd) && Shim::running() != nullptr) {
    inner = adopt_epoll(fd);  // a set in a set: the outer one may have to hear of sockets in it later
  }
  if (set == 0) {
    if (inner == 0 || !descriptors.is_epoll(epoll_fd)) return kernel();
    set = adopt_epoll(epoll_fd);
    if (set == 0) return give<int>(-ENOMEM);
  }
  if (inner == 0) return kernel();
  const long result = posix::control_epoll(set, operation, inner, event, fd);
  if (result == 0 && !descriptors.is_epoll(fd) && descriptors.has_twin(inner))
    sys::epoll_ctl(epoll_fd, operation, fd, event);
  return give<int>(result);
}

int millrace_epoll_pwait(int epoll_fd, epoll_event* events, int max, int timeout,
                         const sigset_t* mask) asm("epoll_pwait");
int millrace_epoll_pwait(int epoll_fd, epoll_event* events, int max, int timeout, const sigset_t* mask) {
  const Duration limit = timeout < 0 ? Duration::max() : Duration{std::chrono::milliseconds(timeout)};
  return give<int>(wait(epoll_fd, events, max, limit, mask));
}

int millrace_epoll_wait(int epoll_fd, epoll_event* events, int max, int timeout) asm("epoll_wait");
int millrace_epoll_wait(int epoll_fd, epoll_event* events, int max, int timeout) {
  return millrace_epoll_pwait(epoll_fd, events, max, timeout, nullptr);
}

int millrace_epoll_pwait2(int epoll_fd, epoll_event* events, int max, const timespec* timeout,
                          const sigset_t* mask) asm("epoll_pwait2");
int millrace_epoll_pwait2(int epoll_fd, epoll_event* events, int max, const timespec* timeout,
                          const sigset_t* mask) {
  Duration limit;
  if (const long wrong = posix::read_limit(timeout, limit); wrong != 0) return give<int>(wrong);
  return give<int>(wait(epoll_fd, events, max, limit, mask));
}

}  // extern "C"

}  // namespace millrace::preload
