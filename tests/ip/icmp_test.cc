#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/host.h"

namespace millrace::test {
namespace {

using ip::Counter;
using wire::Icmpv4Header;

Bytes ping(const IpAddress& to, const Bytes& data) {
  return ipv4(ipv4_header(Host::kPeer, to, wire::kProtocolIcmp), echo_request(7, 1, data));
}

TEST(Icmp, EchoRequestIsAnsweredWithTheSameDataFromTheAddressThatWasAsked) {  // RFC 1122 §3.2.2.6
  Host host;
  host.know_neighbours();
  host.receive(wire::kEtherTypeIpv4, ping(Host::kOwn, bytes_of("hello there")));
  const auto sent = host.device.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  const auto packet = sent_packet(sent[0]);
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
  EXPECT_EQ(host.pool.packets_in_use(), 0u);
}

}  // namespace
}  // namespace millrace::test
