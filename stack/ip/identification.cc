#include "ip/identification.h"

#include <algorithm>

namespace millrace::ip {

Identification::Identification(Rng& rng) : hash_(rng), atomic_(static_cast<std::uint16_t>(rng.u32())) {
  for (std::uint16_t& counter : counters_) counter = static_cast<std::uint16_t>(rng.u32());
}

std::uint16_t Identification::next(const IpAddress& source, const IpAddress& destination,
                                   std::uint8_t protocol) {
  std::array<std::uint8_t, 33> tuple{};
  std::copy(source.bytes().begin(), source.bytes().end(), tuple.begin());
  std::copy(destination.bytes().begin(), destination.bytes().end(), tuple.begin() + 16);
  tuple[32] = protocol;
  const std::uint64_t h = hash_(tuple);
  // Different bits of one hash choose the counter and what is added to it.
  return static_cast<std::uint16_t>(counters_[h % counters_.size()]++ + static_cast<std::uint16_t>(h >> 48));
}

}  // namespace millrace::ip
