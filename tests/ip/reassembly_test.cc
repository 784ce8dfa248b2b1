#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/host.h"
#include "support/recording_transport.h"

namespace millrace::test {
namespace {

using ip::Counter;
constexpr std::uint8_t kProtocol = 99;

class Reassembly : public ::testing::Test {
 protected:
  explicit Reassembly(const Host::Options& options = {}) : host(options) {
    host.know_neighbours();
    host.ip.register_transport(kProtocol, transport);
  }
  ~Reassembly() override {
    host.advance(60s);
    for (int i = 0; i < 5; ++i) host.advance(1s);  // errors to sources that answer no ARP
    EXPECT_EQ(host.ip.reassembler().datagrams(), 0u);
    EXPECT_EQ(host.ip.reassembler().bytes_held(), 0u);
    EXPECT_EQ(host.pool.packets_in_use(), 0u);
    EXPECT_EQ(host.pool.buffers_in_use(), 0u);
  }

  /// Bytes [from, to) of data as a fragment.
  Bytes piece(const Bytes& data, std::size_t from, std::size_t to, std::uint16_t id = 1,
              bool force_more = false, std::uint8_t protocol = kProtocol,
              const IpAddress& source = Host::kPeer) {
    auto header = ipv4_header(source, Host::kOwn, protocol);
    header.identification = id;
    header.fragment_offset = static_cast<std::uint16_t>(from);
    header.more_fragments = force_more || to < data.size();
    return ipv4(header, Bytes(data.begin() + static_cast<std::ptrdiff_t>(from),
                              data.begin() + static_cast<std::ptrdiff_t>(to)));
  }
  void receive(const Bytes& packet) { host.receive(wire::kEtherTypeIpv4, packet); }

  RecordingTransport transport;
  Host host;
};

TEST_F(Reassembly, FragmentsInAnyOrderBecomeTheDatagram) {  // RFC 791 §3.2
  const Bytes data = pattern(4000);
  std::vector<std::size_t> order{0, 1, 2, 3};
  std::uint16_t id = 1;
  do {
    for (const std::size_t i : order) receive(piece(data, i * 1000, (i + 1) * 1000, id));
    ++id;
  } while (std::next_permutation(order.begin(), order.end()));
  ASSERT_EQ(transport.arrivals.size(), 24u);
  for (const auto& arrival : transport.arrivals) {
    ASSERT_EQ(arrival.data, data);
    EXPECT_EQ(arrival.header->total_length, 4020);
    EXPECT_FALSE(arrival.header->more_fragments);
    EXPECT_EQ(arrival.header->fragment_offset, 0);
  }
  EXPECT_EQ(host.count(Counter::kReasmReqds), 96u);
  EXPECT_EQ(host.count(Counter::kReasmOKs), 24u);
  EXPECT_EQ(host.count(Counter::kInDelivers), 24u);
}

TEST_F(Reassembly, LargestDatagramInTheSmallestFragmentsComesThroughShuffled) {
  const Bytes data = pattern(65515);
  std::vector<std::size_t> starts;
  constexpr std::size_t kStep = 48;  // MTU 68
  for (std::size_t at = 0; at < data.size(); at += kStep) starts.push_back(at);
  std::shuffle(starts.begin(), starts.end(), std::minstd_rand{7});
  for (const std::size_t at : starts) receive(piece(data, at, std::min(at + kStep, data.size())));
  ASSERT_EQ(transport.arrivals.size(), 1u);
  EXPECT_EQ(transport.arrivals[0].data, data);
  EXPECT_EQ(transport.arrivals[0].header->total_length, 65535);
}

TEST_F(Reassembly, DatagramsOfDifferentIdentificationProtocolOrSourceDoNotMix) {  // RFC 791 §3.2: BUFID
  const Bytes one = pattern(32), two(32, 0xaa), three(32, 0xbb), four(32, 0xcc);
  host.ip.register_transport(98, transport);
  const IpAddress other = IpAddress::v4(198, 18, 0, 9);
  receive(piece(one, 0, 16, 1));
  receive(piece(two, 0, 16, 2));
  receive(piece(three, 0, 16, 1, false, 98));
  receive(piece(four, 0, 16, 1, false, kProtocol, other));
  EXPECT_EQ(host.ip.reassembler().datagrams(), 4u);
  receive(piece(four, 16, 32, 1, false, kProtocol, other));
  receive(piece(three, 16, 32, 1, false, 98));
  receive(piece(two, 16, 32, 2));
  receive(piece(one, 16, 32, 1));
  ASSERT_EQ(transport.arrivals.size(), 4u);
  EXPECT_EQ(transport.arrivals[0].data, four);
  EXPECT_EQ(transport.arrivals[1].data, three);
  EXPECT_EQ(transport.arrivals[2].data, two);
  EXPECT_EQ(transport.arrivals[3].data, one);
}

TEST_F(Reassembly, ExactDuplicateIsIgnored) {
  const Bytes data = pattern(48);
  receive(piece(data, 0, 16));
  receive(piece(data, 0, 16));
  receive(piece(data, 32, 48));
  receive(piece(data, 32, 48));
  receive(piece(data, 16, 32));
  ASSERT_EQ(transport.arrivals.size(), 1u);
  EXPECT_EQ(transport.arrivals[0].data, data);
  EXPECT_EQ(host.count(Counter::kReasmDuplicates), 2u);
}

TEST_F(Reassembly, OverlapDropsTheWholeDatagramAndWhatStillComesOfIt) {  // RFC 5722 §4
  const Bytes data = pattern(64);
  const struct { std::size_t from, to; } overlaps[] = {{8, 24}, {0, 8}, {8, 16}, {0, 24}, {8, 40}};
  std::uint16_t id = 1;
  for (const auto& overlap : overlaps) {
    receive(piece(data, 0, 16, id));
    receive(piece(data, overlap.from, overlap.to, id));
    receive(piece(data, 0, 32, id));
    receive(piece(data, 16, 32, id));
    receive(piece(data, 32, 64, id));
    ++id;
  }
  EXPECT_TRUE(transport.arrivals.empty());
  EXPECT_EQ(host.count(Counter::kReasmOverlaps), 5u);
  EXPECT_EQ(host.count(Counter::kReasmFails), 5u);
  EXPECT_EQ(host.ip.reassembler().bytes_held(), 0u);
  EXPECT_EQ(host.pool.packets_in_use(), 0u);
}

TEST_F(Reassembly, LastFragmentsThatDisagreeDropTheDatagram) {
  const Bytes data = pattern(64);
  receive(piece(Bytes(48), 32, 48, 1));
  receive(piece(data, 48, 64, 1));  // beyond the end
  receive(piece(data, 48, 64, 2, true));
  receive(piece(Bytes(48), 32, 48, 2));  // an end before what is there
  EXPECT_EQ(host.count(Counter::kReasmInvalid), 2u);
  EXPECT_EQ(host.count(Counter::kReasmFails), 2u);
  EXPECT_EQ(host.ip.reassembler().bytes_held(), 0u);
}

TEST_F(Reassembly, ImpossibleFragmentsAreRefused) {
  auto header = ipv4_header(Host::kPeer, Host::kOwn, kProtocol);
  header.more_fragments = true;
  host.receive_ip(header, pattern(15));  // not a multiple of 8
  host.receive_ip(header, {});           // nothing
  header.more_fragments = false;
  header.fragment_offset = 65528;
  host.receive_ip(header, pattern(8));  // would end beyond 65,535: the ping of death
  EXPECT_EQ(host.count(Counter::kReasmInvalid), 3u);
  EXPECT_EQ(host.ip.reassembler().datagrams(), 0u);
}

TEST_F(Reassembly, FragmentsThatSplitTheTcpHeaderAreRefused) {  // RFC 1858 §3.1, RFC 3128
  RecordingTransport tcp;
  host.ip.register_transport(wire::kProtocolTcp, tcp);
  const Bytes data = pattern(64);
  receive(piece(data, 0, 8, 1, false, wire::kProtocolTcp));
  receive(piece(data, 8, 64, 2, false, wire::kProtocolTcp));
  EXPECT_EQ(host.count(Counter::kReasmTiny), 2u);
  EXPECT_EQ(host.ip.reassembler().datagrams(), 0u);
  receive(piece(data, 0, 24, 3, false, wire::kProtocolTcp));
  receive(piece(data, 24, 64, 3, false, wire::kProtocolTcp));
  EXPECT_EQ(tcp.arrivals.size(), 1u);
}

TEST_F(Reassembly, TimeoutTellsTheSenderWhenTheFirstFragmentCame) {  // RFC 792, RFC 1122 §3.3.2
  const Bytes data = pattern(64);
  receive(piece(data, 0, 32, 1));
  receive(piece(data, 32, 64, 2));
  EXPECT_EQ(host.ip.reassembler().datagrams(), 2u);
  host.advance(29900ms);
  EXPECT_EQ(host.ip.reassembler().datagrams(), 2u);
  EXPECT_TRUE(host.device.take_sent().empty());
  host.advance(100ms);
  EXPECT_EQ(host.ip.reassembler().datagrams(), 0u);
  EXPECT_EQ(host.count(Counter::kReasmTimeout), 2u);
  const auto sent = host.device.take_sent();
  ASSERT_EQ(sent.size(), 1u) << "only where fragment zero was there";
  const auto packet = sent_packet(sent[0]);
  const auto icmp = wire::Icmpv4Header::parse(packet->payload);
  EXPECT_EQ(icmp->type, wire::Icmpv4Header::kTimeExceeded);
  EXPECT_EQ(icmp->code, wire::Icmpv4Header::kReassemblyTimeExceeded);
  EXPECT_EQ(Bytes(packet->payload.begin() + 8, packet->payload.end()), piece(data, 0, 32, 1));
}

TEST_F(Reassembly, WaitingFragmentGivesTheDeviceItsStorageBack) {
  host.device.lends = true;
  const Bytes data = pattern(2000);
  receive(piece(data, 0, 1000));
  EXPECT_EQ(host.device.lent, 0u);
  receive(piece(data, 1000, 2000));
  ASSERT_EQ(transport.arrivals.size(), 1u);
  EXPECT_EQ(transport.arrivals[0].data, data);
  EXPECT_EQ(transport.arrivals[0].header->total_length, 2020);
}

TEST_F(Reassembly, DeviceVerdictOnAPieceSaysNothingOfTheWhole) {
  const Bytes data = pattern(32);
  Offload verified;
  verified.rx_checksum = Offload::RxChecksum::kVerified;
  for (const auto& [from, to] : {std::pair{0, 16}, std::pair{16, 32}}) {
    host.device.inject(ethernet(Host::kOwnMac, Host::kPeerMac, wire::kEtherTypeIpv4,
                                piece(data, static_cast<std::size_t>(from), static_cast<std::size_t>(to))),
                       verified);
  }
  host.turn();
  ASSERT_EQ(transport.arrivals.size(), 1u);
  EXPECT_EQ(transport.arrivals[0].offload.rx_checksum, Offload::RxChecksum::kUnknown);
}

TEST_F(Reassembly, FirstFragmentWithOptionsKeepsThemAndTheirLength) {
  const Bytes data = pattern(32);
  auto header = ipv4_header(Host::kPeer, Host::kOwn, kProtocol);
  header.identification = 5;
  header.more_fragments = true;
  receive(ipv4(header, Bytes(data.begin(), data.begin() + 16), {7, 7, 4, 0, 0, 0, 0, 0}));
  receive(piece(data, 16, 32, 5));
  ASSERT_EQ(transport.arrivals.size(), 1u);
  EXPECT_EQ(transport.arrivals[0].data, data);
  EXPECT_EQ(transport.arrivals[0].header->header_length, 28);
  EXPECT_EQ(transport.arrivals[0].header->total_length, 60);
}

class ReassemblyLimits : public Reassembly {
 protected:
  static Host::Options small() {
    Host::Options options;
    options.ip.reassembly_datagrams = 16;
    options.ip.reassembly_bytes = 64 * 1024;
    return options;
  }
  ReassemblyLimits() : Reassembly(small()) {}
};

TEST_F(ReassemblyLimits, OneSourceGetsAQuarterOfTheDatagramsAndLosesItsOldest) {
  const Bytes data = pattern(64);
  for (std::uint16_t id = 1; id <= 10; ++id) receive(piece(data, 0, 32, id));
  EXPECT_EQ(host.ip.reassembler().datagrams(), 4u);
  EXPECT_EQ(host.count(Counter::kReasmEvicted), 6u);
  receive(piece(data, 32, 64, 10));
  EXPECT_EQ(transport.arrivals.size(), 1u) << "the newest is there";
  receive(piece(data, 32, 64, 1));
  EXPECT_EQ(transport.arrivals.size(), 1u) << "the oldest is gone";
}

TEST_F(ReassemblyLimits, FloodOfOneSourceLeavesTheDatagramOfAnotherAlone) {
  const Bytes data = pattern(64);
  receive(piece(data, 0, 32, 1, false, kProtocol, IpAddress::v4(198, 18, 0, 50)));
  for (std::uint16_t id = 1; id <= 500; ++id) receive(piece(data, 0, 32, id));
  receive(piece(data, 32, 64, 1, false, kProtocol, IpAddress::v4(198, 18, 0, 50)));
  EXPECT_EQ(transport.arrivals.size(), 1u);
}

TEST_F(ReassemblyLimits, AllSourcesTogetherStayWithinTheLimits) {
  const Bytes data = pattern(1480);
  for (int i = 0; i < 2000; ++i) {
    const auto n = static_cast<std::uint8_t>(2 + i % 250);
    receive(
        piece(data, 0, 1400, static_cast<std::uint16_t>(i), false, kProtocol, IpAddress::v4(198, 18, 0, n)));
    ASSERT_LE(host.ip.reassembler().datagrams(), 16u);
    ASSERT_LE(host.ip.reassembler().bytes_held(), 64u * 1024);
  }
}

TEST_F(ReassemblyLimits, OneDatagramThatNeverEndsStaysWithinTheLimits) {
  const Bytes data = pattern(65000);
  for (std::size_t at = 0; at + 8 <= data.size(); at += 8) {
    receive(piece(data, at, at + 8, 1, true));
    ASSERT_LE(host.ip.reassembler().bytes_held(), 64u * 1024);
  }
  EXPECT_GT(host.count(Counter::kReasmEvicted) + host.count(Counter::kInDiscards), 0u);
}

}  // namespace
}  // namespace millrace::test
