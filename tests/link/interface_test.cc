#include <gtest/gtest.h>

#include "support/host.h"
#include "wire/tcp.h"

namespace millrace::test {
namespace {

using link::Counter;

Bytes ping() {
  return ipv4(ipv4_header(Host::kPeer, Host::kOwn, wire::kProtocolIcmp), echo_request(1, 1, pattern(100)));
}

/// A packet of `size` payload bytes in pieces of `piece`, for the peer.
PacketPtr scattered(Host& host, std::uint32_t size, std::uint32_t piece) {
  PacketPtr packet = host.pool.allocate(0);
  const Bytes data = pattern(size);
  for (std::uint32_t at = 0; at < size; at += piece) {
    const std::uint32_t n = std::min(piece, size - at);
    BufferRef buffer = host.pool.allocate_buffer(n);
    std::copy_n(data.begin() + at, n, buffer->bytes());
    EXPECT_TRUE(packet->append_fragment(std::move(buffer), 0, n));
  }
  packet->set_transport_header();
  return packet;
}

void output(Host& host, PacketPtr packet, std::uint8_t protocol = 99) {
  ip::OutputOptions options;
  options.destination = Host::kPeer;
  options.protocol = protocol;
  options.dont_fragment = true;
  EXPECT_TRUE(host.ip.output(std::move(packet), options, host.now).ok());
}

TEST(Interface, FrameForAnotherHostIsCountedAndDropped) {
  Host host;
  host.device.inject(ethernet(MacAddress{{2, 9, 9, 9, 9, 9}}, Host::kPeerMac, wire::kEtherTypeIpv4, ping()));
  host.device.inject(
      ethernet(MacAddress{{1, 0, 0x5e, 1, 2, 3}}, Host::kPeerMac, wire::kEtherTypeIpv4, ping()));
  host.turn();
  EXPECT_EQ(host.count(Counter::kRxOtherHost), 1u);
  EXPECT_EQ(host.count(Counter::kRxMulticastIgnored), 1u);
  EXPECT_EQ(host.count(ip::Counter::kInReceives), 0u);
  EXPECT_EQ(host.pool.packets_in_use(), 0u);
}

TEST(Interface, ShortFramesAndUnknownProtocolsAreCounted) {
  Host host;
  for (std::size_t size = 0; size < 14; ++size) {
    Bytes frame = ethernet(Host::kOwnMac, Host::kPeerMac, wire::kEtherTypeIpv4, {});
    frame.resize(size);
    host.device.inject(frame);
  }
  host.turn();
  EXPECT_EQ(host.count(Counter::kRxTooShort), 14u);
  host.receive(0x88cc, pattern(46));
  host.receive(46, pattern(46));  // IEEE 802.3 length
  EXPECT_EQ(host.count(Counter::kRxUnknownProtocol), 2u);
}

TEST(Interface, PriorityTagIsTakenOffAndOtherVlansAreDropped) {  // IEEE 802.1Q §6.9
  Host host;
  host.know_neighbours();
  const auto tagged = [](std::uint16_t vlan) {
    Bytes tag(wire::VlanTag::kSize);
    wire::VlanTag{5, false, vlan, wire::kEtherTypeIpv4}.emit(tag);
    const Bytes packet = ping();
    tag.insert(tag.end(), packet.begin(), packet.end());
    return tag;
  };
  host.receive(wire::kEtherTypeVlan, tagged(7));
  EXPECT_EQ(host.count(Counter::kRxVlanDropped), 1u);
  EXPECT_TRUE(host.device.sent().empty());
  host.receive(wire::kEtherTypeVlan, tagged(0));
  ASSERT_EQ(host.device.sent().size(), 1u);
  EXPECT_EQ(sent_packet(host.device.take_sent()[0])->ethernet.ether_type, wire::kEtherTypeIpv4);
  host.receive(wire::kEtherTypeVlan, {0, 0});
  EXPECT_EQ(host.count(Counter::kRxTooShort), 1u);
}

TEST(Interface, BudgetLimitsHowManyFramesATurnTakes) {
  Host host;
  for (int i = 0; i < 10; ++i)
    host.device.inject(ethernet(Host::kOwnMac, Host::kPeerMac, wire::kEtherTypeIpv4, ping()));
  EXPECT_EQ(host.interface->poll(4, host.now), 4u);
  EXPECT_EQ(host.interface->poll(64, host.now), 6u);
  EXPECT_EQ(host.interface->poll(64, host.now), 0u);
  EXPECT_EQ(host.count(Counter::kRxFrames), 10u);
}

TEST(Interface, FramesCollectUntilFlush) {
  Host host;
  host.know_neighbours();
  output(host, scattered(host, 100, 100));
  EXPECT_TRUE(host.device.sent().empty());
  EXPECT_TRUE(host.interface->tx_pending());
  host.interface->flush(host.now);
  EXPECT_EQ(host.device.sent().size(), 1u);
  EXPECT_FALSE(host.interface->tx_pending());
}

TEST(Interface, WhatAFullDeviceDidNotTakeStaysInOrder) {
  Host host;
  host.know_neighbours();
  host.device.room = 2;
  for (std::uint32_t size = 1; size <= 5; ++size) output(host, scattered(host, size, 100));
  host.interface->flush(host.now);
  EXPECT_EQ(host.device.sent().size(), 2u);
  EXPECT_TRUE(host.interface->tx_pending());
  host.device.room = 10;
  output(host, scattered(host, 6, 100));
  host.interface->flush(host.now);
  std::vector<std::size_t> sizes;
  for (const SentFrame& frame : host.device.take_sent()) sizes.push_back(sent_packet(frame)->payload.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Interface, TransmitQueueIsBounded) {
  Host::Options options;
  options.interface.tx_queue_packets = 4;
  Host host(options);
  host.know_neighbours();
  host.device.room = 0;
  for (int i = 0; i < 10; ++i) output(host, scattered(host, 10, 10));
  EXPECT_TRUE(host.interface->tx_congested());
  EXPECT_FALSE(host.interface->make_room(host.now));
  EXPECT_EQ(host.count(Counter::kTxQueueDropped), 6u);
  EXPECT_EQ(host.pool.packets_in_use(), 4u);
  // ARP still gets through: it has a reserve.
  host.receive_broadcast(wire::kEtherTypeArp, arp({wire::ArpPacket::kRequest, Host::kPeerMac, Host::kPeer,
                                                   MacAddress{}, Host::kOwn}));
  host.device.room = 100;
  host.interface->flush(host.now);
  EXPECT_EQ(host.device.sent().size(), 5u);
  EXPECT_FALSE(host.interface->tx_congested());
}

TEST(Interface, TransmitQueueIsCongestedByFewLargeFramesOrByManySmallOnes) {
  Host::Options options;
  options.interface.tx_queue_packets = 200;
  options.interface.tx_queue_bytes = 20'000;
  Host host(options);
  host.know_neighbours();
  host.device.room = 0;
  std::uint32_t most = 0;
  for (int round = 0; round < 3; ++round) {
    for (const auto& [payload, frames] : {std::pair{1000, 10}, std::pair{10, 100}}) {
      for (int i = 0; i < frames; ++i) {
        EXPECT_FALSE(host.interface->tx_congested()) << payload << " bytes, frame " << i;
        output(host, scattered(host, static_cast<std::uint32_t>(payload), 1000));
        most = std::max(most, host.interface->tx_queue_bytes());
      }
      EXPECT_TRUE(host.interface->tx_congested());
      host.device.room = 1;
      host.interface->flush(host.now);
      EXPECT_FALSE(host.interface->tx_congested()) << "what was taken waits no longer";
      host.device.room = 1000;
      host.interface->flush(host.now);
      EXPECT_EQ(host.interface->tx_queue_bytes(), 0u);
      host.device.room = 0;
    }
  }
  EXPECT_EQ(host.count(Counter::kTxQueueDropped), 0u);
  EXPECT_GE(most, 10'000u);
  EXPECT_LE(most, 10'500u);
}

TEST(Interface, RoomIsMadeByLettingTheDeviceTakeWhatWaits) {
  Host::Options options;
  options.interface.tx_queue_packets = 4;
  Host host(options);
  host.know_neighbours();
  for (int i = 0; i < 2; ++i) output(host, scattered(host, 10, 10));
  EXPECT_TRUE(host.interface->tx_congested());
  EXPECT_TRUE(host.device.sent().empty()) << "a batch goes out at its end";
  EXPECT_TRUE(host.interface->make_room(host.now));
  EXPECT_EQ(host.device.sent().size(), 2u);
}

TEST(Interface, FragmentsAreGatheredForADeviceThatTakesNone) {
  for (const bool scatter : {false, true}) {
    Host::Options options;
    options.caps.scatter = scatter;
    Host host(options);
    host.know_neighbours();
    output(host, scattered(host, 1000, 300));
    host.turn();
    const auto frames = host.device.take_sent();
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].fragment_count, scatter ? 4u : 0u);
    EXPECT_EQ(sent_packet(frames[0])->payload, pattern(1000));
    EXPECT_EQ(host.pool.packets_in_use(), 0u);
  }
}

TEST(Interface, ChecksumIsCompletedOrHandedToTheDeviceWithItsPlaceInTheFrame) {
  for (const bool device_does_it : {false, true}) {
    Host::Options options;
    options.caps.tx_checksum = device_does_it;
    Host host(options);
    host.know_neighbours();
    const Bytes expected = udp({Host::kOwn, 1000}, {Host::kPeer, 2000}, pattern(333));
    Bytes unfinished = expected;
    const auto seed = wire::pseudo_header_sum(Host::kOwn, Host::kPeer, wire::kProtocolUdp,
                                              static_cast<std::uint32_t>(expected.size()))
                          .folded();
    store_be16(&unfinished[6], seed);
    PacketPtr packet = host.pool.allocate(unfinished.size());
    std::copy(unfinished.begin(), unfinished.end(),
              packet->put(static_cast<std::uint32_t>(unfinished.size())));
    packet->set_transport_header();
    packet->offload.needs_checksum = true;
    packet->offload.checksum_offset = 6;
    output(host, std::move(packet), wire::kProtocolUdp);
    host.turn();
    const auto frames = host.device.take_sent();
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].offload.needs_checksum, device_does_it);
    if (device_does_it) {
      EXPECT_EQ(frames[0].offload.checksum_start, 14 + 20);
      EXPECT_EQ(sent_packet(frames[0])->payload, unfinished);
    } else {
      EXPECT_EQ(sent_packet(frames[0])->payload, expected);
    }
  }
}

/// A TCP super-packet of `size` payload bytes in segments of 1,000, as TCP hands it down.
PacketPtr super_packet(Host& host, std::uint32_t size) {
  PacketPtr packet = scattered(host, size, 3000);
  wire::TcpHeader tcp;
  tcp.source_port = 1;
  tcp.destination_port = 2;
  tcp.seq = SeqNum{5000};
  tcp.flags = wire::TcpFlags::kAck | wire::TcpFlags::kPsh;
  tcp.checksum =
      wire::pseudo_header_sum(Host::kOwn, Host::kPeer, wire::kProtocolTcp, size + wire::TcpHeader::kSize)
          .folded();
  tcp.emit({packet->push(wire::TcpHeader::kSize), wire::TcpHeader::kSize});
  packet->set_transport_header();
  packet->offload.needs_checksum = true;
  packet->offload.checksum_offset = 16;
  packet->offload.gso_size = 1000;
  packet->offload.gso_segs = static_cast<std::uint16_t>((size + 999) / 1000);
  return packet;
}

TEST(Interface, SuperPacketGoesWholeToADeviceThatSegments) {
  Host::Options options;
  options.caps = {.tx_checksum = true, .tso = true, .scatter = true, .max_gso_bytes = 10000};
  Host host(options);
  host.know_neighbours();
  EXPECT_EQ(host.interface->max_gso_bytes(), 10000u);
  output(host, super_packet(host, 10000), wire::kProtocolTcp);
  host.turn();
  auto frames = host.device.take_sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].offload.gso_size, 1000);
  EXPECT_EQ(frames[0].offload.checksum_start, 34);
  EXPECT_EQ(sent_packet(frames[0])->ip.total_length, 10040);
  output(host, super_packet(host, 10001), wire::kProtocolTcp);
  host.turn();
  EXPECT_EQ(host.device.take_sent().size(), 11u) << "more than the device takes: cut in software";
}

TEST(Interface, SuperPacketIsCutAndSummedForADeviceThatCanDoNeither) {
  for (const bool scatter : {false, true}) {
    Host::Options options;
    options.caps.scatter = scatter;
    Host host(options);
    host.know_neighbours();
    output(host, super_packet(host, 9500), wire::kProtocolTcp);
    host.turn();
    const auto frames = host.device.take_sent();
    ASSERT_EQ(frames.size(), 10u);
    Bytes joined;
    for (const SentFrame& frame : frames) {
      EXPECT_FALSE(frame.offload.needs_checksum);
      EXPECT_EQ(frame.offload.gso_size, 0);
      const auto packet = sent_packet(frame);
      ASSERT_TRUE(packet);
      EXPECT_EQ(wire::transport_checksum(Host::kOwn, Host::kPeer, wire::kProtocolTcp, packet->payload), 0);
      EXPECT_EQ(wire::TcpHeader::parse(packet->payload)->seq.value(), 5000 + joined.size());
      joined.insert(joined.end(), packet->payload.begin() + wire::TcpHeader::kSize, packet->payload.end());
    }
    EXPECT_EQ(joined, pattern(9500));
    EXPECT_EQ(host.pool.packets_in_use(), 0u);
    EXPECT_EQ(host.pool.buffers_in_use(), 0u);
  }
}

TEST(Interface, PacketWithoutHeadroomOrInSharedStorageIsCopiedNotScribbledOver) {
  Host host;
  host.know_neighbours();
  PacketPtr packet = host.pool.allocate(100, 0);
  const Bytes data = pattern(100);
  std::copy(data.begin(), data.end(), packet->put(100));
  PacketPtr shared = packet->clone(0, 0);
  packet->set_transport_header();
  output(host, std::move(packet));
  output(host, std::move(shared));
  host.turn();
  const auto frames = host.device.take_sent();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(sent_packet(frames[0])->payload, data);
  EXPECT_EQ(sent_packet(frames[1])->payload, data);
}

TEST(Interface, LinkDownDropsAndCountsAndLinkUpAnnouncesAgain) {
  Host::Options options;
  options.interface.probe_addresses = true;
  Host host(options);
  host.advance(10s);
  (void)host.device.take_sent();
  host.know_neighbours();
  host.device.room = 0;
  output(host, scattered(host, 10, 10));
  host.device.tell(DeviceEvent::kLinkDown);
  host.turn();
  EXPECT_FALSE(host.interface->link_up());
  EXPECT_EQ(host.count(Counter::kTxLinkDown), 1u) << "what was queued";
  output(host, scattered(host, 10, 10));
  EXPECT_EQ(host.count(Counter::kTxLinkDown), 2u);
  EXPECT_EQ(host.pool.packets_in_use(), 0u);
  host.device.room = 100;
  host.device.tell(DeviceEvent::kLinkUp);
  host.turn();
  EXPECT_TRUE(host.interface->link_up());
  EXPECT_EQ(host.device.take_sent().size(), 2u) << "a probe and an announcement";
  output(host, scattered(host, 10, 10));
  host.turn();
  EXPECT_EQ(host.device.take_sent().size(), 1u);
}

TEST(Interface, ConfiguredMtuOnlyLowersTheDevices) {
  Host::Options options;
  options.interface.mtu = 1280;
  EXPECT_EQ(Host(options).interface->mtu(), 1280u);
  options.interface.mtu = 9000;
  EXPECT_EQ(Host(options).interface->mtu(), 1500u);
}

}  // namespace
}  // namespace millrace::test
