#include "base/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>

// A timer's level is that of the highest 8-bit digit in which its tick differs from the current tick, its
// slot is that digit of its tick:
//
//     tick    | beyond | level 3 | level 2 | level 1 | level 0 |
//     bits     ... 32    31 - 24   23 - 16   15 - 8    7 - 0
//
// So every timer on level l lies before every timer on level l + 1, the slots of a level are in order of
// time, and none lies before the current digit: finding the earliest slot is a scan of bitmaps. When the
// current tick enters a slot of level l > 0, the slot's timers move down (cascade). A tick that differs
// beyond level 3 waits in slot 255 of level 3, which is looked at when the current tick enters it and again
// when it leaves it.

namespace millrace {
namespace {

constexpr std::uint8_t kDueLevel = 0xff;

/// The first set bit at or after `from`, or `size * 64`.
template <std::size_t kWords>
std::size_t first_set(const std::array<std::uint64_t, kWords>& words, std::size_t from) {
  for (std::size_t word = from / 64; word < kWords; ++word) {
    std::uint64_t bits = words[word];
    if (word == from / 64) bits &= ~std::uint64_t{0} << (from % 64);
    if (bits != 0) return word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
  }
  return kWords * 64;
}

}  // namespace

Timer::~Timer() {
  if (wheel_ != nullptr) wheel_->cancel(*this);
}

TimerWheel::TimerWheel(Instant now) : tick_(tick_of(now)) {}

TimerWheel::~TimerWheel() {
  const auto disarm = [](Timer* timer) { timer->wheel_ = nullptr; };
  due_.clear_and_dispose(disarm);
  for (Level& level : levels_) {
    for (List& list : level.slots) list.clear_and_dispose(disarm);
  }
}

void TimerWheel::arm(Timer& timer, Instant deadline) {
  assert(timer.wheel_ == nullptr || timer.wheel_ == this);
  if (timer.armed()) unlink(timer);
  timer.wheel_ = this;
  timer.deadline_ = deadline;
  place(timer);
  ++size_;
  if (cache_valid_ && deadline < cached_next_) cached_next_ = deadline;
}

void TimerWheel::cancel(Timer& timer) {
  if (!timer.armed()) return;
  assert(timer.wheel_ == this);
  unlink(timer);
  timer.wheel_ = nullptr;
}

void TimerWheel::place(Timer& timer) {
  const std::int64_t tick = std::max(tick_of(timer.deadline_), tick_);
  const auto differing = static_cast<std::uint64_t>(tick ^ tick_);
  // "| 1" makes the width of zero that of one: level 0 either way.
  auto level = static_cast<unsigned>(std::bit_width(differing | 1) - 1) / kLevelBits;
  std::size_t slot;
  if (level >= kLevels) {
    level = kLevels - 1;
    slot = kSlots - 1;
  } else {
    slot = static_cast<std::size_t>(tick >> (level * kLevelBits)) % kSlots;
  }
  timer.level_ = static_cast<std::uint8_t>(level);
  timer.slot_ = static_cast<std::uint8_t>(slot);
  levels_[level].slots[slot].push_back(timer);
  levels_[level].occupied[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

TimerWheel::List& TimerWheel::list_of(const Timer& timer) {
  return timer.level_ == kDueLevel ? due_ : levels_[timer.level_].slots[timer.slot_];
}

void TimerWheel::unlink(Timer& timer) {
  List& list = list_of(timer);
  list.erase(list.iterator_to(timer));
  if (timer.level_ != kDueLevel && list.empty()) {
    levels_[timer.level_].occupied[timer.slot_ / 64u] &= ~(std::uint64_t{1} << (timer.slot_ % 64));
  }
  --size_;
  // While valid, the cached value is the minimum over all armed timers.
  if (timer.deadline_ == cached_next_) cache_valid_ = false;
}

void TimerWheel::cascade(unsigned level, std::size_t slot) {
  List moving;
  moving.swap(levels_[level].slots[slot]);
  levels_[level].occupied[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
  while (!moving.empty()) {
    Timer& timer = moving.front();
    moving.pop_front();
    place(timer);
  }
}

void TimerWheel::collect_slot(std::size_t slot, Instant now) {
  List& list = levels_[0].slots[slot];
  for (auto it = list.begin(); it != list.end();) {
    Timer& timer = *it;
    if (timer.deadline_ > now) {
      ++it;
      continue;
    }
    it = list.erase(it);
    timer.level_ = kDueLevel;
    due_.push_back(timer);
  }
  if (list.empty()) levels_[0].occupied[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
}

/// Moves the current tick to `now` and everything due to due_, stepping from occupied slot to occupied slot.
void TimerWheel::collect(Instant now) {
  const std::int64_t target = std::max(tick_of(now), tick_);
  constexpr std::int64_t kDigitMask = kSlots - 1;
  for (;;) {
    const std::int64_t block_end = tick_ | kDigitMask;
    const auto last = static_cast<std::size_t>(std::min(target, block_end) & kDigitMask);
    auto slot = first_set(levels_[0].occupied, static_cast<std::size_t>(tick_ & kDigitMask));
    while (slot <= last) {
      collect_slot(slot, now);
      slot = first_set(levels_[0].occupied, slot + 1);
    }
    if (target <= block_end) break;

    // The next slot of a higher level that the current tick will enter.
    unsigned level = 1;
    std::int64_t next = kNever.time_since_epoch().count();
    for (; level < kLevels; ++level) {
      const unsigned shift = level * kLevelBits;
      const auto digit = static_cast<std::size_t>((tick_ >> shift) & kDigitMask);
      slot = first_set(levels_[level].occupied, digit + 1);
      if (slot < kSlots) {
        const std::int64_t above = tick_ >> (shift + kLevelBits) << (shift + kLevelBits);
        next = above + (static_cast<std::int64_t>(slot) << shift);
        break;
      }
    }
    if (level == kLevels && !levels_[kLevels - 1].slots[kSlots - 1].empty()) {
      // The current tick is within the last slot already: its timers lie beyond the last level's span.
      level = kLevels - 1;
      slot = kSlots - 1;
      next = ((tick_ >> (kLevels * kLevelBits)) + 1) << (kLevels * kLevelBits);
    }
    if (next > target) break;
    tick_ = next;
    cascade(level, slot);
  }
  tick_ = target;
}

std::size_t TimerWheel::run(Instant now) {
  assert(due_.empty() && "run() from within a timer's callback");
  // Nothing due, nothing to cascade: the current tick may lag within its block.
  if (cache_valid_ && cached_next_ > now && tick_of(now) >> kLevelBits <= tick_ >> kLevelBits) return 0;
  collect(now);
  std::size_t fired = 0;
  while (!due_.empty()) {
    Timer& timer = due_.front();
    cancel(timer);
    ++fired;
    timer.callback_(timer.owner_, now);  // the timer may be gone after this
  }
  return fired;
}

Instant TimerWheel::next_deadline() const {
  if (cache_valid_) return cached_next_;
  Instant earliest = kNever;
  const auto look_at = [&earliest](const List& list) {
    for (const Timer& timer : list) earliest = std::min(earliest, timer.deadline_);
  };
  look_at(due_);
  for (const Level& level : levels_) {
    const std::size_t slot = first_set(level.occupied, 0);
    if (slot == kSlots) continue;
    look_at(level.slots[slot]);
    break;
  }
  cached_next_ = earliest;
  cache_valid_ = true;
  return earliest;
}

}  // namespace millrace
