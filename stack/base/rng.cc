#include "base/rng.h"

#include <sodium/crypto_stream_chacha20.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace millrace {

Rng::Rng(std::uint64_t number) : seed_{} {
  for (std::size_t i = 0; i < 8; ++i) seed_[i] = static_cast<std::uint8_t>(number >> (8 * i));
}

void Rng::refill() {
  static_assert(std::tuple_size_v<Seed> == crypto_stream_chacha20_KEYBYTES);
  static_assert(crypto_stream_chacha20_NONCEBYTES == 8);
  std::array<std::uint8_t, 8> nonce;
  for (std::size_t i = 0; i < 8; ++i) nonce[i] = static_cast<std::uint8_t>(block_ >> (8 * i));
  ++block_;
  crypto_stream_chacha20(pool_.data(), pool_.size(), nonce.data(), seed_.data());
  used_ = 0;
}

void Rng::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    if (used_ == kPool) refill();
    const std::size_t n = std::min(out.size(), kPool - used_);
    std::memcpy(out.data(), pool_.data() + used_, n);
    // What was given out is forgotten: a later look into our memory does not reveal it.
    std::memset(pool_.data() + used_, 0, n);
    used_ += n;
    out = out.subspan(n);
  }
}

std::uint32_t Rng::u32() {
  std::array<std::uint8_t, 4> b;
  fill(b);
  return b[0] | (std::uint32_t{b[1]} << 8) | (std::uint32_t{b[2]} << 16) | (std::uint32_t{b[3]} << 24);
}

std::uint64_t Rng::u64() {
  const std::uint64_t low = u32();
  return low | (std::uint64_t{u32()} << 32);
}

std::uint32_t Rng::below(std::uint32_t bound) {
  assert(bound > 0);
  // Multiply and take the high half; reject the few low halves that would favour some results.
  const std::uint32_t threshold = (0 - bound) % bound;
  for (;;) {
    const std::uint64_t product = std::uint64_t{u32()} * bound;
    if (static_cast<std::uint32_t>(product) >= threshold) return static_cast<std::uint32_t>(product >> 32);
  }
}

double Rng::unit() {
  return static_cast<double>(u64() >> 11) * 0x1.0p-53;
}

}  // namespace millrace
