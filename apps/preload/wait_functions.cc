// poll(2) and select(2) with descriptors of both kinds.
#include <fcntl.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "calls.h"
#include "posix/clock.h"

namespace millrace::preload {

namespace {

/// The program's set with the stack's descriptors in it.
class Translated {
 public:
  /// False: nothing in it is the stack's.
  [[nodiscard]] bool translate(const pollfd* fds, nfds_t count) {
    nfds_t first = 0;
    while (first < count && (fds[first].fd < 0 || descriptors.find(fds[first].fd) == 0)) ++first;
    if (first == count) return false;
    first_ours_ = first;
    // Twice the room: for the twins in the kernel, which stand behind the rest.
    if (2 * count > kInline) large_.resize(2 * count);
    fds_ = large_.empty() ? inline_ : large_.data();
    size_ = count;
    for (nfds_t i = 0; i < count; ++i) {
      fds_[i] = fds[i];
      const int stack_fd = fds[i].fd < 0 ? 0 : descriptors.find(fds[i].fd);
      if (stack_fd == 0) continue;
      fds_[i].fd = stack_fd;
      if (!descriptors.has_twin(stack_fd)) continue;
      fds_[size_] = fds[i];
      twins_.push_back(i);
      ++size_;
    }
    return true;
  }
  /// Stores the events into the program's array; the number of those that have some.
  [[nodiscard]] long store(pollfd* fds, nfds_t count) const {
    long ready = 0;
    for (std::size_t t = 0; t < twins_.size(); ++t)
      fds_[twins_[t]].revents = static_cast<short>(fds_[twins_[t]].revents | fds_[count + t].revents);
    for (nfds_t i = 0; i < count; ++i) {
      fds[i].revents = fds_[i].revents;
      ready += fds[i].revents != 0 ? 1 : 0;
    }
    return ready;
  }
  [[nodiscard]] nfds_t size() const { return size_; }
  [[nodiscard]] pollfd* fds() { return fds_; }
  [[nodiscard]] nfds_t first_ours() const { return first_ours_; }

 private:
  static constexpr nfds_t kInline = 64;
  pollfd inline_[kInline];
  std::vector<pollfd> large_;
  pollfd* fds_ = nullptr;
  nfds_t first_ours_ = 0, size_ = 0;
  std::vector<nfds_t> twins_;
};

/// The time left of a wait, for the calls that store it.
class Remaining {
 public:
  explicit Remaining(Duration limit) : end_(posix::after(posix::clock_now(), limit)) {}
  [[nodiscard]] Duration get() const { return std::max(Duration::zero(), end_ - posix::clock_now()); }

 private:
  Instant end_;
};

long poll_translated(pollfd* fds, nfds_t count, Translated& set, Duration limit, const sigset_t* mask) {
  if (!may_wait(fds[set.first_ours()].fd)) return -EBADF;
  const long ready = posix::poll_files(set.fds(), set.size(), limit, mask);
  return ready < 0 ? ready : set.store(fds, count);
}

constexpr short kReadEvents = POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR;
constexpr short kWriteEvents = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR;
constexpr short kExceptEvents = POLLPRI;

/// select(2) on top of poll(2), as the kernel maps their events.
class Selected {
 public:
  Selected(int count, fd_set* read, fd_set* write, fd_set* except)
      : read_(read), write_(write), except_(except) {
    for (int fd = 0; fd < count; ++fd) {
      short events = 0;
      if (has(read, fd)) events |= POLLIN;
      if (has(write, fd)) events |= POLLOUT;
      if (has(except, fd)) events |= POLLPRI;
      if (events != 0) fds_.push_back(pollfd{fd, events, 0});
    }
  }
  [[nodiscard]] std::vector<pollfd>& fds() { return fds_; }
  /// The number of bits set, or -EBADF.
  [[nodiscard]] long store() const {
    for (const pollfd& one : fds_) {
      if ((one.revents & POLLNVAL) != 0) return -EBADF;
    }
    long bits = 0;
    for (const pollfd& one : fds_) {
      bits += store(read_, one, POLLIN, kReadEvents);
      bits += store(write_, one, POLLOUT, kWriteEvents);
      bits += store(except_, one, POLLPRI, kExceptEvents);
    }
    return bits;
  }

 private:
  // Beyond FD_SETSIZE some programs have larger sets; the kernel reads as far as it is told.
  static bool has(const fd_set* set, int fd) {
    return set != nullptr && (set->fds_bits[fd / NFDBITS] & mask(fd)) != 0;
  }
  static long mask(int fd) { return static_cast<long>(1UL << (fd % NFDBITS)); }
  static long store(fd_set* set, const pollfd& one, short asked, short events) {
    if ((one.events & asked) == 0) return 0;
    if ((one.revents & events) != 0) return 1;
    set->fds_bits[one.fd / NFDBITS] &= ~mask(one.fd);
    return 0;
  }

  fd_set *read_, *write_, *except_;
  std::vector<pollfd> fds_;
};

/// True when a descriptor of the stack's is in one of the sets.
bool any_ours(int count, const fd_set* read, const fd_set* write, const fd_set* except) {
  bool found = false;
  if (count <= 0) return false;
  descriptors.for_each(0, static_cast<unsigned>(count - 1), [&](int fd) {
    const auto in = [fd](const fd_set* set) {
      return set != nullptr && (set->fds_bits[fd / NFDBITS] & static_cast<long>(1UL << (fd % NFDBITS))) != 0;
    };
    found = found || in(read) || in(write) || in(except);
  });
  return found;
}

long select_ours(int count, fd_set* read, fd_set* write, fd_set* except, Duration limit,
                 const sigset_t* mask) {
  Selected selected(count, read, write, except);
  std::vector<pollfd>& fds = selected.fds();
  Translated set;
  const auto size = static_cast<nfds_t>(fds.size());
  if (!set.translate(fds.data(), size)) return -EBADF;
  const long ready = poll_translated(fds.data(), size, set, limit, mask);
  return ready < 0 ? ready : selected.store();
}

}  // namespace

extern "C" {

int millrace_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) asm("ppoll");
int millrace_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  Translated set;
  if (!set.translate(fds, count)) {
    timespec copy = timeout != nullptr ? *timeout : timespec{};  // the system call writes into it
    if (next.ppoll != nullptr) return next.ppoll(fds, count, timeout != nullptr ? &copy : nullptr, mask);
    return give<int>(sys::call(SYS_ppoll, sys::word(fds), static_cast<long>(count),
                               timeout != nullptr ? sys::word(&copy) : 0, sys::word(mask),
                               sys::kSignalSetBytes));
  }
  Duration limit;
  if (const long wrong = posix::read_limit(timeout, limit); wrong != 0) return give<int>(wrong);
  return give<int>(poll_translated(fds, count, set, limit, mask));
}

int millrace_poll(pollfd* fds, nfds_t count, int timeout) asm("poll");
int millrace_poll(pollfd* fds, nfds_t count, int timeout) {
  const timespec limit{timeout / 1000, timeout % 1000 * 1000000L};
  return millrace_ppoll(fds, count, timeout < 0 ? nullptr : &limit, nullptr);
}

int millrace_poll_chk(pollfd* fds, nfds_t count, int timeout, size_t room) asm("__poll_chk");
int millrace_poll_chk(pollfd* fds, nfds_t count, int timeout, size_t room) {
  if (room / sizeof *fds < count) __builtin_trap();
  return millrace_poll(fds, count, timeout);
}
int millrace_ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
                       size_t room) asm("__ppoll_chk");
int millrace_ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
                       size_t room) {
  if (room / sizeof *fds < count) __builtin_trap();
  return millrace_ppoll(fds, count, timeout, mask);
}

int millrace_pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout,
                     const sigset_t* mask) asm("pselect");
int millrace_pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout,
                     const sigset_t* mask) {
  if (!any_ours(count, read, write, except)) {
    if (next.pselect != nullptr) return next.pselect(count, read, write, except, timeout, mask);
    return give<int>(-ENOSYS);
  }
  Duration limit;
  if (const long wrong = posix::read_limit(timeout, limit); wrong != 0) return give<int>(wrong);
  return give<int>(select_ours(count, read, write, except, limit, mask));
}

int millrace_select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) asm("select");
int millrace_select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) {
  timespec limit{};
  if (timeout != nullptr) {
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) return give<int>(-EINVAL);
    limit = {timeout->tv_sec + timeout->tv_usec / 1000000, timeout->tv_usec % 1000000 * 1000};
  }
  Duration duration;
  if (const long wrong = posix::read_limit(timeout != nullptr ? &limit : nullptr, duration); wrong != 0)
    return give<int>(wrong);
  const Remaining remaining(duration);
  const int result =
      millrace_pselect(count, read, write, except, timeout != nullptr ? &limit : nullptr, nullptr);
  // select(2): Linux stores what is left.
  if (timeout != nullptr) {
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(remaining.get()).count();
    *timeout = {left / 1000000, left % 1000000};
  }
  return result;
}

}  // extern "C"

}  // namespace millrace::preload
