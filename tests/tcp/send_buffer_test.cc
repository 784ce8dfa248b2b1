#include "tcp/send_buffer.h"

#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::SendBuffer;

constexpr std::size_t kOverhead = SendBuffer::kSegmentOverhead;

// --- the arithmetic

TEST(SendBufferSize, IsLinuxsOfTheSameWindowAndMss) {
  // What getsockopt(SO_SNDBUF) tells on a new connection over Ethernet, and over the loopback interface.
  SendBuffer ethernet(16'384);
  ethernet.expand(10, 1448, 2, 4 << 20);
  EXPECT_EQ(ethernet.limit(), 87'040u);
  SendBuffer loopback(16'384);
  loopback.expand(10, 65'483, 2, 4 << 20);
  EXPECT_EQ(loopback.limit(), 2'626'560u);
}

TEST(SendBufferSize, GrowsAndNeverShrinksUpToItsMaximum) {
  SendBuffer buffer(16'384);
  buffer.expand(40, 1448, 2, 4 << 20);
  EXPECT_EQ(buffer.limit(), 4 * 87'040u);
  buffer.expand(20, 1448, 2, 4 << 20);
  EXPECT_EQ(buffer.limit(), 4 * 87'040u);
  buffer.expand(40, 1448, 3, 4 << 20);
  EXPECT_EQ(buffer.limit(), 6 * 87'040u);
  buffer.expand(10'000, 1448, 2, 4 << 20);
  EXPECT_EQ(buffer.limit(), std::size_t{4} << 20);
}

TEST(SendBufferSize, IsBoundedFromThenOn) {
  SendBuffer buffer(16'384);
  buffer.expand(10'000, 1448, 2, 4 << 20);
  buffer.bound(1 << 20);
  EXPECT_EQ(buffer.limit(), std::size_t{1} << 20);
  buffer.bound(2 << 20);
  EXPECT_EQ(buffer.limit(), std::size_t{1} << 20);
}

TEST(SendBufferSize, OnceFixedStays) {
  SendBuffer buffer(16'384);
  buffer.fix(42'000);
  buffer.expand(100, 1448, 2, 4 << 20);
  buffer.bound(10'000);
  EXPECT_EQ(buffer.limit(), 42'000u);
}

TEST(SendBufferRoom, IsWholeSuperSegmentsUntilTheLimitIsReached) {
  const SendBuffer::Queued nothing{0, 0, 0, 16'000};
  EXPECT_EQ(SendBuffer::room(nothing, 1, 0), 16'000u) << "one always, and all of it";
  EXPECT_EQ(SendBuffer::room(nothing, 16'000 + kOverhead, 0), 16'000u);
  EXPECT_EQ(SendBuffer::room(nothing, 16'000 + kOverhead + 1, 0), 32'000u);
  EXPECT_EQ(SendBuffer::room(nothing, 50'000, 0), 48'000u);
}

TEST(SendBufferRoom, IsThereForTheSuperSegmentThatHasBegun) {
  const SendBuffer::Queued queued{48'000, 38'000, 1, 16'000};
  EXPECT_EQ(queued.charge(), 48'000 + 4 * kOverhead);
  EXPECT_EQ(SendBuffer::room(queued, 40'000, 0), 10'000u);
  EXPECT_EQ(SendBuffer::room(queued, 58'000 + 4 * kOverhead, 0), 10'000u);
  EXPECT_EQ(SendBuffer::room(queued, 58'001 + 4 * kOverhead, 0), 26'000u);
}

TEST(SendBufferRoom, EndsWhereAsMuchWaitsAsTheLowWaterSays) {
  EXPECT_EQ(SendBuffer::room({0, 0, 0, 16'000}, 1 << 20, 32'000), 32'000u);
  EXPECT_EQ(SendBuffer::room({32'000, 22'000, 1, 16'000}, 1 << 20, 32'000), 10'000u);
  EXPECT_EQ(SendBuffer::room({32'000, 32'000, 0, 16'000}, 1 << 20, 32'000), 0u);
}

TEST(SendBufferRoom, IsWorthTellingOfWhenAThirdIsFree) {
  EXPECT_TRUE(SendBuffer::is_writable(0, 1));
  EXPECT_TRUE(SendBuffer::is_writable(20'000, 30'000));
  EXPECT_FALSE(SendBuffer::is_writable(20'002, 30'000));
  EXPECT_FALSE(SendBuffer::is_writable(30'000, 30'000));
  EXPECT_FALSE(SendBuffer::is_writable(50'000, 30'000));
}

// --- of a connection

constexpr std::uint32_t kMss = 1000;

/// With the buffers that programs find.
TcpScript::Options with_buffers(std::size_t first = 16'384, std::size_t most = 4 << 20) {
  TcpScript::Options options;
  options.stack.tcp.send_buffer = first;
  options.stack.tcp.send_buffer_max = most;
  return options;
}

std::int64_t buffer_of(TcpScript& t) {
  return *t.socket().option(SocketOption::kSendBuffer);
}

/// The peer acknowledges what there is, segment by segment.
void acknowledge_all(TcpScript& t) {
  for (const Seg& sent : t.take_sent()) t.inject(ack(*sent.at + sent.length).win(65'535));
}

TEST(SendBufferOfAConnection, BeginsSmallAndHoldsTwoInitialWindowsOnceItIsThere) {
  TcpScript t(with_buffers());
  EXPECT_EQ(t.connect(), Error::kInProgress);
  EXPECT_EQ(buffer_of(t), 16'384);
  t.expect(syn());
  t.inject(synack().mss(1460));
  t.expect(ack(1));
  EXPECT_EQ(buffer_of(t), 87'040);
}

TEST(SendBufferOfAConnection, GrowsWithTheWindowForWhoWantsMore) {
  TcpScript t(with_buffers());
  t.establish(syn().mss(kMss).wscale(7));
  const std::int64_t first = buffer_of(t);
  ASSERT_TRUE(t.try_write(1'000'000));
  for (int round = 0; round < 4; ++round) {
    acknowledge_all(t);
    static_cast<void>(t.try_write(1'000'000));
  }
  EXPECT_GE(buffer_of(t), 8 * first);
  EXPECT_LE(buffer_of(t), 4 << 20);
  t.take_sent();
}

/// A connection to a peer so far away.
void connect_over(TcpScript& t, Duration round_trip) {
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.after(round_trip);
  t.inject(synack().mss(kMss).wscale(7));
  t.expect(ack(1));
}

/// As much as there is room for, acknowledged a round trip later.
void exchange(TcpScript& t, int rounds, Duration round_trip) {
  for (int round = 0; round < rounds; ++round) {
    static_cast<void>(t.try_write(4 << 20));
    t.after(round_trip);
    acknowledge_all(t);
  }
}

constexpr std::int64_t kMegabyte = 1 << 20;

TEST(SendBufferOfAConnection, OfANearbyPeerDoesNotGrowWithAQueue) {
  TcpScript t(with_buffers());
  connect_over(t, 20us);
  exchange(t, 15, 500us);
  EXPECT_GT(std::int64_t{t.info().snd_cwnd} * kMss, kMegabyte / 2);
  EXPECT_EQ(buffer_of(t), kMegabyte / 2);
  t.take_sent();
}

TEST(SendBufferOfAConnection, OfANearbyPeerGrowsWithWhatThePathHolds) {
  TcpScript t(with_buffers());
  connect_over(t, 500us);
  exchange(t, 15, 500us);
  EXPECT_GT(buffer_of(t), kMegabyte);
  t.take_sent();
}

TEST(SendBufferOfAConnection, OfAPeerFartherAwayGrowsWithTheWindow) {
  TcpScript t(with_buffers());
  connect_over(t, 400us);
  exchange(t, 15, 10ms);
  EXPECT_GT(buffer_of(t), kMegabyte);
  t.take_sent();
}

TEST(SendBufferOfAConnection, OfANearbyPeerGivesBackWhatAQueueHadMadeIt) {
  TcpScript t(with_buffers());
  connect_over(t, 500us);
  exchange(t, 15, 500us);
  ASSERT_GT(buffer_of(t), kMegabyte);
  exchange(t, 1, 10us);  // so short is the path itself
  exchange(t, 8, 500us);
  EXPECT_EQ(buffer_of(t), kMegabyte / 2);
  t.take_sent();
}

TEST(SendBufferOfAConnection, DoesNotGrowForWhoWritesLittle) {
  TcpScript t(with_buffers());
  t.establish(syn().mss(kMss).wscale(7));
  const std::int64_t first = buffer_of(t);
  for (int round = 0; round < 20; ++round) {
    t.write(20 * kMss);
    acknowledge_all(t);
    acknowledge_all(t);
  }
  EXPECT_EQ(buffer_of(t), first);
}

TEST(SendBufferOfAConnection, DoesNotGrowBeyondItsMaximum) {
  TcpScript t(with_buffers(16'384, 100'000));
  t.establish(syn().mss(kMss).wscale(7));
  for (int round = 0; round < 10; ++round) {
    static_cast<void>(t.try_write(1'000'000));
    acknowledge_all(t);
  }
  EXPECT_EQ(buffer_of(t), 100'000);
  EXPECT_LE(t.socket().unsent_bytes(), 100'000u + 65'535u);
  t.take_sent();
}

TEST(SendBufferOfAConnection, DoesNotGrowWhileMemoryIsScarce) {
  TcpScript::Options options = with_buffers();
  options.stack.pool.bytes = 1 << 20;
  TcpScript t(options);
  t.establish(syn().mss(kMss).wscale(7));
  const std::int64_t first = buffer_of(t);
  t.tcp().send_budget().take_anyway(t.tcp().send_budget().total() * 4 / 5);  // by others
  for (int round = 0; round < 5; ++round) {
    static_cast<void>(t.try_write(1'000'000));
    acknowledge_all(t);
  }
  EXPECT_EQ(buffer_of(t), first);
  t.take_sent();
}

TEST(SendBufferOfAConnection, IsWhatTheApplicationHasSetDoubled) {
  TcpScript t(with_buffers());
  t.establish(syn().mss(kMss).wscale(7));
  t.set_option(SocketOption::kSendBuffer, 21'000);
  EXPECT_EQ(buffer_of(t), 42'000);
  for (int round = 0; round < 5; ++round) {
    static_cast<void>(t.try_write(1'000'000));
    acknowledge_all(t);
  }
  EXPECT_EQ(buffer_of(t), 42'000);
  t.take_sent();
}

TEST(SendBufferOfAConnection, RaisedByTheApplicationTellsAtOnce) {
  TcpScript t(with_buffers());
  t.establish(syn().mss(kMss).win(0));
  t.set_option(SocketOption::kSendBuffer, 10'000);
  ASSERT_TRUE(t.try_write(1'000'000));
  EXPECT_EQ(t.readiness() & kWritable, 0u);
  static_cast<void>(t.socket().take_events());
  t.set_option(SocketOption::kSendBuffer, 1'000'000);
  EXPECT_NE(t.socket().take_events() & kWritable, 0u);
}

/// Writes of more than there is room for, with a peer's window of 32,896 bytes: super-segments of 16,000.
TEST(SendBufferOfAConnection, TakesAndTellsAsLinuxDoes) {
  TcpScript t(with_buffers(50'000));
  t.establish(syn().mss(kMss).win(32'792).wscale(7));
  t.inject(ack(1).win(257));
  const auto told = [&t] { return (t.socket().take_events() & kWritable) != 0; };
  static_cast<void>(told());
  EXPECT_EQ(*t.try_write(59'000), 58'000u) << "three and what the window let out of the first";
  EXPECT_FALSE(told());
  t.expect_stream(1, 10'001);
  t.inject(ack(10'001).win(257));
  t.expect_stream(10'001, 30'001);
  EXPECT_FALSE(told()) << "the window limits the flow, and much waits for it";
  t.inject(ack(26'001).win(257));
  t.expect_stream(30'001, 58'001);
  EXPECT_TRUE(told());
  EXPECT_EQ(buffer_of(t), 36 * 2 * (2048 + 256));
  EXPECT_EQ(*t.try_write(180'000), 128'000u);
}

TEST(SendBufferOfAConnection, IsLimitedByTheLowWaterBeforeByItsSize) {
  TcpScript t(with_buffers(50'000));
  t.establish(syn().mss(kMss).win(32'792).wscale(7));
  t.inject(ack(1).win(257));
  t.set_option(SocketOption::kNotSentLowWater, 32'000);
  EXPECT_EQ(*t.try_write(59'000), 42'000u);
  EXPECT_EQ(t.info().notsent_bytes, 32'000u);
  t.expect_stream(1, 10'001);
}

TEST(SendBufferOfAConnection, ChargesSmallSegmentsForMoreThanTheirBytes) {
  TcpScript t(with_buffers());
  t.establish(syn().mss(kMss).win(65'535));
  t.set_option(SocketOption::kNoDelay, 1);
  t.set_option(SocketOption::kSendBuffer, 20'000);
  std::size_t writes = 0;
  while (t.try_write(10)) ++writes;
  EXPECT_EQ(writes, 40'000 / (10 + kOverhead) + 1);
  EXPECT_EQ(t.socket().unsent_bytes(), 10 * writes) << "SIOCOUTQ counts bytes alone";
  t.take_sent();
}

}  // namespace
}  // namespace millrace::test
