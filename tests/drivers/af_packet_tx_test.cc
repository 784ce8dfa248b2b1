#include <poll.h>

#include <algorithm>

#include "af_packet/af_packet.h"
#include "af_packet_fixture.h"

namespace millrace::drivers {
namespace {

/// An interface with a queue of its own in the way: what a slow one looks like.
class AfPacketTx : public AfPacket {
 protected:
  void start_slow(const std::string& queue, std::uint32_t socket_buffer) {
    ASSERT_NO_FATAL_FAILURE(start());
    ASSERT_TRUE(pair_->run(Side::kLeft, "tc qdisc replace dev left0 root " + queue));
    peer_ = open(Side::kRight, "af_packet:right0");
    const InNamespace inside(*pair_, Side::kLeft);
    AfPacketConfig config;
    config.interface = "left0";
    config.tx_buffer = socket_buffer;
    std::string error;
    slow_ = AfPacketDevice::open(config, error);
    ASSERT_NE(slow_, nullptr) << error;
  }
  void fill(PacketQueue& queue, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      queue.push_back(
          to_packet(pool_, raw_frame(1000, static_cast<std::uint8_t>(i), peer_->mac(), slow_->mac())));
    }
  }

  std::unique_ptr<NetDevice> peer_;
  std::unique_ptr<AfPacketDevice> slow_;
};

TEST_F(AfPacketTx, LeavesFramesWhileItsBufferIsFullAndWakesWhenThereIsRoom) {
  ASSERT_NO_FATAL_FAILURE(start_slow("tbf rate 20mbit burst 2000 limit 10000000", 20'000));
  PacketQueue queue;
  fill(queue, 60);
  const std::size_t taken = slow_->tx_burst(queue, now());
  EXPECT_GT(taken, 0u);
  EXPECT_LT(taken, 60u);
  EXPECT_EQ(queue.size(), 60 - taken);
  EXPECT_TRUE(slow_->tx_full());
  EXPECT_GE(slow_->stats().tx_full, 1u);
  const Instant end = now() + 5s;
  while (!queue.empty() && now() < end) {
    if (slow_->tx_burst(queue, now()) != 0 || !slow_->tx_full()) continue;
    const auto waits = slow_->wait_fds();
    const auto writable =
        std::find_if(waits.begin(), waits.end(), [](const WaitFd& w) { return w.writable; });
    ASSERT_NE(writable, waits.end());
    pollfd fd{writable->fd, POLLOUT, 0};
    ASSERT_EQ(::poll(&fd, 1, 5000), 1);
  }
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(slow_->tx_full());
  for (const WaitFd& wait : slow_->wait_fds()) EXPECT_FALSE(wait.writable);
  ASSERT_TRUE(receive(*peer_, 60));
  for (std::uint8_t i = 0; i < 60; ++i) {
    EXPECT_EQ(bytes_of(*in_.pop_front()), raw_frame(1000, i, peer_->mac(), slow_->mac()));
  }
  EXPECT_EQ(slow_->stats().tx_errors, 0u);
}

TEST_F(AfPacketTx, TriesAgainSoonWhenTheInterfacesQueueIsFull) {
  ASSERT_NO_FATAL_FAILURE(start_slow("tbf rate 20mbit burst 2000 limit 10000", 32u << 20));
  PacketQueue queue;
  fill(queue, 40);
  const Instant begin = now();
  EXPECT_LT(slow_->tx_burst(queue, begin), 40u);
  EXPECT_TRUE(slow_->tx_full());
  EXPECT_GT(slow_->max_sleep(begin), 0us);
  EXPECT_LE(slow_->max_sleep(begin), 1ms) << "no descriptor tells";
  for (const WaitFd& wait : slow_->wait_fds()) EXPECT_FALSE(wait.writable) << "it would wake at once";
  while (!queue.empty() && now() < begin + 5s) slow_->tx_burst(queue, now());
  EXPECT_TRUE(queue.empty());
  ASSERT_TRUE(receive(*peer_, 40));
  for (std::uint8_t i = 0; i < 40; ++i) {
    EXPECT_EQ(bytes_of(*in_.pop_front()), raw_frame(1000, i, peer_->mac(), slow_->mac()))
        << "none lost, none twice";
  }
  EXPECT_EQ(slow_->stats().tx_errors, 0u);
  EXPECT_EQ(slow_->max_sleep(now()), Duration::max());
}

TEST_F(AfPacketTx, GivesAFrameUpThatIsRefusedForGood) {
  // A frame larger than the bucket never gets through, and the queue answers "full" each time.
  ASSERT_NO_FATAL_FAILURE(start_slow("tbf rate 20mbit burst 2000 limit 500", 32u << 20));
  PacketQueue queue;
  fill(queue, 2);
  const Instant begin = now();
  while (!queue.empty() && now() < begin + 5s) slow_->tx_burst(queue, now());
  EXPECT_TRUE(queue.empty()) << "one frame must not stop the device for ever";
  EXPECT_GE(slow_->stats().tx_errors, 1u);
  EXPECT_LE(slow_->stats().tx_errors, 2u);
}

}  // namespace
}  // namespace millrace::drivers
