#include "posix/backup_poller.h"

#include <algorithm>
#include <system_error>

#include "posix/context.h"
#include "posix/signals.h"

namespace millrace::posix {

void* BackupPoller::enter(void* self) {
  static_cast<BackupPoller*>(self)->run();
  return nullptr;
}

void BackupPoller::start() {
  SignalHold none;  // inherited by the thread: signals are the program's
  none.hold();
  const int error = pthread_create(&thread_, nullptr, &enter, this);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_create");
  running_ = true;
  pthread_setname_np(thread_, "millrace");
}

void BackupPoller::stop() {
  if (!running_) return;
  context_.lock();
  stopping_ = true;
  context_.wake(waiter_);
  context_.unlock();
  pthread_join(thread_, nullptr);
  running_ = false;
}

void BackupPoller::reset_after_fork() {
  running_ = false;
  idle_ = false;
  waiter_.reset_after_fork();
}

void BackupPoller::wake_up() {
  if (!idle_) return;
  idle_ = false;
  context_.wake(waiter_);
}

void BackupPoller::run() {
  context_.lock();
  while (!stopping_) {
    const Duration pause = round();
    if (pause == Duration::zero() || stopping_) continue;
    waiter_.announce(Waiter::Bed::kFutex);
    context_.unlock();
    const timespec timeout = to_timespec(pause);
    waiter_.sleep_on_futex(pause == Duration::max() ? nullptr : &timeout);
    // A thread of the program that is in the stack also polls it: waiting for the lock would only cost that
    // thread a wake-up call, and on one core it has just been preempted.
    for (int left_out = 0; pause <= kLongestTick && left_out < kTicksLeftOut && context_.occupied();
         ++left_out)
      waiter_.sleep_on_futex(&timeout);
    context_.lock();
    waiter_.settle();
    waiter_.ready = false;
  }
  if (context_.leader_ == &waiter_) context_.leave_leadership(waiter_);
  context_.unlock();
}

Duration BackupPoller::round() {
  if (context_.dormant_) {
    if (context_.leader_ == &waiter_) context_.leader_ = nullptr;
    idle_ = true;
    return Duration::max();
  }
  const Instant now = clock_now();
  if (context_.adopted_ != 0 && now - context_.last_turn_ < kQuietTick) return kQuietTick;
  if (context_.adopted_ != 0 && now - context_.last_traffic_ >= kIdleAfter) {
    idle_ = true;
    return Duration::max();
  }
  const bool program_leads = context_.leader_ != nullptr && context_.leader_ != &waiter_;
  // Of several contexts, one may have sockets of threads that wait in another: they are told from here, and
  // not only once a tick.
  const bool left_alone = !program_leads && now - context_.last_turn_ >= kTick / 2;
  const bool alone = !program_leads && !context_.is_alone() && !context_.attended(now) &&
                     (left_alone || context_.last_turn_ == own_turn_);
  tick_ = left_alone ? kTick : std::min(2 * tick_, kLongestTick);
  if (left_alone) {
    context_.take_all(kTick);
    own_turn_ = context_.last_turn_;
  }

  const Duration quiet = now - context_.last_traffic_;
  if (quiet < kQuietAfter && !alone) {
    if (!program_leads) context_.leader_ = nullptr;
    return tick_;
  }
  if (program_leads) {
    if (quiet < kIdleAfter) return kQuietTick;
    idle_ = true;
    return Duration::max();
  }
  context_.leader_ = &waiter_;
  const Instant turn_before = context_.last_turn_;
  (void)context_.sleep_on_devices(waiter_, kNever, {}, nullptr);
  waiter_.ready = false;
  if (context_.leader_ != &waiter_) return kQuietTick;
  if (alone && (context_.last_turn_ != turn_before || context_.attended(clock_now()))) {
    // The program looks by itself: a sleeper on the device would be woken for each of its frames.
    context_.leader_ = nullptr;
    return kTick;
  }
  own_turn_ = clock_now();
  context_.turn(own_turn_);
  return Duration::zero();
}

}  // namespace millrace::posix
