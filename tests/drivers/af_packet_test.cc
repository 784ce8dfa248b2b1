#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>

#include "af_packet_fixture.h"
#include "link/gso.h"
#include "unique_fd.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/tcp_options.h"

namespace millrace::drivers {
namespace {

TEST_F(AfPacket, TellsWhatTheInterfaceIs) {
  NetNamespacePair::Options options;
  options.mtu = 9000;
  ASSERT_NO_FATAL_FAILURE(start(options));
  EXPECT_EQ(ours_->mtu(), 9000u);
  EXPECT_EQ(ours_->name(), "af_packet:left0");
  EXPECT_FALSE(ours_->mac().is_zero());
  EXPECT_TRUE(pair_->run(Side::kLeft, "ip link show left0 | grep -q " + ours_->mac().to_string()));
  const DeviceCaps& caps = ours_->caps();
  EXPECT_TRUE(caps.tso && caps.lro && caps.tx_checksum && caps.rx_checksum && caps.scatter && caps.can_sleep);
  EXPECT_GT(caps.max_gso_bytes, 64000u);
  EXPECT_LT(caps.max_gso_bytes, 65536u);
}

TEST_F(AfPacket, CarriesRawFramesOfEverySizeBothWaysInOrder) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  for (const auto& [from, to] : {std::pair{ours_.get(), peer.get()}, std::pair{peer.get(), ours_.get()}}) {
    std::vector<Bytes> sent;
    PacketQueue queue;
    for (std::size_t length = 14; length <= 1514; length += 13) {
      sent.push_back(raw_frame(length, static_cast<std::uint8_t>(length), to->mac(), from->mac()));
      queue.push_back(to_packet(pool_, sent.back()));
    }
    EXPECT_EQ(from->tx_burst(queue, now()), sent.size());
    EXPECT_TRUE(queue.empty());
    ASSERT_TRUE(receive(*to, sent.size()));
    for (const Bytes& frame : sent) {
      const PacketPtr packet = in_.pop_front();
      EXPECT_EQ(bytes_of(*packet), frame);
      EXPECT_NE(packet->timestamp, Instant{});
      EXPECT_EQ(packet->offload.gso_size, 0);
    }
    EXPECT_TRUE(in_.empty());
  }
  EXPECT_EQ(ours_->stats().tx_packets, peer->stats().rx_packets);
  EXPECT_EQ(ours_->stats().tx_bytes, peer->stats().rx_bytes);
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(AfPacket, NeverDeliversItsOwnFrames) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (int i = 0; i < 8; ++i)
    send(*ours_, to_packet(pool_, raw_frame(100, 1, MacAddress::broadcast(), ours_->mac())));
  // The peer's frame comes after them: had they looped back, they would be there before it.
  const auto peer = open(Side::kRight, "af_packet:right0");
  send(*peer, to_packet(pool_, raw_frame(100, 2, ours_->mac(), peer->mac())));
  ASSERT_TRUE(receive(*ours_, 1));
  EXPECT_EQ(in_.size(), 1u);
  EXPECT_EQ(bytes_of(in_.front()), raw_frame(100, 2, ours_->mac(), peer->mac()));
}

TEST_F(AfPacket, CarriesSuperFramesAndSmallOnesInOrder) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  std::vector<Bytes> sent;
  PacketQueue queue;
  for (std::uint32_t i = 0; i < 120; ++i) {
    FrameSpec spec;
    spec.source_mac = peer->mac();
    spec.destination_mac = ours_->mac();
    spec.seq = SeqNum{i};
    spec.payload = pattern(i % 3 == 0 ? 64240 : i % 3 == 1 ? 10 : 3000 + i, i);
    spec.partial = true;
    sent.push_back(make_frame(spec));
    queue.push_back(to_offload_packet(pool_, spec, spec.payload.size() > 1460 ? 1460 : 0));
  }
  EXPECT_EQ(peer->tx_burst(queue, now()), sent.size());
  ASSERT_TRUE(receive(*ours_, sent.size()));
  for (const Bytes& frame : sent) {
    const PacketPtr packet = in_.pop_front();
    ASSERT_EQ(bytes_of(*packet), frame);
    EXPECT_EQ(packet->offload.rx_checksum, Offload::RxChecksum::kPartial);
    EXPECT_EQ(packet->offload.checksum_start, 34);
    EXPECT_EQ(packet->offload.checksum_offset, 16);
    const std::size_t payload = frame.size() - 54;
    EXPECT_EQ(packet->offload.gso_size, payload > 1460 ? 1460 : 0);
    EXPECT_EQ(packet->offload.gso_segs, payload > 1460 ? (payload + 1459) / 1460 : 0);
  }
  EXPECT_EQ(ours_->stats().rx_dropped, 0u);
  in_.clear();
  EXPECT_EQ(pool_.buffers_in_use(), 0u);
}

TEST_F(AfPacket, DropsAndCountsWhatItCannotSend) {
  ASSERT_NO_FATAL_FAILURE(start());
  send(*ours_, to_packet(pool_, Bytes(8)));  // no Ethernet header
  send(*ours_, to_packet(pool_, raw_frame(1519, 1, MacAddress::broadcast(), ours_->mac())));  // above the MTU
  FrameSpec spec = to_kernel();
  spec.payload = pattern(5000, 1);
  PacketPtr no_checksum = to_offload_packet(pool_, spec, 1460);
  no_checksum->offload.needs_checksum = false;
  send(*ours_, std::move(no_checksum));
  EXPECT_EQ(ours_->stats().tx_errors, 3u);
  EXPECT_EQ(ours_->stats().tx_packets, 0u);
  EXPECT_EQ(pool_.buffers_in_use(), 0u);
}

TEST_F(AfPacket, SurvivesAnExhaustedPoolAndDeliversAgainAfterwards) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  PacketPool small(PacketPool::Limits{.bytes = 8192, .reserve = 0});
  FrameSpec large;
  large.destination_mac = ours_->mac();
  large.payload = pattern(64240, 1);
  PacketQueue queue;
  for (int i = 0; i < 40; ++i) {
    queue.push_back(to_packet(pool_, raw_frame(1000, 1, ours_->mac(), peer->mac())));
    queue.push_back(to_offload_packet(pool_, large, 1460));
  }
  EXPECT_EQ(peer->tx_burst(queue, now()), 80u);
  PacketQueue in;
  const Instant end = now() + 5s;
  while (in.size() + ours_->stats().rx_no_memory < 80 && now() < end) ours_->rx_burst(small, in, 64, now());
  EXPECT_EQ(in.size() + ours_->stats().rx_no_memory, 80u);
  EXPECT_EQ(in.size(), 4u) << "four buffers of 2 KiB fit into the pool";
  in.clear();
  send(*peer, to_packet(pool_, raw_frame(1000, 9, ours_->mac(), peer->mac())));
  while (in.empty() && now() < end) ours_->rx_burst(small, in, 64, now());
  ASSERT_EQ(in.size(), 1u);
  EXPECT_EQ(bytes_of(in.front()), raw_frame(1000, 9, ours_->mac(), peer->mac()));
  in.clear();
  EXPECT_EQ(small.buffers_in_use(), 0u);
}

TEST_F(AfPacket, CountsFramesThatFoundTheRingFullAndGoesOn) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  constexpr std::size_t kSent = 6000;
  PacketQueue queue;
  for (std::size_t i = 0; i < kSent; ++i) {
    queue.push_back(to_packet(pool_, raw_frame(60, static_cast<std::uint8_t>(i), ours_->mac(), peer->mac())));
  }
  while (!queue.empty()) peer->tx_burst(queue, now());
  ASSERT_TRUE(receive_until(*ours_, [this] { return in_.size() + ours_->stats().rx_dropped >= kSent; }));
  EXPECT_EQ(in_.size() + ours_->stats().rx_dropped, kSent);
  EXPECT_GE(in_.size(), 2048u);
  EXPECT_GT(ours_->stats().rx_dropped, 0u);
  in_.clear();
  send(*peer, to_packet(pool_, raw_frame(60, 7, ours_->mac(), peer->mac())));
  ASSERT_TRUE(receive(*ours_, 1));
  EXPECT_EQ(bytes_of(in_.front()), raw_frame(60, 7, ours_->mac(), peer->mac()));
}

TEST_F(AfPacket, HasAsManySlotsAsAskedFor) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto few = open(Side::kLeft, "af_packet(slots=128):left0");
  const auto peer = open(Side::kRight, "af_packet:right0");
  PacketQueue queue;
  for (int i = 0; i < 500; ++i) queue.push_back(to_packet(pool_, raw_frame(60, 1, few->mac(), peer->mac())));
  EXPECT_EQ(peer->tx_burst(queue, now()), 500u);
  ASSERT_TRUE(receive_until(*few, [&] { return in_.size() + few->stats().rx_dropped >= 500; }));
  EXPECT_EQ(in_.size(), 128u);
}

TEST_F(AfPacket, CountsSuperFramesThatFoundTheReceiveBufferFullAndDeliversNoneCutShort) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  FrameSpec spec;
  spec.source_mac = peer->mac();
  spec.destination_mac = ours_->mac();
  spec.payload = pattern(64240, 1);
  constexpr std::size_t kSent = 1500;  // 96 MB: more than the receive buffer, fewer than the ring has slots
  for (std::size_t sent = 0; sent < kSent;) {
    PacketQueue queue;
    for (int i = 0; i < 20; ++i, ++sent) queue.push_back(to_offload_packet(pool_, spec, 1460));
    while (!queue.empty()) peer->tx_burst(queue, now());
  }
  std::size_t received = 0;
  spec.partial = true;
  const Bytes whole = make_frame(spec);
  ASSERT_TRUE(receive_until(*ours_, [&] {
    for (; !in_.empty(); ++received) EXPECT_EQ(bytes_of(*in_.pop_front()), whole);
    return received + ours_->stats().rx_dropped >= kSent;
  }));
  EXPECT_EQ(received + ours_->stats().rx_dropped, kSent);
  EXPECT_GT(received, 100u);
  EXPECT_GT(ours_->stats().rx_dropped, 0u);
  send(*peer, to_offload_packet(pool_, spec, 1460));
  ASSERT_TRUE(receive(*ours_, 1)) << "slots and queue must still be in step";
  EXPECT_EQ(bytes_of(in_.front()), whole);
}

TEST_F(AfPacket, WakesASleeperWhenAFrameComes) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  while (ours_->rx_burst(pool_, in_, 64, now()) != 0) in_.clear();
  EXPECT_FALSE(ours_->arm());
  EXPECT_EQ(ours_->max_sleep(now()), Duration::max());
  std::vector<pollfd> fds;
  for (const WaitFd& wait : ours_->wait_fds()) {
    EXPECT_FALSE(wait.writable);
    fds.push_back({wait.fd, static_cast<short>(wait.readable ? POLLIN : 0), 0});
  }
  EXPECT_EQ(::poll(fds.data(), fds.size(), 0), 0);
  send(*peer, to_packet(pool_, raw_frame(60, 1, ours_->mac(), peer->mac())));
  EXPECT_GT(::poll(fds.data(), fds.size(), 5000), 0);
  EXPECT_TRUE(ours_->arm()) << "a frame that came meanwhile forbids the sleep";
  ASSERT_TRUE(receive(*ours_, 1));
  EXPECT_FALSE(ours_->arm());
  EXPECT_EQ(::poll(fds.data(), fds.size(), 0), 0);
}

TEST_F(AfPacket, HearsAnotherAddressThanTheInterfacesOwn) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto named = open(Side::kLeft, "af_packet(mac=" + kOurMac.to_string() + "):left0");
  EXPECT_EQ(named->mac(), kOurMac);
  const auto peer = open(Side::kRight, "af_packet:right0");
  send(*peer, to_packet(pool_, raw_frame(60, 1, kOurMac, peer->mac())));
  ASSERT_TRUE(receive(*named, 1));
  EXPECT_EQ(bytes_of(in_.front()), raw_frame(60, 1, kOurMac, peer->mac()));
  EXPECT_TRUE(pair_->run(Side::kLeft, "ip -d link show left0 | grep -q 'promiscuity [1-9]'"));
}

TEST_F(AfPacket, PutsVlanTagsBackThatTheKernelTookOut) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  // The receiving kernel takes the tag out of the frame before packet sockets see it.
  for (const bool partial : {false, true}) {
    FrameSpec spec;
    spec.udp = true;
    spec.payload = pattern(100, 7);
    spec.partial = partial;
    Bytes frame = make_frame(spec);
    const Bytes tag{0x81, 0x00, 0x60, 0x07};
    frame.insert(frame.begin() + 12, tag.begin(), tag.end());
    PacketPtr packet = to_packet(pool_, frame);
    packet->offload.needs_checksum = partial;
    packet->offload.checksum_start = 38;
    packet->offload.checksum_offset = 6;
    send(*peer, std::move(packet));
    ASSERT_TRUE(receive(*ours_, 1));
    const PacketPtr got = in_.pop_front();
    EXPECT_EQ(bytes_of(*got), frame);
    EXPECT_EQ(got->offload.rx_checksum == Offload::RxChecksum::kPartial, partial);
    EXPECT_EQ(got->offload.checksum_start, partial ? 38 : 0);
  }
}

TEST_F(AfPacket, TellsLinkDownAndUpAndWorksAgain) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  EXPECT_EQ(ours_->take_event(), DeviceEvent::kNone);
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link set left0 down"));
  send(*ours_, to_packet(pool_, raw_frame(60, 1, peer->mac(), ours_->mac())));
  EXPECT_EQ(ours_->stats().tx_errors, 1u) << "taken and dropped, not kept for ever";
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kLinkDown));
  EXPECT_EQ(ours_->take_event(), DeviceEvent::kNone) << "told once";
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link set left0 up"));
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kLinkUp));
  send(*ours_, to_packet(pool_, raw_frame(60, 2, peer->mac(), ours_->mac())));
  ASSERT_TRUE(receive(*peer, 1));
  EXPECT_EQ(bytes_of(*in_.pop_front()), raw_frame(60, 2, peer->mac(), ours_->mac()));
  // Who asks for its link waits until the kernel has noticed that it is up, and sends what is sent there.
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link show right0 >/dev/null"));
  send(*peer, to_packet(pool_, raw_frame(60, 3, ours_->mac(), peer->mac())));
  ASSERT_TRUE(receive(*ours_, 1));
  EXPECT_EQ(bytes_of(in_.front()), raw_frame(60, 3, ours_->mac(), peer->mac()));
}

TEST_F(AfPacket, TellsThatTheCarrierIsLostWhenThePeerGoesDown) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 down"));
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kLinkDown));
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 up"));
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kLinkUp));
}

TEST_F(AfPacket, SleepsQuietlyWhileTheLinkIsDownAndWakesWhenItIsUp) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link set left0 down"));
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kLinkDown));
  in_.clear();
  std::vector<pollfd> fds;
  for (const WaitFd& wait : ours_->wait_fds()) fds.push_back({wait.fd, POLLIN, 0});
  int quiet = 0;
  for (int turn = 0; turn < 10 && quiet == 0; ++turn) {
    ours_->rx_burst(pool_, in_, 64, now());
    if (!ours_->arm() && ::poll(fds.data(), fds.size(), 0) == 0) ++quiet;
  }
  EXPECT_EQ(quiet, 1) << "a pending error must not wake for ever";
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link set left0 up"));
  EXPECT_GT(::poll(fds.data(), fds.size(), 5000), 0);
  EXPECT_TRUE(ours_->arm()) << "there is an event to take";
  EXPECT_EQ(ours_->take_event(), DeviceEvent::kLinkUp);
  EXPECT_FALSE(ours_->arm());
}

TEST_F(AfPacket, TellsThatTheInterfaceIsGoneAndComesBackWithANewOneOfItsName) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link del left0"));
  send(*ours_, to_packet(pool_, raw_frame(60, 1, kOurMac, ours_->mac())));
  EXPECT_EQ(ours_->stats().tx_errors, 1u);
  EXPECT_TRUE(event_comes(*ours_, DeviceEvent::kGone));
  ASSERT_TRUE(pair_->run(Side::kLeft, "ip link add left0 type veth peer name right0 netns " +
                                          pair_->name(Side::kRight) + " && ip link set left0 up"));
  ASSERT_TRUE(pair_->run(Side::kRight, "ip link set right0 up"));
  ASSERT_TRUE(link_comes_up(*ours_));
  const auto peer = open(Side::kRight, "af_packet:right0");
  send(*ours_, to_packet(pool_, raw_frame(60, 2, peer->mac(), ours_->mac())));
  ASSERT_TRUE(receive(*peer, 1));
  in_.clear();
  send(*peer, to_packet(pool_, raw_frame(60, 3, ours_->mac(), peer->mac())));
  ASSERT_TRUE(receive(*ours_, 1));
  EXPECT_EQ(bytes_of(in_.front()), raw_frame(60, 3, ours_->mac(), peer->mac()));
}

/// A UDP socket of the kernel, at 198.18.0.1:5000.
UniqueFd kernel_udp() {
  UniqueFd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(5000);
  here.sin_addr.s_addr = htonl(kKernelAddress.v4_value());
  const timeval patience{5, 0};
  EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
  return fd;
}

TEST_F(AfPacket, HasTheKernelAcceptOurUdpWithFullAndWithPartialChecksum) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto peer = open(Side::kRight, "af_packet:right0");
  kernel_mac_ = peer->mac();
  UniqueFd udp;
  {
    const InNamespace inside(*pair_, Side::kRight);
    udp = kernel_udp();
  }
  FrameSpec spec = to_kernel();
  spec.udp = true;
  spec.payload = pattern(1000, 1);
  send(*ours_, to_packet(pool_, make_frame(spec)));
  send(*ours_, to_offload_packet(pool_, spec, 0));
  for (int i = 0; i < 2; ++i) {
    Bytes got(2000);
    const ssize_t n = ::recv(udp.get(), got.data(), got.size(), 0);
    ASSERT_EQ(n, 1000);
    got.resize(1000);
    EXPECT_EQ(got, spec.payload);
  }
}

TEST_F(AfPacket, CutsTheKernelsUdpSuperFramesIntoDatagrams) {
  ASSERT_NO_FATAL_FAILURE(start());
  introduce_ourselves();
  const InNamespace inside(*pair_, Side::kRight);
  const UniqueFd udp = kernel_udp();
  const int segment = 1000;
  ASSERT_EQ(::setsockopt(udp.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(4000);
  to.sin_addr.s_addr = htonl(kOurAddress.v4_value());
  const Bytes payload = pattern(40 * 1000 + 7, 3);
  const auto length = static_cast<ssize_t>(payload.size());
  const auto* address = reinterpret_cast<const sockaddr*>(&to);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(::sendto(udp.get(), payload.data(), payload.size(), 0, address, sizeof to), length);
  }
  const auto peer = open(Side::kRight, "af_packet:right0");
  FrameSpec super;
  super.payload = pattern(20'000, 4);
  send(*peer, to_offload_packet(pool_, super, 1000));
  send(*peer, to_packet(pool_, raw_frame(60, 1, ours_->mac(), peer->mac())));
  ASSERT_TRUE(receive_until(*ours_, [&] {
    PacketQueue few;
    EXPECT_LE(ours_->rx_burst(pool_, few, 4, now()), 4u) << "the budget holds";
    in_.splice_back(few);
    return in_.size() >= 84;
  }));
  Bytes received;
  std::uint16_t identification = 0;
  for (int i = 0; i < 82; ++i) {
    const PacketPtr packet = in_.pop_front();
    EXPECT_EQ(packet->offload.gso_size, 0);
    EXPECT_EQ(packet->offload.rx_checksum, Offload::RxChecksum::kPartial);
    packet->offload.needs_checksum = true;
    ASSERT_TRUE(link::complete_checksum(*packet));
    const Bytes frame = bytes_of(*packet);
    const auto ip = wire::Ipv4View::parse(std::span(frame).subspan(14));
    ASSERT_TRUE(ip);
    EXPECT_TRUE(ip->checksum_ok());
    EXPECT_EQ(ip->total_length(), frame.size() - 14);
    if (i % 41 == 0) identification = ip->identification();
    EXPECT_EQ(ip->identification(), static_cast<std::uint16_t>(identification + i % 41));
    EXPECT_TRUE(transport_checksum_ok(frame));
    EXPECT_EQ(frame.size(), i % 41 < 40 ? 1042u : 49u);
    received.insert(received.end(), frame.begin() + 42, frame.end());
  }
  Bytes twice = payload;
  twice.insert(twice.end(), payload.begin(), payload.end());
  EXPECT_EQ(received, twice);
  EXPECT_EQ(in_.pop_front()->offload.gso_segs, 20);
  EXPECT_EQ(bytes_of(in_.front()), raw_frame(60, 1, ours_->mac(), peer->mac())) << "and what came behind it";
}

}  // namespace
}  // namespace millrace::drivers
