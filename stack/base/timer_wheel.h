#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <boost/intrusive/list.hpp>

#include "base/time.h"

namespace millrace {

class TimerWheel;

/// One deadline, embedded in its owner. Destroying an armed timer disarms it.
class Timer
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
 public:
  /// Called from TimerWheel::run, disarmed: it may arm itself again, arm or cancel others, or destroy its
  /// owner.
  using Callback = void (*)(void* owner, Instant now);

  Timer(Callback callback, void* owner) : callback_(callback), owner_(owner) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();

  [[nodiscard]] bool armed() const { return wheel_ != nullptr; }
  /// kNever when not armed.
  [[nodiscard]] Instant deadline() const { return armed() ? deadline_ : kNever; }

 private:
  friend class TimerWheel;
  Callback callback_;
  void* owner_;
  TimerWheel* wheel_ = nullptr;
  Instant deadline_ = kNever;
  std::uint8_t level_ = 0;
  std::uint8_t slot_ = 0;
};

/// Hierarchical timing wheel: 4 levels of 256 slots, ticks of 2^16 ns at the lowest (65.5 µs, 16.8 ms, 4.3 s,
/// 18 min a level's slot); further deadlines wait in the last slot. Deadlines are exact: a timer fires at the
/// first run(now) with now >= deadline, never earlier, and in order of slots. arm and cancel are O(1).
class TimerWheel {
 public:
  explicit TimerWheel(Instant now);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();

  /// Arms or re-arms. A deadline that has passed fires at the next run().
  void arm(Timer& timer, Instant deadline);
  void cancel(Timer& timer);
  /// Arms only if not armed or armed for later: the lazy pattern, where the owner looks at its true deadline
  /// when called and arms again.
  void arm_no_later_than(Timer& timer, Instant deadline) {
    if (!timer.armed() || deadline < timer.deadline_) arm(timer, deadline);
  }

  /// Fires all that is due; returns how many.
  std::size_t run(Instant now);
  /// The earliest deadline, exact; kNever when nothing is armed.
  [[nodiscard]] Instant next_deadline() const;
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  static constexpr unsigned kTickBits = 16;
  static constexpr unsigned kLevelBits = 8;
  static constexpr unsigned kLevels = 4;
  static constexpr std::size_t kSlots = std::size_t{1} << kLevelBits;
  using List = boost::intrusive::list<Timer, boost::intrusive::constant_time_size<false>>;
  struct Level {
    std::array<List, kSlots> slots;
    std::array<std::uint64_t, kSlots / 64> occupied{};
  };

  [[nodiscard]] static std::int64_t tick_of(Instant t) { return t.time_since_epoch().count() >> kTickBits; }
  void place(Timer& timer);
  void unlink(Timer& timer);
  void cascade(unsigned level, std::size_t slot);
  void collect(Instant now);
  void collect_slot(std::size_t slot, Instant now);
  [[nodiscard]] List& list_of(const Timer& timer);

  std::int64_t tick_;  ///< every tick before this one has been run
  std::size_t size_ = 0;
  List due_;  ///< while run() fires: what it has yet to call, still armed
  mutable Instant cached_next_ = kNever;
  mutable bool cache_valid_ = true;
  std::array<Level, kLevels> levels_;
};

}  // namespace millrace
