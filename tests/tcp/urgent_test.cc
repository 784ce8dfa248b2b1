#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::State;

/// One byte by MSG_OOB.
Result<std::uint8_t> read_urgent(TcpScript& t, bool peek = false) {
  std::uint8_t byte = 0;
  const IoSlice slice{&byte, 1};
  const auto result = t.socket().receive({&slice, 1}, {.peek = peek, .out_of_band = true}, t.now());
  if (!result) return result.error();
  EXPECT_EQ(result->bytes, 1u);
  return byte;
}

/// Bytes in the order of the stream, however many a call returns.
std::vector<std::uint8_t> read_some(TcpScript& t, std::size_t n = 1000) {
  std::vector<std::uint8_t> bytes(n);
  const IoSlice slice{bytes.data(), n};
  const auto result = t.socket().receive({&slice, 1}, {}, t.now());
  bytes.resize(result ? result->bytes : 0);
  return bytes;
}

TEST(UrgentSend, PointsBehindTheUrgentByte) {
  rfc("6093", "2", "the pointer names the byte behind the urgent data, as implementations have it");
  rfc("9293", "3.8.5",
      "MUST-30: urgent data is supported; MUST-62: the pointer names the first byte that is not urgent");
  TcpScript t;
  t.establish();
  EXPECT_EQ(*t.try_write(5, {.out_of_band = true}), 5u);
  t.expect(data(1, 6).urg(5));
}

TEST(UrgentSend, PassesNagleAndSaysSoInEverySegmentUpToIt) {
  rfc("9293", "3.8.5", "the pointer is sent while SND.UP is ahead");
  TcpScript t;
  t.establish();
  t.write(1);
  t.expect(data(1, 2));
  EXPECT_EQ(*t.try_write(3000, {.out_of_band = true}), 3000u);
  t.expect(data(2, 1462).urg(3000));
  t.expect(data(1462, 2922).urg(1540));
  t.expect(data(2922, 3002).urg(80));
  t.inject(ack(3002));
  t.write(10);
  t.expect(data(3002, 3012));
}

TEST(UrgentSend, IsRepeatedInRetransmissions) {
  TcpScript t;
  t.establish();
  EXPECT_EQ(*t.try_write(5, {.out_of_band = true}), 5u);
  t.expect(data(1, 6).urg(5));
  t.expect_after(200ms, data(1, 6).urg(5));
}

TEST(UrgentReceive, TellsAndGivesTheByteOutOfBand) {
  rfc("9293", "3.8.5", "MUST-32: the application is told of urgent data; MUST-31: of any length");
  rfc("6093", "3.1", "out-of-band delivery of the last byte, as Linux has it by default");
  TcpScript t;
  t.establish();
  t.inject(data(1, 11).urg(5));
  t.expect(ack(11));
  EXPECT_NE(t.socket().take_events() & kPriority, 0u);
  EXPECT_TRUE(t.readiness() & kPriority);
  EXPECT_EQ(*read_urgent(t, true), pattern_byte(4));
  EXPECT_EQ(*read_urgent(t), pattern_byte(4));
  EXPECT_EQ(read_urgent(t).error(), Error::kInvalid) << "it is taken once";
  EXPECT_FALSE(t.readiness() & kPriority);
  EXPECT_EQ(read_some(t).size(), 4u) << "a read stops at the mark";
  EXPECT_TRUE(t.socket().at_mark());
  const auto rest = read_some(t);
  ASSERT_EQ(rest.size(), 5u) << "the urgent byte is not in the stream";
  EXPECT_EQ(rest[0], pattern_byte(5));
  EXPECT_FALSE(t.socket().at_mark());
}

TEST(UrgentReceive, InlineKeepsTheByteInTheStream) {
  rfc("6093", "6", "applications should read urgent data in line");
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kOutOfBandInline, 1);
  t.inject(data(1, 11).urg(5));
  t.expect(ack(11));
  EXPECT_EQ(read_urgent(t).error(), Error::kInvalid);
  EXPECT_EQ(read_some(t).size(), 4u);
  EXPECT_TRUE(t.socket().at_mark());
  const auto rest = read_some(t);
  ASSERT_EQ(rest.size(), 6u);
  EXPECT_EQ(rest[0], pattern_byte(4));
}

TEST(UrgentReceive, AnnouncedAheadIsWaitedFor) {
  rfc("9293", "3.8.5", "MUST-32: the application is told as soon as the pointer comes");
  TcpScript t;
  t.establish();
  t.inject(data(1, 11).urg(100));
  t.expect(ack(11));
  EXPECT_NE(t.socket().take_events() & kPriority, 0u);
  EXPECT_EQ(read_urgent(t).error(), Error::kAgain);
  EXPECT_EQ(read_some(t).size(), 10u);
  t.inject(data(11, 101).urg(90));
  t.take_sent();
  EXPECT_EQ(*read_urgent(t), pattern_byte(99));
  EXPECT_EQ(read_some(t).size(), 89u);
}

TEST(UrgentReceive, OnASegmentWithoutDataTellsToo) {
  TcpScript t;
  t.establish();
  t.inject(ack(1).urg(5));
  EXPECT_NE(t.socket().take_events() & kPriority, 0u);
  t.take_sent();
}

TEST(UrgentReceive, ANewerMarkReplacesTheOlder) {
  TcpScript t;
  t.establish();
  t.inject(data(1, 11).urg(5));
  t.inject(data(11, 21).urg(5));
  t.take_sent();
  EXPECT_EQ(*read_urgent(t), pattern_byte(14));
  EXPECT_EQ(read_some(t).size(), 14u) << "the older byte is ordinary data now";
}

TEST(UrgentReceive, OutOfOrderByteIsFoundWhenItsSegmentComes) {
  TcpScript t;
  t.establish();
  t.inject(data(11, 21).urg(5));
  t.expect(ack(1).sack(11, 21));
  t.inject(data(1, 11));
  t.expect(ack(21));
  EXPECT_EQ(*read_urgent(t), pattern_byte(14));
  EXPECT_EQ(read_some(t).size(), 14u);
}

TEST(UrgentReceive, WithoutAnyIsInvalid) {
  TcpScript t;
  t.establish();
  EXPECT_EQ(read_urgent(t).error(), Error::kInvalid);
  t.inject(data(1, 11).urg(0));
  t.take_sent();
  EXPECT_EQ(read_urgent(t).error(), Error::kInvalid) << "a pointer of zero says nothing";
}

}  // namespace
}  // namespace millrace::test
