#include "golden.h"

#include <gtest/gtest.h>

#include "wire/pseudo_header.h"

namespace millrace::wire {
namespace {

const MacAddress kMacA{{2, 0, 0, 0, 0, 1}};
const MacAddress kMacR{{2, 0, 0, 0, 0, 2}};
const IpAddress kA = IpAddress::v4(198, 18, 0, 1);
const IpAddress kR = IpAddress::v4(198, 18, 0, 254);

std::vector<Decoded> decode_all(const std::string& name) {
  std::vector<Decoded> all;
  for (const Bytes& frame : golden(name)) {
    const auto decoded = decode(frame);
    EXPECT_TRUE(decoded) << name << ", frame " << all.size();
    if (decoded) all.push_back(*decoded);
  }
  return all;
}

TEST(GoldenFrames, AllComeOutByteForByteAsTheyWentIn) {
  std::size_t count = 0;
  for (const std::string& name : golden_names()) {
    std::size_t number = 0;
    for (const Bytes& frame : golden(name)) {
      ++number;
      const auto decoded = decode(frame);
      ASSERT_TRUE(decoded) << name << ", frame " << number;
      ASSERT_EQ(encode(*decoded), frame) << name << ", frame " << number;
      ++count;
    }
  }
  EXPECT_GT(count, 100u);
}

TEST(GoldenFrames, ArpAsksEverybodyAndIsAnsweredToOne) {
  const auto frames = decode_all("arp_ping.pcap");
  ASSERT_EQ(frames.size(), 10u);
  EXPECT_EQ(frames[0].ethernet, (EthernetHeader{MacAddress::broadcast(), kMacA, kEtherTypeArp}));
  EXPECT_EQ(frames[0].arp, (ArpPacket{ArpPacket::kRequest, kMacA, kA, MacAddress{}, kR}));
  EXPECT_EQ(frames[1].ethernet, (EthernetHeader{kMacA, kMacR, kEtherTypeArp}));
  EXPECT_EQ(frames[1].arp, (ArpPacket{ArpPacket::kReply, kMacR, kR, kMacA, kA}));
}

TEST(GoldenFrames, PingIsAnsweredWithTheSameIdentifierSequenceAndData) {
  const auto frames = decode_all("arp_ping.pcap");
  ASSERT_EQ(frames.size(), 10u);
  for (std::size_t i = 2; i < frames.size(); i += 2) {
    const auto& request = frames[i].as<Icmpv4Header>();
    const auto& reply = frames[i + 1].as<Icmpv4Header>();
    EXPECT_EQ(request.type, Icmpv4Header::kEchoRequest);
    EXPECT_EQ(reply.type, Icmpv4Header::kEchoReply);
    EXPECT_FALSE(request.is_error());
    EXPECT_EQ(request.sequence(), i == 4 ? 2 : 1);
    EXPECT_EQ(reply.identifier(), request.identifier());
    EXPECT_EQ(reply.sequence(), request.sequence());
    EXPECT_EQ(frames[i].payload, frames[i + 1].payload);
    EXPECT_EQ(frames[i].ipv4->source, kA);
    EXPECT_EQ(frames[i].ipv4->destination, kR);
    EXPECT_EQ(frames[i].ipv4->ttl, 64);
    EXPECT_EQ(frames[i].ipv4->protocol, kProtocolIcmp);
    EXPECT_TRUE(frames[i].ipv4->dont_fragment);
  }
  EXPECT_EQ(frames[2].payload.size(), 40u);
  EXPECT_EQ(frames[2].ipv4->total_length, 68);
  EXPECT_EQ(frames[6].payload.size(), 7u);
}

TEST(GoldenFrames, RecordRouteOptionIsSkippedOver) {
  const auto frames = decode_all("arp_ping.pcap");
  ASSERT_EQ(frames.size(), 10u);
  const Decoded& request = frames[8];
  EXPECT_EQ(request.ipv4->header_length, 60);
  ASSERT_EQ(request.ipv4_options.size(), 40u);
  EXPECT_EQ(request.ipv4_options[0], 1);  // NOP
  EXPECT_EQ(request.ipv4_options[1], 7);  // record route
  EXPECT_EQ(request.as<Icmpv4Header>().type, Icmpv4Header::kEchoRequest);
  EXPECT_EQ(request.payload.size(), 56u);
}

TEST(GoldenFrames, PortUnreachableQuotesTheDatagram) {
  const auto frames = decode_all("icmp_errors.pcap");
  ASSERT_EQ(frames.size(), 6u);
  EXPECT_EQ(frames[0].as<UdpHeader>().destination_port, 7001);
  EXPECT_EQ(frames[0].as<UdpHeader>().source_port, 40001);
  const auto& error = frames[1].as<Icmpv4Header>();
  EXPECT_EQ(error.type, Icmpv4Header::kDestinationUnreachable);
  EXPECT_EQ(error.code, Icmpv4Header::kPortUnreachable);
  EXPECT_TRUE(error.is_error());
  const auto quoted = Ipv4Header::parse(frames[1].payload);
  ASSERT_TRUE(quoted);
  EXPECT_EQ(*quoted, *frames[0].ipv4);
  const auto quoted_udp = UdpHeader::parse(std::span{frames[1].payload}.subspan(quoted->header_length));
  EXPECT_EQ(quoted_udp, frames[0].as<UdpHeader>());
}

TEST(GoldenFrames, TimeExceededQuotesThePacketThatRanOut) {
  const auto frames = decode_all("icmp_errors.pcap");
  ASSERT_EQ(frames.size(), 6u);
  EXPECT_EQ(frames[2].ipv4->ttl, 1);
  EXPECT_EQ(frames[3].as<Icmpv4Header>().type, Icmpv4Header::kTimeExceeded);
  EXPECT_EQ(frames[3].as<Icmpv4Header>().code, Icmpv4Header::kTtlExceeded);
  EXPECT_EQ(Ipv4Header::parse(frames[3].payload), frames[2].ipv4);
}

TEST(GoldenFrames, FragmentationNeededTellsTheMtuAndQuotesABeginning) {
  const auto frames = decode_all("icmp_errors.pcap");
  ASSERT_EQ(frames.size(), 6u);
  const auto& error = frames[5].as<Icmpv4Header>();
  EXPECT_EQ(error.type, Icmpv4Header::kDestinationUnreachable);
  EXPECT_EQ(error.code, Icmpv4Header::kFragmentationNeeded);
  EXPECT_EQ(error.next_hop_mtu(), 1280);
  EXPECT_EQ(Ipv4Header::parse(frames[5].payload), frames[4].ipv4);
  // The quoted packet is longer than what is quoted of it: a header alone can be read, the packet is not
  // there.
  EXPECT_GT(frames[4].ipv4->total_length, frames[5].payload.size());
  EXPECT_FALSE(Ipv4View::parse(frames[5].payload));
}

TEST(GoldenFrames, UdpLengthsCountHeaderAndData) {
  const auto frames = decode_all("udp.pcap");
  ASSERT_EQ(frames.size(), 6u);
  const std::size_t sizes[] = {13, 13, 0, 0, 1, 1};
  for (std::size_t i = 0; i < 6; ++i) {
    const auto& udp = frames[i].as<UdpHeader>();
    EXPECT_EQ(frames[i].payload.size(), sizes[i]);
    EXPECT_EQ(udp.length, sizes[i] + 8);
    EXPECT_EQ(udp.source_port, i % 2 == 0 ? 40002 : 7002);
    EXPECT_EQ(udp.destination_port, i % 2 == 0 ? 7002 : 40002);
  }
}

TEST(GoldenFrames, FragmentsOfADatagramAddUpToIt) {
  const auto frames = decode_all("udp_fragments.pcap");
  ASSERT_EQ(frames.size(), 6u);
  for (const std::size_t first : {0u, 3u}) {
    Bytes datagram;
    for (std::size_t i = first; i < first + 3; ++i) {
      const Ipv4Header& header = *frames[i].ipv4;
      EXPECT_TRUE(frames[i].is_fragment());
      EXPECT_EQ(header.fragment_offset, datagram.size());
      EXPECT_EQ(header.more_fragments, i < first + 2);
      EXPECT_FALSE(header.dont_fragment);
      EXPECT_EQ(header.identification, frames[first].ipv4->identification);
      datagram.insert(datagram.end(), frames[i].payload.begin(), frames[i].payload.end());
    }
    ASSERT_EQ(datagram.size(), 4008u);
    EXPECT_EQ(UdpHeader::parse(datagram)->length, 4008);
    const Ipv4Header& header = *frames[first].ipv4;
    EXPECT_EQ(transport_checksum(header.source, header.destination, kProtocolUdp, datagram), 0);
  }
}

TEST(GoldenFrames, VlanTagWrapsTheSamePackets) {
  const auto tagged = decode_all("vlan.pcap");
  const auto plain = decode_all("arp_ping.pcap");
  ASSERT_EQ(tagged.size(), 4u);
  for (std::size_t i = 0; i < tagged.size(); ++i) {
    EXPECT_EQ(tagged[i].ethernet.ether_type, kEtherTypeVlan);
    EXPECT_EQ(tagged[i].vlan, (VlanTag{5, false, 18, plain[i].ethernet.ether_type}));
    EXPECT_EQ(tagged[i].arp, plain[i].arp);
    EXPECT_EQ(tagged[i].ipv4, plain[i].ipv4);
    EXPECT_EQ(tagged[i].payload, plain[i].payload);
  }
}

}  // namespace
}  // namespace millrace::wire
