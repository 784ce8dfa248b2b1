#include "wire/tcp_options.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "random_fields.h"

namespace millrace::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes emitted(const TcpOptions& options) {
  Bytes out(options.size() + 8, 0xa5);
  EXPECT_EQ(options.emit(std::span{out}.first(options.size())), options.size());
  for (std::size_t i = options.size(); i < out.size(); ++i) EXPECT_EQ(out[i], 0xa5);
  out.resize(options.size());
  return out;
}

TcpOptions::FastOpenCookie random_cookie(RandomFields& random, std::uint8_t length) {
  TcpOptions::FastOpenCookie cookie;
  cookie.length = length;
  random.rng().fill(std::span{cookie.storage}.first(length));
  return cookie;
}

/// What goes together in one segment.
TcpOptions random_options(RandomFields& random) {
  TcpOptions options;
  if (random.flag()) options.timestamps = TcpOptions::Timestamps{random.u32(), random.u32()};
  if (random.flag()) {
    if (random.flag()) options.mss = random.u16();
    if (random.flag()) options.window_scale = random.u8();
    options.sack_permitted = random.flag();
    if (random.flag()) options.user_timeout = random.u16();
    constexpr std::array<std::uint8_t, 7> kCookieLengths{0, 4, 6, 8, 10, 12, 14};
    if (random.flag()) options.fast_open = random_cookie(random, kCookieLengths[random.rng().below(7)]);
  } else {
    options.sack_count = static_cast<std::uint8_t>(random.rng().below(options.timestamps ? 4 : 5));
    for (std::size_t i = 0; i < options.sack_count; ++i) {
      options.sack[i] = {SeqNum{random.u32()}, SeqNum{random.u32()}};
    }
  }
  return options;
}

TEST(TcpOptions, RoundTripInEveryCombination) {
  RandomFields random{50};
  for (int i = 0; i < 20000; ++i) {
    const TcpOptions options = random_options(random);
    const Bytes bytes = emitted(options);
    ASSERT_EQ(bytes.size() % 4, 0u);
    ASSERT_LE(bytes.size(), TcpOptions::kMaxSize);
    ASSERT_EQ(TcpOptions::parse(bytes), options);
  }
}

TEST(TcpOptions, NoneIsEmpty) {
  EXPECT_EQ(emitted(TcpOptions{}), Bytes{});
  EXPECT_EQ(TcpOptions::parse({}), TcpOptions{});
}

TEST(TcpOptions, LinuxSynLayout) {
  TcpOptions options;
  options.mss = 1460;
  options.sack_permitted = true;
  options.timestamps = TcpOptions::Timestamps{0x01020304, 0};
  options.window_scale = 7;
  EXPECT_EQ(emitted(options), (Bytes{2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}));
}

TEST(TcpOptions, BsdSynLayout) {
  TcpOptions options;
  options.mss = 1460;
  options.sack_permitted = true;
  options.timestamps = TcpOptions::Timestamps{0x01020304, 0};
  options.window_scale = 6;
  Bytes bytes(options.size());
  ASSERT_EQ(options.emit(bytes, TcpOptions::Order::kBsd), bytes.size());
  EXPECT_EQ(bytes, (Bytes{2, 4, 0x05, 0xb4, 1, 3, 3, 6, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0}));
  EXPECT_EQ(TcpOptions::parse(bytes), options);
  options.timestamps.reset();
  bytes.resize(options.size());
  ASSERT_EQ(options.emit(bytes, TcpOptions::Order::kBsd), bytes.size());
  EXPECT_EQ(bytes, (Bytes{2, 4, 0x05, 0xb4, 1, 3, 3, 6, 4, 2, 0, 0}));
  EXPECT_EQ(TcpOptions::parse(bytes), options);
}

TEST(TcpOptions, TimestampsAloneAreTwelveAlignedBytes) {
  TcpOptions options;
  options.timestamps = TcpOptions::Timestamps{0x01020304, 0x05060708};
  const Bytes expected{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(emitted(options), expected);
  EXPECT_EQ(TcpOptions::parse(expected), options);
}

TEST(TcpOptions, FastPathAgreesWithTheGeneralOne) {
  RandomFields random{51};
  for (int i = 0; i < 1000; ++i) {
    TcpOptions options;
    options.timestamps = TcpOptions::Timestamps{random.u32(), random.u32()};
    Bytes fast = emitted(options);
    Bytes general = fast;
    general.resize(16, 0);  // an end-of-list behind keeps it off the fast path
    ASSERT_EQ(TcpOptions::parse(fast), TcpOptions::parse(general));
    fast[random.rng().below(4)] = random.u8();
    general = fast;
    general.resize(16, 0);
    ASSERT_EQ(TcpOptions::parse(fast).timestamps, TcpOptions::parse(general).timestamps);
  }
}

TEST(TcpOptions, SackBlocksThatFindNoRoomAreLeftOut) {
  RandomFields random{52};
  TcpOptions options;
  options.timestamps = TcpOptions::Timestamps{1, 2};
  options.sack_count = 4;
  for (auto& block : options.sack) block = {SeqNum{random.u32()}, SeqNum{random.u32()}};
  const Bytes bytes = emitted(options);
  EXPECT_EQ(bytes.size(), 40u);
  const TcpOptions parsed = TcpOptions::parse(bytes);
  EXPECT_EQ(parsed.sack_count, 3);
  options.sack_count = 3;
  EXPECT_EQ(parsed, options);
  EXPECT_EQ(bytes[12], 1);
  EXPECT_EQ(bytes[13], 1);
  EXPECT_EQ(bytes[14], 5);
  EXPECT_EQ(bytes[15], 2 + 3 * 8);

  options.timestamps.reset();
  options.sack_count = 4;
  EXPECT_EQ(TcpOptions::parse(emitted(options)), options);
}

TEST(TcpOptions, EndOfListHidesWhatFollows) {
  // RFC 9293 §3.2.
  const Bytes bytes{2, 4, 5, 0xb4, 0, 3, 3, 7};
  TcpOptions expected;
  expected.mss = 1460;
  EXPECT_EQ(TcpOptions::parse(bytes), expected);
}

TEST(TcpOptions, UnknownKindsAreSkipped) {
  // RFC 9293 §3.2, MUST-6: ignore what is not implemented, given that it has a length field.
  const Bytes bytes{254, 6, 0xf9, 0x89, 1, 2, 19, 18, 0, 0, 0, 0, 0, 0,
                    0,   0, 0,    0,    0, 0, 0,  0,  0, 0, 2, 4, 5, 0xb4};
  TcpOptions expected;
  expected.mss = 1460;
  EXPECT_EQ(TcpOptions::parse(bytes), expected);
}

TEST(TcpOptions, IllegalLengthsStopParsingAndKeepWhatCameBefore) {
  // RFC 9293 §3.2, MUST-7: handle an illegal option length without crashing.
  TcpOptions expected;
  expected.mss = 1460;
  expected.malformed = true;
  for (const Bytes& tail :
       {Bytes{3}, Bytes{3, 0, 7}, Bytes{3, 1, 7}, Bytes{3, 4, 7}, Bytes{8, 10, 1, 2, 3, 4, 5, 6, 7},
        Bytes{254, 255}, Bytes{254, 0}, Bytes{1, 1, 5}}) {
    Bytes bytes{2, 4, 5, 0xb4};
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    EXPECT_EQ(TcpOptions::parse(bytes), expected);
  }
}

TEST(TcpOptions, KnownKindsOfAWrongLengthAreIgnored) {
  for (const std::uint8_t kind : std::array<std::uint8_t, 7>{2, 3, 4, 5, 8, 28, 34}) {
    for (std::uint8_t length = 2; length <= 40; ++length) {
      Bytes bytes(length, 0x11);
      bytes[0] = kind;
      bytes[1] = length;
      const TcpOptions options = TcpOptions::parse(bytes);
      EXPECT_FALSE(options.malformed);
      EXPECT_EQ(options.mss.has_value(), kind == 2 && length == 4);
      EXPECT_EQ(options.window_scale.has_value(), kind == 3 && length == 3);
      EXPECT_EQ(options.sack_permitted, kind == 4 && length == 2);
      EXPECT_EQ(options.sack_count, kind == 5 && length > 2 && (length - 2) % 8 == 0 ? (length - 2) / 8 : 0);
      EXPECT_EQ(options.timestamps.has_value(), kind == 8 && length == 10);
      EXPECT_EQ(options.user_timeout.has_value(), kind == 28 && length == 4);
      // RFC 7413 §4.1.1: 0, or an even number of 4 to 16 bytes.
      EXPECT_EQ(options.fast_open.has_value(),
                kind == 34 && (length == 2 || (length >= 6 && length <= 18 && length % 2 == 0)));
    }
  }
}

TEST(TcpOptions, EveryTruncationIsHarmless) {
  RandomFields random{53};
  for (int i = 0; i < 500; ++i) {
    const TcpOptions options = random_options(random);
    const Bytes bytes = emitted(options);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      const Bytes part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
      const TcpOptions parsed = TcpOptions::parse(part);
      if (parsed.mss) {
        ASSERT_EQ(parsed.mss, options.mss);
      }
      if (parsed.timestamps) {
        ASSERT_EQ(parsed.timestamps, options.timestamps);
      }
      ASSERT_TRUE(parsed.sack_count == 0 || parsed.sack_count == options.sack_count);
    }
  }
}

TEST(TcpOptions, TwoWithDifferentSackBlocksAreNotEqual) {
  TcpOptions a;
  a.sack_count = 1;
  a.sack[0] = {SeqNum{1}, SeqNum{2}};
  TcpOptions b = a;
  EXPECT_EQ(a, b);
  b.sack[1] = {SeqNum{5}, SeqNum{6}};  // beyond the count
  EXPECT_EQ(a, b);
  b.sack[0].right = SeqNum{3};
  EXPECT_NE(a, b);
  b = a;
  b.sack_count = 2;
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace millrace::wire
