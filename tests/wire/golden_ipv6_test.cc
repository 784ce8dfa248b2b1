#include <gtest/gtest.h>

#include "golden.h"
#include "wire/pseudo_header.h"

namespace millrace::wire {
namespace {

const MacAddress kMacA{{2, 0, 0, 0, 0, 1}};
const MacAddress kMacR{{2, 0, 0, 0, 0, 2}};
const IpAddress kA = *IpAddress::parse("fd00:18::1");
const IpAddress kR = *IpAddress::parse("fd00:18::254");

template <typename T>
std::vector<Decoded> with_message(const std::string& name) {
  std::vector<Decoded> found;
  for (const Bytes& frame : golden(name)) {
    const auto decoded = decode(frame);
    EXPECT_TRUE(decoded);
    if (decoded && std::holds_alternative<T>(decoded->message)) found.push_back(*decoded);
  }
  return found;
}

TEST(GoldenIpv6, DuplicateAddressDetectionAsksFromNowhereWithANonce) {
  const auto asked = with_message<NeighborSolicitation>("ipv6_start.pcap");
  bool global_seen = false;
  for (const Decoded& frame : asked) {
    const auto& solicitation = frame.as<NeighborSolicitation>();
    if (!frame.ipv6->source.is_unspecified()) continue;
    EXPECT_EQ(frame.ipv6->hop_limit, 255);
    EXPECT_FALSE(solicitation.options.source_mac);
    EXPECT_TRUE(solicitation.options.nonce);
    // RFC 4291 §2.7.1: the solicited-node address has the target's last three bytes.
    const auto& to = frame.ipv6->destination.bytes();
    const auto& target = solicitation.target.bytes();
    EXPECT_TRUE(std::equal(to.begin() + 13, to.end(), target.begin() + 13));
    global_seen = global_seen || solicitation.target == kA;
  }
  EXPECT_TRUE(global_seen);
}

TEST(GoldenIpv6, RouterSolicitationTellsTheSendersLinkAddress) {
  const auto all = with_message<RouterSolicitation>("ipv6_start.pcap");
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0].ipv6->destination, *IpAddress::parse("ff02::2"));
  EXPECT_EQ(all[0].as<RouterSolicitation>().options.source_mac, kMacA);
}

TEST(GoldenIpv6, ListenerReportsComeBehindHopByHopOptions) {
  std::size_t reports = 0;
  for (const Decoded& frame : with_message<Icmpv6Header>("ipv6_start.pcap")) {
    if (frame.as<Icmpv6Header>().type != 143) continue;  // RFC 3810 §5.2
    ++reports;
    EXPECT_EQ(frame.ipv6->next_header, kExtensionHopByHop);
    EXPECT_EQ(frame.ipv6->hop_limit, 1);
    EXPECT_EQ(frame.ipv6_extensions.size(), 8u);
  }
  EXPECT_GT(reports, 0u);
}

TEST(GoldenIpv6, NeighborIsAskedForAndAnswers) {
  const auto asked = with_message<NeighborSolicitation>("ipv6_talk.pcap");
  const auto answered = with_message<NeighborAdvertisement>("ipv6_talk.pcap");
  ASSERT_FALSE(asked.empty());
  ASSERT_FALSE(answered.empty());
  NeighborSolicitation solicitation = asked[0].as<NeighborSolicitation>();
  EXPECT_EQ(solicitation.target, kR);
  EXPECT_EQ(solicitation.options.source_mac, kMacA);
  EXPECT_FALSE(solicitation.options.target_mac);
  const auto& advertisement = answered[0].as<NeighborAdvertisement>();
  EXPECT_EQ(advertisement.target, kR);
  EXPECT_TRUE(advertisement.router);
  EXPECT_TRUE(advertisement.solicited);
  EXPECT_TRUE(advertisement.override_cache);
  EXPECT_EQ(advertisement.options.target_mac, kMacR);
  EXPECT_EQ(answered[0].ipv6->hop_limit, 255);
}

TEST(GoldenIpv6, PingIsAnswered) {
  std::vector<Decoded> pings;
  for (const Decoded& frame : with_message<Icmpv6Header>("ipv6_talk.pcap")) {
    const auto type = frame.as<Icmpv6Header>().type;
    if (type == Icmpv6Header::kEchoRequest || type == Icmpv6Header::kEchoReply) pings.push_back(frame);
  }
  ASSERT_EQ(pings.size(), 4u);
  for (std::size_t i = 0; i < pings.size(); i += 2) {
    const auto& request = pings[i].as<Icmpv6Header>();
    const auto& reply = pings[i + 1].as<Icmpv6Header>();
    EXPECT_FALSE(request.is_error());
    EXPECT_EQ(request.sequence(), i / 2 + 1);
    EXPECT_EQ(reply.rest, Icmpv6Header::echo_rest(request.identifier(), request.sequence()));
    EXPECT_EQ(pings[i].payload, pings[i + 1].payload);
    EXPECT_EQ(pings[i].payload.size(), 40u);
  }
}

TEST(GoldenIpv6, TcpHasTheSameOptionsWithASmallerMss) {
  const auto all = with_message<TcpSegment>("ipv6_talk.pcap");
  ASSERT_EQ(all.size(), 16u);
  EXPECT_EQ(all[0].ipv6->source, kA);
  EXPECT_EQ(all[0].ipv6->destination, kR);
  EXPECT_EQ(all[0].ipv6->payload_length, 40);
  EXPECT_EQ(all[0].as<TcpSegment>().options.mss, 1440);
  EXPECT_EQ(all[0].as<TcpSegment>().header.source_port, 40009);
  // A flow keeps its label.
  EXPECT_NE(all[0].ipv6->flow_label, 0u);
  EXPECT_EQ(all[2].ipv6->flow_label, all[0].ipv6->flow_label);
}

TEST(GoldenIpv6, PortUnreachableQuotesTheDatagram) {
  const auto sent = with_message<UdpHeader>("ipv6_talk.pcap");
  ASSERT_EQ(sent.size(), 1u);
  const Decoded error = with_message<Icmpv6Header>("ipv6_talk.pcap").back();
  EXPECT_EQ(error.as<Icmpv6Header>().type, Icmpv6Header::kDestinationUnreachable);
  EXPECT_EQ(error.as<Icmpv6Header>().code, Icmpv6Header::kPortUnreachable);
  EXPECT_TRUE(error.as<Icmpv6Header>().is_error());
  EXPECT_EQ(Ipv6Header::parse(error.payload), sent[0].ipv6);
}

TEST(GoldenIpv6, FragmentsOfADatagramAddUpToIt) {
  std::vector<Decoded> fragments;
  for (const Bytes& frame : golden("ipv6_fragments.pcap")) {
    const auto decoded = decode(frame);
    ASSERT_TRUE(decoded);
    if (decoded->fragment) fragments.push_back(*decoded);
  }
  ASSERT_EQ(fragments.size(), 6u);
  for (const std::size_t first : {0u, 3u}) {
    Bytes datagram;
    for (std::size_t i = first; i < first + 3; ++i) {
      const Ipv6FragmentHeader& header = *fragments[i].fragment;
      EXPECT_EQ(header.next_header, kProtocolUdp);
      EXPECT_EQ(header.fragment_offset, datagram.size());
      EXPECT_EQ(header.more_fragments, i < first + 2);
      EXPECT_EQ(header.identification, fragments[first].fragment->identification);
      datagram.insert(datagram.end(), fragments[i].payload.begin(), fragments[i].payload.end());
    }
    ASSERT_EQ(datagram.size(), 4008u);
    const Ipv6Header& header = *fragments[first].ipv6;
    EXPECT_EQ(transport_checksum(header.source, header.destination, kProtocolUdp, datagram), 0);
  }
}

TEST(GoldenIpv6, PacketTooBigTellsTheMtuAndTimeExceededItsPacket) {
  bool too_big = false;
  bool exceeded = false;
  for (const Decoded& frame : with_message<Icmpv6Header>("ipv6_fragments.pcap")) {
    const auto& header = frame.as<Icmpv6Header>();
    if (header.type == Icmpv6Header::kPacketTooBig) {
      too_big = true;
      EXPECT_EQ(header.mtu(), 1280u);
      EXPECT_TRUE(Ipv6Header::parse(frame.payload));
      EXPECT_FALSE(Ipv6View::parse(frame.payload));  // quoted in part only
    } else if (header.type == Icmpv6Header::kTimeExceeded) {
      exceeded = true;
      EXPECT_EQ(header.code, Icmpv6Header::kHopLimitExceeded);
      EXPECT_EQ(Ipv6Header::parse(frame.payload)->hop_limit, 1);
    }
  }
  EXPECT_TRUE(too_big);
  EXPECT_TRUE(exceeded);
}

}  // namespace
}  // namespace millrace::wire
