#include <gtest/gtest.h>

#include "support/host.h"

namespace millrace::test {
namespace {

using link::NeighbourCounter;
using wire::ArpPacket;

constexpr MacAddress kNobody{};
constexpr IpAddress kOther = IpAddress::v4(198, 18, 0, 3);
constexpr MacAddress kOtherMac{{0x02, 0, 0, 0, 0, 3}};

ArpPacket request_from_peer(const IpAddress& target) {
  return {ArpPacket::kRequest, Host::kPeerMac, Host::kPeer, kNobody, target};
}
ArpPacket reply_from_peer() {
  return {ArpPacket::kReply, Host::kPeerMac, Host::kPeer, Host::kOwnMac, Host::kOwn};
}

/// Sends a small IP packet to the peer.
void send(Host& host, const IpAddress& to = Host::kPeer, std::uint8_t mark = 0) {
  PacketPtr packet = host.pool.allocate(8);
  const std::span<std::uint8_t> bytes{packet->put(8), 8};
  std::fill(bytes.begin(), bytes.end(), mark);
  packet->set_transport_header();
  ip::OutputOptions options;
  options.destination = to;
  options.protocol = 99;
  EXPECT_TRUE(host.ip.output(std::move(packet), options, host.now).ok());
  host.turn();
}

std::vector<ArpPacket> sent_arps(Host& host) {
  std::vector<ArpPacket> arps;
  for (const SentFrame& frame : host.device.take_sent()) {
    if (const auto packet = sent_arp(frame)) arps.push_back(*packet);
  }
  return arps;
}
std::size_t sent_ip_packets(Host& host) {
  const auto frames = host.device.take_sent();
  return static_cast<std::size_t>(std::count_if(
      frames.begin(), frames.end(), [](const SentFrame& frame) { return sent_packet(frame).has_value(); }));
}

TEST(Arp, RequestForOurAddressIsAnsweredToTheSender) {  // RFC 826
  Host host;
  host.receive_broadcast(wire::kEtherTypeArp, arp(request_from_peer(Host::kOwn)));
  const auto frames = host.device.take_sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(wire::EthernetHeader::parse(frames[0].bytes),
            (wire::EthernetHeader{Host::kPeerMac, Host::kOwnMac, wire::kEtherTypeArp}));
  EXPECT_EQ(sent_arp(frames[0]),
            (ArpPacket{ArpPacket::kReply, Host::kOwnMac, Host::kOwn, Host::kPeerMac, Host::kPeer}));
}

TEST(Arp, RequestForSomebodyElseIsNeitherAnsweredNorLearned) {
  Host host;
  host.receive_broadcast(wire::kEtherTypeArp, arp(request_from_peer(kOther)));
  EXPECT_TRUE(host.device.sent().empty());
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
  EXPECT_EQ(host.count(NeighbourCounter::kArpIgnored), 1u);
}

TEST(Arp, AnswerNobodyAskedForIsNotLearned) {
  Host host;
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
}

TEST(Arp, WhoAsksForUsIsLearnedAndNotAskedAgain) {  // RFC 826: the sender's pair is merged
  Host host;
  host.receive_broadcast(wire::kEtherTypeArp, arp(request_from_peer(Host::kOwn)));
  (void)host.device.take_sent();
  send(host);
  EXPECT_EQ(sent_ip_packets(host), 1u);
}

TEST(Arp, WhoAsksForUsFromAnotherSubnetIsAnsweredButNotLearned) {
  Host host;
  ArpPacket request = request_from_peer(Host::kOwn);
  request.sender_ip = Host::kFar;
  host.receive_broadcast(wire::kEtherTypeArp, arp(request));
  EXPECT_EQ(sent_arps(host).size(), 1u);
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
}

TEST(Arp, PacketWaitsForTheAnswerAndThenGoes) {
  Host host;
  send(host);
  ASSERT_EQ(host.device.sent().size(), 1u);
  const auto frames = host.device.take_sent();
  EXPECT_EQ(wire::EthernetHeader::parse(frames[0].bytes)->destination, MacAddress::broadcast());
  EXPECT_EQ(sent_arp(frames[0]),
            (ArpPacket{ArpPacket::kRequest, Host::kOwnMac, Host::kOwn, kNobody, Host::kPeer}));
  EXPECT_EQ(host.interface->neighbours().queued_packets(), 1u);
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  const auto after = host.device.take_sent();
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(sent_packet(after[0])->ethernet.destination, Host::kPeerMac);
  EXPECT_EQ(host.interface->neighbours().queued_packets(), 0u);
}

TEST(Arp, RequestIsRepeatedOnceASecondThreeTimesAndThenThePacketsFail) {  // RFC 1122 §2.3.2.1
  Host host;
  send(host);
  send(host);
  EXPECT_EQ(sent_arps(host).size(), 1u) << "a second packet asks no second time";
  host.advance(999ms);
  EXPECT_EQ(sent_arps(host).size(), 0u);
  host.advance(1ms);
  EXPECT_EQ(sent_arps(host).size(), 1u);
  host.advance(1s);
  EXPECT_EQ(sent_arps(host).size(), 1u);
  EXPECT_EQ(host.count(NeighbourCounter::kUnreachable), 0u);
  host.advance(1s);
  EXPECT_EQ(sent_arps(host).size(), 0u);
  EXPECT_EQ(host.count(NeighbourCounter::kUnreachable), 1u);
  EXPECT_EQ(host.count(ip::Counter::kNeighbourFailed), 2u);
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
  EXPECT_EQ(host.pool.packets_in_use(), 0u);
  send(host);
  EXPECT_EQ(sent_arps(host).size(), 1u) << "a later packet tries again";
}

TEST(Arp, FullQueueDropsTheOldestPacket) {  // RFC 1122 §2.3.2.2: the latest packet is kept
  Host::Options options;
  options.interface.neighbours.queue_packets = 3;
  Host host(options);
  for (std::uint8_t i = 1; i <= 5; ++i) send(host, Host::kPeer, i);
  EXPECT_EQ(host.count(NeighbourCounter::kQueueDropped), 2u);
  (void)host.device.take_sent();
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  std::vector<int> marks;
  for (const SentFrame& frame : host.device.take_sent()) marks.push_back(sent_packet(frame)->payload[0]);
  EXPECT_EQ(marks, (std::vector<int>{3, 4, 5}));
}

TEST(Arp, AllQueuesTogetherAreBounded) {
  Host::Options options;
  options.interface.neighbours.queued_packets_total = 4;
  Host host(options);
  for (std::uint8_t i = 10; i < 20; ++i) send(host, IpAddress::v4(198, 18, 0, i));
  EXPECT_EQ(host.interface->neighbours().queued_packets(), 4u);
  EXPECT_EQ(host.count(NeighbourCounter::kQueueDropped), 6u);
  EXPECT_EQ(host.pool.packets_in_use(), 4u);
}

TEST(Arp,
     ReachableNeighbourGoesStaleIsUsedOnAndProbedByUnicast) {  // RFC 4861 §7.3.2 as Linux applies it to ARP
  Host host;
  send(host);
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  (void)host.device.take_sent();
  host.advance(46s);  // beyond 1.5 x 30 s
  send(host);
  EXPECT_EQ(sent_ip_packets(host), 1u) << "a stale entry is still used";
  host.advance(4900ms);
  EXPECT_TRUE(host.device.sent().empty());
  host.advance(100ms);
  auto frames = host.device.take_sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(wire::EthernetHeader::parse(frames[0].bytes)->destination, Host::kPeerMac);
  EXPECT_EQ(sent_arp(frames[0])->target_ip, Host::kPeer);
  EXPECT_EQ(host.count(NeighbourCounter::kArpProbesSent), 1u);
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  host.advance(10s);
  EXPECT_TRUE(sent_arps(host).empty()) << "the answer ends the probing";
}

TEST(Arp, UnansweredProbesForgetTheNeighbour) {
  Host host;
  send(host);
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  host.advance(46s);
  send(host);
  (void)host.device.take_sent();
  for (int i = 0; i < 5; ++i) host.advance(1s);
  for (int i = 0; i < 3; ++i) host.advance(1s);
  EXPECT_EQ(sent_arps(host).size(), 3u);
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
}

TEST(Arp, ConfirmationFromAboveSavesTheProbe) {  // RFC 4861 §7.3.1
  Host host;
  send(host);
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  host.advance(46s);
  send(host);
  (void)host.device.take_sent();
  host.interface->neighbours().confirm(Host::kPeer, host.now);
  for (int i = 0; i < 10; ++i) host.advance(1s);
  EXPECT_TRUE(sent_arps(host).empty());
}

TEST(Arp, KnownNeighbourThatMovesIsFollowed) {
  Host host;
  send(host);
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  (void)host.device.take_sent();
  // A gratuitous ARP about an entry that is there.
  host.receive_broadcast(wire::kEtherTypeArp,
                         arp({ArpPacket::kRequest, kOtherMac, Host::kPeer, kNobody, Host::kPeer}));
  send(host);
  const auto frames = host.device.take_sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(sent_packet(frames[0])->ethernet.destination, kOtherMac);
}

TEST(Arp, WhatConfirmsNothingNewChangesNothing) {  // RFC 4861 §7.2.5: unsolicited, the same address
  Host host;
  send(host);
  host.receive(wire::kEtherTypeArp, arp(reply_from_peer()));
  host.receive_broadcast(wire::kEtherTypeArp, arp(request_from_peer(Host::kOwn)));
  (void)host.device.take_sent();
  send(host);
  for (int i = 0; i < 10; ++i) host.advance(1s);
  EXPECT_TRUE(sent_arps(host).empty()) << "still reachable: nothing to probe";
}

TEST(Arp, PoisonousOrBrokenPacketsAreCountedAndChangeNothing) {
  Host host;
  std::vector<Bytes> bad;
  bad.push_back(arp(request_from_peer(Host::kOwn)));
  bad.back().resize(27);
  bad.push_back(arp(request_from_peer(Host::kOwn)));
  bad.back()[1] = 6;  // not Ethernet
  bad.push_back(arp(request_from_peer(Host::kOwn)));
  bad.back()[7] = 3;  // neither request nor reply
  for (const MacAddress& mac : {MacAddress::broadcast(), kNobody, MacAddress{{0x01, 0, 0x5e, 0, 0, 1}}}) {
    ArpPacket packet = request_from_peer(Host::kOwn);
    packet.sender_mac = mac;
    bad.push_back(arp(packet));
  }
  for (const IpAddress& address :
       {IpAddress::v4(255, 255, 255, 255), IpAddress::v4(224, 0, 0, 1), IpAddress::v4(127, 0, 0, 1)}) {
    ArpPacket packet = request_from_peer(Host::kOwn);
    packet.sender_ip = address;
    bad.push_back(arp(packet));
  }
  for (const Bytes& bytes : bad) host.receive_broadcast(wire::kEtherTypeArp, bytes);
  EXPECT_EQ(host.count(NeighbourCounter::kArpMalformed), bad.size());
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
  EXPECT_TRUE(host.device.sent().empty());
}

TEST(Arp, AForgottenNeighbourIsAskedForAgain) {
  Host host;
  host.receive_broadcast(wire::kEtherTypeArp, arp(request_from_peer(Host::kOwn)));
  (void)host.device.take_sent();
  send(host, Host::kPeer);
  EXPECT_EQ(sent_ip_packets(host), 1u);
  host.interface->neighbours().clear();
  (void)host.device.take_sent();
  send(host, Host::kPeer);
  EXPECT_EQ(sent_arps(host).size(), 1u);
  EXPECT_EQ(sent_ip_packets(host), 0u);
}

TEST(Arp, TableIsBoundedAndEvictsWhatWasUsedLongestAgo) {
  Host::Options options;
  options.interface.neighbours.entries = 8;
  Host host(options);
  const auto ask = [&](std::uint8_t last) {
    host.receive_broadcast(wire::kEtherTypeArp, arp({ArpPacket::kRequest, MacAddress{{2, 0, 0, 0, 1, last}},
                                                     IpAddress::v4(198, 18, 0, last), kNobody, Host::kOwn}));
  };
  for (std::uint8_t i = 10; i < 18; ++i) ask(i);
  for (std::uint8_t i = 10; i < 18; ++i) {
    host.advance(10ms);
    if (i != 13) send(host, IpAddress::v4(198, 18, 0, i));
  }
  ask(99);
  EXPECT_EQ(host.interface->neighbours().size(), 8u);
  EXPECT_EQ(host.count(NeighbourCounter::kEvicted), 1u);
  (void)host.device.take_sent();
  send(host, IpAddress::v4(198, 18, 0, 12));
  EXPECT_EQ(sent_ip_packets(host), 1u) << "still there";
  send(host, IpAddress::v4(198, 18, 0, 13));
  EXPECT_EQ(sent_arps(host).size(), 1u) << "gone: asked for again";
}

TEST(Arp, StaticEntryIsNeverAskedForNorChanged) {
  Host host;
  host.know_neighbours();
  host.receive_broadcast(wire::kEtherTypeArp,
                         arp({ArpPacket::kRequest, kOtherMac, Host::kPeer, kNobody, Host::kOwn}));
  (void)host.device.take_sent();
  host.advance(1000s);
  send(host);
  const auto frames = host.device.take_sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(sent_packet(frames[0])->ethernet.destination, Host::kPeerMac);
}

// --- our own addresses: RFC 5227

TEST(AddressConflict, ProbeForOurAddressIsAnsweredAndTeachesNothing) {  // RFC 5227 §2.4: defending
  Host host;
  host.receive_broadcast(wire::kEtherTypeArp,
                         arp({ArpPacket::kRequest, kOtherMac, IpAddress{}, kNobody, Host::kOwn}));
  const auto arps = sent_arps(host);
  ASSERT_EQ(arps.size(), 1u);
  EXPECT_EQ(arps[0], (ArpPacket{ArpPacket::kReply, Host::kOwnMac, Host::kOwn, kOtherMac, IpAddress{}}));
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
}

TEST(AddressConflict, AddressesAreProbedAndAnnouncedAtOnceAndAnnouncedAgain) {  // RFC 5227 §2.1.1, §2.3
  Host::Options options;
  options.interface.probe_addresses = true;
  Host host(options);
  host.turn();
  auto arps = sent_arps(host);
  ASSERT_EQ(arps.size(), 2u);
  EXPECT_EQ(arps[0], (ArpPacket{ArpPacket::kRequest, Host::kOwnMac, IpAddress{}, kNobody, Host::kOwn}));
  EXPECT_EQ(arps[1], (ArpPacket{ArpPacket::kRequest, Host::kOwnMac, Host::kOwn, kNobody, Host::kOwn}));
  host.advance(3s);
  arps = sent_arps(host);
  ASSERT_EQ(arps.size(), 1u);
  EXPECT_EQ(arps[0].sender_ip, Host::kOwn);
  host.advance(100s);
  EXPECT_TRUE(sent_arps(host).empty());
}

TEST(AddressConflict, IsCountedEachTimeAndDefendedOnceInTenSeconds) {  // RFC 5227 §2.4(c)
  Host host;
  const Bytes usurper = arp({ArpPacket::kReply, kOtherMac, Host::kOwn, kNobody, Host::kOwn});
  host.receive_broadcast(wire::kEtherTypeArp, usurper);
  auto arps = sent_arps(host);
  ASSERT_EQ(arps.size(), 1u);
  EXPECT_EQ(arps[0], (ArpPacket{ArpPacket::kRequest, Host::kOwnMac, Host::kOwn, kNobody, Host::kOwn}));
  host.advance(9s);
  host.receive_broadcast(wire::kEtherTypeArp, usurper);
  EXPECT_TRUE(sent_arps(host).empty());
  host.advance(1s);
  host.receive_broadcast(wire::kEtherTypeArp, usurper);
  EXPECT_EQ(sent_arps(host).size(), 1u);
  EXPECT_EQ(host.count(NeighbourCounter::kConflictsSeen), 3u);
  EXPECT_EQ(host.count(NeighbourCounter::kConflictsDefended), 2u);
  EXPECT_EQ(host.interface->neighbours().size(), 0u);
}

TEST(AddressConflict, OurOwnFramesComingBackAreNone) {
  Host host;
  host.receive_broadcast(wire::kEtherTypeArp,
                         arp({ArpPacket::kRequest, Host::kOwnMac, Host::kOwn, kNobody, Host::kOwn}));
  EXPECT_EQ(host.count(NeighbourCounter::kConflictsSeen), 0u);
}

}  // namespace
}  // namespace millrace::test
