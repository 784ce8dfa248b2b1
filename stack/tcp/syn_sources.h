#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::tcp {

/// How many half-open requests each source address holds, in a table of fixed size: addresses that share a
/// place are counted together, so that the answer may be too high and is never too low. Callers hash the
/// address under a secret, or a stranger could choose whom to share a place with.
class SynSources {
 public:
  void add(std::uint32_t hash) { ++counts_[hash % kPlaces]; }
  void remove(std::uint32_t hash) { --counts_[hash % kPlaces]; }
  [[nodiscard]] std::size_t count(std::uint32_t hash) const { return counts_[hash % kPlaces]; }

 private:
  static constexpr std::size_t kPlaces = 512;
  std::array<std::uint32_t, kPlaces> counts_{};
};

}  // namespace millrace::tcp
