#include "af_xdp/af_xdp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <vector>

#include "af_packet_fixture.h"

namespace millrace::drivers {
namespace {

using testing::HasSubstr;

class AfXdp : public AfPacket {
 protected:
  void start(const NetNamespacePair::Options& options = {}, AfXdpConfig config = {}) {
    pair_.emplace(options);
    ASSERT_TRUE(pair_->ok()) << "needs root and iproute2";
    open_ours(std::move(config));
    ASSERT_NE(ours_, nullptr) << error_;
    peer_ = open(Side::kRight, "af_packet:right0");
  }
  void open_ours(AfXdpConfig config = {}) {
    const InNamespace inside(*pair_, Side::kLeft);
    if (config.interface.empty()) config.interface = "left0";
    auto device = AfXdpDevice::open(config, error_);
    native_ = device != nullptr && device->native();
    ours_ = std::move(device);
  }
  Bytes frame_for_us(std::size_t length, std::uint8_t seed) {
    return raw_frame(length, seed, ours_->mac(), peer_->mac());
  }
  void send_to_us(const Bytes& frame) { send(*peer_, to_packet(pool_, frame)); }
  /// An ARP request for `target`.
  Bytes arp_for(const IpAddress& target) {
    Bytes frame = raw_frame(42, 0, MacAddress::broadcast(), peer_->mac());
    frame[12] = 0x08, frame[13] = 0x06;
    std::copy_n(target.bytes().begin(), 4, frame.begin() + 38);
    return frame;
  }
  Bytes ip_for(const IpAddress& destination) {
    FrameSpec spec;
    spec.source_mac = peer_->mac();
    spec.destination_mac = ours_->mac();
    spec.source = kKernelAddress;
    spec.destination = destination;
    spec.payload = pattern(10, 1);
    return make_frame(spec);
  }

  std::string error_;
  bool native_ = false;
  std::unique_ptr<NetDevice> peer_;
};

TEST_F(AfXdp, TellsWhatTheInterfaceIs) {
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(ours_->mtu(), 1500u);
  EXPECT_EQ(ours_->name(), "xdp:left0");
  EXPECT_TRUE(pair_->run(Side::kLeft, "ip link show left0 | grep -q " + ours_->mac().to_string()));
  const DeviceCaps& caps = ours_->caps();
  EXPECT_TRUE(caps.scatter && caps.can_sleep);
  EXPECT_FALSE(caps.tso || caps.lro || caps.tx_checksum || caps.rx_checksum);
}

TEST_F(AfXdp, CarriesFramesOfEverySizeBothWaysInOrder) {
  for (const auto mode : {AfXdpConfig::Mode::kNative, AfXdpConfig::Mode::kGeneric}) {
    AfXdpConfig config;
    config.mode = mode;
    ASSERT_NO_FATAL_FAILURE(start({}, config));
    EXPECT_EQ(native_, mode == AfXdpConfig::Mode::kNative);
    for (const auto& [from, to] :
         {std::pair{ours_.get(), peer_.get()}, std::pair{peer_.get(), ours_.get()}}) {
      std::vector<Bytes> sent;
      PacketQueue queue;
      for (std::size_t length = 14; length <= 1514; length += 13) {
        sent.push_back(raw_frame(length, static_cast<std::uint8_t>(length), to->mac(), from->mac()));
        queue.push_back(to_packet(pool_, sent.back()));
      }
      EXPECT_EQ(from->tx_burst(queue, now()), sent.size());
      ASSERT_TRUE(receive(*to, sent.size()));
      for (const Bytes& frame : sent) {
        const PacketPtr packet = in_.pop_front();
        EXPECT_EQ(bytes_of(*packet), frame);
        EXPECT_NE(packet->timestamp, Instant{});
        EXPECT_EQ(packet->offload.rx_checksum,
                  to == ours_.get() ? Offload::RxChecksum::kUnknown : packet->offload.rx_checksum);
      }
      EXPECT_TRUE(in_.empty());
    }
    EXPECT_EQ(ours_->stats().tx_packets, peer_->stats().rx_packets);
    EXPECT_EQ(ours_->stats().rx_packets, peer_->stats().tx_packets);
    EXPECT_EQ(pool_.packets_in_use(), 0u);
    ours_.reset();
  }
}

TEST_F(AfXdp, SendsWhatLiesInManyPieces) {
  ASSERT_NO_FATAL_FAILURE(start());
  const Bytes frame = raw_frame(1400, 5, peer_->mac(), ours_->mac());
  PacketPtr packet = to_packet(pool_, Bytes(frame.begin(), frame.begin() + 100));
  for (std::size_t at = 100; at < frame.size(); at += 100) {
    PacketPtr piece = to_packet(pool_, Bytes(frame.begin() + static_cast<std::ptrdiff_t>(at),
                                             frame.begin() + static_cast<std::ptrdiff_t>(at) + 100));
    ASSERT_TRUE(packet->append(piece));
  }
  send(*ours_, std::move(packet));
  ASSERT_TRUE(receive(*peer_, 1));
  EXPECT_EQ(bytes_of(in_.front()), frame);
}

TEST_F(AfXdp, LendsItsMemoryAndCopiesWhenItRunsLow) {
  AfXdpConfig config;
  config.frames = 1024;
  config.slots = 256;
  ASSERT_NO_FATAL_FAILURE(start({}, config));
  constexpr std::size_t kFrames = 3000;  // more than there are
  std::size_t lent = 0;
  for (std::size_t i = 0; i < kFrames; ++i) {
    send_to_us(frame_for_us(1000, static_cast<std::uint8_t>(i)));
    ASSERT_TRUE(receive(*ours_, i + 1)) << i;
  }
  std::size_t i = 0;
  for (const Packet& packet : in_) {
    EXPECT_EQ(bytes_of(packet), frame_for_us(1000, static_cast<std::uint8_t>(i))) << i;
    ++i;
  }
  // Pooled ones have a 2 KiB class; what is lent counts no bytes.
  lent = kFrames - pool_.bytes_in_use() / 2048;
  EXPECT_GT(lent, 256u);
  EXPECT_LT(lent, 1024u);
  EXPECT_EQ(ours_->stats().rx_no_memory, 0u);
  in_.clear();
  send_to_us(frame_for_us(1000, 7));
  ASSERT_TRUE(receive(*ours_, 1));
  EXPECT_EQ(pool_.bytes_in_use(), 0u) << "lent again";
}

TEST_F(AfXdp, CountsWhatItHasNoMemoryFor) {
  ASSERT_NO_FATAL_FAILURE(start());
  PacketPool none(PacketPool::Limits{.bytes = 0, .reserve = 0});
  send_to_us(frame_for_us(100, 1));
  PacketQueue in;
  EXPECT_TRUE(receive_until(*ours_, [&] {
    ours_->rx_burst(none, in, 64, now());
    return ours_->stats().rx_no_memory == 1;
  }));
  EXPECT_TRUE(in.empty());
  send_to_us(frame_for_us(100, 2));
  EXPECT_TRUE(receive(*ours_, 1));
}

TEST_F(AfXdp, CountsAFrameThatIsTooLarge) {
  ASSERT_NO_FATAL_FAILURE(start());
  send(*ours_, to_packet(pool_, raw_frame(3000, 1, peer_->mac(), ours_->mac())));
  EXPECT_EQ(ours_->stats().tx_errors, 1u);
  send(*ours_, to_packet(pool_, raw_frame(300, 1, peer_->mac(), ours_->mac())));
  EXPECT_TRUE(receive(*peer_, 1));
}

TEST_F(AfXdp, SendsBurstsThatAreLongerThanItsRing) {
  AfXdpConfig config;
  config.frames = 256;
  config.slots = 64;
  ASSERT_NO_FATAL_FAILURE(start({}, config));
  PacketQueue queue;
  for (std::size_t i = 0; i < 1000; ++i)
    queue.push_back(
        to_packet(pool_, raw_frame(100, static_cast<std::uint8_t>(i), peer_->mac(), ours_->mac())));
  ASSERT_TRUE(receive_until(*peer_, [&] {
    ours_->tx_burst(queue, now());
    return queue.empty() && in_.size() == 1000;
  }));
  std::size_t i = 0;
  for (const Packet& packet : in_)
    EXPECT_EQ(bytes_of(packet), raw_frame(100, static_cast<std::uint8_t>(i++), peer_->mac(), ours_->mac()));
}

TEST_F(AfXdp, WakesASleeper) {
  ASSERT_NO_FATAL_FAILURE(start());
  while (ours_->arm()) ours_->rx_burst(pool_, in_, 64, now());
  ASSERT_FALSE(ours_->arm());
  std::vector<pollfd> fds;
  for (const WaitFd& wait : ours_->wait_fds()) fds.push_back({wait.fd, POLLIN, 0});
  EXPECT_EQ(::poll(fds.data(), fds.size(), 0), 0);
  send_to_us(frame_for_us(100, 1));
  EXPECT_EQ(::poll(fds.data(), fds.size(), 5000), 1);
  EXPECT_TRUE(ours_->arm());
  EXPECT_TRUE(receive(*ours_, 1));
}

TEST_F(AfXdp, LeavesTheKernelWhatIsForIt) {
  NetNamespacePair::Options options;
  options.left_address = "198.18.0.9/24";
  ASSERT_NO_FATAL_FAILURE(start(options));
  const IpAddress kernels = IpAddress::v4(198, 18, 0, 9);
  const std::vector<IpPrefix> own{{kOurAddress, 24}};
  {
    const InNamespace inside(*pair_, Side::kLeft);
    ours_->own_addresses(own);
  }
  send_to_us(arp_for(kernels));
  send_to_us(ip_for(kernels));
  send_to_us(arp_for(kOurAddress));
  send_to_us(ip_for(kOurAddress));
  ASSERT_TRUE(receive(*ours_, 2));
  EXPECT_EQ(bytes_of(in_.front()), arp_for(kOurAddress));
  EXPECT_EQ(in_.size(), 2u);
  EXPECT_TRUE(pair_->run(Side::kRight, "ping -c 1 -W 5 198.18.0.9 >/dev/null"));
}

TEST_F(AfXdp, TakesAllWhereTheKernelHasNoAddress) {
  ASSERT_NO_FATAL_FAILURE(start());
  const std::vector<IpPrefix> own{{kOurAddress, 24}};
  {
    const InNamespace inside(*pair_, Side::kLeft);
    ours_->own_addresses(own);
  }
  send_to_us(ip_for(IpAddress::v4(198, 18, 0, 255)));
  EXPECT_TRUE(receive(*ours_, 1));
}

TEST_F(AfXdp, TakesFramesForAnAddressOfItsOwn) {
  AfXdpConfig config;
  config.mac = kOurMac;
  ASSERT_NO_FATAL_FAILURE(start({}, config));
  EXPECT_EQ(ours_->mac(), kOurMac);
  EXPECT_TRUE(pair_->run(Side::kLeft, "ip -d link show left0 | grep -q 'promiscuity 1'"));
  send_to_us(frame_for_us(100, 1));
  EXPECT_TRUE(receive(*ours_, 1));
  ours_.reset();
  EXPECT_TRUE(pair_->run(Side::kLeft, "ip -d link show left0 | grep -q 'promiscuity 0'"));
}

TEST_F(AfXdp, LeavesNoProgramBehind) {
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_TRUE(pair_->run(Side::kLeft, "ip link show left0 | grep -q xdp"));
  ours_.reset();
  EXPECT_FALSE(pair_->run(Side::kLeft, "ip link show left0 | grep -q xdp"));
}

TEST_F(AfXdp, TellsThatTheLinkWentDownAndCameBack) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 down"));
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kLinkDown));
  EXPECT_EQ(ours_->max_sleep(now()), Duration::max());
  PacketQueue queue;
  queue.push_back(to_packet(pool_, raw_frame(100, 1, peer_->mac(), ours_->mac())));
  ours_->tx_burst(queue, now());
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 up"));
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kLinkUp));
  peer_ = open(Side::kRight, "af_packet:right0");
  send_to_us(frame_for_us(100, 2));
  EXPECT_TRUE(receive(*ours_, 1));
  send(*ours_, to_packet(pool_, raw_frame(200, 1, peer_->mac(), ours_->mac())));
  in_.clear();
  EXPECT_TRUE(receive_until(*peer_, [&] {
    static_cast<void>(ours_->arm());
    return !in_.empty() && in_.back().length() == 200;
  }));
}

TEST_F(AfXdp, SurvivesTheInterfaceAndFindsItAgain) {
  ASSERT_NO_FATAL_FAILURE(start());
  const Bytes before = frame_for_us(1000, 1);
  send_to_us(before);
  ASSERT_TRUE(receive(*ours_, 1));
  peer_.reset();
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link del left0"));
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kGone));
  PacketQueue queue;
  queue.push_back(to_packet(pool_, raw_frame(100, 1, MacAddress::broadcast(), ours_->mac())));
  EXPECT_EQ(ours_->tx_burst(queue, now()), 1u);
  EXPECT_EQ(ours_->stats().tx_errors, 1u);
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link add left0 type veth peer name right0 netns " +
                                          pair_->name(Side::kRight) + " && ip link set left0 up"));
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 up"));
  {
    // A socket is made again where its thread is.
    const InNamespace inside(*pair_, Side::kLeft);
    EXPECT_TRUE(link_comes_up(*ours_));
  }
  ASSERT_FALSE(in_.empty());
  EXPECT_EQ(bytes_of(in_.front()), before) << "it is still lent";
  in_.clear();
  peer_ = open(Side::kRight, "af_packet:right0");
  send_to_us(frame_for_us(100, 2));
  EXPECT_TRUE(receive(*ours_, 1));
}

TEST_F(AfXdp, ANewInterfaceCarriesMoreThanARingHolds) {
  AfXdpConfig config;
  config.frames = 256;
  config.slots = 64;
  ASSERT_NO_FATAL_FAILURE(start({}, config));
  peer_.reset();
  ASSERT_TRUE(
      pair_->run(Side::kLeft, "ip link del left0 && ip link add left0 type veth peer name right0 netns " +
                                  pair_->name(Side::kRight) + " && ip link set left0 up"));
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 up"));
  peer_ = open(Side::kRight, "af_packet:right0");
  {
    const InNamespace inside(*pair_, Side::kLeft);
    static_cast<void>(ours_->arm());
    static_cast<void>(ours_->arm());
  }
  for (std::size_t i = 0; i < 300; ++i) {
    const auto seed = static_cast<std::uint8_t>(i);
    send_to_us(frame_for_us(100, seed));
    ASSERT_TRUE(receive(*ours_, i + 1)) << i;
    EXPECT_EQ(bytes_of(in_.back()), frame_for_us(100, seed)) << i;
    send(*ours_, to_packet(pool_, raw_frame(200, seed, peer_->mac(), ours_->mac())));
  }
  in_.clear();
  ASSERT_TRUE(receive(*peer_, 300));
}

TEST_F(AfXdp, SaysWhatIsWrong) {
  NetNamespacePair::Options options;
  options.mtu = 9000;
  pair_.emplace(options);
  ASSERT_TRUE(pair_->ok());
  AfXdpConfig config;
  config.interface = "nowhere0";
  open_ours(config);
  EXPECT_THAT(error_, HasSubstr("there is no interface \"nowhere0\" here; there are: "));
  open_ours();
  EXPECT_THAT(
      error_,
      HasSubstr("MTU 9000 of left0 is more than AF_XDP carries (3822); do: ip link set left0 mtu 1500"));
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link set left0 mtu 1500"));
  config.interface = "left0";
  config.queue = 17;
  open_ours(config);
  EXPECT_THAT(error_, HasSubstr("left0, queue 17: there is no such queue; see: ethtool -l left0"));
  config.interface = "lo";
  open_ours(config);
  EXPECT_THAT(error_, HasSubstr("is not an Ethernet device"));
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link set left0 down"));
  open_ours();
  EXPECT_THAT(error_, HasSubstr("interface left0 is down; do: ip link set left0 up"));
}

TEST_F(AfXdp, TwoDoNotShareAQueue) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto first = std::move(ours_);
  open_ours();
  EXPECT_EQ(ours_, nullptr);
  EXPECT_THAT(error_, HasSubstr("left0, queue 0 has an AF_XDP socket already"));
}

}  // namespace
}  // namespace millrace::drivers
