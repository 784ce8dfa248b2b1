#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "posix/clock.h"
#include "posix/waiter.h"

namespace millrace::posix {

class Context;

/// The context's own thread: does what the leader would while no thread of the program waits, so that
/// acknowledgements, retransmissions and FINs go on while the program computes. It costs the program's
/// threads nothing: no wake-up, no handshake, but one after a long idle time.
///
///   traffic    tick every 1 ms; poll when no one did meanwhile. While the program polls itself, ticks
///              become longer, up to 8 ms: each takes the processor from it
///   quiet      no traffic for 50 ms: asleep on the device as the leader; while a thread of the program
///              leads, tick every 10 ms
///   idle       a thread of the program leads for 2 s without traffic: asleep until it leaves its wait
class BackupPoller {
 public:
  explicit BackupPoller(Context& context) : context_(context) {}
  BackupPoller(const BackupPoller&) = delete;
  BackupPoller& operator=(const BackupPoller&) = delete;
  ~BackupPoller() { stop(); }

  void start();
  /// Ends and joins it; without the lock held. Idempotent.
  void stop();

  [[nodiscard]] bool running() const { return running_; }
  /// In the child of a fork, which has no such thread: start() may follow.
  void reset_after_fork();

  // --- under the context's lock
  /// The context is awake again, or the leader left and nobody follows.
  void wake_up();
  [[nodiscard]] Waiter* waiter() { return &waiter_; }

 private:
  static constexpr Duration kTick = 1ms, kLongestTick = 8ms;
  static constexpr int kTicksLeftOut = 8;  ///< in a row
  static constexpr Duration kQuietTick = 10ms;
  static constexpr Duration kQuietAfter = 50ms;
  static constexpr Duration kIdleAfter = 2s;

  void run();
  static void* enter(void* self);
  /// One round; how long to sleep until the next, zero for none, max for until told.
  [[nodiscard]] Duration round();

  Context& context_;
  Waiter waiter_;
  Duration tick_ = kTick;
  std::atomic<bool> stopping_{false};
  bool idle_ = false;   ///< asleep until told
  Instant own_turn_{};  ///< the last turn, if nobody else has polled since
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace millrace::posix
