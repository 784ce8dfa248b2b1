#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/ip_address.h"

namespace millrace::link {

/// Spreads 64 bits over all of them (the finalizer of MurmurHash3).
[[nodiscard]] constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return x;
}

/// For tables whose size is bounded and whose keys this host chose or admitted: fast, and different in every
/// run through `seed`. Where strangers choose the keys, KeyedHash.
[[nodiscard]] inline std::uint64_t hash_address(const IpAddress& address, std::uint64_t seed) {
  if (address.is_v4()) return mix_bits(seed ^ address.v4_value());
  std::uint64_t high, low;
  std::memcpy(&high, address.bytes().data(), sizeof high);
  std::memcpy(&low, address.bytes().data() + sizeof high, sizeof low);
  return mix_bits(mix_bits(seed ^ high) ^ low);
}

}  // namespace millrace::link
