#include <gtest/gtest.h>

#include "ip/token_bucket.h"
#include "support/host.h"
#include "support/recording_transport.h"

namespace millrace::test {
namespace {

using ip::Counter;
using wire::Icmpv4Header;
using Kind = ip::IcmpError::Kind;
constexpr std::uint8_t kProtocol = 99;

Bytes ping(const IpAddress& to, const Bytes& data) {
  return ipv4(ipv4_header(Host::kPeer, to, wire::kProtocolIcmp), echo_request(7, 1, data));
}

class Icmp : public ::testing::Test {
 protected:
  explicit Icmp(const Host::Options& options = {}) : host(options) {
    host.know_neighbours();
    host.ip.register_transport(kProtocol, transport);
  }
  ~Icmp() override { EXPECT_EQ(host.pool.packets_in_use(), 0u); }

  std::optional<SentPacket> only_sent() {
    const auto frames = host.device.take_sent();
    EXPECT_EQ(frames.size(), 1u);
    return frames.size() == 1 ? sent_packet(frames[0]) : std::nullopt;
  }
  /// The error message that a router far away sends about a packet of ours.
  Bytes error(std::uint8_t type, std::uint8_t code, std::uint32_t rest, const Bytes& quoted) {
    Icmpv4Header header;
    header.type = type;
    header.code = code;
    header.rest = rest;
    return ipv4(ipv4_header(Host::kGateway, Host::kOwn, wire::kProtocolIcmp), icmp(header, quoted));
  }
  Bytes our_packet(std::uint16_t total_length = 28) {
    auto header = ipv4_header(Host::kOwn, Host::kPeer, kProtocol);
    header.total_length = total_length;
    return ipv4(header, pattern(8));
  }
  void receive(const Bytes& packet) { host.receive(wire::kEtherTypeIpv4, packet); }

  RecordingTransport transport;
  Host host;
};

// --- echo

TEST_F(Icmp, EchoRequestIsAnsweredWithTheSameDataFromTheAddressThatWasAsked) {  // RFC 1122 §3.2.2.6
  receive(ping(Host::kOwn, bytes_of("hello there")));
  const auto packet = only_sent();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->ethernet, (wire::EthernetHeader{Host::kPeerMac, Host::kOwnMac, wire::kEtherTypeIpv4}));
  EXPECT_EQ(packet->ip.source, Host::kOwn);
  EXPECT_EQ(packet->ip.destination, Host::kPeer);
  EXPECT_FALSE(packet->ip.dont_fragment);
  EXPECT_EQ(internet_checksum(packet->payload), 0);
  const auto reply = Icmpv4Header::parse(packet->payload);
  EXPECT_EQ(reply->type, Icmpv4Header::kEchoReply);
  EXPECT_EQ(reply->identifier(), 7);
  EXPECT_EQ(reply->sequence(), 1);
  EXPECT_EQ(Bytes(packet->payload.begin() + 8, packet->payload.end()), bytes_of("hello there"));
  EXPECT_EQ(host.count(Counter::kIcmpInEchos), 1u);
  EXPECT_EQ(host.count(Counter::kIcmpOutEchoReps), 1u);
}

TEST_F(Icmp, EchoOfTheLargestDatagramIsReassembledAnsweredAndFragmented) {
  const Bytes data = pattern(65507);
  const Bytes message = echo_request(9, 2, data);
  auto header = ipv4_header(Host::kPeer, Host::kOwn, wire::kProtocolIcmp);
  header.identification = 77;
  for (std::size_t at = 0; at < message.size(); at += 1480) {
    const std::size_t end = std::min(at + 1480, message.size());
    header.fragment_offset = static_cast<std::uint16_t>(at);
    header.more_fragments = end < message.size();
    host.device.inject(ethernet(Host::kOwnMac, Host::kPeerMac, wire::kEtherTypeIpv4,
                                ipv4(header, Bytes(message.begin() + static_cast<std::ptrdiff_t>(at),
                                                   message.begin() + static_cast<std::ptrdiff_t>(end)))));
  }
  host.turn();
  Bytes answer;
  for (const SentFrame& frame : host.device.take_sent()) {
    const auto packet = sent_packet(frame);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->ip.fragment_offset, answer.size());
    answer.insert(answer.end(), packet->payload.begin(), packet->payload.end());
  }
  ASSERT_EQ(answer.size(), message.size());
  EXPECT_EQ(internet_checksum(answer), 0);
  EXPECT_EQ(Bytes(answer.begin() + 8, answer.end()), data);
}

TEST_F(Icmp, EchoRequestToABroadcastAddressIsNotAnswered) {  // RFC 1122 §3.2.2.6
  for (const char* to : {"198.18.0.255", "255.255.255.255"})
    host.receive_broadcast(wire::kEtherTypeIpv4, ping(*IpAddress::parse(to), pattern(10)));
  EXPECT_TRUE(host.device.sent().empty());
  EXPECT_EQ(host.count(Counter::kIcmpInBroadcastEcho), 2u);
}

TEST_F(Icmp, WrongChecksumOrShortMessageIsCounted) {
  Bytes packet = ping(Host::kOwn, pattern(10));
  packet.back() ^= 1;
  receive(packet);
  EXPECT_EQ(host.count(Counter::kIcmpInCsumErrors), 1u);
  for (std::size_t size = 0; size < 8; ++size)
    receive(ipv4(ipv4_header(Host::kPeer, Host::kOwn, wire::kProtocolIcmp), Bytes(size)));
  EXPECT_EQ(host.count(Counter::kIcmpInErrors), 9u);
  EXPECT_TRUE(host.device.sent().empty());
}

TEST_F(Icmp, WePingOurselves) {
  PacketPtr packet = host.pool.allocate(100);
  const Bytes request = echo_request(1, 1, pattern(50));
  std::copy(request.begin(), request.end(), packet->put(static_cast<std::uint32_t>(request.size())));
  packet->set_transport_header();
  ip::OutputOptions options;
  options.destination = IpAddress::v4(127, 0, 0, 1);
  options.protocol = wire::kProtocolIcmp;
  ASSERT_TRUE(host.ip.output(std::move(packet), options, host.now).ok());
  host.turn();
  EXPECT_EQ(host.count(Counter::kIcmpInEchos), 1u);
  EXPECT_EQ(host.count(Counter::kIcmpInEchoReps), 1u);
  EXPECT_TRUE(host.device.sent().empty());
}

// --- errors in

TEST_F(Icmp, ErrorAboutOurPacketReachesItsTransport) {  // RFC 1122 §3.2.2.1
  const struct {
    std::uint8_t type, code;
    Kind kind;
  } cases[] = {{3, 0, Kind::kNetworkUnreachable},  {3, 1, Kind::kHostUnreachable},
               {3, 2, Kind::kProtocolUnreachable}, {3, 3, Kind::kPortUnreachable},
               {3, 5, Kind::kHostUnreachable},     {3, 6, Kind::kNetworkUnreachable},
               {3, 7, Kind::kHostUnreachable},     {3, 8, Kind::kHostUnreachable},
               {3, 9, Kind::kProhibited},          {3, 10, Kind::kProhibited},
               {3, 11, Kind::kNetworkUnreachable}, {3, 12, Kind::kHostUnreachable},
               {3, 13, Kind::kProhibited},         {3, 14, Kind::kProhibited},
               {3, 15, Kind::kProhibited},         {11, 0, Kind::kTimeExceeded},
               {11, 1, Kind::kTimeExceeded},       {12, 0, Kind::kParameterProblem}};
  for (const auto& c : cases) {
    transport.errors.clear();
    receive(error(c.type, c.code, 0, our_packet()));
    ASSERT_EQ(transport.errors.size(), 1u) << int{c.type} << '/' << int{c.code};
    const ip::IcmpError& e = transport.errors[0];
    EXPECT_EQ(e.kind, c.kind) << int{c.type} << '/' << int{c.code};
    EXPECT_EQ(e.source, Host::kOwn);
    EXPECT_EQ(e.destination, Host::kPeer);
    EXPECT_EQ(e.reporter, Host::kGateway);
    EXPECT_FALSE(e.local);
    EXPECT_TRUE(std::equal(e.transport_header.begin(), e.transport_header.end(), pattern(8).begin()));
  }
}

TEST_F(Icmp, ErrorAboutAPacketWeCannotHaveSentIsCountedAndIgnored) {  // RFC 1122 §3.2.2
  auto foreign = ipv4_header(Host::kPeer, Host::kGateway, kProtocol);
  receive(error(3, 3, 0, ipv4(foreign, pattern(8))));
  auto later_fragment = ipv4_header(Host::kOwn, Host::kPeer, kProtocol);
  later_fragment.fragment_offset = 1480;
  receive(error(3, 3, 0, ipv4(later_fragment, pattern(8))));
  Bytes cut = our_packet();
  cut.resize(27);
  receive(error(3, 3, 0, cut));
  Bytes garbage = our_packet();
  garbage[0] = 0x65;
  receive(error(3, 3, 0, garbage));
  receive(error(3, 3, 0, {}));
  EXPECT_TRUE(transport.errors.empty());
  EXPECT_EQ(host.count(Counter::kIcmpInErrors), 5u);
}

TEST_F(Icmp, RedirectsAndSourceQuenchesChangeNothing) {  // RFC 6633
  const auto before = host.ip.route_generation();
  receive(error(5, 1, Host::kPeer.v4_value(), our_packet()));
  receive(error(4, 0, 0, our_packet()));
  receive(error(3, 77, 0, our_packet()));
  EXPECT_TRUE(transport.errors.empty());
  EXPECT_EQ(host.ip.route_generation(), before);
  EXPECT_EQ(host.count(Counter::kIcmpInRedirects), 1u);
  EXPECT_EQ(host.count(Counter::kIcmpInSrcQuenchs), 1u);
}

TEST_F(Icmp, FragmentationNeededIsOnlyAClaimUntilTheTransportConfirmsIt) {  // RFC 1191, RFC 5927 §7
  receive(error(3, 4, 1280, our_packet(1500)));
  ASSERT_EQ(transport.errors.size(), 1u);
  EXPECT_EQ(transport.errors[0].kind, Kind::kFragmentationNeeded);
  EXPECT_EQ(transport.errors[0].mtu, 1280u);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 1500u);
  host.ip.confirm_path_mtu(Host::kPeer, transport.errors[0].mtu, host.now);
  EXPECT_EQ(host.ip.route(Host::kPeer, host.now)->mtu, 1280u);
}

TEST_F(Icmp, FragmentationNeededWithoutAnMtuMeansTheNextPlateau) {  // RFC 1191 §5, §7
  receive(error(3, 4, 0, our_packet(1500)));
  ASSERT_EQ(transport.errors.size(), 1u);
  EXPECT_EQ(transport.errors[0].mtu, 1492u);
  receive(error(3, 4, 20, our_packet(1500)));
  EXPECT_EQ(transport.errors[1].mtu, 552u) << "clamped";
  receive(error(3, 4, 9000, our_packet(1500)));
  EXPECT_EQ(transport.errors[2].mtu, 1500u) << "never above what is in force";
}

// --- errors out

TEST_F(Icmp, PortUnreachableQuotesThePacketAndComesFromTheAddressItWasFor) {  // RFC 1812 §4.3.2.3
  auto header = ipv4_header(Host::kPeer, Host::kOwn, 200);
  header.tos = 0x08;
  const Bytes offending = ipv4(header, pattern(1000));
  receive(offending);
  const auto packet = only_sent();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->ip.source, Host::kOwn);
  EXPECT_EQ(packet->ip.destination, Host::kPeer);
  EXPECT_EQ(packet->ip.tos, 0xc8);
  EXPECT_EQ(packet->ip.total_length, 576);
  EXPECT_EQ(internet_checksum(packet->payload), 0);
  EXPECT_EQ(Bytes(packet->payload.begin() + 8, packet->payload.end()),
            Bytes(offending.begin(), offending.begin() + 576 - 28));
}

TEST_F(Icmp, NoErrorIsSentWhereTheRuleForbidsIt) {  // RFC 1122 §3.2.2
  // About an ICMP error, or an ICMP type nobody knows. (Sent straight to the function: input answers none.)
  const auto provoke = [&](const Bytes& ip_packet, bool broadcast, bool link_broadcast) {
    PacketPtr packet = host.pool.allocate(ip_packet.size());
    std::copy(ip_packet.begin(), ip_packet.end(), packet->put(static_cast<std::uint32_t>(ip_packet.size())));
    packet->set_network_header();
    packet->pull(20);
    packet->link_broadcast = link_broadcast;
    ip::PacketInfo info;
    info.broadcast = broadcast;
    host.ip.send_port_unreachable(*packet, info, host.now);
  };
  const auto plain = ipv4_header(Host::kPeer, Host::kOwn, kProtocol);
  Icmpv4Header icmp_error;
  icmp_error.type = Icmpv4Header::kDestinationUnreachable;
  provoke(ipv4(ipv4_header(Host::kPeer, Host::kOwn, wire::kProtocolIcmp), icmp(icmp_error, our_packet())),
          false, false);
  provoke(ipv4(plain, pattern(10)), true, false);
  provoke(ipv4(plain, pattern(10)), false, true);
  auto fragment = plain;
  fragment.fragment_offset = 8;
  provoke(ipv4(fragment, pattern(10)), false, false);
  for (const char* source : {"0.0.0.0", "224.0.0.5", "255.255.255.255", "241.0.0.1"}) {
    auto strange = plain;
    strange.source = *IpAddress::parse(source);
    provoke(ipv4(strange, pattern(10)), false, false);
  }
  host.turn();
  EXPECT_TRUE(host.device.take_sent().empty());
  EXPECT_EQ(host.count(Counter::kIcmpOutSuppressed), 8u);
  provoke(ipv4(plain, pattern(10)), false, false);
  host.turn();
  EXPECT_EQ(host.device.take_sent().size(), 1u) << "the plain case does send";
}

class SlowIcmp : public Icmp {
 protected:
  static Host::Options slow() {
    Host::Options options;
    options.ip.icmp_errors_per_second = 10;
    return options;
  }
  SlowIcmp() : Icmp(slow()) {}
};

TEST_F(SlowIcmp, ErrorsAreLimitedInRate) {  // RFC 1812 §4.3.2.8
  const auto provoke = [&](int times) {
    for (int i = 0; i < times; ++i) host.receive_ip(ipv4_header(Host::kPeer, Host::kOwn, 200), pattern(10));
    return host.device.take_sent().size();
  };
  EXPECT_EQ(provoke(200), 50u) << "the burst";
  EXPECT_EQ(host.count(Counter::kIcmpOutRateLimitHost), 150u);
  host.advance(1s);
  EXPECT_EQ(provoke(200), 10u);
  host.advance(100ms);
  EXPECT_EQ(provoke(200), 1u);
  for (int i = 0; i < 30; ++i) receive(ping(Host::kOwn, pattern(4)));
  EXPECT_EQ(host.device.take_sent().size(), 30u) << "answers to pings are not errors";
}

TEST(TokenBucket, FillsWithTimeUpToItsBurst) {
  Instant now = kEpoch + 5s;
  ip::TokenBucket bucket(100, 3);
  const auto taken = [&](int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += bucket.take(now);
    return count;
  };
  EXPECT_EQ(taken(10), 3);
  now += 9ms;
  EXPECT_EQ(taken(10), 0);
  now += 1ms;
  EXPECT_EQ(taken(10), 1);
  now += 25ms;
  EXPECT_EQ(taken(10), 2);
  now += 5ms;
  EXPECT_EQ(taken(10), 1) << "the half interval is not lost";
  now += 1h;
  EXPECT_EQ(taken(10), 3);
}

}  // namespace
}  // namespace millrace::test
