// What a connection does while its device has no room.

#include <limits>

#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();

void limit_queue(TcpScript& t, std::size_t packets) {
  t.stack().interfaces().front()->set_tx_queue_packets(packets);
}

TEST(FullDevice, DataWaitsUntilThereIsRoom) {
  TcpScript t;
  t.establish(sack_syn());
  limit_queue(t, 8);
  t.device_takes(0);
  t.write(20'000);
  // A super-segment of half the window fills half of the queue; the next one waits.
  EXPECT_EQ(t.info().unacked, 5u);
  EXPECT_EQ(t.count(Counter::kOutBlocked), 1u);
  t.expect_nothing();
  t.device_takes(2);
  t.expect_stream(1, 2001);
  EXPECT_EQ(t.info().unacked, 10u);
  t.device_takes(kAny);
  t.expect_stream(2001, 10'001);
  t.inject(ack(10'001));
  t.expect_stream(10'001, 20'001);
  EXPECT_EQ(t.count(Counter::kOutBlocked), 1u);
  EXPECT_EQ(t.stack().interfaces().front()->counters()[link::Counter::kTxQueueDropped], 0u);
}

TEST(FullDevice, WhatWaitsThereIsNotSentAgain) {
  TcpScript t;
  t.establish(sack_syn());
  limit_queue(t, 8);
  t.device_takes(0);
  t.write(5000);
  t.after(10s).device_takes(kAny);
  t.expect_stream(1, 5001);
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  EXPECT_EQ(t.info().snd_cwnd, 10u);
  // Now it may have been lost.
  t.after(1s);
  EXPECT_FALSE(t.take_sent().empty());
}

TEST(FullDevice, WhatIsLostWaitsToo) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  limit_queue(t, 0);
  t.inject(ack(1).sack(1001, 10'001));
  t.after(100ms);
  t.expect_nothing();
  EXPECT_EQ(t.info().total_retrans, 0u);
  EXPECT_EQ(t.info().lost, 1u);
  limit_queue(t, 8);
  t.flush();
  t.expect(data(1, 1001));
  EXPECT_EQ(t.info().retrans, 1u);
  t.take_sent();
}

TEST(FullDevice, OnlyTheUsersTimeoutRunsMeanwhile) {
  TcpScript t;
  t.establish();
  limit_queue(t, 0);
  t.write(24);
  t.after(60s);
  EXPECT_EQ(t.info().backoff, 0u);
  t.expect_state(tcp::State::kEstablished);
  limit_queue(t, 8);
  t.flush();
  t.expect(data(1, 25));
  t.inject(ack(25));

  t.set_option(SocketOption::kUserTimeout, 3000);
  limit_queue(t, 0);
  t.write(24);
  t.after(3100ms);
  EXPECT_EQ(t.info().probes, 6u);
  EXPECT_TRUE(t.try_write(24).ok());
  t.after(200ms);
  EXPECT_EQ(t.try_write(24).error(), Error::kTimedOut);
}

}  // namespace
}  // namespace millrace::test
