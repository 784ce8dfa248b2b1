#include "link/rss_hash.h"

#include <algorithm>
#include <utility>

namespace millrace::link {
namespace {

using Key = std::array<std::uint8_t, RssHash::kKeyBytes>;

/// 32 bits of the key from this bit on.
std::uint32_t window(const Key& key, std::size_t bit) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    const std::size_t at = bit / 8 + i;
    bytes = bytes << 8 | (at < key.size() ? key[at] : 0u);
  }
  return static_cast<std::uint32_t>(bytes >> (8 - bit % 8));
}

}  // namespace

RssHash::RssHash(std::span<const std::uint8_t> key, std::vector<std::uint16_t> table)
    : table_(std::move(table)) {
  Key own{};
  std::copy_n(key.begin(), std::min(key.size(), own.size()), own.begin());
  for (std::size_t nibble = 0; nibble < kNibbles; ++nibble) {
    for (std::size_t bit = 0; bit < 4; ++bit) {
      const std::uint32_t part = window(own, 4 * nibble + bit);
      for (std::size_t value = 0; value < 16; ++value) {
        if ((value & (8u >> bit)) != 0) parts_[nibble][value] ^= part;
      }
    }
  }
}

std::uint32_t RssHash::hash(std::uint32_t source, std::uint16_t source_port, std::uint32_t destination,
                            std::uint16_t destination_port) const {
  const std::uint32_t ports = std::uint32_t{source_port} << 16 | destination_port;
  std::uint32_t sum = 0;
  std::size_t nibble = 0;
  for (const std::uint32_t word : {source, destination, ports}) {
    for (unsigned shift = 32; shift != 0;) {
      shift -= 4;
      sum ^= parts_[nibble++][word >> shift & 0xf];
    }
  }
  return sum;
}

}  // namespace millrace::link
