// How a Context's threads wait: leader, followers, sleeping.
#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <vector>

#include "posix/context.h"
#include "posix/signals.h"
#include "posix/system.h"

namespace millrace::posix {

namespace {

constexpr Duration kUnheldSpin = 20us;  ///< longer polling holds signals back
constexpr Duration kKickMemory = 1s;
constexpr Duration kCappedSleep = 10ms;  ///< while deadlines lately came from other threads

bool any_ready(std::span<const pollfd> fds) {
  return std::any_of(fds.begin(), fds.end(), [](const pollfd& fd) { return fd.revents != 0; });
}

/// A pollfd set: the program's descriptors, then others; on the stack when small.
class PollSet {
 public:
  explicit PollSet(std::span<pollfd> program) : program_(program) {
    if (program.size() + kOthers > inline_.size()) large_.resize(program.size() + kOthers);
    fds_ = large_.empty() ? inline_.data() : large_.data();
    std::copy(program.begin(), program.end(), fds_);
    count_ = program.size();
  }
  void add(int fd, short events) {
    if (fd < 0 || count_ == program_.size() + kOthers) return;
    fds_[count_++] = pollfd{fd, events, 0};
  }
  /// ppoll(2), and the program's revents stored. Returns 0 or EINTR. A cancellation point.
  int sleep(const timespec* timeout, const sigset_t* mask) {
    const int result = sys::cancellable_ppoll(fds_, count_, timeout, mask);
    if (result < 0) return errno == EINTR ? EINTR : 0;
    if (result > 0) std::copy_n(fds_, program_.size(), program_.begin());
    return 0;
  }
  /// The same at once, with the lock held: no cancellation point.
  int look(const sigset_t* mask) {
    const long result = sys::poll_now(fds_, count_, mask);
    if (result > 0) std::copy_n(fds_, program_.size(), program_.begin());
    return result == -EINTR ? EINTR : 0;
  }

 private:
  static constexpr std::size_t kOthers = 12;
  std::span<pollfd> program_;
  std::array<pollfd, 32> inline_;
  std::vector<pollfd> large_;
  pollfd* fds_;
  std::size_t count_;
};

/// Does something at the end of a scope, also when the thread is cancelled in its sleep and unwound.
template <typename Action>
class AtEnd {
 public:
  explicit AtEnd(Action action) : action_(std::move(action)) {}
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;
  ~AtEnd() { action_(); }

 private:
  Action action_;
};

}  // namespace

WaitResult Context::wait(Waiter& waiter, const WaitRequest& request) {
  tell_events(0);
  found_nothing_ = false;
  SignalHold signals;
  WaitResult result;
  {
    const AtEnd leave([&] { leave_leadership(waiter); });
    do {
      if (leader_ == nullptr || leader_ == backup_.waiter()) {
        leader_ = &waiter;
        last_led_.store(kNever, std::memory_order_relaxed);
      }
      result = leader_ == &waiter ? lead(waiter, request, signals) : follow(waiter, request, signals);
      // A follower that was chosen to lead, or woken for nothing, goes round again.
    } while (result == WaitResult::kReady && !waiter.ready);
  }
  if (exiting_) park_at_exit();
  if (signals.held()) {  // handlers run without the lock
    unlock();
    signals.release();
    lock();
  }
  return result;
}

WaitResult Context::lead(Waiter& waiter, const WaitRequest& request, SignalHold& signals) {
  const Instant began = request.now != kEpoch ? request.now : clock_now();
  Instant now = began;
  Instant spin_end = after(began, spin_window());
  Instant next_look = after(began, kKernelLook);
  bool slept_once = false;
  for (;;) {
    const std::size_t frames = turn(now);
    if (waiter.ready) {
      adapt_spin(now - began, slept_once);
      return WaitResult::kReady;
    }
    if (now >= request.deadline) return WaitResult::kTimedOut;

    const bool spin = now < spin_end;
    if (spin || frames != 0) {
      if (now >= next_look && (!request.kernel_fds.empty() || signals.held())) {
        next_look = now + kKernelLook;
        const sigset_t* mask = request.mask != nullptr ? request.mask : signals.before();
        const int error = PollSet(request.kernel_fds).look(mask);
        if (any_ready(request.kernel_fds)) return WaitResult::kKernelReady;
        if (error == EINTR && !(request.restartable && handlers_restart(mask)))
          return WaitResult::kInterrupted;
      }
      if (now - began >= kUnheldSpin) signals.hold();
      let_others_in();
      now = clock_now();
      if (waiter.ready) {
        adapt_spin(now - began, slept_once);
        return WaitResult::kReady;
      }
      continue;
    }

    // From here on a signal is taken in the sleep, where it ends the call, or after the call; never in
    // between.
    signals.hold();
    const sigset_t* mask = request.mask != nullptr ? request.mask : signals.before();
    const Sleep slept = sleep_on_devices(waiter, request.deadline, request.kernel_fds, mask);
    if (slept == Sleep::kNoSleep) let_others_in();
    now = clock_now();
    if (slept == Sleep::kNoSleep) continue;
    slept_once = true;
    turn(now);
    if (waiter.ready) {
      adapt_spin(now - began, true);
      return WaitResult::kReady;
    }
    if (slept == Sleep::kKernelReady) return WaitResult::kKernelReady;
    if (slept == Sleep::kInterrupted && !(request.restartable && handlers_restart(mask)))
      return WaitResult::kInterrupted;
    // A user who asked for busy polling gets it again after each wake-up.
    if (config_.busy_poll) spin_end = after(now, *config_.busy_poll);
  }
}

Context::Sleep Context::sleep_on_devices(Waiter& waiter, Instant deadline, std::span<pollfd> kernel_fds,
                                         const sigset_t* mask) {
  // Whoever else sleeps here (the backup poller, whose place this thread has taken) need not any more.
  if (device_sleeper_ != nullptr && device_sleeper_ != &waiter) wake(*device_sleeper_);
  if (stack_->ip().loopback_pending() || arm_devices()) return Sleep::kNoSleep;

  const Instant now = clock_now();
  Instant until = std::min(deadline, stack_->next_deadline());
  if (device_) until = std::min(until, after(now, device_->max_sleep(now)));
  if (now - last_kick_ < kKickMemory) until = std::min(until, now + kCappedSleep);
  waiter.announce(Waiter::Bed::kEventFd);
  // Out of descriptors, nobody could wake this thread: it looks by itself.
  if (waiter.event_fd() < 0) until = std::min(until, now + 1ms);
  if (until <= now) {
    waiter.settle();
    return Sleep::kNoSleep;
  }

  PollSet set(kernel_fds);
  set.add(waiter.event_fd(), POLLIN);
  device_sleeper_wants_tx_ = false;
  if (device_) {
    for (const WaitFd& wait_fd : device_->wait_fds()) {
      set.add(wait_fd.fd,
              static_cast<short>((wait_fd.readable ? POLLIN : 0) | (wait_fd.writable ? POLLOUT : 0)));
      device_sleeper_wants_tx_ |= wait_fd.writable;
    }
  }
  device_sleeper_ = &waiter;
  device_sleeper_until_ = until;
  timespec timeout;
  if (until != kNever) timeout = to_timespec(until - now);
  int error;
  {
    const AtEnd awake([&] {
      lock();
      if (device_sleeper_ == &waiter) device_sleeper_ = nullptr;
      waiter.settle();
    });
    unlock();
    error = set.sleep(until != kNever ? &timeout : nullptr, mask);
  }
  if (any_ready(kernel_fds)) return Sleep::kKernelReady;
  return error == EINTR ? Sleep::kInterrupted : Sleep::kWoke;
}

WaitResult Context::follow(Waiter& waiter, const WaitRequest& request, SignalHold& signals) {
  if (waiter.ready) return WaitResult::kReady;
  const Instant now = clock_now();
  if (now >= request.deadline) return WaitResult::kTimedOut;
  waiter.announce(Waiter::Bed::kEventFd);
  followers_.push_front(waiter);
  signals.hold();
  const sigset_t* mask = request.mask != nullptr ? request.mask : signals.before();
  Instant until = request.deadline;
  if (waiter.event_fd() < 0) until = std::min(until, now + 1ms);  // out of descriptors: looks by itself
  timespec timeout;
  if (until != kNever) timeout = to_timespec(until - now);
  PollSet set(request.kernel_fds);
  set.add(waiter.event_fd(), POLLIN);
  int error;
  {
    const AtEnd awake([&] {
      lock();
      if (waiter.AutoHook::is_linked()) waiter.unlink();
      waiter.settle();
    });
    unlock();
    error = set.sleep(until != kNever ? &timeout : nullptr, mask);
  }
  if (waiter.ready) return WaitResult::kReady;
  if (any_ready(request.kernel_fds)) return WaitResult::kKernelReady;
  if (error == EINTR && !(request.restartable && handlers_restart(mask))) return WaitResult::kInterrupted;
  if (request.deadline != kNever && clock_now() >= request.deadline) return WaitResult::kTimedOut;
  return WaitResult::kReady;  // chosen as leader, or spurious: wait() looks
}

Instant Context::adopt(Instant now, std::vector<pollfd>& fds) {
  turn(now);
  if (dormant_) return kNever;
  if (stack_->ip().loopback_pending() || arm_devices()) return now;
  Instant until = stack_->next_deadline();
  if (device_) {
    until = std::min(until, after(now, device_->max_sleep(now)));
    if (until <= now) return now;
    for (const WaitFd& wait_fd : device_->wait_fds())
      fds.push_back({wait_fd.fd,
                     static_cast<short>((wait_fd.readable ? POLLIN : 0) | (wait_fd.writable ? POLLOUT : 0)),
                     0});
  }
  if (until > now) ++adopted_;
  return until;
}

void Context::end_adoption(Instant now) {
  if (adopted_ != 0 && --adopted_ == 0) backup_.wake_up();
  turn(now);
}

void Context::leave_leadership(Waiter& waiter) {
  if (leader_ != &waiter) return;
  leader_ = nullptr;
  if (followers_.empty()) {
    last_led_.store(last_turn_, std::memory_order_relaxed);
    backup_.wake_up();
    return;
  }
  Waiter& next = followers_.front();
  leader_ = &next;
  const bool ready = next.ready;
  wake(next);
  next.ready = ready;
}

}  // namespace millrace::posix
