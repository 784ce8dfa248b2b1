#pragma once

#include <algorithm>
#include <cstddef>

namespace millrace::tcp {

/// A share of the context's pool, given out in bytes. Receive windows draw on one before they are advertised
/// (an advertised window is a promise), send queues on another for the storage they hold; so neither can
/// starve the other or the stack's own traffic.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t total) : total_(total) {}

  /// Takes n, or nothing when that would exceed the budget.
  [[nodiscard]] bool take(std::size_t n) {
    if (used_ + n > total_) return false;
    used_ += n;
    return true;
  }
  /// Takes n even over the budget: for minimums that correctness needs.
  void take_anyway(std::size_t n) { used_ += n; }
  void give_back(std::size_t n) { used_ -= std::min(n, used_); }
  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t total() const { return total_; }
  [[nodiscard]] std::size_t left() const { return used_ < total_ ? total_ - used_ : 0; }
  /// Little is left: sockets should hold themselves to small queues.
  [[nodiscard]] bool under_pressure() const { return used_ > total_ - total_ / 4; }

 private:
  std::size_t total_;
  std::size_t used_ = 0;
};

}  // namespace millrace::tcp
