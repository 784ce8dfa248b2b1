#include "base/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"

namespace millrace {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// RFC 1071 as it is written: big-endian words one after the other, the carry folded at once.
std::uint16_t naive_sum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const std::uint32_t low = i + 1 < bytes.size() ? bytes[i + 1] : 0;
    sum += std::uint32_t{bytes[i]} << 8 | low;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<std::uint16_t>(sum);
}

Bytes random_bytes(Rng& rng, std::size_t n) {
  Bytes bytes(n);
  rng.fill(bytes);
  return bytes;
}

TEST(Checksum, Rfc1071WorkedExampleSumsToDdf2) {
  // RFC 1071 §3.
  const Bytes bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(ChecksumSum{}.add(bytes).folded(), 0xddf2);
  EXPECT_EQ(internet_checksum(bytes), 0x220d);
}

TEST(Checksum, EmptyMessageSumsToZero) {
  EXPECT_EQ(ChecksumSum{}.add({}).folded(), 0);
  EXPECT_EQ(internet_checksum({}), 0xffff);
  EXPECT_EQ(copy_and_sum({}, {}), 0);
}

TEST(Checksum, EveryLengthAtEveryAlignmentMatchesTheNaiveSum) {
  Rng rng{1};
  const Bytes bytes = random_bytes(rng, 700);
  for (std::size_t start = 0; start < 17; ++start) {
    for (std::size_t length = 0; length + start <= 600; ++length) {
      const auto message = std::span{bytes}.subspan(start, length);
      ASSERT_EQ(ChecksumSum{}.add(message).folded(), naive_sum(message)) << start << " " << length;
      ASSERT_EQ(internet_checksum(message), static_cast<std::uint16_t>(~naive_sum(message)));
    }
  }
}

TEST(Checksum, TwentyBytesAsAnyOther) {
  Rng rng{2};
  for (int i = 0; i < 10'000; ++i) {
    const Bytes bytes = random_bytes(rng, 21);
    const auto odd = std::span{bytes}.subspan(1);  // at any alignment
    ASSERT_EQ(internet_checksum_of_20(odd.data()), static_cast<std::uint16_t>(~naive_sum(odd)));
  }
  for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff}) {
    const Bytes bytes(20, static_cast<std::uint8_t>(value));
    EXPECT_EQ(internet_checksum_of_20(bytes.data()), internet_checksum(bytes)) << value;
  }
}

TEST(Checksum, AllOnesDoNotOverflowInTheLargestMessage) {
  const Bytes ones(65536, 0xff);
  EXPECT_EQ(ChecksumSum{}.add(ones).folded(), 0xffff);
  const Bytes many(std::size_t{1} << 22, 0xff);
  EXPECT_EQ(ChecksumSum{}.add(many).folded(), 0xffff);
  EXPECT_EQ(ChecksumSum{}.add(std::span{many}.first(many.size() - 1)).folded(), 0xff00);
}

TEST(Checksum, CarriesOutOfEveryWordCount) {
  // One large word among ones makes each lane of a wide addition carry in turn.
  for (std::size_t at = 0; at < 256; ++at) {
    Bytes bytes(256, 0xff);
    bytes[at] = 0x01;
    ASSERT_EQ(ChecksumSum{}.add(bytes).folded(), naive_sum(bytes)) << at;
  }
}

TEST(Checksum, PiecesAtAnyOffsetAddUpToTheWhole) {
  Rng rng{2};
  for (int round = 0; round < 2000; ++round) {
    const Bytes bytes = random_bytes(rng, rng.below(2000));
    ChecksumSum sum;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t n = std::min<std::size_t>(bytes.size() - at, rng.below(300) + 1);
      sum.add_at(at, std::span{bytes}.subspan(at, n));
      at += n;
    }
    ASSERT_EQ(sum.folded(), naive_sum(bytes));
  }
}

TEST(Checksum, WordsAddedInHostOrderEqualTheirBytes) {
  const Bytes bytes{0x12, 0x34, 0xab, 0xcd, 0xef, 0x01};
  EXPECT_EQ(ChecksumSum{}.add_word(0x1234).add_dword(0xabcdef01).folded(), ChecksumSum{}.add(bytes).folded());
}

TEST(Checksum, MessageWithItsChecksumSumsToZero) {
  Rng rng{3};
  for (int round = 0; round < 500; ++round) {
    Bytes bytes = random_bytes(rng, 20 + rng.below(100));
    bytes[10] = bytes[11] = 0;
    const std::uint16_t checksum = internet_checksum(bytes);
    bytes[10] = static_cast<std::uint8_t>(checksum >> 8);
    bytes[11] = static_cast<std::uint8_t>(checksum);
    ASSERT_EQ(internet_checksum(bytes), 0);
  }
}

TEST(Checksum, EverySingleBitErrorIsSeen) {
  Rng rng{4};
  Bytes bytes = random_bytes(rng, 40);
  const std::uint16_t right = internet_checksum(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    ASSERT_NE(internet_checksum(bytes), right) << bit;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
  }
}

TEST(Checksum, IncrementalUpdateEqualsSummingAnew) {
  // RFC 1624: against the checksum of the changed message.
  Rng rng{5};
  for (int round = 0; round < 5000; ++round) {
    Bytes bytes = random_bytes(rng, 20);
    const std::uint16_t before = internet_checksum(bytes);
    const std::size_t at = 2 * rng.below(10);
    const auto old_word = static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
    const auto new_word = static_cast<std::uint16_t>(rng.u32());
    bytes[at] = static_cast<std::uint8_t>(new_word >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(new_word);
    ASSERT_EQ(checksum_update(before, old_word, new_word), internet_checksum(bytes));
  }
}

TEST(Checksum, IncrementalUpdateGivesRfc1624Example) {
  // RFC 1624 §4: the case that the older equation got wrong (0xffff instead of 0x0000).
  EXPECT_EQ(checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

TEST(Checksum, CopyAndSumCopiesEveryByteAndNoneBeyond) {
  Rng rng{6};
  const Bytes source = random_bytes(rng, 9000);
  for (int round = 0; round < 2000; ++round) {
    const std::size_t from = rng.below(64);
    const std::size_t to = rng.below(64);
    const std::size_t n = rng.below(round % 4 == 0 ? 8900 : 300);
    Bytes copy(n + 128, 0xa5);
    const auto message = std::span{source}.subspan(from, n);
    ASSERT_EQ(copy_and_sum(std::span{copy}.subspan(to, n), message), naive_sum(message));
    ASSERT_TRUE(std::equal(message.begin(), message.end(), copy.begin() + static_cast<std::ptrdiff_t>(to)));
    for (std::size_t i = 0; i < to; ++i) ASSERT_EQ(copy[i], 0xa5);
    for (std::size_t i = to + n; i < copy.size(); ++i) ASSERT_EQ(copy[i], 0xa5);
  }
}

}  // namespace
}  // namespace millrace
