#include <gtest/gtest.h>

#include <set>

#include "support/host.h"
#include "support/recording_transport.h"

namespace millrace::test {
namespace {

using ip::Counter;
constexpr std::uint8_t kProtocol = 99;

class Ipv4Output : public ::testing::Test {
 protected:
  explicit Ipv4Output(const Host::Options& options = {}) : host(options) {
    host.know_neighbours();
    host.ip.register_transport(kProtocol, transport);
  }
  ~Ipv4Output() override { EXPECT_EQ(host.pool.packets_in_use(), 0u); }

  Result<void> send(const IpAddress& to, const Bytes& data, bool dont_fragment = false,
                    const IpAddress& from = {}) {
    PacketPtr packet = host.pool.allocate(data.size());
    std::copy(data.begin(), data.end(), packet->put(static_cast<std::uint32_t>(data.size())));
    packet->set_transport_header();
    ip::OutputOptions options;
    options.source = from;
    options.destination = to;
    options.protocol = kProtocol;
    options.ttl = 33;
    options.tos = 0x10;
    options.dont_fragment = dont_fragment;
    Result<void> result = host.ip.output(std::move(packet), options, host.now);
    host.turn();
    return result;
  }
  std::vector<SentPacket> sent() {
    std::vector<SentPacket> packets;
    for (const SentFrame& frame : host.device.take_sent()) {
      const auto packet = sent_packet(frame);
      EXPECT_TRUE(packet.has_value());
      if (packet) packets.push_back(*packet);
    }
    return packets;
  }

  RecordingTransport transport;
  Host host;
};

// --- routes

TEST_F(Ipv4Output, OnLinkDestinationIsSentToDirectlyFromTheAddressOfThatSubnet) {
  ASSERT_TRUE(send(Host::kPeer, pattern(100)).ok());
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].ethernet.destination, Host::kPeerMac);
  EXPECT_EQ(packets[0].ip.source, Host::kOwn);
  EXPECT_EQ(packets[0].ip.destination, Host::kPeer);
  EXPECT_EQ(packets[0].ip.ttl, 33);
  EXPECT_EQ(packets[0].ip.tos, 0x10);
  EXPECT_EQ(packets[0].payload, pattern(100));
}

TEST_F(Ipv4Output, WithoutARouteTheNetworkIsUnreachable) {
  const auto result = send(Host::kFar, pattern(10));
  EXPECT_EQ(result.error(), Error::kNetworkUnreachable);
  EXPECT_EQ(host.ip.route(Host::kFar, host.now).error(), Error::kNetworkUnreachable);
  EXPECT_EQ(host.count(Counter::kOutNoRoutes), 1u);
}

TEST_F(Ipv4Output, FarDestinationGoesThroughTheGateway) {  // RFC 1122 §3.3.1.1
  host.ip.set_default_gateway(Host::kGateway, *host.interface);
  ASSERT_TRUE(send(Host::kFar, pattern(10)).ok());
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].ethernet.destination, Host::kGatewayMac);
  EXPECT_EQ(packets[0].ip.destination, Host::kFar);
}

TEST_F(Ipv4Output, LongestPrefixWinsInWhateverOrderRoutesCame) {
  const IpAddress other = IpAddress::v4(198, 18, 0, 253);
  const MacAddress other_mac{{2, 0, 0, 0, 0, 0xfd}};
  host.interface->neighbours().add_static(other, other_mac, host.now);
  host.ip.set_default_gateway(Host::kGateway, *host.interface);
  host.ip.add_route({*IpPrefix::parse("198.19.7.0/24"), other, &*host.interface});
  host.ip.add_route({*IpPrefix::parse("198.19.0.0/16"), Host::kGateway, &*host.interface});
  host.ip.add_route({*IpPrefix::parse("198.19.7.9/32"), Host::kGateway, &*host.interface});
  EXPECT_EQ(host.ip.route(Host::kFar, host.now)->next_hop, other);
  EXPECT_EQ(host.ip.route(IpAddress::v4(198, 19, 7, 9), host.now)->next_hop, Host::kGateway);
  EXPECT_EQ(host.ip.route(IpAddress::v4(198, 19, 8, 8), host.now)->next_hop, Host::kGateway);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->next_hop, Host::kPeer);
}

TEST_F(Ipv4Output, RouteChangesMoveTheGeneration) {
  const std::uint32_t before = host.ip.route_generation();
  host.ip.set_default_gateway(Host::kGateway, *host.interface);
  EXPECT_NE(host.ip.route_generation(), before);
  const std::size_t routes = host.ip.routes().size();
  host.ip.set_default_gateway(Host::kPeer, *host.interface);
  EXPECT_EQ(host.ip.routes().size(), routes) << "the new default replaces the old one";
  EXPECT_EQ(host.ip.route(Host::kFar, host.now)->next_hop, Host::kPeer);
}

TEST_F(Ipv4Output, BroadcastGoesToTheBroadcastMacAndToOurselves) {
  for (const char* destination : {"198.18.0.255", "255.255.255.255"}) {
    const IpAddress address = *IpAddress::parse(destination);
    EXPECT_TRUE(host.ip.route(address, host.now)->broadcast);
    ASSERT_TRUE(send(address, pattern(10)).ok());
    const auto packets = sent();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].ethernet.destination, MacAddress::broadcast());
    EXPECT_EQ(packets[0].ip.source, Host::kOwn);
  }
  ASSERT_EQ(transport.arrivals.size(), 2u);
  EXPECT_TRUE(transport.arrivals[0].info.broadcast);
  EXPECT_EQ(transport.arrivals[0].info.interface, nullptr);
}

TEST_F(Ipv4Output, MulticastGoesToItsMac) {  // RFC 1112 §6.4
  host.ip.set_default_gateway(Host::kGateway, *host.interface);
  ASSERT_TRUE(send(IpAddress::v4(239, 129, 2, 3), pattern(10)).ok());
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].ethernet.destination, (MacAddress{{0x01, 0x00, 0x5e, 0x01, 0x02, 0x03}}));
}

// --- internal loopback

TEST_F(Ipv4Output, OurOwnAddressesAndAllOf127NeverTouchTheDevice) {  // RFC 1122 §3.2.1.3(g)
  for (const char* destination : {"127.0.0.1", "127.200.3.4", "198.18.0.1"}) {
    const IpAddress address = *IpAddress::parse(destination);
    const auto route = host.ip.route(address, host.now);
    ASSERT_TRUE(route.ok());
    EXPECT_EQ(route->interface, nullptr);
    ASSERT_TRUE(send(address, pattern(3000), true).ok());
    ASSERT_FALSE(transport.arrivals.empty());
    const auto& arrival = transport.arrivals.back();
    EXPECT_EQ(arrival.data, pattern(3000));
    EXPECT_EQ(arrival.info.destination, address);
    EXPECT_EQ(arrival.info.source, address.is_loopback() ? IpAddress::v4(127, 0, 0, 1) : address);
    EXPECT_EQ(arrival.info.interface, nullptr);
    EXPECT_NE(arrival.offload.rx_checksum, Offload::RxChecksum::kUnknown);
  }
  EXPECT_EQ(transport.arrivals.size(), 3u);
  EXPECT_TRUE(host.device.sent().empty());
}

class SmallLoopback : public Ipv4Output {
 protected:
  static Host::Options small() {
    Host::Options options;
    options.ip.loopback_packets = 3;
    return options;
  }
  SmallLoopback() : Ipv4Output(small()) {}
};

TEST_F(SmallLoopback, QueueIsBounded) {
  for (int i = 0; i < 5; ++i) {
    PacketPtr packet = host.pool.allocate(10);
    packet->put(10);
    packet->set_transport_header();
    ip::OutputOptions options;
    options.destination = IpAddress::v4(127, 0, 0, 1);
    options.protocol = kProtocol;
    EXPECT_TRUE(host.ip.output(std::move(packet), options, host.now).ok());
  }
  EXPECT_TRUE(host.ip.loopback_pending());
  EXPECT_EQ(host.count(Counter::kLoopbackDropped), 2u);
  EXPECT_EQ(host.ip.poll_loopback(2, host.now), 2u) << "the budget counts";
  EXPECT_EQ(host.ip.poll_loopback(2, host.now), 1u);
  EXPECT_EQ(transport.arrivals.size(), 3u);
}

// --- fragmentation

TEST_F(Ipv4Output, LargePacketIsFragmentedAtMultiplesOfEight) {  // RFC 791 §3.2
  const Bytes data = pattern(4000);
  ASSERT_TRUE(send(Host::kPeer, data).ok());
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 3u);
  Bytes joined;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    EXPECT_EQ(packets[i].ip.fragment_offset, joined.size());
    EXPECT_EQ(packets[i].ip.more_fragments, i + 1 < packets.size());
    EXPECT_EQ(packets[i].ip.identification, packets[0].ip.identification);
    EXPECT_LE(packets[i].ip.total_length, 1500);
    EXPECT_EQ(packets[i].ip.ttl, 33);
    joined.insert(joined.end(), packets[i].payload.begin(), packets[i].payload.end());
  }
  EXPECT_EQ(joined, data);
  EXPECT_EQ(host.count(Counter::kFragOKs), 1u);
  EXPECT_EQ(host.count(Counter::kFragCreates), 3u);
}

TEST_F(Ipv4Output, PacketThatJustFitsIsNotFragmented) {
  ASSERT_TRUE(send(Host::kPeer, pattern(1480)).ok());
  EXPECT_EQ(sent().size(), 1u);
  ASSERT_TRUE(send(Host::kPeer, pattern(1481)).ok());
  EXPECT_EQ(sent().size(), 2u);
}

TEST_F(Ipv4Output, DontFragmentRefusesInsteadOfFragmenting) {
  EXPECT_EQ(send(Host::kPeer, pattern(1481), true).error(), Error::kMessageSize);
  ASSERT_TRUE(send(Host::kPeer, pattern(1480), true).ok());
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(packets[0].ip.dont_fragment);
  EXPECT_EQ(host.count(Counter::kFragFails), 1u);
}

TEST_F(Ipv4Output, PacketLargerThanIpAllowsIsRefused) {
  EXPECT_EQ(send(Host::kPeer, pattern(65516)).error(), Error::kMessageSize);
  EXPECT_TRUE(send(Host::kPeer, pattern(65515)).ok());
  EXPECT_EQ(sent().size(), 45u);
}

TEST_F(Ipv4Output,
       IdentificationsOfOneDestinationDoNotRepeatSoonNorCountForOthers) {  // RFC 6864 §4.3, RFC 7739
  std::set<std::uint16_t> seen;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(send(Host::kPeer, pattern(4)).ok());
  std::uint16_t previous = 0;
  bool first = true;
  for (const SentPacket& packet : sent()) {
    seen.insert(packet.ip.identification);
    if (!first) {
      EXPECT_EQ(static_cast<std::uint16_t>(packet.ip.identification - previous), 1);
    }
    previous = packet.ip.identification;
    first = false;
  }
  EXPECT_EQ(seen.size(), 1000u);
  ASSERT_TRUE(send(Host::kGateway, pattern(4)).ok());
  EXPECT_NE(sent()[0].ip.identification, static_cast<std::uint16_t>(previous + 1));
}

TEST_F(Ipv4Output, FullPoolIsAnErrorAndNoLeak) {
  Host::Options options;
  options.pool.bytes = 3 * 2048;
  options.pool.reserve = 0;
  Host tight(options);
  tight.know_neighbours();
  PacketPtr packet = tight.pool.allocate(1900);
  packet->put(1900);
  packet->set_transport_header();
  ip::OutputOptions out;
  out.destination = Host::kPeer;
  out.protocol = kProtocol;
  BufferRef hog = tight.pool.allocate_buffer(2048);
  EXPECT_EQ(tight.ip.output(std::move(packet), out, tight.now).error(), Error::kNoBuffers);
  EXPECT_EQ(tight.pool.packets_in_use(), 0u);
  EXPECT_EQ(tight.count(Counter::kFragFails), 1u);
}

// --- path MTU: RFC 1191

TEST_F(Ipv4Output, ConfirmedPathMtuHoldsForItsDestinationUntilItExpires) {  // RFC 1191 §6.3
  const std::uint32_t before = host.ip.route_generation();
  host.ip.confirm_path_mtu(Host::kPeer, 1000, host.now);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 1000u);
  EXPECT_EQ(host.ip.route(Host::kGateway, host.now)->mtu, 1500u);
  EXPECT_NE(host.ip.route_generation(), before);
  EXPECT_EQ(send(Host::kPeer, pattern(1400), true).error(), Error::kMessageSize);
  ASSERT_TRUE(send(Host::kPeer, pattern(1400)).ok());
  for (const SentPacket& packet : sent()) EXPECT_LE(packet.ip.total_length, 1000);
  const std::uint32_t lowered = host.ip.route_generation();
  host.advance(599s);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 1000u);
  host.advance(1s);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 1500u);
  EXPECT_NE(host.ip.route_generation(), lowered) << "cached routes must learn of it";
}

TEST_F(Ipv4Output, PathMtuOnlyEverFallsAndNotBelowWhatWeBelieve) {  // RFC 1191 §3
  host.ip.confirm_path_mtu(Host::kPeer, 1000, host.now);
  host.ip.confirm_path_mtu(Host::kPeer, 1200, host.now);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 1000u);
  host.ip.confirm_path_mtu(Host::kPeer, 2000, host.now);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 1000u);
  host.ip.confirm_path_mtu(Host::kPeer, 68, host.now);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 552u);
  EXPECT_EQ(host.count(Counter::kPathMtuIgnored), 2u);
}

class SmallPathMtuCache : public Ipv4Output {
 protected:
  static Host::Options small() {
    Host::Options options;
    options.ip.path_mtu_entries = 4;
    return options;
  }
  SmallPathMtuCache() : Ipv4Output(small()) {}
};

TEST_F(SmallPathMtuCache, ForgetsTheOldestAtItsLimit) {
  for (std::uint8_t i = 10; i < 15; ++i) {
    host.ip.confirm_path_mtu(IpAddress::v4(198, 18, 0, i), 1000, host.now);
    host.advance(1s);
  }
  EXPECT_EQ(host.ip.route(IpAddress::v4(198, 18, 0, 10), host.now)->mtu, 1500u);
  for (std::uint8_t i = 11; i < 15; ++i)
    EXPECT_EQ(host.ip.route(IpAddress::v4(198, 18, 0, i), host.now)->mtu, 1000u);
  EXPECT_EQ(host.count(Counter::kPathMtuEvicted), 1u);
}

TEST_F(Ipv4Output, UnreachableNextHopIsToldToTheTransport) {
  const IpAddress nobody = IpAddress::v4(198, 18, 0, 200);
  ASSERT_TRUE(send(nobody, pattern(20)).ok());
  for (int i = 0; i < 3; ++i) host.advance(1s);
  ASSERT_EQ(transport.errors.size(), 1u);
  const ip::IcmpError& error = transport.errors[0];
  EXPECT_EQ(error.kind, ip::IcmpError::Kind::kHostUnreachable);
  EXPECT_TRUE(error.local);
  EXPECT_EQ(error.source, Host::kOwn);
  EXPECT_EQ(error.destination, nobody);
  EXPECT_TRUE(std::equal(error.transport_header.begin(), error.transport_header.end(), pattern(8).begin()));
}

TEST_F(Ipv4Output, BindableAddressesAreOursWildcardAndBroadcasts) {
  for (const char* yes :
       {"0.0.0.0", "198.18.0.1", "127.0.0.1", "127.9.9.9", "198.18.0.255", "255.255.255.255", "224.0.0.1"})
    EXPECT_TRUE(host.ip.is_bindable(*IpAddress::parse(yes))) << yes;
  for (const char* no : {"198.18.0.2", "198.19.0.1", "8.8.8.8"})
    EXPECT_FALSE(host.ip.is_bindable(*IpAddress::parse(no))) << no;
}

}  // namespace
}  // namespace millrace::test
