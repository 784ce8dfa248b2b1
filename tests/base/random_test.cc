#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "base/keyed_hash.h"
#include "base/rng.h"

namespace millrace {
namespace {

TEST(Rng, SameSeedGivesTheSameStream) {
  Rng a{42};
  Rng b{42};
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(a.u64(), b.u64());
}

TEST(Rng, StreamDoesNotDependOnHowItIsRead) {
  Rng a{42};
  Rng b{42};
  std::vector<std::uint8_t> at_once(4000);
  a.fill(at_once);
  std::vector<std::uint8_t> in_pieces(at_once.size());
  const std::span<std::uint8_t> rest{in_pieces};
  std::size_t at = 0;
  for (std::size_t n = 1; at < rest.size(); at += n, n = n * 3 % 700 + 1) {
    n = std::min(n, rest.size() - at);
    b.fill(rest.subspan(at, n));
  }
  EXPECT_EQ(at_once, in_pieces);
}

TEST(Rng, StreamIsFixedAcrossVersionsSoThatSeedsKeepTheirMeaning) {
  // The first block of ChaCha20 with an all-zero key and nonce (RFC 8439 A.1, vector 1; both variants agree
  // here).
  Rng rng{std::uint64_t{0}};
  std::array<std::uint8_t, 8> first;
  rng.fill(first);
  EXPECT_EQ(first, (std::array<std::uint8_t, 8>{0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90}));
}

TEST(Rng, DifferentSeedsAndBlocksDiffer) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng{seed};
    for (int i = 0; i < 200; ++i) seen.insert(rng.u64());  // beyond one pool of key stream
  }
  EXPECT_EQ(seen.size(), 100u * 200u);
  Rng::Seed high{};
  high[31] = 1;
  EXPECT_NE(Rng{high}.u64(), Rng{std::uint64_t{0}}.u64());
}

TEST(Rng, BelowIsUniformAndInRange) {
  Rng rng{8};
  for (const std::uint32_t bound : {1u, 2u, 3u, 7u, 10u}) {
    std::map<std::uint32_t, int> counts;
    constexpr int kDraws = 20000;
    for (int i = 0; i < kDraws; ++i) ++counts[rng.below(bound)];
    ASSERT_EQ(counts.size(), bound);
    EXPECT_LT(counts.rbegin()->first, bound);
    for (const auto& [value, count] : counts) {
      EXPECT_NEAR(count, kDraws / static_cast<double>(bound), 400) << value << " below " << bound;
    }
  }
  for (int i = 0; i < 1000; ++i) ASSERT_LT(rng.below(0xc0000001), 0xc0000001u);
}

TEST(Rng, BelowHasNoModuloBias) {
  // Plain u32() % bound would hit the lower half of this range two times in three.
  Rng rng{9};
  constexpr std::uint32_t kBound = 0xaaaaaaaa;
  int low = 0;
  for (int i = 0; i < 30000; ++i) low += rng.below(kBound) < kBound / 2 ? 1 : 0;
  EXPECT_NEAR(low, 15000, 500);
}

TEST(Rng, UnitAndChanceKeepTheirPromises) {
  Rng rng{10};
  double sum = 0;
  for (int i = 0; i < 20000; ++i) {
    const double x = rng.unit();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
  }
  EXPECT_NEAR(sum / 20000, 0.5, 0.01);
  int hits = 0;
  for (int i = 0; i < 20000; ++i) {
    hits += rng.chance(0.05) ? 1 : 0;
    ASSERT_FALSE(rng.chance(0));
    ASSERT_TRUE(rng.chance(1));
  }
  EXPECT_NEAR(hits, 1000, 150);
}

TEST(KeyedHash, GivesSipHashReferenceVectors) {
  // The key 00..0f with messages 00, 00 01, ...: the test vectors of the SipHash-2-4 paper's reference code.
  KeyedHash::Key key;
  std::iota(key.begin(), key.end(), std::uint8_t{0});
  const KeyedHash hash{key};
  std::array<std::uint8_t, 15> message;
  std::iota(message.begin(), message.end(), std::uint8_t{0});
  EXPECT_EQ(hash({}), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(hash(message), 0xa129ca6149be45e5u);
}

TEST(KeyedHash, DependsOnEveryBitOfKeyAndMessage) {
  std::set<std::uint64_t> seen;
  std::array<std::uint8_t, 12> message{};
  for (std::size_t bit = 0; bit < 128; ++bit) {
    KeyedHash::Key key{};
    key[bit / 8] = static_cast<std::uint8_t>(1u << (bit % 8));
    seen.insert(KeyedHash{key}(message));
  }
  const KeyedHash hash{KeyedHash::Key{}};
  for (std::size_t bit = 0; bit < 96; ++bit) {
    message = {};
    message[bit / 8] = static_cast<std::uint8_t>(1u << (bit % 8));
    seen.insert(hash(message));
  }
  EXPECT_EQ(seen.size(), 128u + 96u);
}

}  // namespace
}  // namespace millrace
