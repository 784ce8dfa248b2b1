#pragma once

#include <errno.h>
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <span>

#include <boost/intrusive/list.hpp>

#include "posix/clock.h"
#include "socket/readiness.h"

struct pollfd;

namespace millrace::posix {

using AutoHook = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
template <typename T>
using AutoList = boost::intrusive::list<T, boost::intrusive::constant_time_size<false>>;

/// A flag that is set under a lock, and may be looked at without it.
class RelaxedFlag {
 public:
  RelaxedFlag& operator=(bool on) {
    on_.store(on, std::memory_order_relaxed);
    return *this;
  }
  operator bool() const {
    return on_.load(std::memory_order_relaxed);
  }  // NOLINT(google-explicit-constructor)

 private:
  std::atomic<bool> on_{false};
};

/// One thread that waits, for the time of one call: on its stack, known to the context's lists. All but what
/// is said to be atomic belongs to the context's lock.
///
///     reset ──> announced (asleep, or about to be) ──tell()──> told ──> awake
///
/// Telling has two halves: tell() under the lock, ring() after it is released. The waiter does not leave its
/// call between the two (settle()), so that neither it nor its eventfd goes away under the ringer's hands.
class Waiter : public AutoHook {
 public:
  enum class Bed : std::uint8_t {
    kEventFd,  ///< sleeps in ppoll(2), which takes signals at one point only, on its thread's eventfd and
               ///< other descriptors
    kFutex,    ///< sleeps on its own word: the backup poller, which takes no signals
  };

  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /// Something that this waiter watches happened.
  RelaxedFlag ready;

  /// Under the lock, before it is released for the sleep.
  void announce(Bed bed);
  /// Under the lock again, after the sleep: waits for a ringer to finish, silences the eventfd.
  void settle();
  [[nodiscard]] bool announced() const { return announced_; }

  /// Under the lock: true when ring() must follow once the lock is released.
  [[nodiscard]] bool tell();
  void ring();

  /// In the child of a fork, where nobody sleeps on it any more.
  void reset_after_fork();
  /// In the child of a fork: the calling thread's eventfd is shared with the parent, so it gets a new one.
  static void forget_event_fd();

  /// Without the lock. Until told or `timeout` (null: for ever) has gone.
  void sleep_on_futex(const timespec* timeout);
  /// The descriptor to ring, instead of the thread's own: of one who sleeps in several contexts.
  void ring_on(int event_fd) { event_fd_ = event_fd; }
  /// Such a descriptor of the calling thread's; -1: it is out of them.
  [[nodiscard]] static int second_event_fd();
  /// For the pollfd set of a Bed::kEventFd sleeper.
  [[nodiscard]] int event_fd() const { return event_fd_; }

 private:
  std::atomic<std::uint32_t> told_{0};
  std::atomic<std::uint32_t> ringing_{0};
  bool announced_ = false;
  Bed bed_ = Bed::kFutex;
  int event_fd_ = -1;
};

/// A waiter's interest in one file.
struct WaitLink : AutoHook {
  Waiter* waiter = nullptr;
  Ready mask = 0;
  bool exclusive = false;  ///< one of several that would do: accept(), epoll_wait()
};

/// What a waiting call asks for, besides the files that its waiter is linked to.
struct WaitRequest {
  Instant now{};  ///< the clock as the caller has just read it; kEpoch: it has not
  Instant deadline = kNever;
  std::span<pollfd> kernel_fds;  ///< the program's own: revents are set when the wait ends with kKernelReady
  const sigset_t* mask = nullptr;  ///< in force while asleep, as in ppoll(2)
  bool restartable = false;        ///< goes on after handlers with SA_RESTART
};

enum class WaitResult : std::uint8_t { kReady, kTimedOut, kInterrupted, kKernelReady };

/// What a blocking call on a socket returns that could not do anything before: 0 (it tries again), -EAGAIN,
/// -EINTR.
[[nodiscard]] constexpr long error_of(WaitResult result) {
  switch (result) {
    case WaitResult::kTimedOut:
      return -EAGAIN;
    case WaitResult::kInterrupted:
      return -EINTR;
    default:
      return 0;
  }
}

}  // namespace millrace::posix
