#include "tap/tap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device_clock.h"
#include "frames.h"
#include "net_namespace.h"
#include "open_device.h"
#include "unique_fd.h"

namespace millrace::drivers {
namespace {

using test::InNamespace;
using test::NetNamespacePair;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Side = NetNamespacePair::Side;

/// A TAP interface in a namespace of its own. A second device, a packet socket at the interface, plays the
/// kernel where raw frames are looked at.
class Tap : public testing::Test {
 protected:
  static constexpr auto kSide = Side::kLeft;

  void SetUp() override { ASSERT_TRUE(space_.ok()) << "needs root and iproute2"; }

  OpenResult try_open(const std::string& spec) {
    const InNamespace inside(space_, kSide);
    return open_device(spec);
  }
  std::unique_ptr<NetDevice> open(const std::string& spec) {
    OpenResult result = try_open(spec);
    EXPECT_TRUE(result.ok()) << result.error;
    return std::move(result.device);
  }
  std::string error_of(const std::string& spec) {
    const OpenResult result = try_open(spec);
    EXPECT_FALSE(result.ok()) << spec;
    EXPECT_THAT(result.error, AllOf(Not(""), Not(HasSubstr("\n")))) << spec;
    return result.error;
  }
  bool run(const std::string& command) { return space_.run(kSide, command); }
  bool exists(const std::string& interface) { return run("ip link show " + interface + " >/dev/null 2>&1"); }

  bool receive_until(NetDevice& device, const std::function<bool()>& done) {
    const Instant end = now() + 5s;
    while (!done()) {
      if (now() > end) return false;
      device.rx_burst(pool_, in_, 64, now());
    }
    return true;
  }
  bool receive(NetDevice& device, std::size_t count) {
    return receive_until(device, [this, count] { return in_.size() >= count; });
  }
  bool event_comes(NetDevice& device, DeviceEvent expected) {
    DeviceEvent event = DeviceEvent::kNone;
    return receive_until(device, [&] { return (event = device.take_event()) != DeviceEvent::kNone; }) &&
           event == expected;
  }
  void send(NetDevice& device, PacketPtr packet) {
    PacketQueue queue;
    queue.push_back(std::move(packet));
    EXPECT_EQ(device.tx_burst(queue, now()), 1u);
  }
  /// Sends a frame each way, and looks at it.
  void expect_frames_pass(NetDevice& ours, std::uint8_t seed) {
    const auto peer = open("af_packet:mill0");
    const Bytes to_peer = raw_frame(60, seed, MacAddress::broadcast(), ours.mac());
    send(ours, to_packet(pool_, to_peer));
    ASSERT_TRUE(receive(*peer, 1));
    EXPECT_EQ(bytes_of(*in_.pop_front()), to_peer);
    in_.clear();
    const Bytes to_us = raw_frame(60, seed, ours.mac(), peer->mac());
    send(*peer, to_packet(pool_, to_us));
    ASSERT_TRUE(receive(ours, 1));
    EXPECT_EQ(bytes_of(*in_.pop_front()), to_us);
    in_.clear();
  }

  PacketPool pool_;
  NetNamespacePair space_;
  PacketQueue in_;
};

TEST_F(Tap, MakesTheInterfaceAndRemovesIt) {
  auto ours = open("tap(mtu=9000,peer_address=198.19.0.1/20):mill0");
  EXPECT_EQ(ours->name(), "tap:mill0");
  EXPECT_EQ(ours->mtu(), 9000u);
  EXPECT_FALSE(ours->mac().is_zero() || ours->mac().is_group());
  EXPECT_TRUE(run("ip link show mill0 | grep -q UP,LOWER_UP"));
  EXPECT_TRUE(run("ip addr show mill0 | grep -q 'inet 198.19.0.1/20 brd 198.19.15.255'"));
  EXPECT_FALSE(run("ip link show mill0 | grep -q " + ours->mac().to_string())) << "not the kernel's address";
  const DeviceCaps& caps = ours->caps();
  EXPECT_TRUE(caps.tso && caps.lro && caps.tx_checksum && caps.rx_checksum && caps.scatter && caps.can_sleep);
  EXPECT_EQ(ours->take_event(), DeviceEvent::kNone);
  expect_frames_pass(*ours, 1);
  ours.reset();
  EXPECT_FALSE(exists("mill0"));
}

TEST_F(Tap, GivesTheKernelNoAddressUnlessAsked) {
  const auto ours = open("tap(mac=02:00:00:00:00:17):mill0");
  EXPECT_EQ(ours->mac().to_string(), "02:00:00:00:00:17");
  EXPECT_FALSE(run("ip addr show mill0 | grep -q 'inet '"));
}

TEST_F(Tap, AttachesToAnInterfaceThatIsThereAndLeavesItAsItWas) {
  for (const std::string kind : {"", " multi_queue"}) {
    ASSERT_TRUE(run("ip tuntap add dev mill0 mode tap" + kind + " && ip link set mill0 mtu 1400"));
    EXPECT_THAT(error_of("tap:mill0"), AllOf(HasSubstr("is down"), HasSubstr("ip link set mill0 up")));
    ASSERT_TRUE(run("ip link set mill0 up"));
    EXPECT_THAT(error_of("tap(mtu=1500):mill0"), HasSubstr("is there already"));
    EXPECT_THAT(error_of("tap(peer_address=198.18.0.1/24):mill0"), HasSubstr("ip addr add"));
    auto ours = open("tap:mill0");
    EXPECT_EQ(ours->mtu(), 1400u);
    EXPECT_EQ(ours->take_event(), DeviceEvent::kNone);
    expect_frames_pass(*ours, 2);
    ours.reset();
    EXPECT_TRUE(run("ip link show mill0 | grep -q 'mtu 1400'"));
    ASSERT_TRUE(run("ip link del mill0"));
  }
}

TEST_F(Tap, SaysWhatIsWrongInOneLine) {
  EXPECT_THAT(error_of("tap:a-name-too-long-for-an-interface"), HasSubstr("15 characters at most"));
  EXPECT_THAT(error_of("tap:lo"), HasSubstr("no TAP interface"));
  EXPECT_THAT(error_of("tap(mtu=70000):mill0"), HasSubstr("mtu=70000"));
  EXPECT_THAT(error_of("tap(peer_address=198.18.0.1):mill0"), HasSubstr("198.18.0.1/24"));
  EXPECT_THAT(error_of("tap(address=1):mill0"), HasSubstr("unknown option \"address\""));
  const auto ours = open("tap:mill0");
  EXPECT_THAT(error_of("tap:mill0"), HasSubstr("mill0 is in use by another program"));
  ASSERT_TRUE(run("ip tuntap add dev mill1 mode tap && ip link set mill1 up address 02:00:00:00:00:33"));
  EXPECT_THAT(error_of("tap(mac=02:00:00:00:00:33):mill1"), HasSubstr("the kernel's"));
}

TEST_F(Tap, SaysHowToDoWithoutThePrivilege) {
  ASSERT_TRUE(run("ip tuntap add dev mill1 mode tap user 12345 && ip link set mill1 up"));
  const InNamespace inside(space_, kSide);
  // In a child without capabilities, which answers with its exit code.
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    if (::syscall(SYS_capset, &header, none) != 0) ::_exit(2);
    const OpenResult made = open_device("tap:mill0");
    const OpenResult attached = open_device("tap:mill1");
    ::_exit(made.error.find("CAP_NET_ADMIN") != std::string::npos &&
                    attached.error.find("mode tap user") != std::string::npos
                ? 0
                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(Tap, CarriesFramesOfEverySizeBothWaysInOrder) {
  const auto ours = open("tap(mtu=9000):mill0");
  const auto peer = open("af_packet:mill0");
  for (const auto& [from, to] : {std::pair{ours.get(), peer.get()}, std::pair{peer.get(), ours.get()}}) {
    std::vector<Bytes> sent;
    PacketQueue queue;
    for (std::size_t length = 14; length <= 9014; length += length < 1600 ? 13 : 101) {
      sent.push_back(raw_frame(length, static_cast<std::uint8_t>(length), to->mac(), from->mac()));
      queue.push_back(to_packet(pool_, sent.back()));
    }
    EXPECT_EQ(from->tx_burst(queue, now()), sent.size());
    ASSERT_TRUE(receive(*to, sent.size()));
    for (const Bytes& frame : sent) {
      const PacketPtr packet = in_.pop_front();
      ASSERT_EQ(bytes_of(*packet), frame);
      EXPECT_NE(packet->timestamp, Instant{});
      EXPECT_EQ(packet->offload.gso_size, 0);
    }
    EXPECT_TRUE(in_.empty());
  }
  EXPECT_EQ(ours->stats().tx_packets, peer->stats().rx_packets);
  EXPECT_EQ(ours->stats().tx_bytes, peer->stats().rx_bytes);
  EXPECT_EQ(ours->stats().rx_packets, peer->stats().tx_packets);
  ours->release_packets();
  EXPECT_EQ(pool_.buffers_in_use(), 0u);
}

TEST_F(Tap, CarriesSuperFramesAndSmallOnesBothWaysInOrder) {
  const auto ours = open("tap:mill0");
  const auto peer = open("af_packet:mill0");
  for (const auto& [from, to] : {std::pair{ours.get(), peer.get()}, std::pair{peer.get(), ours.get()}}) {
    std::vector<Bytes> sent;
    PacketQueue queue;
    for (std::uint32_t i = 0; i < 120; ++i) {
      FrameSpec spec;
      spec.source_mac = from->mac();
      spec.destination_mac = to->mac();
      spec.seq = SeqNum{i};
      spec.payload = pattern(i % 3 == 0 ? 64240 : i % 3 == 1 ? 10 : 1900 + 101 * i, i);
      spec.partial = true;
      sent.push_back(make_frame(spec));
      queue.push_back(to_offload_packet(pool_, spec, spec.payload.size() > 1460 ? 1460 : 0));
    }
    EXPECT_EQ(from->tx_burst(queue, now()), sent.size());
    ASSERT_TRUE(receive(*to, sent.size()));
    for (const Bytes& frame : sent) {
      const PacketPtr packet = in_.pop_front();
      ASSERT_EQ(bytes_of(*packet), frame);
      EXPECT_EQ(packet->offload.rx_checksum, Offload::RxChecksum::kPartial);
      EXPECT_EQ(packet->offload.checksum_start, 34);
      EXPECT_EQ(packet->offload.checksum_offset, 16);
      const std::size_t payload = frame.size() - 54;
      EXPECT_EQ(packet->offload.gso_size, payload > 1460 ? 1460 : 0);
      EXPECT_LE(packet->storage_held(), PacketPool::capacity_for(frame.size()) + 2048 + 10240);
    }
  }
  ours->release_packets();
  in_.clear();
  EXPECT_EQ(pool_.buffers_in_use(), 0u);
}

TEST_F(Tap, DropsAndCountsWhatItCannotSend) {
  const auto ours = open("tap:mill0");
  send(*ours, to_packet(pool_, Bytes(8)));  // no Ethernet header
  FrameSpec spec;
  spec.payload = pattern(5000, 1);
  PacketPtr no_checksum = to_offload_packet(pool_, spec, 1460);
  no_checksum->offload.needs_checksum = false;
  send(*ours, std::move(no_checksum));
  EXPECT_EQ(ours->stats().tx_errors, 2u);
  EXPECT_EQ(ours->stats().tx_packets, 0u);
  EXPECT_EQ(pool_.buffers_in_use(), 0u);
}

TEST_F(Tap, SurvivesAnExhaustedPoolAndDeliversAgainAfterwards) {
  const auto ours = open("tap:mill0");
  const auto peer = open("af_packet:mill0");
  // Room for the buffers of one read, and three small ones more.
  PacketPool small(PacketPool::Limits{.bytes = 69632 + 10240 + 4 * 2048, .reserve = 0});
  FrameSpec large;
  large.destination_mac = ours->mac();
  large.payload = pattern(64240, 1);
  PacketQueue queue;
  for (int i = 0; i < 8; ++i) {
    queue.push_back(to_packet(pool_, raw_frame(1000, 1, ours->mac(), peer->mac())));
    queue.push_back(to_offload_packet(pool_, large, 1460));
  }
  EXPECT_EQ(peer->tx_burst(queue, now()), 16u);
  PacketQueue in;
  const Instant end = now() + 5s;
  while (in.size() + ours->stats().rx_no_memory < 16 && now() < end) ours->rx_burst(small, in, 64, now());
  EXPECT_EQ(in.size() + ours->stats().rx_no_memory, 16u);
  EXPECT_EQ(in.size(), 4u) << "a small frame, a large one, and two small ones again";
  in.clear();
  send(*peer, to_offload_packet(pool_, large, 1460));
  while (in.empty() && now() < end) ours->rx_burst(small, in, 64, now());
  ASSERT_EQ(in.size(), 1u);
  large.partial = true;
  EXPECT_EQ(bytes_of(in.front()), make_frame(large));
  in.clear();
  ours->release_packets();
  EXPECT_EQ(small.buffers_in_use(), 0u);
}

TEST_F(Tap, CountsWhatFoundTheQueueFull) {
  const auto ours = open("tap:mill0");
  const auto peer = open("af_packet:mill0");
  constexpr std::size_t kSent = 3000;  // more than the interface's queue holds
  PacketQueue queue;
  for (std::size_t i = 0; i < kSent; ++i)
    queue.push_back(to_packet(pool_, raw_frame(60, 1, ours->mac(), peer->mac())));
  const Instant end = now() + 5s;
  while (!queue.empty() && now() < end) peer->tx_burst(queue, now());
  ASSERT_TRUE(receive_until(
      *ours, [&] { return in_.size() + ours->stats().rx_dropped + peer->stats().tx_errors >= kSent; }));
  EXPECT_GT(ours->stats().rx_dropped + peer->stats().tx_errors, 0u);
  in_.clear();
  expect_frames_pass(*ours, 3);
}

TEST_F(Tap, WakesASleeperWhenAFrameComes) {
  const auto ours = open("tap:mill0");
  const auto peer = open("af_packet:mill0");
  while (ours->rx_burst(pool_, in_, 64, now()) != 0) in_.clear();
  EXPECT_FALSE(ours->arm());
  EXPECT_EQ(ours->max_sleep(now()), Duration::max());
  std::vector<pollfd> fds;
  for (const WaitFd& wait : ours->wait_fds()) {
    EXPECT_FALSE(wait.writable);
    fds.push_back({wait.fd, static_cast<short>(wait.readable ? POLLIN : 0), 0});
  }
  EXPECT_EQ(::poll(fds.data(), fds.size(), 0), 0);
  send(*peer, to_packet(pool_, raw_frame(60, 1, ours->mac(), peer->mac())));
  EXPECT_GT(::poll(fds.data(), fds.size(), 5000), 0);
  ASSERT_TRUE(receive(*ours, 1));
  EXPECT_FALSE(ours->arm());
  EXPECT_EQ(::poll(fds.data(), fds.size(), 0), 0);
}

TEST_F(Tap, CutsTheKernelsUdpSuperFramesIntoDatagrams) {
  const auto ours = open("tap(peer_address=198.18.0.1/24):mill0");
  ASSERT_TRUE(run("ip neigh replace 198.18.0.2 lladdr " + ours->mac().to_string() + " dev mill0"));
  UniqueFd udp;
  {
    const InNamespace inside(space_, kSide);
    udp = UniqueFd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  }
  const int segment = 1000;
  ASSERT_EQ(::setsockopt(udp.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(4000);
  to.sin_addr.s_addr = htonl(IpAddress::v4(198, 18, 0, 2).v4_value());
  const Bytes payload = pattern(20 * 1000 + 7, 3);
  ASSERT_EQ(::sendto(udp.get(), payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                     sizeof to),
            static_cast<ssize_t>(payload.size()));
  ASSERT_TRUE(receive(*ours, 21));
  Bytes received;
  while (const PacketPtr packet = in_.pop_front()) {
    EXPECT_EQ(packet->offload.gso_size, 0);
    const Bytes frame = bytes_of(*packet);
    received.insert(received.end(), frame.begin() + 42, frame.end());
  }
  EXPECT_EQ(received, payload);
}

TEST_F(Tap, TellsLinkDownAndUpAndWorksAgain) {
  const auto ours = open("tap:mill0");
  EXPECT_EQ(ours->take_event(), DeviceEvent::kNone);
  ASSERT_TRUE(run("ip link set mill0 down"));
  send(*ours, to_packet(pool_, raw_frame(60, 1, MacAddress::broadcast(), ours->mac())));
  EXPECT_EQ(ours->stats().tx_errors, 1u) << "taken and dropped, not kept for ever";
  EXPECT_TRUE(event_comes(*ours, DeviceEvent::kLinkDown));
  EXPECT_EQ(ours->take_event(), DeviceEvent::kNone) << "told once";
  ASSERT_TRUE(run("ip link set mill0 up"));
  EXPECT_TRUE(event_comes(*ours, DeviceEvent::kLinkUp));
  expect_frames_pass(*ours, 2);
}

TEST_F(Tap, TellsThatTheInterfaceIsGoneSleepsQuietlyAndComesBackWithANewOne) {
  const auto ours = open("tap(peer_address=198.18.0.1/24):mill0");
  const MacAddress mac = ours->mac();
  for (std::uint8_t round = 0; round < 2; ++round) {
    ASSERT_TRUE(run("ip link del mill0"));
    send(*ours, to_packet(pool_, raw_frame(60, 1, MacAddress::broadcast(), mac)));
    EXPECT_EQ(ours->stats().tx_errors, round + 1u);
    EXPECT_TRUE(event_comes(*ours, DeviceEvent::kGone));
    (void)ours->arm();
    EXPECT_FALSE(ours->arm());
    std::vector<pollfd> fds;
    for (const WaitFd& wait : ours->wait_fds()) fds.push_back({wait.fd, POLLIN, 0});
    EXPECT_EQ(::poll(fds.data(), fds.size(), 0), 0) << "a descriptor without an interface must not wake";
    ASSERT_TRUE(run("ip tuntap add dev mill0 mode tap && ip link set mill0 up"));
    EXPECT_GT(::poll(fds.data(), fds.size(), 5000), 0);
    ASSERT_TRUE(receive_until(*ours, [&] { return ours->take_event() == DeviceEvent::kLinkUp; }));
    EXPECT_EQ(ours->wait_fds().size(), 2u);
    EXPECT_EQ(ours->mac(), mac);
    in_.clear();
    expect_frames_pass(*ours, round);
  }
}

TEST_F(Tap, IsHandedOverToTheNextImageOfTheProcess) {
  auto first = open("tap:mill0");
  const std::vector<int> queues = first->handover();
  ASSERT_EQ(queues.size(), 1u);
  DeviceOptions options;
  options.inherited = {::dup(queues[0])};
  std::unique_ptr<NetDevice> second;
  {
    const InNamespace inside(space_, kSide);
    OpenResult result = open_device("tap:mill0", options);
    ASSERT_TRUE(result.ok()) << result.error;
    second = std::move(result.device);
  }
  EXPECT_EQ(second->mac(), first->mac());
  EXPECT_EQ(second->mtu(), first->mtu());
  first.reset();
  EXPECT_TRUE(exists("mill0"));
  expect_frames_pass(*second, 1);
  second.reset();
  EXPECT_FALSE(exists("mill0"));
}

}  // namespace
}  // namespace millrace::drivers
