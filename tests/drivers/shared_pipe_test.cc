#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <thread>

#include "frames.h"
#include "open_device.h"
#include "pipe/pipe_registry.h"

namespace millrace::drivers {
namespace {

using testing::HasSubstr;

constexpr Instant kStart = kEpoch + 100s;

struct SharedPipes : testing::Test {
  std::unique_ptr<NetDevice> open(std::string_view spec) {
    OpenResult result = open_device(spec, {.pipes = &registry});
    EXPECT_TRUE(result.ok()) << result.error;
    return std::move(result.device);
  }
  std::string error_of(std::string_view spec) { return open_device(spec, {.pipes = &registry}).error; }

  static bool readable(NetDevice& device, int timeout_ms = 0) {
    pollfd fd{device.wait_fds()[0].fd, POLLIN, 0};
    return ::poll(&fd, 1, timeout_ms) == 1;
  }

  PipeRegistry registry;
  PacketPool pool_a, pool_b;
  PacketQueue in;
};

TEST_F(SharedPipes, JoinsTwoOpensOfTheSameName) {
  const auto a = open("pipe:x");
  const auto b = open("pipe:x");
  EXPECT_NE(a->mac(), b->mac());
  EXPECT_EQ(a->name(), "pipe:x");
  PacketQueue queue;
  queue.push_back(to_packet(pool_a, raw_frame(700, 1, b->mac(), a->mac())));
  EXPECT_EQ(a->tx_burst(queue, kStart), 1u);
  EXPECT_EQ(pool_a.packets_in_use(), 0u) << "what waits on the wire is the wire's, not the sender's";
  ASSERT_EQ(b->rx_burst(pool_b, in, 10, kStart), 1u);
  EXPECT_EQ(bytes_of(in.front()), raw_frame(700, 1, b->mac(), a->mac()));
}

TEST_F(SharedPipes, RefusesAThirdEndAndOtherOptionsAtTheSecond) {
  const auto a = open("pipe(rate=10M):x");
  EXPECT_THAT(error_of("pipe(rate=20M):x"), HasSubstr("other options"));
  const auto b = open("pipe(rate=10M,mac=02:00:00:00:00:99):x");
  EXPECT_EQ(b->mac(), (MacAddress{{2, 0, 0, 0, 0, 0x99}}));
  EXPECT_THAT(error_of("pipe:x"), HasSubstr("both ends"));
  EXPECT_THAT(error_of("pipe(mtu=10):x"), HasSubstr("mtu=10"));
  EXPECT_THAT(error_of("pipe(full=maybe):x"), HasSubstr("one of auto, drop, wait"));
}

TEST_F(SharedPipes, TakesTheFirstEndsOptions) {
  const auto a = open("pipe(mtu=9000,delay=3ms,tso=0):x");
  const auto b = open("pipe:x");
  EXPECT_EQ(b->mtu(), 9000u);
  EXPECT_FALSE(b->caps().tso);
  PacketQueue queue;
  queue.push_back(to_packet(pool_a, raw_frame(100, 1, b->mac(), a->mac())));
  a->tx_burst(queue, kStart);
  EXPECT_EQ(b->rx_burst(pool_b, in, 10, kStart), 0u);
  EXPECT_FALSE(b->arm()) << "nothing to poll for yet";
  EXPECT_EQ(b->max_sleep(kStart), 3ms);
  EXPECT_EQ(b->rx_burst(pool_b, in, 10, kStart + 3ms), 1u);
}

TEST_F(SharedPipes, LinkIsDownWhileOneEndIsClosedAndUpWhenItIsOpenAgain) {
  const auto a = open("pipe:x");
  PacketQueue queue;
  queue.push_back(to_packet(pool_a, raw_frame(100, 1, {}, {})));
  EXPECT_EQ(a->tx_burst(queue, kStart), 1u);
  EXPECT_EQ(a->stats().tx_errors, 1u);
  EXPECT_EQ(a->take_event(), DeviceEvent::kNone);
  auto b = open("pipe:x");
  EXPECT_EQ(a->take_event(), DeviceEvent::kLinkUp);
  b.reset();
  EXPECT_EQ(a->take_event(), DeviceEvent::kLinkDown);
  b = open("pipe:x");
  EXPECT_EQ(a->take_event(), DeviceEvent::kLinkUp);
}

TEST_F(SharedPipes, WakesOnlyASleeperThatArmed) {
  const auto a = open("pipe:x");
  const auto b = open("pipe:x");
  PacketQueue queue;
  (void)b->rx_burst(pool_b, in, 10, kStart);
  EXPECT_FALSE(b->arm());
  EXPECT_FALSE(readable(*b));
  queue.push_back(to_packet(pool_a, raw_frame(100, 1, {}, {})));
  a->tx_burst(queue, kStart);
  EXPECT_TRUE(readable(*b));
  EXPECT_TRUE(b->arm());
  EXPECT_EQ(b->rx_burst(pool_b, in, 10, kStart), 1u);
  (void)b->rx_burst(pool_b, in, 10, kStart);
  EXPECT_FALSE(b->arm());
  EXPECT_FALSE(readable(*b));
}

TEST_F(SharedPipes, WakesTheSenderWhenTheReceiverMadeRoom) {
  const auto a = open("pipe(queue=2):x");
  const auto b = open("pipe:x");
  PacketQueue queue;
  for (std::uint8_t i = 0; i < 3; ++i) queue.push_back(to_packet(pool_a, raw_frame(100, i, {}, {})));
  EXPECT_EQ(a->tx_burst(queue, kStart), 2u);
  EXPECT_TRUE(a->tx_full());
  EXPECT_FALSE(a->arm());
  EXPECT_FALSE(readable(*a));
  EXPECT_EQ(b->rx_burst(pool_b, in, 1, kStart), 1u);
  EXPECT_TRUE(readable(*a));
  EXPECT_EQ(a->tx_burst(queue, kStart), 1u);
  EXPECT_FALSE(a->tx_full());
}

TEST_F(SharedPipes, DropsAtABottlenecksQueueLimit) {
  const auto a = open("pipe(queue=2,rate=1M):x");
  const auto b = open("pipe:x");
  PacketQueue queue;
  for (std::uint8_t i = 0; i < 5; ++i) queue.push_back(to_packet(pool_a, raw_frame(125, i, {}, {})));
  EXPECT_EQ(a->tx_burst(queue, kStart), 5u);
  EXPECT_EQ(b->stats().rx_dropped, 3u);
  EXPECT_EQ(b->rx_burst(pool_b, in, 10, kStart + 1ms), 1u);
  EXPECT_EQ(b->max_sleep(kStart + 1ms), 1ms);
}

/// The real clock: two threads, each with its pool, sleep on their ends.
Instant now() {
  return Instant{std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
}

/// Sends `count` frames back to where they come from, asleep in between. False: 20 s went by.
bool echo(NetDevice& device, PacketPool& pool, std::size_t count) {
  const Instant end = now() + 20s;
  PacketQueue queue;
  for (std::size_t seen = 0; seen < count || !queue.empty();) {
    if (now() > end) return false;
    const std::size_t n = device.rx_burst(pool, queue, 16, now());
    seen += n;
    if (!queue.empty()) device.tx_burst(queue, now());
    if (n != 0 || device.arm()) continue;
    pollfd fd{device.wait_fds()[0].fd, POLLIN, 0};
    (void)::poll(&fd, 1, 1000);
  }
  return true;
}

TEST_F(SharedPipes, CarriesFramesBetweenTwoThreadsThatSleep) {
  constexpr std::size_t kFrames = 20'000;
  const auto a = open("pipe(queue=64):x");
  const auto b = open("pipe:x");
  bool echoed = false;
  std::thread other([&] { echoed = echo(*b, pool_b, kFrames); });
  PacketQueue queue;
  for (std::size_t i = 0; i < kFrames; ++i) queue.push_back(to_packet(pool_a, raw_frame(200, 1, {}, {})));
  PacketQueue back;
  const Instant end = now() + 20s;
  while (back.size() < kFrames && now() < end) {
    if (!queue.empty()) a->tx_burst(queue, now());
    if (a->rx_burst(pool_a, back, 16, now()) != 0 || a->arm()) continue;
    pollfd fd{a->wait_fds()[0].fd, POLLIN, 0};
    (void)::poll(&fd, 1, 1000);
  }
  other.join();
  EXPECT_TRUE(echoed);
  EXPECT_EQ(back.size(), kFrames);
  EXPECT_EQ(a->stats().rx_dropped + b->stats().rx_dropped, 0u);
  EXPECT_EQ(pool_b.packets_in_use(), 0u);
}

}  // namespace
}  // namespace millrace::drivers
