#include "pipe/pipe.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "pipe/link_model.h"

namespace millrace::drivers {
namespace {

constexpr Instant kStart = kEpoch + 100s;

/// Two ends, each with a pool of its own.
struct Ends {
  explicit Ends(const PipeOptions& options = {}) : ends(make_pipe(options)) {}

  std::size_t send(std::size_t length, Instant now, std::uint8_t seed = 1) {
    PacketQueue queue;
    queue.push_back(to_packet(pool_a, raw_frame(length, seed, ends.b->mac(), ends.a->mac())));
    return ends.a->tx_burst(queue, now);
  }
  std::size_t receive(Instant now) { return ends.b->rx_burst(pool_b, in, 1000, now); }

  PacketPool pool_a, pool_b;
  PipeEnds ends;
  PacketQueue in;
};

TEST(Transmitter, TakesTheTimeOfTheBitsRoundedUp) {
  EXPECT_EQ(Transmitter(10'000'000).time_for(1250), 1ms);
  EXPECT_EQ(Transmitter(1'000'000'000).time_for(1), 8ns);
  EXPECT_EQ(Transmitter(3'000'000'000).time_for(1), 3ns);
  EXPECT_EQ(Transmitter(0).time_for(1'000'000), 0ns);
  EXPECT_EQ(Transmitter(1000).time_for(65535), 524280ms);
}

TEST(Transmitter, SendsOneFrameAfterTheOther) {
  Transmitter transmitter(10'000'000);
  EXPECT_EQ(transmitter.send(1250, kStart), kStart + 1ms);
  EXPECT_EQ(transmitter.send(1250, kStart), kStart + 2ms);
  EXPECT_EQ(transmitter.send(1250, kStart + 10ms), kStart + 11ms);
}

TEST(Pipe, DeliversAtOnceWithoutRateAndDelay) {
  Ends t;
  EXPECT_EQ(t.send(100, kStart), 1u);
  EXPECT_TRUE(t.ends.b->arm() || t.ends.b->max_sleep(kStart) == 0ns);
  ASSERT_EQ(t.receive(kStart), 1u);
  EXPECT_EQ(bytes_of(t.in.front()), raw_frame(100, 1, t.ends.b->mac(), t.ends.a->mac()));
  EXPECT_EQ(t.in.front().timestamp, kStart);
  EXPECT_EQ(t.ends.b->max_sleep(kStart), Duration::max());
}

TEST(Pipe, DeliversNotBeforeTheDelayIsOver) {
  PipeOptions options;
  options.delay = 20ms;
  Ends t(options);
  t.send(100, kStart);
  EXPECT_EQ(t.ends.b->max_sleep(kStart), 20ms);
  EXPECT_EQ(t.receive(kStart + 20ms - 1ns), 0u);
  EXPECT_EQ(t.ends.b->max_sleep(kStart + 20ms - 1ns), 1ns);
  EXPECT_EQ(t.receive(kStart + 20ms), 1u);
}

TEST(Pipe, SpacesFramesByTheRate) {
  PipeOptions options;
  options.rate = 10'000'000;
  options.delay = 5ms;
  Ends t(options);
  for (std::uint8_t i = 1; i <= 3; ++i) t.send(1250, kStart, i);
  EXPECT_EQ(t.ends.b->max_sleep(kStart), 6ms);
  EXPECT_EQ(t.receive(kStart + 6ms), 1u);
  EXPECT_EQ(t.ends.b->max_sleep(kStart + 6ms), 1ms);
  EXPECT_EQ(t.receive(kStart + 8ms), 2u);
  for (std::uint8_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(bytes_of(*t.in.pop_front()), raw_frame(1250, i, t.ends.b->mac(), t.ends.a->mac()));
  }
}

TEST(Pipe, HasADirectionOfItsOwnEachWay) {
  PipeOptions options;
  options.rate = 10'000'000;
  Ends t(options);
  t.send(1250, kStart);
  PacketQueue back;
  back.push_back(to_packet(t.pool_b, raw_frame(1250, 9, t.ends.a->mac(), t.ends.b->mac())));
  EXPECT_EQ(t.ends.b->tx_burst(back, kStart), 1u);
  EXPECT_EQ(t.ends.a->max_sleep(kStart), 1ms);
  EXPECT_EQ(t.ends.b->max_sleep(kStart), 1ms);
  PacketQueue in;
  EXPECT_EQ(t.ends.a->rx_burst(t.pool_a, in, 10, kStart + 1ms), 1u);
  EXPECT_NE(t.ends.a->mac(), t.ends.b->mac());
}

TEST(Pipe, DropsAtTheQueueLimitOfABottleneck) {
  PipeOptions options;
  options.rate = 10'000'000;
  options.delay = 1s;
  options.queue = 4;
  Ends t(options);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(t.send(1250, kStart), 1u);
  EXPECT_EQ(t.ends.b->stats().rx_dropped, 6u);
  EXPECT_EQ(t.pool_a.packets_in_use(), 4u);
  // Two have left the transmitter by now: they are on the wire, no longer in the queue.
  for (int i = 0; i < 10; ++i) EXPECT_EQ(t.send(1250, kStart + 2ms), 1u);
  EXPECT_EQ(t.ends.b->stats().rx_dropped, 14u);
  EXPECT_FALSE(t.ends.a->tx_full());
  EXPECT_EQ(t.receive(kStart + 10s), 6u);
}

TEST(Pipe, LeavesFramesWithTheSenderWhenALocalLinkIsFull) {
  PipeOptions options;
  options.queue = 4;
  Ends t(options);
  PacketQueue queue;
  for (std::uint8_t i = 0; i < 10; ++i) {
    queue.push_back(to_packet(t.pool_a, raw_frame(100, i, t.ends.b->mac(), t.ends.a->mac())));
  }
  EXPECT_EQ(t.ends.a->tx_burst(queue, kStart), 4u);
  EXPECT_TRUE(t.ends.a->tx_full());
  EXPECT_EQ(t.ends.a->stats().tx_full, 1u);
  EXPECT_EQ(queue.size(), 6u);
  EXPECT_EQ(t.ends.a->max_sleep(kStart), 0ns) << "the receiver can make room at once";
  EXPECT_EQ(t.ends.b->rx_burst(t.pool_b, t.in, 2, kStart), 2u);
  EXPECT_EQ(t.ends.a->tx_burst(queue, kStart), 2u);
  t.receive(kStart);
  EXPECT_EQ(t.ends.a->tx_burst(queue, kStart), 4u);
  EXPECT_FALSE(t.ends.a->tx_full());
  t.receive(kStart);
  ASSERT_EQ(t.in.size(), 10u);
  for (std::uint8_t i = 0; i < 10; ++i)
    EXPECT_EQ(bytes_of(*t.in.pop_front())[20], raw_frame(100, i, {}, {})[20]);
  EXPECT_EQ(t.ends.b->stats().rx_dropped, 0u);
}

TEST(Pipe, TellsWhenAFullBottleneckHasRoomAgain) {
  PipeOptions options;
  options.rate = 10'000'000;
  options.delay = 1s;
  options.queue = 2;
  options.when_full = PipeOptions::WhenFull::kWait;
  Ends t(options);
  EXPECT_EQ(t.send(1250, kStart), 1u);
  EXPECT_EQ(t.send(1250, kStart), 1u);
  EXPECT_EQ(t.send(1250, kStart), 0u);
  EXPECT_EQ(t.ends.a->max_sleep(kStart), 1ms);
  EXPECT_EQ(t.send(1250, kStart + 1ms), 1u);
}

FrameSpec super_frame(std::size_t payload) {
  FrameSpec spec;
  spec.payload = pattern(payload, 3);
  return spec;
}

TEST(Pipe, GivesASuperFrameTheTimeOfItsSegmentsAndDeliversItWhole) {
  PipeOptions options;
  options.rate = 1'000'000'000;
  Ends t(options);
  PacketQueue queue;
  queue.push_back(to_offload_packet(t.pool_a, super_frame(10 * 1460), 1460));
  EXPECT_EQ(t.ends.a->tx_burst(queue, kStart), 1u);
  EXPECT_EQ(t.ends.b->max_sleep(kStart), Duration{10 * 1514 * 8});
  ASSERT_EQ(t.receive(kStart + 1ms), 1u);
  const Packet& packet = t.in.front();
  FrameSpec expected = super_frame(10 * 1460);
  expected.partial = true;
  EXPECT_EQ(bytes_of(packet), make_frame(expected));
  EXPECT_EQ(packet.offload.gso_size, 1460);
  EXPECT_EQ(packet.offload.gso_segs, 10);
  EXPECT_EQ(packet.offload.rx_checksum, Offload::RxChecksum::kPartial);
  EXPECT_FALSE(packet.offload.needs_checksum);
  EXPECT_EQ(packet.offload.checksum_start, 34);
  EXPECT_EQ(packet.offload.checksum_offset, 16);
}

TEST(Pipe, MovesFramesWithinAPoolAndCopiesThemBetweenPools) {
  Ends t;
  PacketQueue queue;
  queue.push_back(to_packet(t.pool_a, raw_frame(100, 1, {}, {})));
  const Packet* sent = &queue.front();
  t.ends.a->tx_burst(queue, kStart);
  PacketQueue same;
  EXPECT_EQ(t.ends.b->rx_burst(t.pool_a, same, 1, kStart), 1u);
  EXPECT_EQ(&same.front(), sent);
  t.send(100, kStart);
  t.receive(kStart);
  EXPECT_EQ(&t.in.front().pool(), &t.pool_b);
  same.clear();
  EXPECT_EQ(t.pool_a.packets_in_use(), 0u);
  EXPECT_EQ(t.pool_a.buffers_in_use(), 0u);
  EXPECT_EQ(t.pool_b.packets_in_use(), 1u);
}

TEST(Pipe, CountsFramesForWhichTheReceivingPoolHasNoRoom) {
  Ends t;
  PacketPool tiny(PacketPool::Limits{.bytes = 512, .reserve = 0});
  t.send(100, kStart);
  t.send(100, kStart);
  EXPECT_EQ(t.ends.b->rx_burst(tiny, t.in, 10, kStart), 1u);
  EXPECT_EQ(t.ends.b->stats().rx_no_memory, 1u);
  t.in.clear();
  EXPECT_EQ(t.pool_a.packets_in_use(), 0u);
}

TEST(Pipe, RefusesFramesThatBreakItsRules) {
  PipeOptions options;
  options.mtu = 1000;
  Ends t(options);
  EXPECT_EQ(t.send(1014, kStart), 1u);
  EXPECT_EQ(t.ends.a->stats().tx_errors, 0u);
  t.send(1015, kStart);
  PacketQueue queue;
  queue.push_back(to_packet(t.pool_a, Bytes(13)));
  queue.push_back(to_offload_packet(t.pool_a, super_frame(5000), 961));  // 961 + 40 > 1000
  queue.push_back(to_offload_packet(t.pool_a, super_frame(5000), 960));
  EXPECT_EQ(t.ends.a->tx_burst(queue, kStart), 3u);
  EXPECT_EQ(t.ends.a->stats().tx_errors, 3u);
  EXPECT_EQ(t.receive(kStart), 2u);
}

TEST(Pipe, TakesNoOffloadsWhenTheyAreOff) {
  PipeOptions options;
  options.checksum_offload = false;
  Ends t(options);
  const DeviceCaps& caps = t.ends.a->caps();
  EXPECT_FALSE(caps.tx_checksum || caps.rx_checksum || caps.tso || caps.lro);
  PacketQueue queue;
  queue.push_back(to_offload_packet(t.pool_a, super_frame(100), 0));
  queue.push_back(to_packet(t.pool_a, make_frame(super_frame(100))));
  EXPECT_EQ(t.ends.a->tx_burst(queue, kStart), 2u);
  EXPECT_EQ(t.ends.a->stats().tx_errors, 1u);
  ASSERT_EQ(t.receive(kStart), 1u);
  EXPECT_EQ(t.in.front().offload.rx_checksum, Offload::RxChecksum::kUnknown);
}

TEST(Pipe, TellsThatTheOtherEndIsClosedAndHoldsNothingOfItsPool) {
  Ends t;
  t.send(100, kStart);
  t.ends.a.reset();
  EXPECT_EQ(t.pool_a.packets_in_use(), 0u);
  EXPECT_EQ(t.receive(kStart), 0u);
  EXPECT_EQ(t.ends.b->take_event(), DeviceEvent::kLinkDown);
  EXPECT_EQ(t.ends.b->take_event(), DeviceEvent::kNone);
  PacketQueue queue;
  queue.push_back(to_packet(t.pool_b, raw_frame(100, 1, {}, {})));
  EXPECT_EQ(t.ends.b->tx_burst(queue, kStart), 1u);
  EXPECT_EQ(t.ends.b->stats().tx_errors, 1u);
  EXPECT_EQ(t.pool_b.packets_in_use(), 0u);
}

TEST(Pipe, HonoursTheReceiversBudget) {
  Ends t;
  for (int i = 0; i < 5; ++i) t.send(100, kStart);
  EXPECT_EQ(t.ends.b->rx_burst(t.pool_b, t.in, 3, kStart), 3u);
  EXPECT_TRUE(t.ends.b->arm()) << "two are left: no sleep";
  EXPECT_EQ(t.ends.b->rx_burst(t.pool_b, t.in, 3, kStart), 2u);
  EXPECT_FALSE(t.ends.b->arm());
}

}  // namespace
}  // namespace millrace::drivers
