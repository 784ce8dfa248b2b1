#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/rng.h"

namespace millrace {

/// SipHash-2-4 (libsodium) under a secret key: for hash tables that strangers can fill, ISNs (RFC 6528),
/// ports (RFC 6056) and IP identification. Never for data that leaves as is.
class KeyedHash {
 public:
  using Key = std::array<std::uint8_t, 16>;
  explicit KeyedHash(const Key& key) : key_(key) {}
  /// Under a key of its own.
  explicit KeyedHash(Rng& rng) { rng.fill(key_); }
  explicit KeyedHash(Rng&& rng) : KeyedHash(rng) {}

  [[nodiscard]] std::uint64_t operator()(std::span<const std::uint8_t> bytes) const;

 private:
  Key key_;
};

}  // namespace millrace
