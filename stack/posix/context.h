#pragma once

#include <pthread.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/apart.h"
#include "link/net_device.h"
#include "posix/backup_poller.h"
#include "posix/clock.h"
#include "posix/intake.h"
#include "posix/large_pages.h"
#include "posix/mutex.h"
#include "posix/send_batch.h"
#include "posix/shared_state.h"
#include "posix/signals.h"
#include "posix/waiter.h"
#include "posix/zero_copy.h"
#include "stack.h"

namespace millrace::posix {

class ContextGroup;

/// Which of the device's queues a context has.
struct QueueOfContext {
  std::uint32_t index = 0, count = 1;
};

struct ContextConfig {
  StackConfig stack;
  QueueOfContext queue;
  link::InterfaceConfig interface;
  std::optional<IpAddress> gateway;
  /// How long a waiting call polls before it sleeps: nothing adapts up to kAdaptiveSpin, zero sleeps at once.
  std::optional<Duration> busy_poll;
  /// What so many sends transmit may leave together; 0: see SendBatch.
  std::uint32_t tx_batch = 0;
  Duration drain = 2s;
  int shared_file = -1;  ///< of the SharedState, when this process image got one; not closed
};

/// One Stack, its device queue and the lock over both. It has no thread that moves packets: whoever holds the
/// lock polls, so a request is received, handled and answered in the program's own thread.
///
/// Waiting. One waiter, the leader, sleeps on the device; followers sleep on their own eventfd, and
/// the leader wakes exactly those it made ready. Who leaves his wait while leading passes leadership on to a
/// follower. Every change of readiness and every announcement of a sleep happens under the lock, so none is
/// lost.
///
///     wait():  look ── poll for a bounded time ── announce, arm the device, look again ── sleep ── poll ──┐
///                └────────────────────────────────────<────────────────────────────────────────────────┘
///
/// While nobody waits, the BackupPoller takes the leader's place.
///
/// Processes. fork(2) copies a context, but its device has one reader. The process that first waits,
/// accepts or sends claims it; from then on the copies of its children are dormant. One that nobody had
/// claimed when it was forked (it only listens) is dormant in parent and child until one of them claims it:
/// what came meanwhile waits in the device. An owner that died can be succeeded.
class alignas(kApart) Context {
 public:
  static constexpr Duration kAdaptiveSpin = 50us;
  /// A call that would block, and must not, polls first when the last poll was longer ago (turn_if_stale()).
  static constexpr Duration kStale = 1us;
  /// Waits and epoll sets look at the program's kernel descriptors at least so often.
  static constexpr Duration kKernelLook = 50us;
  /// How long drain() goes on when everything is delivered and no peer closes its side.
  static constexpr Duration kPeersFarewell = 20ms;
  /// A turn should not hold the lock longer: the budget adapts to it.
  static constexpr Duration kTurnTarget = 50us;

  /// `device` may be null: only the internal loopback then.
  Context(const ContextConfig& config, std::unique_ptr<NetDevice> device);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  /// All files must be closed. Ends the backup poller.
  ~Context();

  /// The others of the same device; null: it is alone. Set once, before it is used.
  [[nodiscard]] ContextGroup* group() const { return group_; }
  void join(ContextGroup& group) { group_ = &group; }
  [[nodiscard]] std::uint32_t index() const { return config_.queue.index; }
  [[nodiscard]] bool is_alone() const { return config_.queue.count == 1; }

  void lock() {
    signal_gate.enter();
    mutex_.lock();
  }
  /// Some thread is in the stack at this moment.
  [[nodiscard]] bool occupied() const { return mutex_.held(); }
  /// Releases the lock, rings those who were told meanwhile, and tells of lent sends that are over. True when
  /// a thread slept for the lock.
  bool unlock();

  // --- under the lock
  [[nodiscard]] Stack& stack() { return *stack_; }
  [[nodiscard]] const ContextConfig& config() const { return config_; }
  [[nodiscard]] NetDevice* device() { return device_.get(); }
  [[nodiscard]] LentSends& lent_sends() { return lent_sends_; }
  [[nodiscard]] AutoList<mr_loan>& loans() { return loans_; }

  /// Polls the stack once and tells whom that concerns. Returns the number of frames.
  std::size_t turn(Instant now);
  /// False when the last turn was more recent than that.
  bool turn_if_older(Instant now, Duration age) {
    if (now - last_turn_ < age) return false;
    turn(now);
    return true;
  }
  /// For a look at an epoll set.
  void turn_for_look(Instant now) { turn_if_older(now, intake_.between_looks()); }
  /// For a call that found nothing and must not block: polls when the last poll was longer ago than kStale,
  /// or when the call before it found nothing either, as those of a program that spins.
  bool turn_if_stale(Instant now) {
    return turn_if_older(now, std::exchange(found_nothing_, true) ? Duration::zero() : kStale);
  }
  /// Turns until the device has nothing left, for `limit` at most, letting others in between.
  void take_all(Duration limit);
  /// Ends a call that changed something: transmits, delivers on the internal loopback, tells whom that
  /// concerns; polls when that was long ago.
  void settle(Instant now);
  /// The same at the end of a send. What it transmits may wait for that of the next ones (see SendBatch),
  /// while no thread waits: one that does may be asleep.
  void settle_send(Instant now) {
    found_nothing_ = false;
    if (!send_batch_.hold(now) || leader_ != nullptr || flush_due(now)) return settle(now);
    last_traffic_ = now;
    if (!stack_->ready().empty()) dispatch();
  }
  /// The same at the end of a receive. One of few bytes seldom sets anything in motion, and goes without the
  /// time then.
  void settle_receive(std::size_t bytes) {
    found_nothing_ = false;
    took_event();
    if ((!send_batch_.holds() && stack_->has_pending()) || bytes >= kLargeReceive ||
        ++quiet_receives_ % kLookEvery == 0)
      return settle_read(clock_now());
    if (!stack_->ready().empty()) dispatch();
  }
  /// The program took in what one of the events was about.
  void took_event() { intake_.on_receive(); }
  /// An epoll set tells the program of so many events.
  void tell_events(int count) {
    send_batch_.tell_events(static_cast<std::uint32_t>(count));
    intake_.tell_events(static_cast<std::uint32_t>(count));
  }
  /// When the clock was read last for a turn. For calls that only take what is there.
  [[nodiscard]] Instant last_turn() const { return last_turn_; }
  /// The time after a turn that made a wait end: one of few frames took none.
  [[nodiscard]] Instant now_after_turn() const {
    constexpr std::size_t kFewFrames = 2;
    return frames_of_last_turn_ <= kFewFrames ? last_turn_ : clock_now();
  }
  /// Tells the files of sockets on the stack's ready list.
  void dispatch();
  void wake(Waiter& waiter);

  /// Waits until `waiter` is made ready by a file it is linked to, or as the request says. Releases the lock
  /// meanwhile.
  [[nodiscard]] WaitResult wait(Waiter& waiter, const WaitRequest& request);

  // --- for a thread that waits in another context of the group (wait.cc)
  static constexpr Duration kAttended = 1ms;
  /// Without the lock: a thread of the program waits here, or did a moment ago.
  [[nodiscard]] bool attended(Instant now) const {
    return now - last_led_.load(std::memory_order_relaxed) < kAttended;
  }
  /// Under the lock, of a thread that looks here and may find so much that it never waits.
  void attend(Instant now) {
    if (last_led_.load(std::memory_order_relaxed) != kNever) last_led_.store(now, std::memory_order_relaxed);
  }
  /// Polls once; then what to sleep on is appended to `fds`, and the result is until when, at most; now: do
  /// not sleep, and nothing was adopted.
  [[nodiscard]] Instant adopt(Instant now, std::vector<pollfd>& fds);
  void end_adoption(Instant now);

  // --- processes (process.cc)
  /// Before fork(2), with no lock held; then one of the other two, each of which ends what this began.
  void before_fork() { lock(); }
  void after_fork_in_parent();
  void after_fork_in_child();
  /// Takes the stack for this process, for good: false when another process that is alive has it.
  [[nodiscard]] bool claim();
  /// Another process has the stack, or none has it yet: this copy touches nothing.
  [[nodiscard]] bool dormant() const { return dormant_; }

  /// mr_finish: lets TCP deliver what was sent before its sockets were closed, and then answers the FINs of
  /// peers that close in return: later there is nobody who would. True when all was delivered.
  bool drain(Duration limit);
  void stop_backup() { backup_.stop(); }
  /// exit() has begun in this thread: others do not come back from a wait, as they would not from the
  /// kernel's.
  void begin_exit();

 private:
  friend class BackupPoller;
  enum class Sleep : std::uint8_t { kNoSleep, kWoke, kInterrupted, kKernelReady };

  WaitResult lead(Waiter& waiter, const WaitRequest& request, SignalHold& signals);
  WaitResult follow(Waiter& waiter, const WaitRequest& request, SignalHold& signals);
  /// The leader's sleep. kNoSleep: frames came or a deadline is due, poll again.
  Sleep sleep_on_devices(Waiter& waiter, Instant deadline, std::span<pollfd> kernel_fds,
                         const sigset_t* mask);
  [[nodiscard]] bool arm_devices();
  /// Somebody sleeps on the device, and what this call did concerns the sleep.
  void check_device_sleeper(Instant now, bool took_frames);
  void leave_leadership(Waiter& waiter);
  /// Steps aside for threads that want the lock, where there are any, and does what unlock() does.
  void let_others_in();
  /// unlock() would wake nobody, and no zero-copy send has ended.
  [[nodiscard]] bool nothing_to_tell() const { return told_count_ == 0 && !lent_sends_.any_over(); }
  [[nodiscard]] Duration spin_window() const { return config_.busy_poll.value_or(adaptive_spin_); }
  /// After a wait that ended well: how long it was, and whether polling did not cover it.
  void adapt_spin(Duration waited, bool slept);
  struct Farewell {
    std::size_t closing = 0;   ///< connections that are still there
    bool undelivered = false;  ///< one of them has something that was not acknowledged
  };
  [[nodiscard]] Farewell farewell();
  /// Of a thread that is not the one in exit(): for ever, without the lock.
  void park_at_exit();
  void adapt_budget(std::size_t frames, Instant began);
  void settle_read(Instant now);
  /// Nothing is held back for longer, whatever the frames that come do.
  [[nodiscard]] bool flush_due(Instant now) const { return now - last_flush_ >= Intake::kCallTurn; }

  Mutex mutex_;
  ContextConfig config_;
  ContextGroup* group_ = nullptr;
  LentSends lent_sends_;  ///< outlives all that may hold lent memory
  AutoList<mr_loan> loans_;
  std::unique_ptr<NetDevice> device_;
  LargePages large_pages_;
  std::unique_ptr<Stack> stack_;

  Instant last_turn_{};
  Instant last_flush_{};  ///< everything was transmitted
  std::size_t frames_of_last_turn_ = 0;
  Instant last_traffic_{};      ///< a frame came, or a call sent or changed something
  bool found_nothing_ = false;  ///< the last call that must not block did
  SendBatch send_batch_;
  Intake intake_;
  static constexpr std::uint32_t kLookEvery = 8;
  static constexpr std::size_t kLargeReceive = 2048;
  std::uint32_t quiet_receives_ = 0;
  Instant last_kick_{};  ///< a device sleeper was woken because a deadline moved forward
  std::size_t budget_ = Intake::kUsualFrames;
  static constexpr int kSpinMisses = 8, kSpinPause = 256;
  Duration adaptive_spin_ = Duration::zero();
  int spin_misses_ = 0;  ///< waits in a row that ended soon after the longest polling
  int spin_pause_ = 0;   ///< waits to go without polling
  bool single_cpu_ = false;

  Waiter* leader_ = nullptr;
  std::atomic<Instant> last_led_{kEpoch};  ///< by a thread of the program; kNever: it leads now
  std::uint32_t adopted_ = 0;              ///< by so many threads
  AutoList<Waiter> followers_;             ///< asleep, last come first
  Waiter* device_sleeper_ = nullptr;       ///< announced on the device: the leader, or none
  Instant device_sleeper_until_ = kNever;
  bool device_sleeper_wants_tx_ = false;

  static constexpr std::size_t kMaxTold = 16;
  std::array<Waiter*, kMaxTold> told_{};
  std::size_t told_count_ = 0;

  struct Unmap {
    void operator()(SharedState* state) const;
  };
  void fall_asleep();

  std::unique_ptr<SharedState, Unmap> shared_;  ///< with the children that are forked from now on
  std::atomic<bool> dormant_{false};

  bool exiting_ = false;
  pthread_t exiting_thread_{};

  BackupPoller backup_;
};

/// The lock for a scope.
class ContextLock {
 public:
  explicit ContextLock(Context& context) : context_(context) { context_.lock(); }
  ContextLock(const ContextLock&) = delete;
  ContextLock& operator=(const ContextLock&) = delete;
  ~ContextLock() { context_.unlock(); }

 private:
  Context& context_;
};

}  // namespace millrace::posix
