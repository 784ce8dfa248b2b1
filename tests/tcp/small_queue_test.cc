// What a connection does while enough of its data waits for the device (TCP small queues).

#include "tcp/small_queue.h"

#include <limits>

#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();
constexpr std::uint32_t kFirst = 5;  ///< segments: half of the first window

/// The device takes nothing any more, and the first super-segment waits for it.
void fill_small_queue(TcpScript& t) {
  establish_far(t, sack_syn());
  t.device_takes(0);
  t.write(20'000);
  ASSERT_EQ(t.info().unacked, kFirst);
  ASSERT_EQ(t.count(Counter::kSmallQueueWaits), 1u);
}

TEST(SmallQueue, CountsWhatHasNotLeft) {
  tcp::SmallQueue queue;
  EXPECT_EQ(queue.waiting(7), 0u);
  queue.add(1000, 8, 7);
  queue.add(3000, 11, 7);
  EXPECT_EQ(queue.waiting(7), 4000u);
  EXPECT_EQ(queue.waiting(8), 3000u);
  EXPECT_EQ(queue.waiting(10), 3000u);
  EXPECT_EQ(queue.waiting(11), 0u);
  queue.add(500, 12, 11);
  queue.clear();
  EXPECT_EQ(queue.waiting(11), 0u);
}

TEST(SmallQueue, ManySmallSegmentsCountUntilTheLastHasLeft) {
  tcp::SmallQueue queue;
  for (std::uint32_t frame = 1; frame <= 100; ++frame) queue.add(10, frame, 0);
  EXPECT_EQ(queue.waiting(0), 1000u);
  EXPECT_EQ(queue.waiting(7), 930u);
  EXPECT_EQ(queue.waiting(99), 930u);
  EXPECT_EQ(queue.waiting(100), 0u);
}

TEST(SmallQueue, NumbersOfFramesWrap) {
  tcp::SmallQueue queue;
  queue.add(1000, 0xffffffff, 0xfffffffe);
  queue.add(1000, 1, 0xfffffffe);
  EXPECT_EQ(queue.waiting(0xfffffffe), 2000u);
  EXPECT_EQ(queue.waiting(0xffffffff), 1000u);
  EXPECT_EQ(queue.waiting(0), 1000u);
  EXPECT_EQ(queue.waiting(1), 0u);
  queue.add(1000, 3, 2);
  EXPECT_EQ(queue.waiting(2), 1000u);
}

TEST(SmallQueue, TwoSegmentsOrAMillisecondWaitAndTheRestWhenTheyHaveLeft) {
  TcpScript t;
  fill_small_queue(t);
  t.device_takes(kFirst - 1);
  EXPECT_EQ(t.info().unacked, kFirst);
  t.device_takes(1);
  // Now that the device is known to be slow, no more than four segments at a time.
  EXPECT_EQ(t.info().unacked, kFirst + 4);
  t.expect_stream(1, 5001);
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kOutBlocked), 0u);
  t.device_takes(kAny);
  t.expect_stream(5001, 10'001);
}

TEST(SmallQueue, ADeviceThatTakesAllGetsTheLargestSuperSegments) {
  TcpScript::Options options;
  options.caps = super_segments();
  TcpScript t(options);
  establish_far(t, sack_syn());
  t.write(20'000);
  t.expect(data(1, 5001));
  t.expect(data(5001, 10'001));
  EXPECT_EQ(t.count(Counter::kSmallQueueWaits), 0u);
}

TEST(SmallQueue, TimersDoNotFireForWhatWaits) {
  TcpScript t;
  fill_small_queue(t);
  t.after(10s);
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  EXPECT_EQ(t.count(Counter::kLossProbes), 0u);
  EXPECT_GT(t.count(Counter::kStillInDevice), 0u);
  EXPECT_EQ(t.info().snd_cwnd, 10u);
  t.device_takes(kAny);
  t.expect_stream(1, 10'001);
  t.expect_nothing();
  // Now it may have been lost.
  t.after(1s);
  EXPECT_FALSE(t.take_sent().empty());
}

TEST(SmallQueue, UserTimeoutRunsMeanwhile) {
  TcpScript t;
  fill_small_queue(t);
  t.set_option(SocketOption::kUserTimeout, 3000);
  t.after(2s);
  t.expect_state(tcp::State::kEstablished);
  t.after(3s);
  EXPECT_EQ(t.error(), Error::kTimedOut);
  t.device_takes(kAny);
  t.take_sent();
}

TEST(SmallQueue, AnAckThatComesMeanwhileSendsNothingPastTheLimit) {
  TcpScript t;
  fill_small_queue(t);
  t.device_takes(2);
  t.inject(ack(2001));
  EXPECT_EQ(t.info().unacked, kFirst - 2);
  t.expect_stream(1, 2001);
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kSmallQueueWaits), 1u);
  t.device_takes(kAny);
  t.take_sent();
}

TEST(SmallQueue, ALinkThatGoesDownEndsTheWait) {
  TcpScript t;
  fill_small_queue(t);
  t.tell(DeviceEvent::kLinkDown);
  EXPECT_EQ(t.info().unacked, 10u);
  t.expect_nothing();
  t.after(2s);
  EXPECT_GT(t.count(Counter::kTimeouts), 0u);
}

TEST(SmallQueue, AnotherRouteEndsTheWait) {
  FakeDevice other;
  TcpScript t;
  fill_small_queue(t);
  link::InterfaceConfig config;
  config.addresses = {IpPrefix{IpAddress::v4(198, 18, 1, 1), 24}};
  config.probe_addresses = false;
  link::Interface& interface = t.stack().add_interface(other, config, t.now());
  interface.neighbours().add_static(TcpScript::kPeer, MacAddress{{2, 0, 0, 0, 0, 9}}, t.now());
  t.stack().ip().add_route({IpPrefix{TcpScript::kPeer, 32}, std::nullopt, &interface});
  t.flush();
  EXPECT_EQ(other.take_sent().size(), 10u - kFirst);
  // A wait for the new one is not taken for the old one's.
  other.room = 2;
  t.inject(ack(10'001));
  EXPECT_EQ(other.take_sent().size(), 2u);
  other.room = kAny;
  t.flush();
  EXPECT_EQ(other.take_sent().size(), 8u);
}

TEST(SmallQueue, AConnectionClosedMeanwhileSendsAllAndItsFin) {
  TcpScript t;
  fill_small_queue(t);
  t.close();
  t.device_takes(kAny);
  t.expect_stream(1, 10'001);
  t.inject(ack(10'001));
  const std::vector<Seg> rest = t.take_sent();
  ASSERT_FALSE(rest.empty());
  EXPECT_TRUE(rest.back().has(Seg::Flags::kFin));
  EXPECT_EQ(*rest.back().at + rest.back().length, 20'001u);
}

TEST(SmallQueue, AConnectionResetMeanwhileWaitsNoMore) {
  TcpScript t;
  fill_small_queue(t);
  t.set_option(SocketOption::kLinger, 0);
  t.close();
  t.device_takes(kAny);
  t.expect_stream(1, 5001);
  const std::vector<Seg> rest = t.take_sent();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_TRUE(rest.front().has(Seg::Flags::kRst));
}

TEST(SmallQueue, AStackMayEndMeanwhile) {
  TcpScript t;
  fill_small_queue(t);
}

}  // namespace
}  // namespace millrace::test
