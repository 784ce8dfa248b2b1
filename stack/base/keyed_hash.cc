#include "base/keyed_hash.h"

#include <sodium/crypto_shorthash.h>

#include <cstddef>

namespace millrace {

std::uint64_t KeyedHash::operator()(std::span<const std::uint8_t> bytes) const {
  static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8);
  std::array<std::uint8_t, 8> out;
  crypto_shorthash(out.data(), bytes.data(), bytes.size(), key_.data());
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < 8; ++i) hash |= std::uint64_t{out[i]} << (8 * i);
  return hash;
}

}  // namespace millrace
