// Several queues of one interface by AF_XDP: each has a socket, and one program serves them all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "af_packet_fixture.h"
#include "af_xdp/af_xdp.h"
#include "queues/steered_device.h"

namespace millrace::drivers {
namespace {

using testing::HasSubstr;
using Devices = std::vector<std::unique_ptr<NetDevice>>;

constexpr std::uint32_t kQueues = 2;

/// Both ends of a veth by AF_XDP: what a queue of the peer sends comes in by our queue of the same number.
class AfXdpQueues : public AfPacket {
 protected:
  void start(NetNamespacePair::Options options = {}, AfXdpConfig::Mode mode = AfXdpConfig::Mode::kAuto) {
    options.queues = kQueues;
    pair_.emplace(options);
    ASSERT_TRUE(pair_->ok()) << "needs root and iproute2";
    ours_ = open_all(Side::kLeft, "left0", mode);
    ASSERT_EQ(ours_.size(), kQueues) << error_;
    EXPECT_EQ(native_, mode != AfXdpConfig::Mode::kGeneric);
    open_peer();
  }
  void open_peer() {
    peer_ = open_all(Side::kRight, "right0");
    ASSERT_EQ(peer_.size(), kQueues) << error_;
  }
  Devices open_all(Side side, const std::string& interface, AfXdpConfig::Mode mode = AfXdpConfig::Mode::kAuto,
                   std::uint32_t count = kQueues) {
    const InNamespace inside(*pair_, side);
    std::shared_ptr<XdpProgram> program;
    AfXdpConfig config;
    config.interface = interface;
    config.mode = mode;
    Devices devices;
    for (std::uint32_t index = 0; index < count; ++index) {
      config.place = {index, count, &program};
      auto device = AfXdpDevice::open(config, error_);
      if (device == nullptr) return {};
      native_ = device->native();
      devices.push_back(std::move(device));
    }
    return devices;
  }
  /// Something that only its length and `seed` tell from others.
  Bytes frame(std::uint8_t seed) { return raw_frame(100, seed, ours_[0]->mac(), peer_[0]->mac()); }
  void send_by(std::uint32_t queue, const Bytes& bytes) { send(*peer_[queue], to_packet(pool_, bytes)); }
  /// A frame that goes to `queue` comes up there.
  void expect_carried(std::uint32_t queue, std::uint8_t seed) {
    const Bytes sent = frame(seed);
    send_by(queue, sent);
    ASSERT_TRUE(receive_until(*ours_[queue], [&] { return !in_.empty() && bytes_of(in_.back()) == sent; }))
        << "queue " << queue;
    in_.clear();
  }
  void expect_nothing(std::uint32_t queue) {
    ours_[queue]->rx_burst(pool_, in_, 64, now());
    EXPECT_TRUE(in_.empty()) << "queue " << queue;
  }
  void remove_interface() {
    peer_.clear();
    ASSERT_TRUE(pair_->run(Side::kLeft, "ip link del left0"));
  }
  void make_interface_again(const std::string& before_it_is_up = "true") {
    ASSERT_TRUE(pair_->run(Side::kLeft,
                           "ip link add left0 numrxqueues 2 numtxqueues 2 type veth peer name "
                           "right0 numrxqueues 2 numtxqueues 2 netns " +
                               pair_->name(Side::kRight) + " && " + before_it_is_up +
                               " && ip link set left0 up"));
    ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 up"));
  }
  /// A device looks at its link, where its interface is.
  bool event_comes_inside(std::uint32_t queue, DeviceEvent event) {
    const InNamespace inside(*pair_, Side::kLeft);
    return event_comes(*ours_[queue], event);
  }
  bool link_comes_up_inside(std::uint32_t queue) {
    const InNamespace inside(*pair_, Side::kLeft);
    return link_comes_up(*ours_[queue]);
  }
  /// Frames come by it again.
  bool comes_back(std::uint32_t queue) {
    const InNamespace inside(*pair_, Side::kLeft);
    const std::size_t before = in_.size();
    return receive_until(*ours_[queue], [&] {
      send_by(queue, frame(0));
      return in_.size() > before;
    });
  }
  bool program_is_attached() { return pair_->run(Side::kLeft, "ip link show left0 | grep -q xdp"); }
  Bytes arp_for(const IpAddress& target) {
    Bytes request = raw_frame(42, 0, MacAddress::broadcast(), peer_[0]->mac());
    request[12] = 0x08, request[13] = 0x06;
    std::copy_n(target.bytes().begin(), 4, request.begin() + 38);
    return request;
  }

  std::string error_;
  bool native_ = false;
  Devices ours_, peer_;
};

TEST_F(AfXdpQueues, EachHasWhatComesByIt) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (std::uint32_t queue = 0; queue < kQueues; ++queue) {
    const auto seed = static_cast<std::uint8_t>(queue + 1);
    ASSERT_NO_FATAL_FAILURE(expect_carried(queue, seed));
    expect_nothing(1 - queue);
    const Bytes answer = raw_frame(200, seed, peer_[0]->mac(), ours_[0]->mac());
    send(*ours_[queue], to_packet(pool_, answer));
    ASSERT_TRUE(receive(*peer_[queue], 1));
    EXPECT_EQ(bytes_of(*in_.pop_front()), answer);
  }
}

TEST_F(AfXdpQueues, AtTheKernelsGeneralHookNoneIsLost) {
  ASSERT_NO_FATAL_FAILURE(start({}, AfXdpConfig::Mode::kGeneric));
  // Which queue a frame of a veth came in by is not told there.
  constexpr std::size_t kFrames = 50;
  for (std::size_t i = 0; i < kFrames; ++i) {
    for (std::uint32_t queue = 0; queue < kQueues; ++queue)
      send_by(queue, frame(static_cast<std::uint8_t>(i)));
  }
  EXPECT_TRUE(receive_until(*ours_[0], [&] {
    ours_[1]->rx_burst(pool_, in_, 64, now());
    return in_.size() == kQueues * kFrames;
  }));
  for (std::uint32_t queue = 0; queue < kQueues; ++queue) {
    in_.clear();
    send(*ours_[queue], to_packet(pool_, raw_frame(200, 1, peer_[0]->mac(), ours_[0]->mac())));
    EXPECT_TRUE(receive(*peer_[queue], 1));
  }
}

TEST_F(AfXdpQueues, AFrameThatCameByTheWrongOneIsHandedOver) {
  ASSERT_NO_FATAL_FAILURE(start());
  ours_ = steer(std::move(ours_));
  FrameSpec spec;
  spec.source_mac = peer_[0]->mac();
  spec.destination_mac = ours_[0]->mac();
  spec.source = kKernelAddress;
  spec.destination = kOurAddress;
  spec.payload = pattern(1000, 1);
  const Bytes segment = make_frame(spec);
  const std::uint32_t home = ours_[0]->queue_for(kOurAddress.v4_value(), spec.destination_port,
                                                 kKernelAddress.v4_value(), spec.source_port);
  constexpr std::size_t kFrames = 100;
  for (std::size_t i = 0; i < kFrames; ++i) send_by(1 - home, segment);
  PacketQueue strangers;
  ASSERT_TRUE(receive_until(*ours_[home], [&] {
    ours_[1 - home]->rx_burst(pool_, strangers, 64, now());
    return in_.size() == kFrames;
  }));
  EXPECT_TRUE(strangers.empty());
  for (const Packet& packet : in_) EXPECT_EQ(bytes_of(packet), segment);
  const auto counter = [this](std::uint32_t queue, std::string_view name) {
    for (const auto& [counted, value] : ours_[queue]->extended_stats()) {
      if (counted == name) return value;
    }
    return std::uint64_t{0};
  };
  EXPECT_EQ(counter(1 - home, "HandedOver"), kFrames);
  EXPECT_EQ(counter(home, "TakenOver"), kFrames);
  EXPECT_EQ(counter(1 - home, "MailboxOverflows"), 0u);
}

TEST_F(AfXdpQueues, TheProgramStaysUntilTheLastIsGone) {
  ASSERT_NO_FATAL_FAILURE(start());
  ours_[0].reset();
  EXPECT_TRUE(program_is_attached());
  in_.clear();
  const Bytes sent = raw_frame(100, 1, ours_[1]->mac(), peer_[1]->mac());
  send_by(1, sent);
  ASSERT_TRUE(receive(*ours_[1], 1));
  EXPECT_EQ(bytes_of(in_.front()), sent);
  in_.clear();
  ours_[1].reset();
  EXPECT_FALSE(program_is_attached());
}

TEST_F(AfXdpQueues, EachFindsANewInterfaceInItsOwnTime) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (const std::uint32_t first : {1u, 0u}) {
    const std::uint32_t last = 1 - first;
    ASSERT_NO_FATAL_FAILURE(remove_interface());
    EXPECT_TRUE(event_comes_inside(first, DeviceEvent::kGone));
    ASSERT_NO_FATAL_FAILURE(make_interface_again());
    EXPECT_TRUE(link_comes_up_inside(first));
    ASSERT_NO_FATAL_FAILURE(open_peer());
    // The other one has not looked yet.
    ASSERT_NO_FATAL_FAILURE(expect_carried(first, 1));
    EXPECT_TRUE(comes_back(last));
    ASSERT_NO_FATAL_FAILURE(expect_carried(first, 2));
  }
}

TEST_F(AfXdpQueues, OneThatGoesWithoutHavingNoticedTakesNothingFromTheOthers) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_NO_FATAL_FAILURE(remove_interface());
  ASSERT_NO_FATAL_FAILURE(make_interface_again());
  ASSERT_NO_FATAL_FAILURE(open_peer());
  ASSERT_TRUE(comes_back(0));
  ours_[1].reset();
  EXPECT_TRUE(program_is_attached());
  ASSERT_NO_FATAL_FAILURE(expect_carried(0, 1));
}

TEST_F(AfXdpQueues, ComesBackUnderTrafficAgainAndAgain) {
  ASSERT_NO_FATAL_FAILURE(start());
  std::array<std::atomic<std::uint64_t>, kQueues> received{};
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (std::uint32_t queue = 0; queue < kQueues; ++queue) {
    readers.emplace_back([&, queue] {
      const InNamespace inside(*pair_, Side::kLeft);
      NetDevice& device = *ours_[queue];
      PacketPool pool;
      PacketQueue in;
      while (!done) {
        received[queue] += device.rx_burst(pool, in, 64, now());
        static_cast<void>(device.take_event());
        in.clear();
        if (device.arm()) continue;
        std::vector<pollfd> fds;
        for (const WaitFd& wait : device.wait_fds()) fds.push_back({wait.fd, POLLIN, 0});
        ::poll(fds.data(), fds.size(), 10);
      }
    });
  }
  const auto all_receive = [&] {
    std::array<std::uint64_t, kQueues> before{};
    for (std::uint32_t queue = 0; queue < kQueues; ++queue) before[queue] = received[queue];
    const Instant end = now() + 30s;
    while (now() < end) {
      for (std::uint32_t queue = 0; queue < kQueues; ++queue) send_by(queue, frame(1));
      if (received[0] > before[0] + 100 && received[1] > before[1] + 100) return true;
    }
    return false;
  };
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(all_receive()) << round;
    peer_.clear();
    EXPECT_TRUE(pair_->run(Side::kLeft, "ip link del left0"));
    make_interface_again();
    open_peer();
    if (HasFailure()) break;
  }
  EXPECT_TRUE(HasFailure() || all_receive());
  done = true;
  for (std::thread& reader : readers) reader.join();
}

TEST_F(AfXdpQueues, LeaveTheKernelWhatIsForIt) {
  NetNamespacePair::Options options;
  options.left_address = "198.18.0.9/24";
  ASSERT_NO_FATAL_FAILURE(start(options));
  const IpAddress kernels = IpAddress::v4(198, 18, 0, 9);
  const std::vector<IpPrefix> own{{kOurAddress, 24}};
  ours_ = steer(std::move(ours_));
  {
    const InNamespace inside(*pair_, Side::kLeft);
    for (const auto& queue : ours_) queue->own_addresses(own);
  }
  const auto expect_ours_alone = [&](std::uint32_t queue) {
    in_.clear();
    send_by(queue, arp_for(kernels));
    send_by(queue, arp_for(kOurAddress));
    ASSERT_TRUE(receive(*ours_[queue], 1));
    EXPECT_EQ(bytes_of(in_.front()), arp_for(kOurAddress)) << "queue " << queue;
    EXPECT_EQ(in_.size(), 1u);
    PacketQueue copies;  // ARP goes to all
    ours_[1 - queue]->rx_burst(pool_, copies, 64, now());
  };
  for (std::uint32_t queue = 0; queue < kQueues; ++queue) ASSERT_NO_FATAL_FAILURE(expect_ours_alone(queue));
  // Also when it is not the first, whose business that was, which finds the interface again.
  in_.clear();
  ASSERT_NO_FATAL_FAILURE(remove_interface());
  EXPECT_TRUE(event_comes_inside(1, DeviceEvent::kGone));
  ASSERT_NO_FATAL_FAILURE(make_interface_again("ip addr add 198.18.0.9/24 dev left0"));
  EXPECT_TRUE(link_comes_up_inside(1));
  ASSERT_NO_FATAL_FAILURE(open_peer());
  ASSERT_NO_FATAL_FAILURE(expect_ours_alone(1));
}

TEST_F(AfXdpQueues, SaysWhatTheInterfaceLacks) {
  NetNamespacePair::Options options;
  options.queues = 3;
  pair_.emplace(options);
  ASSERT_TRUE(pair_->ok()) << "needs root and iproute2";
  EXPECT_TRUE(open_all(Side::kLeft, "left0", AfXdpConfig::Mode::kAuto, 4).empty());
  EXPECT_THAT(error_, HasSubstr("xdp: left0 has 3 queues, not 4, and cannot have more than 3"));
  EXPECT_THAT(error_, HasSubstr("ip link add ... numrxqueues 4 numtxqueues 4"));
  ASSERT_TRUE(pair_->run(Side::kLeft, "ethtool -L left0 tx 1"));
  EXPECT_TRUE(open_all(Side::kLeft, "left0").empty());
  EXPECT_THAT(error_, HasSubstr("xdp: left0 has 1 queue, not 2; do: ethtool -L left0 rx 2 tx 2"));
  ASSERT_TRUE(pair_->run(Side::kLeft, "ethtool -L left0 rx 2 tx 2"));
  EXPECT_EQ(open_all(Side::kLeft, "left0").size(), 2u) << error_;
}

}  // namespace
}  // namespace millrace::drivers
