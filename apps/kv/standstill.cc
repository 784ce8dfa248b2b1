#include "standstill.h"

namespace millrace::kv {

// All atomic operations are sequentially consistent: of a thread that goes to rest and one that begins, one
// sees what the other has written.

void Standstill::rest(unsigned self) {
  threads_[self].state.store(State::kResting);
  if (!wanted_.load()) return;
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Standstill::resume(unsigned self) {
  State resting = State::kResting;
  if (!wanted_.load() && threads_[self].state.compare_exchange_strong(resting, State::kRunning)) return;
  std::unique_lock lock(mutex_);
  queue(lock);
  threads_[self].state.store(State::kRunning);
  ++serving_;
  changed_.notify_all();
}

void Standstill::queue(std::unique_lock<std::mutex>& lock) {
  const std::uint64_t ticket = next_ticket_++;
  changed_.wait(lock, [&] { return serving_ == ticket; });
}

bool Standstill::hold_others(unsigned self) {
  bool all = true;
  for (unsigned i = 0; i < threads_.size(); ++i) {
    State resting = State::kResting;
    if (i != self && !threads_[i].state.compare_exchange_strong(resting, State::kHeld)) {
      all &= resting == State::kHeld;
    }
  }
  return all;
}

void Standstill::begin(unsigned self) {
  rest(self);
  std::unique_lock lock(mutex_);
  queue(lock);
  threads_[self].state.store(State::kRunning);
  wanted_.store(true);
  changed_.wait(lock, [&] { return hold_others(self); });
}

void Standstill::end(unsigned self) {
  const std::lock_guard lock(mutex_);
  for (unsigned i = 0; i < threads_.size(); ++i) {
    if (i != self) threads_[i].state.store(State::kResting);
  }
  wanted_.store(false);
  ++serving_;
  changed_.notify_all();
}

}  // namespace millrace::kv
