#include "base/seq.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace millrace {
namespace {

TEST(SeqNum, OrderGoesAcrossTheWrap) {
  // RFC 9293 §3.4: arithmetic modulo 2^32.
  const SeqNum before{0xfffffff0};
  const SeqNum after = before + 0x20;
  EXPECT_EQ(after.value(), 0x10u);
  EXPECT_TRUE(before < after);
  EXPECT_TRUE(before <= after);
  EXPECT_TRUE(after > before);
  EXPECT_TRUE(after >= before);
  EXPECT_FALSE(after < before);
  EXPECT_EQ(after - before, 0x20);
  EXPECT_EQ(before - after, -0x20);
  EXPECT_EQ((after - 0x20u).value(), before.value());
  EXPECT_EQ(SeqNum::distance(before, after), 0x20u);
  EXPECT_EQ(SeqNum::max(before, after), after);
  EXPECT_EQ(SeqNum::min(before, after), before);
}

TEST(SeqNum, EqualNumbersAreNeitherEarlierNorLater) {
  const SeqNum a{7};
  EXPECT_FALSE(a < a);
  EXPECT_FALSE(a > a);
  EXPECT_TRUE(a <= a);
  EXPECT_TRUE(a >= a);
}

TEST(SeqNum, WindowMembershipGoesAcrossTheWrap) {
  const SeqNum first{0xfffffffe};
  EXPECT_FALSE(SeqNum{0xfffffffd}.in(first, 4));
  EXPECT_TRUE(SeqNum{0xfffffffe}.in(first, 4));
  EXPECT_TRUE(SeqNum{1}.in(first, 4));
  EXPECT_FALSE(SeqNum{2}.in(first, 4));
  EXPECT_FALSE(first.in(first, 0));
}

TEST(SeqNum, AnythingLessThanHalfTheSpaceAheadIsLater) {
  Rng rng{7};
  for (int i = 0; i < 10000; ++i) {
    const SeqNum a{rng.u32()};
    const std::uint32_t n = rng.below(0x7fffffff) + 1;
    ASSERT_TRUE(a < a + n);
    ASSERT_TRUE(a + n > a);
    ASSERT_FALSE(a + n <= a);
    ASSERT_EQ(SeqNum::distance(a, a + n), n);
    ASSERT_TRUE((a + n).in(a, n + 1));
    ASSERT_FALSE((a + n).in(a, n));
  }
}

}  // namespace
}  // namespace millrace
