#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>

namespace millrace::kv {

/// Lets one of several threads have all the others stand still, so that it can use what is theirs. A thread
/// stands still only where it says so: between rest() and resume(), in which it may well sleep elsewhere, and
/// while it waits for its own begin(), so that two who want the others' at once do not wait for each other.
///
///     thread 0   ... turn | rest ... wait for events ... resume | turn ...
///     thread 1        begin |= thread 0 rests: all is mine =| end
///
/// Who comes later waits its turn, threads that want to go on included: nobody starves. Before its first
/// resume() a thread rests.
class Standstill {
 public:
  explicit Standstill(unsigned threads) : threads_(threads) {}

  /// Two atomic operations each while nobody wants a standstill.
  void rest(unsigned self);
  void resume(unsigned self);

  /// Returns when all others rest, and they do so until end(). What they did before is visible.
  void begin(unsigned self);
  void end(unsigned self);

 private:
  enum class State : std::uint8_t { kRunning, kResting, kHeld };
  struct alignas(64) Thread {
    std::atomic<State> state{State::kResting};
  };

  /// False: somebody runs.
  bool hold_others(unsigned self);
  /// Waits until those who came earlier are done.
  void queue(std::unique_lock<std::mutex>& lock);

  std::deque<Thread> threads_;
  std::atomic<bool> wanted_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t next_ticket_ = 0, serving_ = 0;
};

}  // namespace millrace::kv
