#pragma once

#include <array>
#include <cstdint>

#include "base/ip_address.h"
#include "base/keyed_hash.h"
#include "base/rng.h"

namespace millrace::ip {

/// Where the Identification field comes from. Packets that may be fragmented need one that does not repeat
/// soon for the same pair of addresses and tells strangers nothing (RFC 6864 §4.3, RFC 7739 §5.3): one
/// counter for each of many hash buckets of pairs, seen through another keyed hash. Atomic ones (DF) may
/// carry anything.
class Identification {
 public:
  explicit Identification(Rng& rng);

  [[nodiscard]] std::uint16_t next_atomic() { return atomic_++; }
  [[nodiscard]] std::uint16_t next(const IpAddress& source, const IpAddress& destination,
                                   std::uint8_t protocol);

 private:
  KeyedHash hash_;
  std::uint16_t atomic_ = 0;
  std::array<std::uint16_t, 2048> counters_{};
};

}  // namespace millrace::ip
