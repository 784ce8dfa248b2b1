#pragma once

#include <atomic>
#include <cstdint>

namespace millrace::posix {

/// A mutex of one word (futex(2)): two uncontended atomic operations a locked section, a short spin before it
/// sleeps, and an unlock that tells whether somebody was waiting, so that a thread which polls in a loop can
/// step aside.
class Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() {
    std::uint32_t expected = kFree;
    if (!state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) [[unlikely]]
      lock_slow();
  }
  [[nodiscard]] bool try_lock() {
    std::uint32_t expected = kFree;
    return state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire);
  }
  /// A look that orders nothing.
  [[nodiscard]] bool held() const { return state_.load(std::memory_order_relaxed) != kFree; }
  /// A thread waits for it, asleep or not yet: whoever holds it may keep it while none does. A look that
  /// orders nothing.
  [[nodiscard]] bool wanted() const { return wanting_.load(std::memory_order_relaxed) != 0; }
  /// True when a thread that slept for the lock was woken.
  bool unlock() {
    if (state_.exchange(kFree, std::memory_order_release) != kContended) [[likely]]
      return false;
    wake_one();
    return true;
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kContended = 2;
  void lock_slow();
  void acquire_slow();
  void wake_one();

  std::atomic<std::uint32_t> state_{kFree};
  std::atomic<std::uint32_t> wanting_{0};  ///< threads in lock_slow()
};

}  // namespace millrace::posix
