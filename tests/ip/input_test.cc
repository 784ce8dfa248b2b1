#include <gtest/gtest.h>

#include "support/host.h"
#include "support/recording_transport.h"

namespace millrace::test {
namespace {

using ip::Counter;
constexpr std::uint8_t kProtocol = 99;

class Ipv4Input : public ::testing::Test {
 protected:
  Ipv4Input() {
    host.know_neighbours();
    host.ip.register_transport(kProtocol, transport);
  }
  ~Ipv4Input() override { EXPECT_EQ(host.pool.packets_in_use(), 0u); }

  wire::Ipv4Header header() const { return ipv4_header(Host::kPeer, Host::kOwn, kProtocol); }
  /// Receives it and expects that it is dropped, silently but for `counter`.
  void expect_dropped(const Bytes& packet, Counter counter, bool broadcast_frame = false) {
    const std::uint64_t before = host.count(counter);
    const std::size_t arrived = transport.arrivals.size();
    if (broadcast_frame) {
      host.receive_broadcast(wire::kEtherTypeIpv4, packet);
    } else {
      host.receive(wire::kEtherTypeIpv4, packet);
    }
    EXPECT_EQ(host.count(counter), before + 1) << name_of(counter);
    EXPECT_EQ(transport.arrivals.size(), arrived);
    EXPECT_TRUE(host.device.take_sent().empty());
  }

  RecordingTransport transport;
  Host host;
};

TEST_F(Ipv4Input, PacketForUsReachesItsTransportWithWhatItsHeaderSays) {
  auto h = header();
  h.ttl = 17;
  h.tos = 0xb8;
  host.receive_ip(h, pattern(100));
  ASSERT_EQ(transport.arrivals.size(), 1u);
  const auto& arrival = transport.arrivals[0];
  EXPECT_EQ(arrival.data, pattern(100));
  EXPECT_EQ(arrival.info.source, Host::kPeer);
  EXPECT_EQ(arrival.info.destination, Host::kOwn);
  EXPECT_EQ(arrival.info.protocol, kProtocol);
  EXPECT_EQ(arrival.info.ttl, 17);
  EXPECT_EQ(arrival.info.tos, 0xb8);
  EXPECT_FALSE(arrival.info.broadcast);
  EXPECT_EQ(arrival.info.interface, &*host.interface);
  EXPECT_EQ(host.count(Counter::kInReceives), 1u);
  EXPECT_EQ(host.count(Counter::kInDelivers), 1u);
}

TEST_F(Ipv4Input, EthernetPaddingIsCutOff) {
  Bytes packet = ipv4(header(), pattern(3));
  packet.resize(46, 0xee);
  host.receive(wire::kEtherTypeIpv4, packet);
  ASSERT_EQ(transport.arrivals.size(), 1u);
  EXPECT_EQ(transport.arrivals[0].data, pattern(3));
}

TEST_F(Ipv4Input, OtherVersionIsSilentlyDiscarded) {  // RFC 1122 §3.2.1.1
  Bytes packet = ipv4(header(), pattern(20));
  packet[0] = 0x55;
  expect_dropped(packet, Counter::kInHdrErrors);
}

TEST_F(Ipv4Input, WrongHeaderChecksumIsSilentlyDiscarded) {  // RFC 1122 §3.2.1.2
  for (std::size_t i = 1; i < 20; ++i) {
    Bytes packet = ipv4(header(), pattern(20));
    packet[i] ^= 0x01;
    const std::uint64_t before = host.count(Counter::kInDelivers);
    host.receive(wire::kEtherTypeIpv4, packet);
    EXPECT_EQ(host.count(Counter::kInDelivers), before) << "byte " << i;
  }
  Bytes packet = ipv4(header(), pattern(20));
  packet[10] ^= 0x80;
  expect_dropped(packet, Counter::kInCsumErrors);
}

TEST_F(Ipv4Input, LengthsThatContradictEachOtherAreCounted) {
  auto h = header();
  h.total_length = 19;
  expect_dropped(ipv4(h, pattern(20)), Counter::kInHdrErrors);
  h.total_length = 41;
  expect_dropped(ipv4(h, pattern(20)), Counter::kInTruncatedPkts);
  Bytes packet = ipv4(header(), pattern(20));
  packet[0] = 0x44;  // 16 bytes of header
  expect_dropped(packet, Counter::kInHdrErrors);
  packet[0] = 0x4f;  // 60, of 40
  expect_dropped(packet, Counter::kInHdrErrors);
  for (std::size_t size = 0; size < 20; ++size) {
    Bytes truncated = ipv4(header(), pattern(20));
    truncated.resize(size);
    expect_dropped(truncated, Counter::kInHdrErrors);
  }
}

TEST_F(Ipv4Input, TtlOfZeroOrOneIsNoReasonToDropWhatIsForUs) {  // RFC 1122 §3.2.1.7
  auto h = header();
  for (const int ttl : {0, 1}) {
    h.ttl = static_cast<std::uint8_t>(ttl);
    host.receive_ip(h, pattern(8));
  }
  EXPECT_EQ(transport.arrivals.size(), 2u);
}

TEST_F(Ipv4Input, OptionsAreSkipped) {  // RFC 1122 §3.2.1.8
  const Bytes timestamp{68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  host.receive(wire::kEtherTypeIpv4, ipv4(header(), pattern(10), timestamp));
  host.receive(wire::kEtherTypeIpv4,
               ipv4(header(), pattern(10), {1, 1, 7, 3, 4, 0, 99, 99}));  // RR, then end
  host.receive(wire::kEtherTypeIpv4, ipv4(header(), pattern(10), Bytes(40, 1)));
  ASSERT_EQ(transport.arrivals.size(), 3u);
  for (const auto& arrival : transport.arrivals) EXPECT_EQ(arrival.data, pattern(10));
}

TEST_F(Ipv4Input, OptionsThatRunOutOfTheHeaderAreAnError) {
  expect_dropped(ipv4(header(), pattern(10), {68, 9, 5, 0, 0, 0, 0, 0}), Counter::kInHdrErrors);
  expect_dropped(ipv4(header(), pattern(10), {68, 0, 5, 0}), Counter::kInHdrErrors);
  expect_dropped(ipv4(header(), pattern(10), {68, 1, 5, 0}), Counter::kInHdrErrors);
  expect_dropped(ipv4(header(), pattern(10), {1, 1, 1, 68}), Counter::kInHdrErrors);
}

TEST_F(Ipv4Input, SourceRoutedPacketsAreDropped) {  // RFC 7126 §4.3, §4.4
  expect_dropped(ipv4(header(), pattern(10), {131, 7, 4, 198, 18, 0, 9, 0}), Counter::kInSourceRouted);
  expect_dropped(ipv4(header(), pattern(10), {1, 137, 7, 4, 198, 18, 0, 9}), Counter::kInSourceRouted);
}

TEST_F(Ipv4Input, SourcesThatCannotBeAreMartians) {  // RFC 1122 §3.2.1.3
  for (const char* source : {"127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.255",
                             "198.18.0.1", "0.0.0.0", "0.1.2.3"}) {
    auto h = header();
    h.source = *IpAddress::parse(source);
    expect_dropped(ipv4(h, pattern(10)), Counter::kInMartianSource);
  }
}

TEST(Ipv4Addresses, AnyOfThemIsOurs) {
  for (const int count : {1, 2, 8, 9, 40}) {
    Host::Options options;
    options.interface.addresses.clear();
    for (int i = count; i > 0; --i)
      options.interface.addresses.push_back(
          {IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(2 * i)), 24});
    Host host(options);
    for (int i = 1; i <= count; ++i) {
      const auto last = static_cast<std::uint8_t>(2 * i);
      EXPECT_TRUE(host.ip.is_local(IpAddress::v4(198, 18, 0, last))) << i << " of " << count;
      EXPECT_FALSE(host.ip.is_local(IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(last + 1))));
    }
    EXPECT_FALSE(host.ip.is_local(IpAddress::v4(198, 18, 0, 0)));
    EXPECT_TRUE(host.ip.is_local(IpAddress::v4(127, 9, 9, 9)));
  }
}

TEST_F(Ipv4Input, UnconfiguredHostMayAskByBroadcast) {  // RFC 1122 §3.2.1.3(a): DHCP
  auto h = ipv4_header(IpAddress{}, IpAddress::v4(255, 255, 255, 255), kProtocol);
  host.receive_broadcast(wire::kEtherTypeIpv4, ipv4(h, pattern(10)));
  ASSERT_EQ(transport.arrivals.size(), 1u);
  EXPECT_TRUE(transport.arrivals[0].info.broadcast);
}

TEST_F(Ipv4Input, LoopbackDestinationOffTheWireIsNotOurs) {  // RFC 1122 §3.2.1.3(g)
  auto h = header();
  h.destination = IpAddress::v4(127, 0, 0, 1);
  expect_dropped(ipv4(h, pattern(10)), Counter::kInNotOurs);
}

TEST_F(Ipv4Input, PacketsForOthersAreCountedAndNotForwarded) {
  auto h = header();
  h.destination = IpAddress::v4(198, 18, 0, 77);
  expect_dropped(ipv4(h, pattern(10)), Counter::kInNotOurs);
  h.destination = Host::kFar;
  expect_dropped(ipv4(h, pattern(10)), Counter::kInNotOurs);
  h.destination = IpAddress::v4(224, 0, 0, 251);
  expect_dropped(ipv4(h, pattern(10)), Counter::kInMulticast);
  EXPECT_EQ(host.count(Counter::kInAddrErrors), 3u);
}

TEST_F(Ipv4Input, BroadcastsOfTheSubnetAndOfTheLinkAreOurs) {
  for (const char* destination : {"198.18.0.255", "255.255.255.255"}) {
    auto h = header();
    h.destination = *IpAddress::parse(destination);
    host.receive_broadcast(wire::kEtherTypeIpv4, ipv4(h, pattern(10)));
  }
  ASSERT_EQ(transport.arrivals.size(), 2u);
  EXPECT_TRUE(transport.arrivals[0].info.broadcast);
  EXPECT_TRUE(transport.arrivals[1].info.broadcast);
  EXPECT_EQ(host.count(Counter::kInBcastPkts), 2u);
}

TEST_F(Ipv4Input, UnicastPacketInABroadcastFrameIsDropped) {  // RFC 1122 §3.3.6
  expect_dropped(ipv4(header(), pattern(10)), Counter::kInUnicastInBroadcast, true);
}

TEST_F(Ipv4Input, UnknownProtocolIsAnsweredWithProtocolUnreachable) {  // RFC 1122 §3.2.2.1
  host.receive_ip(ipv4_header(Host::kPeer, Host::kOwn, 200), pattern(100));
  EXPECT_EQ(host.count(Counter::kInUnknownProtos), 1u);
  const auto sent = host.device.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  const auto icmp = wire::Icmpv4Header::parse(sent_packet(sent[0])->payload);
  EXPECT_EQ(icmp->type, wire::Icmpv4Header::kDestinationUnreachable);
  EXPECT_EQ(icmp->code, wire::Icmpv4Header::kProtocolUnreachable);
}

TEST_F(Ipv4Input, PacketForAnyOfOurAddressesIsOursOnEveryInterface) {  // RFC 1122 §3.3.4.2: weak end system
  Host::Options options;
  options.interface.addresses.push_back(*IpPrefix::parse("198.19.0.1/24"));
  Host two(options);
  RecordingTransport recording;
  two.ip.register_transport(kProtocol, recording);
  auto h = header();
  h.destination = IpAddress::v4(198, 19, 0, 1);
  two.receive_ip(h, pattern(10));
  EXPECT_EQ(recording.arrivals.size(), 1u);
}

}  // namespace
}  // namespace millrace::test
