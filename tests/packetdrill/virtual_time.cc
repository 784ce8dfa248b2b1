#include "packetdrill/virtual_time.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "posix/clock.h"
#include "posix/system.h"

namespace millrace::packetdrill {

namespace {

constexpr auto kQuietLimit = std::chrono::seconds(2);  ///< real time

/// Where the calling thread is between a call of the script's and the next.
enum class Phase { kOutside, kInside, kReturned };
thread_local Phase phase = Phase::kOutside;

/// proc(5), stat: the state comes after the name, which is in parentheses and may hold anything.
bool is_asleep(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t name_end = stat.rfind(')');
  return name_end == std::string::npos || stat.compare(name_end, 3, ") S") == 0;
}

}  // namespace

/// A thread asleep: what it waits for, and a bell of its own for its deadline.
struct VirtualTime::Sleeper {
  std::vector<pollfd> fds;  ///< the last one is the bell
  Instant deadline = kNever;

  Sleeper(const pollfd* first, nfds_t count, Instant until) : fds(first, first + count), deadline(until) {
    fds.push_back({eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), POLLIN, 0});
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() { posix::sys::close(fds.back().fd); }

  void ring() const {
    const std::uint64_t one = 1;
    posix::sys::write(fds.back().fd, &one, sizeof one);
  }
  [[nodiscard]] bool is_waking() const {
    std::vector<pollfd> look = fds;
    return posix::sys::poll_now(look.data(), look.size()) > 0;
  }
};

VirtualTime& VirtualTime::instance() {
  static VirtualTime time;
  return time;
}

void VirtualTime::start(std::function<void(Instant)> step) {
  driver_ = pthread_self();
  step_ = std::move(step);
  posix::sys::cancellable_ppoll = &VirtualTime::sleep;
}

void VirtualTime::advance_to(Instant then) {
  const std::lock_guard guard(mutex_);
  const auto ns = std::chrono::duration_cast<Duration>(then.time_since_epoch()).count();
  if (ns > now_.load(std::memory_order_relaxed)) now_.store(ns, std::memory_order_release);
  for (const Sleeper* sleeper : sleepers_) {
    if (sleeper->deadline <= now()) sleeper->ring();
  }
}

Instant VirtualTime::next_wake() {
  const std::lock_guard guard(mutex_);
  Instant earliest = kNever;
  for (const Sleeper* sleeper : sleepers_) earliest = std::min(earliest, sleeper->deadline);
  return earliest;
}

bool VirtualTime::quiet() {
  const std::lock_guard guard(mutex_);
  return running_ == 0 && std::none_of(sleepers_.begin(), sleepers_.end(),
                                       [](const Sleeper* sleeper) { return sleeper->is_waking(); });
}

void VirtualTime::wait_until_quiet() {
  const auto limit = std::chrono::steady_clock::now() + kQuietLimit;
  while (!quiet() && std::chrono::steady_clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void VirtualTime::wait_until_told() {
  const pid_t thread = returned_.exchange(0);
  if (thread == 0 || thread == gettid()) return;
  const auto limit = std::chrono::steady_clock::now() + kQuietLimit;
  while (!is_asleep(thread) && std::chrono::steady_clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void VirtualTime::enter() {
  if (is_driver()) return;
  const std::lock_guard guard(mutex_);
  if (phase == Phase::kOutside) ++running_;
  phase = Phase::kInside;
}

VirtualTime::Call::~Call() {
  if (phase == Phase::kInside) phase = Phase::kReturned;
}

bool VirtualTime::time_read() {
  if (phase != Phase::kReturned) return false;
  const std::lock_guard guard(mutex_);
  --running_;
  phase = Phase::kOutside;
  returned_ = gettid();
  return true;
}

int VirtualTime::sleep(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  VirtualTime& time = instance();
  Instant deadline = kNever;
  if (timeout != nullptr) {
    deadline = posix::after(
        time.now(), std::chrono::seconds(timeout->tv_sec) + std::chrono::nanoseconds(timeout->tv_nsec));
  }
  return time.is_driver() ? time.drive_until(fds, count, deadline)
                          : time.sleep_until(fds, count, deadline, mask);
}

int VirtualTime::sleep_until(pollfd* fds, nfds_t count, Instant deadline, const sigset_t* mask) {
  if (deadline <= now()) return 0;
  Sleeper sleeper(fds, count, deadline);
  const bool counted = phase == Phase::kInside;
  {
    const std::lock_guard guard(mutex_);
    sleepers_.push_back(&sleeper);
    if (counted) --running_;
  }
  std::vector<pollfd> look = sleeper.fds;
  const int result = ::ppoll(look.data(), look.size(), nullptr, mask);
  const int error = errno;
  {
    const std::lock_guard guard(mutex_);
    sleepers_.remove(&sleeper);
    if (counted) ++running_;
  }
  if (result < 0) {
    errno = error;
    return result;
  }
  std::copy_n(look.begin(), count, fds);
  return result - (look.back().revents != 0 ? 1 : 0);
}

int VirtualTime::drive_until(pollfd* fds, nfds_t count, Instant deadline) {
  for (;;) {
    wait_until_quiet();
    const long ready = posix::sys::poll_now(fds, count);
    if (ready != 0) return static_cast<int>(std::max(ready, 0L));
    if (now() >= deadline) return 0;
    const Instant before = now();
    step_(deadline);
    if (now() == before) {
      // As in the kernel, this script would hang here.
      static_cast<void>(fputs("millrace: a call blocks that nothing is going to wake\n", stderr));
      _exit(1);
    }
  }
}

}  // namespace millrace::packetdrill

extern "C" {

int __real_clock_gettime(clockid_t clock, timespec* time);

/// Every clock_gettime of the library's own objects. The C and C++ libraries keep theirs.
__attribute__((visibility("hidden"))) int __wrap_clock_gettime(clockid_t clock, timespec* time) {
  if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) return __real_clock_gettime(clock, time);
  *time =
      millrace::posix::to_timespec(millrace::packetdrill::VirtualTime::instance().now() - millrace::kEpoch);
  return 0;
}
}
