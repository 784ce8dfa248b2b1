// A transport that wants to know of packets before their turn.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/host.h"
#include "wire/ip_protocol.h"

namespace millrace::test {
namespace {

using testing::ElementsAre;

/// In place of TCP; packets are known by their first byte.
class FarSighted final : public ip::Transport {
 public:
  std::size_t depth = 3;
  std::vector<std::string> events;

  void on_packet(PacketPtr packet, const ip::PacketInfo&, Instant) override {
    events.push_back(std::string("turn of ") + static_cast<char>(packet->data()[0]));
  }
  void on_icmp_error(const ip::IcmpError&, Instant) override {}
  [[nodiscard]] std::size_t looks_ahead() const override { return depth; }
  void expect(std::span<const std::uint8_t> addresses, std::span<const std::uint8_t> packet) override {
    if (packet.empty()) {
      events.emplace_back("none");
      return;
    }
    EXPECT_THAT(addresses, ElementsAre(198, 18, 0, 2, 198, 18, 0, 1));
    events.push_back(std::string(1, static_cast<char>(packet[0])));
  }
};

class Lookahead : public testing::Test {
 protected:
  Lookahead() { host_.ip.register_transport(wire::kProtocolTcp, transport_); }

  void inject(char name, std::uint8_t protocol = wire::kProtocolTcp) {
    Bytes payload(40);
    payload[0] = static_cast<std::uint8_t>(name);
    host_.device.inject(ethernet(Host::kOwnMac, Host::kPeerMac, wire::kEtherTypeIpv4,
                                 ipv4(ipv4_header(Host::kPeer, Host::kOwn, protocol), payload)));
  }

  Host host_;
  FarSighted transport_;
};

TEST_F(Lookahead, EachPacketIsToldOfSoManyPacketsBeforeItsTurn) {
  for (const char name : std::string("abcde")) inject(name);
  host_.turn();
  EXPECT_THAT(transport_.events, ElementsAre("a", "b", "c", "d", "turn of a", "e", "turn of b", "none",
                                             "turn of c", "none", "turn of d", "none", "turn of e"));
}

TEST_F(Lookahead, WhatIsNotTheTransportsCountsAsNone) {
  inject('a');
  inject('b', 99);
  host_.device.inject(ethernet(Host::kOwnMac, Host::kPeerMac, 0x88cc, pattern(46)));
  host_.device.inject(Bytes(7));
  host_.device.inject(ethernet(Host::kOwnMac, Host::kPeerMac, wire::kEtherTypeIpv4, Bytes(19)));
  inject('c');
  host_.turn();
  EXPECT_THAT(transport_.events, ElementsAre("a", "none", "none", "none", "turn of a", "none", "c", "none",
                                             "none", "none", "turn of c"));
}

TEST_F(Lookahead, AFewPacketsComeToTheirTurnAtOnce) {
  for (const char name : std::string("abc")) inject(name);
  host_.turn();
  EXPECT_THAT(transport_.events, ElementsAre("turn of a", "turn of b", "turn of c"));
}

TEST_F(Lookahead, WhoDoesNotWantToKnowIsNotTold) {
  transport_.depth = 0;
  for (const char name : std::string("abcde")) inject(name);
  host_.turn();
  EXPECT_THAT(transport_.events,
              ElementsAre("turn of a", "turn of b", "turn of c", "turn of d", "turn of e"));
}

TEST_F(Lookahead, FurtherThanThereArePackets) {
  transport_.depth = 16;
  for (const char name : std::string("abcd")) inject(name);
  host_.turn();
  EXPECT_EQ(transport_.events.size(), 16u + 4 + 4);
  EXPECT_EQ(transport_.events.back(), "turn of d");
}

}  // namespace
}  // namespace millrace::test
