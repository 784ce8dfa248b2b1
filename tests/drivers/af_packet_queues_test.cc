// Several queues of one interface by packet sockets: a fanout group, also on an interface that was made anew.
#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "af_packet_fixture.h"

namespace millrace::drivers {
namespace {

constexpr std::uint32_t kQueues = 2;

class AfPacketQueues : public AfPacket {
 protected:
  void start() {
    pair_.emplace();
    ASSERT_TRUE(pair_->ok()) << "needs root and iproute2";
    const InNamespace inside(*pair_, Side::kLeft);
    OpenQueuesResult opened = open_queues("af_packet:left0", kQueues);
    ASSERT_TRUE(opened.ok()) << opened.error;
    queues_ = std::move(opened.queues);
    open_peer();
  }
  void open_peer() { peer_ = AfPacket::open(Side::kRight, "af_packet:right0"); }
  void make_interface_anew() {
    peer_.reset();
    ASSERT_TRUE(
        pair_->run(Side::kLeft, "ip link del left0 && ip link add left0 type veth peer name right0 netns " +
                                    pair_->name(Side::kRight) + " && ip link set left0 up"));
    ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 up"));
    open_peer();
  }
  /// A datagram of a flow that is at home in `queue`.
  Bytes frame_for(std::uint32_t queue) {
    FrameSpec spec;
    spec.source_mac = peer_->mac();
    spec.destination_mac = queues_[0]->mac();
    spec.source = kKernelAddress;
    spec.destination = kOurAddress;
    spec.udp = true;
    spec.payload = pattern(100, queue);
    while (queues_[0]->queue_for(kOurAddress.v4_value(), spec.destination_port, kKernelAddress.v4_value(),
                                 spec.source_port) != queue)
      ++spec.source_port;
    return make_frame(spec);
  }
  std::uint64_t handed_over(std::uint32_t queue) {
    for (const auto& [name, value] : queues_[queue]->extended_stats()) {
      if (name == "HandedOver") return value;
    }
    return 0;
  }
  /// A queue looks at its link, where its interface is, until frames come by it again.
  bool comes_back(std::uint32_t queue) {
    const InNamespace inside(*pair_, Side::kLeft);
    const std::uint64_t before = queues_[queue]->stats().rx_packets;
    return receive_until(*queues_[queue], [&] {
      send(*peer_, to_packet(pool_, frame_for(queue)));
      return queues_[queue]->stats().rx_packets != before;
    });
  }
  void drain() {
    in_.clear();
    for (const auto& queue : queues_) {
      while (queue->rx_burst(pool_, in_, 64, now()) != 0) in_.clear();
    }
  }
  /// What is at home in a queue comes by it: nothing is handed over.
  void expect_steered() {
    drain();
    for (std::uint32_t queue = 0; queue < kQueues; ++queue) {
      const std::uint64_t before = handed_over(1 - queue);
      for (int i = 0; i < 20; ++i) {
        send(*peer_, to_packet(pool_, frame_for(queue)));
        ASSERT_TRUE(receive(*queues_[queue], 1)) << "queue " << queue;
        EXPECT_EQ(bytes_of(*in_.pop_front()), frame_for(queue));
      }
      EXPECT_EQ(handed_over(1 - queue), before);
    }
  }

  std::vector<std::unique_ptr<NetDevice>> queues_;
  std::unique_ptr<NetDevice> peer_;
};

TEST_F(AfPacketQueues, EachHasWhatIsAtHomeInIt) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_NO_FATAL_FAILURE(expect_steered());
}

TEST_F(AfPacketQueues, ShareANewInterfaceWhicheverOfThemFindsItFirst) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (const std::uint32_t first : {0u, 1u, 1u}) {
    ASSERT_NO_FATAL_FAILURE(make_interface_anew());
    const std::vector<int> descriptors = queues_[first]->descriptors();
    EXPECT_TRUE(comes_back(first));
    EXPECT_TRUE(comes_back(1 - first));
    EXPECT_EQ(queues_[first]->descriptors(), descriptors);
    ASSERT_NO_FATAL_FAILURE(expect_steered()) << "first: " << first;
    ASSERT_TRUE(pair_->run(Side::kLeft, "ip link set left0 down && ip link set left0 up"));
    EXPECT_TRUE(comes_back(first));
    ASSERT_NO_FATAL_FAILURE(expect_steered()) << "after down and up, first: " << first;
  }
}

TEST_F(AfPacketQueues, TheFirstToFindANewInterfaceHasAllUntilTheOthersCome) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_NO_FATAL_FAILURE(make_interface_anew());
  EXPECT_TRUE(comes_back(1));
  in_.clear();
  send(*peer_, to_packet(pool_, frame_for(0)));
  EXPECT_TRUE(receive_until(*queues_[0], [&] {
    PacketQueue others;
    queues_[1]->rx_burst(pool_, others, 64, now());
    return !in_.empty();
  }));
  EXPECT_EQ(handed_over(1), 1u);
}

}  // namespace
}  // namespace millrace::drivers
