#pragma once

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <functional>
#include <list>
#include <mutex>

#include "base/time.h"

namespace millrace::packetdrill {

/// The clock that a script's thread turns, and the sleep of the threads whose calls block meanwhile.
///
/// The posix room reads this clock (the library is linked with --wrap=clock_gettime) and sleeps in sleep()
/// (sys::cancellable_ppoll). Whoever waits for a moment of the script, outside of any call, moves time on; it
/// moves only when all other threads are asleep or have told the script their time: a thread that was woken
/// keeps its moment.
///
///     script   ── advance_to(t) ─ wait_until_quiet ──────────────┬── advance_to ...
///     other    ···· asleep ····· awake: the call returns ─ time_read
///
/// A call that blocks in the thread that started the library, the driver, moves time on by itself.
class VirtualTime {
 public:
  /// What the posix room's clock says; the one instance of the library's.
  [[nodiscard]] static VirtualTime& instance();

  [[nodiscard]] Instant now() const { return Instant{Duration{now_.load(std::memory_order_acquire)}}; }
  [[nodiscard]] bool is_driver() const { return pthread_equal(driver_, pthread_self()) != 0; }
  /// The calling thread is the driver from now on. When it must sleep itself, `step` moves time on: by the
  /// next thing to happen, not beyond `limit`.
  void start(std::function<void(Instant limit)> step);

  // --- the script, outside of its calls
  /// Wakes who wanted to be woken by then. Never backwards.
  void advance_to(Instant then);
  /// The earliest moment at which a sleeping thread wants to wake.
  [[nodiscard]] Instant next_wake();
  /// Waits, in real time, until no other thread is inside a call but those asleep.
  void wait_until_quiet();
  /// Waits, in real time, until the thread whose call ended last has told the script its result and is asleep
  /// again. To be called where a script without virtual time would sleep, with its lock released.
  void wait_until_told();

  // --- any thread
  /// A call of the script's, for its duration and until the caller reads the time.
  class Call {
   public:
    Call() { instance().enter(); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();
  };
  /// The calling thread learns the time. True when that is the time at which its call ended.
  bool time_read();
  /// ppoll(2) in virtual time.
  static int sleep(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask);

 private:
  struct Sleeper;

  VirtualTime() = default;
  void enter();
  int sleep_until(pollfd* fds, nfds_t count, Instant deadline, const sigset_t* mask);
  int drive_until(pollfd* fds, nfds_t count, Instant deadline);
  [[nodiscard]] bool quiet();

  /// A million seconds, so that nothing about the beginning of time is tested by accident.
  std::atomic<std::int64_t> now_{1'000'000'000'000'000};
  pthread_t driver_{};
  std::function<void(Instant)> step_;
  std::mutex mutex_;
  std::atomic<pid_t> returned_{0};  ///< the thread whose call ended last, until wait_until_told()
  int running_ = 0;                 ///< threads in a call and awake, or back from it and unaware of the time
  std::list<Sleeper*> sleepers_;
};

}  // namespace millrace::packetdrill
