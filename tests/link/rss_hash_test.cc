// Receive side scaling: the hash as Microsoft defines it, with the vectors that all NICs are verified by.
#include "link/rss_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace millrace::link {
namespace {

constexpr std::array<std::uint8_t, 40> kKey{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                            0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                            0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

constexpr std::uint32_t address(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

TEST(RssHash, HasTheValuesOfTheVerificationSuite) {
  struct Vector {
    std::uint32_t destination;
    std::uint16_t destination_port;
    std::uint32_t source;
    std::uint16_t source_port;
    std::uint32_t hash;
  };
  const RssHash hash(kKey, {0});
  for (const Vector& vector : {
           Vector{address(161, 142, 100, 80), 1766, address(66, 9, 149, 187), 2794, 0x51ccc178},
           Vector{address(65, 69, 140, 83), 4739, address(199, 92, 111, 2), 14230, 0xc626b0ea},
           Vector{address(12, 22, 207, 184), 38024, address(24, 19, 198, 95), 12898, 0x5c2b394a},
           Vector{address(209, 142, 163, 6), 2217, address(38, 27, 205, 30), 48228, 0xafc7327f},
           Vector{address(202, 188, 127, 2), 1303, address(153, 39, 163, 191), 44251, 0x10e828a2},
       }) {
    EXPECT_EQ(hash.hash(vector.source, vector.source_port, vector.destination, vector.destination_port),
              vector.hash);
  }
}

TEST(RssHash, TheTableHasTheQueueOfTheLastBits) {
  std::vector<std::uint16_t> table(128, 0);
  table[0x51ccc178 % 128] = 5;
  const RssHash hash(kKey, table);
  const std::uint32_t source = address(66, 9, 149, 187), destination = address(161, 142, 100, 80);
  EXPECT_EQ(hash.queue(source, 2794, destination, 1766), 5u);
  EXPECT_EQ(hash.queue(destination, 1766, source, 2794), 0u) << "this key has a hash for each direction";
}

TEST(RssHash, OfAKeyTheBeginningMatters) {
  std::array<std::uint8_t, 52> longer{};
  std::copy(kKey.begin(), kKey.begin() + RssHash::kKeyBytes, longer.begin());
  std::array<std::uint8_t, 2> shorter{0x80, 0};
  const RssHash hash(kKey, {0}), same(longer, {0}), few(shorter, {0});
  EXPECT_EQ(hash.hash(0xc6120001, 40000, 0xc6120002, 7), same.hash(0xc6120001, 40000, 0xc6120002, 7));
  EXPECT_EQ(few.hash(0x80000000, 1, 2, 3), 0x80000000u) << "the first bit of both, and zeros";
}

}  // namespace
}  // namespace millrace::link
