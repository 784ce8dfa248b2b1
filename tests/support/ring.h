#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace millrace::test {

/// A queue in one array that grows by doubling: what a link holds, at a few nanoseconds a packet.
template <typename T>
class Ring {
 public:
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] T& front() { return slots_[first_]; }
  [[nodiscard]] const T& front() const { return slots_[first_]; }
  [[nodiscard]] const T& back() const { return slots_[(first_ + count_ - 1) & (slots_.size() - 1)]; }
  void push_back(T value) {
    if (count_ == slots_.size()) grow();
    slots_[(first_ + count_++) & (slots_.size() - 1)] = std::move(value);
  }
  T pop_front() {
    T value = std::move(slots_[first_]);
    first_ = (first_ + 1) & (slots_.size() - 1);
    --count_;
    return value;
  }
  void clear() {
    while (!empty()) pop_front();
  }

 private:
  void grow() {
    std::vector<T> larger(slots_.empty() ? 64 : slots_.size() * 2);
    const std::size_t count = count_;
    for (std::size_t i = 0; i < count; ++i) larger[i] = pop_front();
    slots_ = std::move(larger);
    first_ = 0;
    count_ = count;
  }

  std::vector<T> slots_;
  std::size_t first_ = 0, count_ = 0;
};

}  // namespace millrace::test
