#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/time.h"

namespace millrace::test {

/// The next time at which each of a fixed number of sources wants to act; the earliest first, and of equal
/// ones that with the lower number, so that runs are repeatable. A binary heap that knows where each is.
class EventHeap {
 public:
  explicit EventHeap(std::size_t sources) : at_(sources, kNever), heap_(sources), place_(sources) {
    for (std::size_t i = 0; i < sources; ++i) heap_[i] = place_[i] = i;
  }

  [[nodiscard]] std::size_t first() const { return heap_.front(); }
  [[nodiscard]] Instant first_at() const { return at_[heap_.front()]; }

  void set(std::size_t source, Instant at) {
    if (at_[source] == at) return;
    const bool earlier = at < at_[source];
    at_[source] = at;
    if (earlier) {
      rise(place_[source]);
    } else {
      sink(place_[source]);
    }
  }

 private:
  [[nodiscard]] bool before(std::size_t a, std::size_t b) const {
    return at_[a] != at_[b] ? at_[a] < at_[b] : a < b;
  }
  void exchange(std::size_t i, std::size_t j) {
    std::swap(heap_[i], heap_[j]);
    place_[heap_[i]] = i;
    place_[heap_[j]] = j;
  }
  void rise(std::size_t i) {
    for (; i != 0 && before(heap_[i], heap_[(i - 1) / 2]); i = (i - 1) / 2) exchange(i, (i - 1) / 2);
  }
  void sink(std::size_t i) {
    while (true) {
      std::size_t least = i;
      for (std::size_t child = 2 * i + 1; child <= 2 * i + 2 && child < heap_.size(); ++child) {
        if (before(heap_[child], heap_[least])) least = child;
      }
      if (least == i) return;
      exchange(i, least);
      i = least;
    }
  }

  std::vector<Instant> at_;  ///< by source
  std::vector<std::size_t> heap_, place_;
};

}  // namespace millrace::test
