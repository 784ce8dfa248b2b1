#include "link/gso.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "frames.h"

namespace millrace::link {
namespace {

constexpr std::uint8_t kFin = 0x01, kPsh = 0x08, kAck = 0x10, kUrg = 0x20, kEce = 0x40, kCwr = 0x80;

class Gso : public ::testing::Test {
 protected:
  ~Gso() override {
    EXPECT_EQ(pool.packets_in_use(), 0u);
    EXPECT_EQ(pool.buffers_in_use(), 0u);
  }

  /// The super-frame as TCP hands it down: headers linear, payload in fragments.
  PacketPtr super_frame(const TcpFrame& frame, std::uint16_t gso_size) {
    const Bytes bytes = frame.frame();
    PacketPtr packet = scattered_packet(pool, bytes, bytes.size() - frame.payload.size(), {1000, 333});
    packet->offload.gso_size = gso_size;
    packet->offload.needs_checksum = true;
    packet->offload.checksum_start = static_cast<std::uint16_t>(frame.link_length() + frame.network_length());
    packet->offload.checksum_offset = 16;
    return packet;
  }

  /// Segments, completed and read; checks what holds for each.
  std::vector<TcpFrame> cut(const TcpFrame& frame, std::uint16_t gso_size,
                            SegmentPayload mode = SegmentPayload::kShare) {
    PacketQueue out;
    EXPECT_TRUE(segment(super_frame(frame, gso_size), out, mode));
    std::vector<TcpFrame> frames;
    for (Packet& packet : out) {
      EXPECT_TRUE(packet.offload.needs_checksum);
      EXPECT_EQ(packet.offload.gso_size, 0);
      EXPECT_EQ(packet.link_header(), packet.data());
      EXPECT_EQ(packet.network_header(), packet.data() + frame.link_length());
      EXPECT_EQ(packet.transport_header(), packet.data() + frame.link_length() + frame.network_length());
      EXPECT_TRUE(complete_checksum(packet));
      EXPECT_FALSE(packet.offload.needs_checksum);
      frames.push_back(TcpFrame::read_frame(contents(packet)));
    }
    return frames;
  }

  /// What each segment of `frame` has to be, by definition.
  static std::vector<TcpFrame> expected(const TcpFrame& frame, std::size_t gso_size) {
    std::vector<TcpFrame> frames;
    for (std::size_t at = 0; at < frame.payload.size(); at += gso_size) {
      TcpFrame f = frame;
      const auto begin = frame.payload.begin() + static_cast<std::ptrdiff_t>(at);
      const std::size_t n = std::min(gso_size, frame.payload.size() - at);
      f.payload.assign(begin, begin + static_cast<std::ptrdiff_t>(n));
      f.seq += static_cast<std::uint32_t>(at);
      if (!f.v6) f.id = static_cast<std::uint16_t>(f.id + frames.size());
      if (at != 0) f.flags &= static_cast<std::uint8_t>(~kCwr);
      if (at + n != frame.payload.size()) f.flags &= static_cast<std::uint8_t>(~(kFin | kPsh));
      frames.push_back(f);
    }
    if (frame.v6) {
      for (TcpFrame& f : frames) f.id = TcpFrame{}.id;
    }
    return frames;
  }

  std::mt19937_64 random{1};
  PacketPool pool;
};

TEST_F(Gso, EachSegmentIsAFrameOfItsOwn) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 5000);
  EXPECT_EQ(cut(frame, 1460), expected(frame, 1460));
}

TEST_F(Gso, AWholeNumberOfSegmentsLeavesNoEmptyOne) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 4 * 536);
  EXPECT_EQ(cut(frame, 536).size(), 4u);
}

TEST_F(Gso, FinAndPshAreOnTheLastAndCwrOnTheFirst) {
  TcpFrame frame;
  frame.flags = kFin | kPsh | kAck | kEce | kCwr;
  frame.payload = random_bytes(random, 250);
  const auto frames = cut(frame, 100);
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].flags, kAck | kEce | kCwr);
  EXPECT_EQ(frames[1].flags, kAck | kEce);
  EXPECT_EQ(frames[2].flags, kFin | kPsh | kAck | kEce);
}

TEST_F(Gso, TheUrgentPointerStaysOnItsByte) {
  TcpFrame frame;
  frame.flags = kAck | kUrg;
  frame.urgent = 200;  // the first 200 bytes are urgent (RFC 6093 §3.1)
  frame.payload = random_bytes(random, 300);
  const auto frames = cut(frame, 100);
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].urgent, 200);
  EXPECT_EQ(frames[1].urgent, 100);
  EXPECT_EQ(frames[1].flags, kAck | kUrg);
  EXPECT_EQ(frames[2].urgent, 0);
  EXPECT_EQ(frames[2].flags, kAck);
}

TEST_F(Gso, SequenceNumberAndIdentificationWrap) {
  TcpFrame frame;
  frame.seq = 0xffffff80;
  frame.id = 0xffff;
  frame.payload = random_bytes(random, 300);
  const auto frames = cut(frame, 128);
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[1].seq, 0u);
  EXPECT_EQ(frames[1].id, 0);
  EXPECT_EQ(frames[2].id, 1);
}

TEST_F(Gso, EveryShapeOfHeaderIsKept) {
  for (const bool v6 : {false, true}) {
    for (const int tags : {0, 1, 2}) {
      for (const std::size_t ip_options : {0u, 8u, 40u}) {
        for (const std::size_t tcp_options : {0u, 12u, 40u}) {
          TcpFrame frame;
          frame.v6 = v6;
          frame.vlan_tags = tags;
          frame.tos = 0xb9;
          frame.reserved = 1;
          if (!v6) frame.ip_options.assign(ip_options, 1);
          frame.tcp_options = random_bytes(random, tcp_options);
          frame.payload = random_bytes(random, 3001);
          if (v6) frame.id = TcpFrame{}.id;
          EXPECT_EQ(cut(frame, 777), expected(frame, 777));
          EXPECT_EQ(cut(frame, 777, SegmentPayload::kCopy), expected(frame, 777));
        }
      }
    }
  }
}

TEST_F(Gso, SixtyFourKilobytesInOneByteSegmentsAndInLargeOnes) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 64 * 1024 - 100);
  for (const std::uint16_t size : {std::uint16_t{1448}, std::uint16_t{8948}, std::uint16_t{65000}}) {
    PacketPtr packet = scattered_packet(pool, frame.frame(), 54, {60000, 4000, 2000});
    packet->offload.gso_size = size;
    PacketQueue out;
    ASSERT_TRUE(segment(std::move(packet), out));
    std::vector<TcpFrame> frames;
    for (Packet& piece : out) {
      ASSERT_TRUE(complete_checksum(piece));
      frames.push_back(TcpFrame::read_frame(contents(piece)));
    }
    EXPECT_EQ(frames, expected(frame, size));
  }
  frame.payload.resize(300);
  EXPECT_EQ(cut(frame, 1), expected(frame, 1));
}

TEST_F(Gso, ThePayloadIsSharedUnlessACopyIsAskedFor) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 900);
  const Bytes bytes = frame.frame();
  PacketPtr super = scattered_packet(pool, bytes, 54, {900});
  super->offload.gso_size = 300;
  const Buffer* const storage = super->fragments()[0].buffer.get();
  PacketPtr again = super->clone(54, 0);
  PacketQueue out;
  ASSERT_TRUE(segment(std::move(super), out));
  ASSERT_EQ(out.size(), 3u);
  for (Packet& piece : out) {
    ASSERT_EQ(piece.fragment_count(), 1u);
    EXPECT_EQ(piece.fragments()[0].buffer.get(), storage);
    EXPECT_EQ(piece.linear_length(), 54u);
    EXPECT_TRUE(piece.linear_writable());
  }
  out.clear();
  ASSERT_TRUE(segment(std::move(again), out, SegmentPayload::kCopy));
  ASSERT_EQ(out.size(), 3u);
  for (Packet& piece : out) EXPECT_EQ(piece.fragment_count(), 0u);
}

TEST_F(Gso, HeadersInFragmentsAreFound) {
  TcpFrame frame;
  frame.vlan_tags = 1;
  frame.payload = random_bytes(random, 1000);
  for (const std::size_t linear : {0u, 1u, 14u, 17u, 30u, 50u}) {
    PacketPtr super = scattered_packet(pool, frame.frame(), linear, {7, 13, 31, 100});
    super->offload.gso_size = 400;
    PacketQueue out;
    ASSERT_TRUE(segment(std::move(super), out));
    EXPECT_EQ(out.size(), 3u);
    std::vector<TcpFrame> frames;
    for (Packet& piece : out) {
      ASSERT_TRUE(complete_checksum(piece));
      frames.push_back(TcpFrame::read_frame(contents(piece)));
    }
    EXPECT_EQ(frames, expected(frame, 400));
  }
}

TEST_F(Gso, Ipv6ExtensionHeadersAreRepeatedOnEachSegment) {
  TcpFrame frame;
  frame.v6 = true;
  frame.payload = random_bytes(random, 2500);
  Bytes bytes = frame.frame();
  const Bytes destination_options{6, 0, 1, 4, 0, 0, 0, 0};
  const auto with_length = [](Bytes& b, std::size_t n) {
    b[18] = static_cast<std::uint8_t>(n >> 8);
    b[19] = static_cast<std::uint8_t>(n);
  };
  with_length(bytes, 20 + 2500 + 8);
  bytes[20] = 60;
  bytes.insert(bytes.begin() + 54, destination_options.begin(), destination_options.end());
  PacketPtr super = linear_packet(pool, bytes);
  super->offload.gso_size = 1000;
  PacketQueue out;
  ASSERT_TRUE(segment(std::move(super), out));
  std::vector<TcpFrame> frames;
  for (Packet& piece : out) {
    EXPECT_EQ(piece.offload.checksum_start, 62);
    ASSERT_TRUE(complete_checksum(piece));
    Bytes b = contents(piece);
    EXPECT_EQ(b[20], 60);
    EXPECT_EQ(b[18] << 8 | b[19], static_cast<int>(b.size()) - 54);
    EXPECT_TRUE(std::equal(destination_options.begin(), destination_options.end(), b.begin() + 54));
    b.erase(b.begin() + 54, b.begin() + 62);
    b[20] = 6;
    with_length(b, b.size() - 54);
    frames.push_back(TcpFrame::read_frame(b));
  }
  EXPECT_EQ(frames, expected(frame, 1000));
}

TEST_F(Gso, AFrameOfOneSegmentPassesAsItIs) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 100);
  PacketPtr super = super_frame(frame, 100);
  const Packet* const was = super.get();
  PacketQueue out;
  ASSERT_TRUE(segment(std::move(super), out));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(&out.front(), was);
  EXPECT_EQ(out.front().offload.gso_size, 0);
  EXPECT_TRUE(out.front().offload.needs_checksum);
  EXPECT_EQ(contents(out.front()), frame.frame());
}

TEST_F(Gso, WhatIsNoTcpIsDropped) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 1000);
  const Bytes good = frame.frame();
  const auto refused = [&](Bytes bytes) {
    PacketPtr packet = linear_packet(pool, bytes);
    packet->offload.gso_size = 100;
    PacketQueue out;
    const bool cut = segment(std::move(packet), out);
    EXPECT_TRUE(out.empty() || cut);
    return !cut;
  };
  EXPECT_FALSE(refused(good));
  for (std::size_t n = 0; n < 54; ++n) {
    EXPECT_TRUE(refused({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)})) << n;
  }
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes bytes = good;
    bytes[at] = value;
    return bytes;
  };
  EXPECT_TRUE(refused(with(12, 0x09)));  // another EtherType
  EXPECT_TRUE(refused(with(14, 0x44)));  // an IPv4 header of 16 bytes
  EXPECT_TRUE(refused(with(20, 0x20)));  // a fragment
  EXPECT_TRUE(refused(with(23, 17)));    // UDP
  EXPECT_TRUE(refused(with(46, 0x40)));  // a TCP header of 16 bytes
}

TEST_F(Gso, AnOrdinaryFrameIsNotForSegmenting) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 100);
  PacketQueue out;
  EXPECT_FALSE(segment(linear_packet(pool, frame.frame()), out));
  EXPECT_TRUE(out.empty());
}

TEST_F(Gso, WithoutMemoryNothingIsAppendedAndNothingLeaks) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 1000);
  PacketPool small{PacketPool::Limits{.bytes = 4096, .reserve = 0}};
  PacketPtr super = linear_packet(small, frame.frame());
  super->offload.gso_size = 100;
  PacketQueue out;
  EXPECT_FALSE(segment(std::move(super), out));
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(small.buffers_in_use(), 0u);
  EXPECT_EQ(small.packets_in_use(), 0u);
}

// --- complete_checksum

TEST_F(Gso, AChecksumIsSummedAcrossPiecesOfOddLength) {
  TcpFrame frame;
  for (const std::size_t n : {0u, 1u, 2u, 999u, 1000u}) {
    frame.payload = random_bytes(random, n);
    Bytes bytes = frame.frame();
    const Bytes right = bytes;
    // The field holds the sum over the pseudo-header alone.
    Bytes pseudo(bytes.begin() + 26, bytes.begin() + 34);
    const auto length = static_cast<std::uint32_t>(bytes.size() - 34);
    const std::uint16_t seed = naive_sum(pseudo, 6 + length);
    bytes[50] = static_cast<std::uint8_t>(seed >> 8);
    bytes[51] = static_cast<std::uint8_t>(seed);
    for (const std::size_t linear : {0u, 35u, 51u, 54u}) {
      PacketPtr packet = scattered_packet(pool, bytes, linear, {3, 1, 17, 5, 101});
      packet->offload.needs_checksum = true;
      packet->offload.checksum_start = 34;
      packet->offload.checksum_offset = 16;
      ASSERT_TRUE(complete_checksum(*packet));
      EXPECT_FALSE(packet->offload.needs_checksum);
      EXPECT_EQ(contents(*packet), right);
    }
  }
}

TEST_F(Gso, AChecksumIsNotWrittenIntoStorageThatOthersRead) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 100);
  PacketPtr packet = linear_packet(pool, frame.frame());
  packet->offload.needs_checksum = true;
  packet->offload.checksum_start = 34;
  packet->offload.checksum_offset = 16;
  PacketPtr reader = packet->clone(0, 0);
  const Bytes before = contents(*reader);
  ASSERT_TRUE(complete_checksum(*packet));
  EXPECT_EQ(contents(*reader), before);
  EXPECT_NE(contents(*packet), before);
}

TEST_F(Gso, AUdpChecksumOfZeroIsSentAsAllOnes) {
  for (const bool udp : {true, false}) {
    // All ones sum to "minus zero": the checksum comes out as zero.
    Bytes bytes(udp ? 8 : 20, 0);
    bytes[0] = bytes[1] = 0xff;
    PacketPtr packet = linear_packet(pool, bytes);
    packet->offload.needs_checksum = true;
    packet->offload.checksum_offset = udp ? 6 : 16;
    ASSERT_TRUE(complete_checksum(*packet));
    const std::size_t at = packet->offload.checksum_offset;
    EXPECT_EQ(packet->data()[at], udp ? 0xff : 0x00);
    EXPECT_EQ(packet->data()[at + 1], udp ? 0xff : 0x00);
  }
}

TEST_F(Gso, AChecksumFieldOutsideTheFrameIsRefused) {
  for (const auto& [start, offset] : {std::pair{34, 16}, {50, 0}, {0, 49}, {65535, 65535}}) {
    PacketPtr packet = linear_packet(pool, Bytes(50, 1));
    packet->offload.needs_checksum = true;
    packet->offload.checksum_start = static_cast<std::uint16_t>(start);
    packet->offload.checksum_offset = static_cast<std::uint16_t>(offset);
    EXPECT_FALSE(complete_checksum(*packet)) << start << ' ' << offset;
    EXPECT_TRUE(packet->offload.needs_checksum);
    EXPECT_EQ(contents(*packet), Bytes(50, 1));
  }
}

TEST_F(Gso, ASuperFrameHasNoChecksumOfItsOwn) {
  TcpFrame frame;
  frame.payload = random_bytes(random, 100);
  PacketPtr super = super_frame(frame, 50);
  EXPECT_FALSE(complete_checksum(*super));
  super->offload.needs_checksum = false;
  EXPECT_TRUE(complete_checksum(*super));
  EXPECT_EQ(contents(*super), frame.frame());
}

}  // namespace
}  // namespace millrace::link
