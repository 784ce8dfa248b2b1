#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace {

/// Named counters of one room. The room declares `enum class Counter : uint8_t {kFoo, ..., kCount}` and a
/// constexpr function `std::string_view name_of(Counter)`; names are those of `nstat` where the kernel counts
/// the same thing, else ours in the same style. Values only grow, but for gauges, which say so in their name.
template <typename CounterEnum>
class CounterSet {
 public:
  static constexpr std::size_t kSize = static_cast<std::size_t>(CounterEnum::kCount);

  void add(CounterEnum counter, std::uint64_t n = 1) { values_[static_cast<std::size_t>(counter)] += n; }
  [[nodiscard]] std::uint64_t operator[](CounterEnum counter) const {
    return values_[static_cast<std::size_t>(counter)];
  }
  /// visit(std::string_view name, std::uint64_t value) for each.
  template <typename Visitor>
  void for_each(Visitor&& visit) const {
    for (std::size_t i = 0; i < kSize; ++i) visit(name_of(static_cast<CounterEnum>(i)), values_[i]);
  }
  /// The same for those that count dropped frames, in a room that declares `bool counts_drop(Counter)`.
  template <typename Visitor>
  void for_each_drop(Visitor&& visit) const {
    for (std::size_t i = 0; i < kSize; ++i) {
      const auto counter = static_cast<CounterEnum>(i);
      if (counts_drop(counter)) visit(name_of(counter), values_[i]);
    }
  }

 private:
  std::array<std::uint64_t, kSize> values_{};
};

}  // namespace millrace
