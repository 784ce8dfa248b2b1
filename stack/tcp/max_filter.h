#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

namespace millrace::tcp {

/// The largest value of the last kSlots slots of a time that the owner counts: advance() begins a slot and
/// forgets the oldest.
template <typename T, std::size_t kSlots>
class MaxFilter {
 public:
  void add(T value) { slots_[current_] = std::max(slots_[current_], value); }
  void advance() {
    current_ = (current_ + 1) % kSlots;
    slots_[current_] = T{};
  }
  /// Of the current slot and those before it, `count` in all.
  [[nodiscard]] T max(std::size_t count = kSlots) const {
    T most{};
    for (std::size_t i = 0; i < std::min(count, kSlots); ++i)
      most = std::max(most, slots_[(current_ + kSlots - i) % kSlots]);
    return most;
  }

 private:
  std::array<T, kSlots> slots_{};
  std::size_t current_ = 0;
};

}  // namespace millrace::tcp
