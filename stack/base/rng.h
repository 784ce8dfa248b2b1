#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace {

/// The stack's only source of randomness: a ChaCha20 key stream (libsodium) from a 32-byte seed. Production
/// seeds it from the system; tests and the simulator from a number, so that every run can be replayed.
class Rng {
 public:
  using Seed = std::array<std::uint8_t, 32>;

  explicit Rng(const Seed& seed) : seed_(seed) {}
  /// For tests: a seed from one number.
  explicit Rng(std::uint64_t number);

  [[nodiscard]] std::uint32_t u32();
  [[nodiscard]] std::uint64_t u64();
  /// Uniform in [0, bound), without modulo bias; bound > 0.
  [[nodiscard]] std::uint32_t below(std::uint32_t bound);
  /// Uniform in [0, 1).
  [[nodiscard]] double unit();
  /// True with probability p.
  [[nodiscard]] bool chance(double p) { return p > 0 && unit() < p; }
  void fill(std::span<std::uint8_t> out);

 private:
  void refill();

  Seed seed_;
  std::uint64_t block_ = 0;
  std::size_t used_ = kPool;
  static constexpr std::size_t kPool = 512;
  std::array<std::uint8_t, kPool> pool_{};
};

}  // namespace millrace
