#include "link/gro.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "frames.h"

namespace millrace::link {
namespace {

constexpr std::uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10, kUrg = 0x20,
                       kEce = 0x40, kCwr = 0x80;

class GroTest : public ::testing::Test {
 protected:
  ~GroTest() override {
    out.clear();
    EXPECT_EQ(pool.packets_in_use(), 0u);
    EXPECT_EQ(pool.buffers_in_use(), 0u);
  }

  /// The next `n` bytes of one stream.
  TcpFrame next(std::size_t n, std::uint8_t flags = kAck) {
    TcpFrame frame = stream;
    frame.flags = flags;
    frame.payload = random_bytes(random, n);
    stream.seq += static_cast<std::uint32_t>(n);
    ++stream.id;
    sent.insert(sent.end(), frame.payload.begin(), frame.payload.end());
    return frame;
  }

  void add(const TcpFrame& frame) { add(frame.packet()); }
  void add(const Bytes& packet) { gro.add(linear_packet(pool, packet), out); }
  void add(PacketPtr packet) { gro.add(std::move(packet), out); }

  std::vector<Bytes> taken() {
    gro.flush(out);
    std::vector<Bytes> packets;
    for (Packet& packet : out) packets.push_back(contents(packet));
    return packets;
  }
  /// Payload lengths of what comes out.
  std::vector<std::size_t> lengths() {
    std::vector<std::size_t> n;
    for (const Bytes& packet : taken()) n.push_back(TcpFrame::read_packet(packet, false).payload.size());
    return n;
  }
  using Lengths = std::vector<std::size_t>;

  /// Two segments of one flow, the second changed: do they merge?
  bool merge_with(const std::function<void(TcpFrame&)>& change,
                  const std::function<void(TcpFrame&)>& both = {}) {
    TcpFrame first = next(100);
    TcpFrame second = next(100);
    if (both) {
      both(first);
      both(second);
    }
    change(second);
    add(first);
    add(second);
    const auto packets = taken();
    const bool merged = packets.size() == 1;
    if (!merged) {
      EXPECT_EQ(packets, (std::vector<Bytes>{first.packet(), second.packet()}));
    }
    out.clear();
    return merged;
  }

  std::mt19937_64 random{1};
  PacketPool pool;
  Gro gro;
  PacketQueue out;
  TcpFrame stream;
  Bytes sent;
};

TEST_F(GroTest, SegmentsInOrderBecomeOnePacket) {
  stream.tcp_options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
  const TcpFrame first = next(1448);
  add(first);
  add(next(1448));
  add(next(1448));
  add(next(500, kAck | kPsh));
  EXPECT_TRUE(out.empty());
  gro.flush(out);
  ASSERT_EQ(out.size(), 1u);
  const Packet& packet = out.front();
  EXPECT_EQ(packet.offload.gso_size, 1448);
  EXPECT_EQ(packet.offload.gso_segs, 4);
  EXPECT_EQ(packet.offload.rx_checksum, Offload::RxChecksum::kVerified);
  TcpFrame expected = first;  // read_packet checks lengths and the IPv4 checksum
  expected.flags = kAck | kPsh;
  expected.payload = sent;
  EXPECT_EQ(TcpFrame::read_packet(contents(packet), false), expected);
}

TEST_F(GroTest, ThePayloadIsNotCopied) {
  add(next(1000));
  PacketPtr second = linear_packet(pool, next(1000).packet());
  const std::uint8_t* const payload = second->data() + 40;
  add(std::move(second));
  gro.flush(out);
  ASSERT_EQ(out.size(), 1u);
  ASSERT_EQ(out.front().fragment_count(), 1u);
  EXPECT_EQ(out.front().fragments()[0].bytes().data(), payload);
}

TEST_F(GroTest, ASingleSegmentComesOutAsItWent) {
  const TcpFrame frame = next(100);
  add(frame);
  EXPECT_EQ(taken(), std::vector<Bytes>{frame.packet()});
  EXPECT_EQ(out.front().offload.gso_size, 0);
  EXPECT_EQ(out.front().offload.rx_checksum, Offload::RxChecksum::kVerified);
}

TEST_F(GroTest, Ipv6Merges) {
  stream.v6 = true;
  const TcpFrame first = next(1000);
  add(first);
  add(next(1000));
  add(next(10));
  TcpFrame expected = first;
  expected.payload = sent;
  expected.id = TcpFrame{}.id;
  gro.flush(out);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out.front().offload.gso_segs, 3);
  EXPECT_EQ(TcpFrame::read_packet(contents(out.front()), false), expected);
}

TEST_F(GroTest, NothingThatAReceiverCouldTellApartIsMerged) {
  EXPECT_TRUE(merge_with([](TcpFrame&) {}));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.ack++; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.window++; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.seq++; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.seq--; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.tos = 3; }));  // CE
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.ttl--; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.df = false; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.reserved = 1; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.flags |= kEce; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.flags |= kUrg; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.flags |= kSyn; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.flags |= kRst; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.flags = kPsh; }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.payload.push_back(0); }));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.ip_options = {1, 1, 1, 1}; }));
  EXPECT_FALSE(merge_with([](TcpFrame&) {}, [](TcpFrame& f) { f.ip_options = {1, 1, 1, 1}; }));
  EXPECT_TRUE(merge_with([](TcpFrame& f) { f.payload.pop_back(); }));
}

TEST_F(GroTest, Ipv6HeadersMustAgreeToo) {
  const auto v6 = [](TcpFrame& f) { f.v6 = true; };
  EXPECT_TRUE(merge_with([](TcpFrame&) {}, v6));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.tos = 3; }, v6));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.ttl--; }, v6));
}

TEST_F(GroTest, TcpOptionsMustBeIdentical) {
  const auto timestamps = [](TcpFrame& f) { f.tcp_options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}; };
  EXPECT_TRUE(merge_with([](TcpFrame&) {}, timestamps));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.tcp_options[7]++; }, timestamps));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.tcp_options[11]++; }, timestamps));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.tcp_options.clear(); }, timestamps));
  EXPECT_FALSE(merge_with(timestamps));
}

TEST_F(GroTest, IdentificationMustCountUpUnlessDontFragmentIsSet) {
  const auto fragmentable = [](TcpFrame& f) { f.df = false; };
  EXPECT_TRUE(merge_with([](TcpFrame&) {}, fragmentable));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.id++; }, fragmentable));
  EXPECT_FALSE(merge_with([](TcpFrame& f) { f.id--; }, fragmentable));
  EXPECT_TRUE(merge_with([](TcpFrame& f) { f.id = 0; }));
}

TEST_F(GroTest, AnotherFlowIsAnotherPacket) {
  const TcpFrame first = next(100);
  TcpFrame port = next(100);
  port.source_port++;
  TcpFrame host = next(100);
  host.host++;
  for (const TcpFrame& frame : {first, port, host}) add(frame);
  EXPECT_EQ(taken(), (std::vector<Bytes>{first.packet(), port.packet(), host.packet()}));
}

TEST_F(GroTest, FlowsThatAlternateMergeEach) {
  TcpFrame other = stream;
  other.source_port = 5;
  for (int i = 0; i < 10; ++i) {
    add(next(100));
    other.payload = random_bytes(random, 100);
    add(other);
    other.seq += 100;
  }
  EXPECT_EQ(lengths(), (Lengths{1000, 1000}));
}

TEST_F(GroTest, AShortSegmentIsTheLast) {
  add(next(100));
  add(next(50));
  add(next(50));
  add(next(50));
  EXPECT_EQ(lengths(), (Lengths{150, 100}));
}

TEST_F(GroTest, ALargerSegmentBeginsAnew) {
  add(next(100));
  add(next(200));
  add(next(200));
  EXPECT_EQ(lengths(), (Lengths{100, 400}));
}

TEST_F(GroTest, FinIsTheLast) {
  add(next(100));
  add(next(100, kAck | kFin));
  TcpFrame late = next(100);
  add(late);
  const auto packets = taken();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(TcpFrame::read_packet(packets[0], false).flags, kAck | kFin);
  EXPECT_EQ(packets[1], late.packet());
}

TEST_F(GroTest, PshOfAnySegmentIsOnTheWhole) {
  add(next(100));
  add(next(100, kAck | kPsh));
  add(next(100));
  const auto packets = taken();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(TcpFrame::read_packet(packets[0], false).flags, kAck | kPsh);
}

TEST_F(GroTest, CwrBeginsAPacketAndNeverContinuesOne) {
  add(next(100, kAck | kCwr));
  add(next(100));
  add(next(100, kAck | kCwr));
  add(next(100));
  const auto packets = taken();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(TcpFrame::read_packet(packets[0], false).flags, kAck | kCwr);
  EXPECT_EQ(TcpFrame::read_packet(packets[1], false).flags, kAck | kCwr);
}

TEST_F(GroTest, ReorderedSegmentsStayAsTheyCame) {
  const TcpFrame a = next(100), b = next(100), c = next(100);
  for (const TcpFrame& frame : {a, c, b}) add(frame);
  EXPECT_EQ(taken(), (std::vector<Bytes>{a.packet(), c.packet(), b.packet()}));
}

TEST_F(GroTest, ABareAckOrControlSegmentGoesBehindWhatItsFlowHolds) {
  for (const std::uint8_t flags : {kAck, std::uint8_t{kAck | kFin}, kRst, kSyn}) {
    out.clear();
    add(next(100));
    add(next(100));
    EXPECT_TRUE(out.empty());
    const TcpFrame control = next(0, flags);
    add(control);
    ASSERT_EQ(out.size(), 2u);  // at once, not at the end of the batch
    EXPECT_EQ(contents(out.back()), control.packet());
    add(next(100));
    EXPECT_EQ(lengths(), (Lengths{200, 0, 100}));
  }
}

TEST_F(GroTest, ABareAckOfAnotherFlowDisturbsNobody) {
  add(next(100));
  TcpFrame other = next(0);
  other.source_port++;
  add(other);
  add(next(100));
  EXPECT_EQ(lengths(), (Lengths{0, 200}));
}

TEST_F(GroTest, ABadChecksumPassesThroughUntouched) {
  const TcpFrame first = next(101);
  add(first);
  Bytes bad = next(101).packet();
  bad.back() ^= 0x10;
  add(bad);
  const TcpFrame third = next(101);
  add(third);
  EXPECT_EQ(taken(), (std::vector<Bytes>{first.packet(), bad, third.packet()}));
  const auto second = std::next(out.begin());
  EXPECT_EQ(second->offload.rx_checksum, Offload::RxChecksum::kUnknown);
}

TEST_F(GroTest, ABadIpHeaderChecksumPassesThroughUntouched) {
  add(next(100));
  Bytes bad = next(100).packet();
  bad[10] ^= 1;
  add(bad);
  const auto packets = taken();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[1], bad);
}

TEST_F(GroTest, WhatTheDeviceVouchesForIsNotSummedAgain) {
  for (const auto vouched : {Offload::RxChecksum::kVerified, Offload::RxChecksum::kPartial}) {
    out.clear();
    for (int i = 0; i < 2; ++i) {
      Bytes bytes = next(100).packet();
      bytes[36] ^= 0xff;  // a partial one holds something else than the checksum
      PacketPtr packet = linear_packet(pool, bytes);
      packet->offload.rx_checksum = vouched;
      add(std::move(packet));
    }
    EXPECT_EQ(lengths(), Lengths{200});
    EXPECT_EQ(out.front().offload.rx_checksum, Offload::RxChecksum::kVerified);
  }
}

TEST_F(GroTest, APacketThatStaysAloneKeepsItsPartialChecksum) {
  PacketPtr packet = linear_packet(pool, next(100).packet());
  packet->offload.rx_checksum = Offload::RxChecksum::kPartial;
  add(std::move(packet));
  gro.flush(out);
  EXPECT_EQ(out.front().offload.rx_checksum, Offload::RxChecksum::kPartial);
}

TEST_F(GroTest, ASuperFramePassesThroughBehindItsFlow) {
  const TcpFrame first = next(100);
  add(first);
  PacketPtr super = linear_packet(pool, next(3000).packet());
  super->offload.gso_size = 1000;
  super->offload.rx_checksum = Offload::RxChecksum::kVerified;
  add(std::move(super));
  EXPECT_EQ(out.size(), 2u);
  add(next(100));
  EXPECT_EQ(lengths(), (Lengths{100, 3000, 100}));
  EXPECT_EQ(std::next(out.begin())->offload.gso_size, 1000);
}

TEST_F(GroTest, WhatCameByALinkBroadcastIsNotHidden) {
  add(next(100));
  PacketPtr packet = linear_packet(pool, next(100).packet());
  packet->link_broadcast = true;
  add(std::move(packet));
  EXPECT_EQ(lengths(), (Lengths{100, 100}));
  EXPECT_TRUE(out.back().link_broadcast);
}

TEST_F(GroTest, EthernetPaddingDoesNotGetBetweenThePayloads) {
  Bytes first = next(3).packet();
  first.resize(46, 0xee);
  Bytes second = next(3).packet();
  second.resize(46, 0xee);
  add(first);
  add(second);
  const auto packets = taken();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(TcpFrame::read_packet(packets[0], false).payload, sent);
}

TEST_F(GroTest, WhatIsNoWholeTcpSegmentPassesThroughAtOnce) {
  const Bytes good = next(100).packet();
  const auto passes = [&](const Bytes& bytes) {
    add(bytes);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(contents(*out.pop_front()), bytes);
  };
  for (std::size_t n = 0; n < good.size(); ++n)
    passes({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)});
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes bytes = good;
    bytes[at] = value;
    return bytes;
  };
  passes(with(0, 0x55));   // neither version
  passes(with(0, 0x44));   // IPv4 header of 16 bytes
  passes(with(6, 0x20));   // a first fragment
  passes(with(7, 0x01));   // a later fragment
  passes(with(9, 17));     // UDP
  passes(with(32, 0x40));  // TCP header of 16 bytes
  passes(with(2, 0xff));   // longer than the packet
}

TEST_F(GroTest, NoPacketGrowsBeyondSixtyFourKilobytes) {
  for (int i = 0; i < 20; ++i) add(next(8000));
  EXPECT_EQ(lengths(), (Lengths{64000, 64000, 32000}));
}

TEST_F(GroTest, NoPacketHasMoreFragmentsThanItCanHold) {
  for (int i = 0; i < 150; ++i) add(next(100));
  EXPECT_EQ(lengths(), (Lengths{6500, 6500, 2000}));
}

TEST_F(GroTest, TheNinthFlowSendsTheOldestUp) {
  std::vector<TcpFrame> frames;
  for (std::uint16_t i = 0; i < 9; ++i) {
    TcpFrame frame = next(100);
    frame.source_port = static_cast<std::uint16_t>(100 + i);
    frames.push_back(frame);
    add(frame);
  }
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(contents(out.front()), frames[0].packet());
  EXPECT_EQ(taken().size(), 9u);
}

TEST_F(GroTest, HeadersInStorageThatOthersReadAreNotWritten) {
  BufferRef block = pool.allocate_buffer(4096);
  const Bytes first = next(100).packet();
  const Bytes second = next(100).packet();
  std::copy(first.begin(), first.end(), block->bytes());
  std::copy(second.begin(), second.end(), block->bytes() + 2000);
  add(pool.wrap(block, 0, static_cast<std::uint32_t>(first.size())));
  add(pool.wrap(block, 2000, static_cast<std::uint32_t>(second.size())));
  const auto packets = taken();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(TcpFrame::read_packet(packets[0], false).payload, sent);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), block->bytes()));
}

TEST_F(GroTest, HeadersInFragmentsAreFound) {
  add(scattered_packet(pool, next(1000).packet(), 10, {5, 300, 77}));
  add(scattered_packet(pool, next(1000).packet(), 0, {33, 17}));
  const auto packets = taken();
  // The second one has too many pieces for the rest of the first one.
  ASSERT_EQ(packets.size(), 2u);
  out.clear();
  add(scattered_packet(pool, next(1000).packet(), 10, {5, 300, 77}));
  add(scattered_packet(pool, next(1000).packet(), 20, {33, 99}));
  EXPECT_EQ(lengths(), Lengths{2000});
}

TEST_F(GroTest, WithoutMemoryPacketsPassUnmerged) {
  PacketPool small{PacketPool::Limits{.bytes = 1024, .reserve = 0}};
  const Bytes first = next(100).packet();
  const Bytes second = next(100).packet();
  BufferRef block = small.allocate_buffer(512);
  std::copy(first.begin(), first.end(), block->bytes());
  std::copy(second.begin(), second.end(), block->bytes() + 200);
  const BufferRef rest = small.allocate_buffer(512);
  add(small.wrap(block, 0, 140));
  add(small.wrap(block, 200, 140));
  EXPECT_EQ(taken(), (std::vector<Bytes>{first, second}));
  out.clear();
}

TEST_F(GroTest, BatchesOfSmallFramesAreTriedSeldomWhereNothingMergedForLong) {
  const PacketPtr small = linear_packet(pool, next(64).packet());
  const PacketPtr large = linear_packet(pool, next(1000).packet());
  const auto exhaust_patience = [&] {
    TcpFrame frame = next(64);
    for (std::uint32_t i = 0; i < Gro::kPatience; ++i) {
      ASSERT_TRUE(gro.try_batch(*small)) << i;
      frame.source_port = static_cast<std::uint16_t>(1000 + i);
      add(frame);
    }
    static_cast<void>(taken());
    out.clear();
  };
  exhaust_patience();
  std::uint32_t tried = 0;
  for (std::uint32_t i = 0; i < 10 * Gro::kTrial; ++i) tried += gro.try_batch(*small) ? 1 : 0;
  EXPECT_EQ(tried, 10u);
  EXPECT_TRUE(merge_with([](TcpFrame&) {}));
  exhaust_patience();
  EXPECT_FALSE(gro.try_batch(*small));
  EXPECT_TRUE(gro.try_batch(*large));
  exhaust_patience();
}

}  // namespace
}  // namespace millrace::link
