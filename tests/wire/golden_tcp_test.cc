#include <gtest/gtest.h>

#include <algorithm>

#include "golden.h"

namespace millrace::wire {
namespace {

struct Seen {
  Decoded frame;
  TcpHeader header;
  TcpOptions options;
};

std::vector<Seen> segments(const std::string& name) {
  std::vector<Seen> all;
  for (const Bytes& frame : golden(name)) {
    const auto decoded = decode(frame);
    if (!decoded || !std::holds_alternative<TcpSegment>(decoded->message)) {
      ADD_FAILURE() << name << ", frame " << all.size();
      return {};
    }
    all.push_back({*decoded, decoded->as<TcpSegment>().header, decoded->as<TcpSegment>().options});
  }
  return all;
}

/// How much of the sequence space a segment takes (RFC 9293 §3.3.1: SEG.LEN).
std::uint32_t segment_length(const Seen& segment) {
  return static_cast<std::uint32_t>(segment.frame.payload.size()) +
         (segment.header.has(TcpFlags::kSyn) ? 1 : 0) + (segment.header.has(TcpFlags::kFin) ? 1 : 0);
}

TEST(GoldenTcp, HandshakeCarriesTheUsualOptions) {
  const auto all = segments("tcp.pcap");
  ASSERT_EQ(all.size(), 18u);
  const Seen& syn = all[0];
  EXPECT_EQ(syn.header.source_port, 40004);
  EXPECT_EQ(syn.header.destination_port, 7004);
  EXPECT_EQ(syn.header.flags, TcpFlags::kSyn);
  EXPECT_EQ(syn.header.ack.value(), 0u);
  EXPECT_EQ(syn.header.header_length, 40);
  EXPECT_EQ(syn.options.mss, 1460);
  EXPECT_TRUE(syn.options.sack_permitted);
  EXPECT_EQ(syn.options.window_scale, 10);
  ASSERT_TRUE(syn.options.timestamps);
  EXPECT_EQ(syn.options.timestamps->echo, 0u);
  EXPECT_FALSE(syn.options.malformed);
  EXPECT_FALSE(syn.options.fast_open);

  const Seen& syn_ack = all[1];
  EXPECT_EQ(syn_ack.header.flags, TcpFlags::kSyn | TcpFlags::kAck);
  EXPECT_EQ(syn_ack.header.ack, syn.header.seq + 1);
  ASSERT_TRUE(syn_ack.options.timestamps);
  EXPECT_EQ(syn_ack.options.timestamps->echo, syn.options.timestamps->value);

  const Seen& ack = all[2];
  EXPECT_EQ(ack.header.flags, TcpFlags::kAck);
  EXPECT_EQ(ack.header.ack, syn_ack.header.seq + 1);
  EXPECT_FALSE(ack.options.mss);
  EXPECT_FALSE(ack.options.sack_permitted);
  EXPECT_FALSE(ack.options.window_scale);
}

TEST(GoldenTcp, SequenceNumbersAddUpOverTheConversation) {
  const auto all = segments("tcp.pcap");
  ASSERT_EQ(all.size(), 18u);
  SeqNum next[2] = {all[0].header.seq, all[1].header.seq};
  bool fin[2] = {false, false};
  for (std::size_t i = 0; i < 16; ++i) {
    const std::size_t side = all[i].header.source_port == 40004 ? 0 : 1;
    EXPECT_EQ(all[i].header.seq, next[side]) << "frame " << i;
    next[side] += segment_length(all[i]);
    fin[side] = fin[side] || all[i].header.has(TcpFlags::kFin);
    if (all[i].header.has(TcpFlags::kAck)) {
      EXPECT_TRUE(all[i].header.ack <= next[1 - side]);
    }
  }
  EXPECT_TRUE(fin[0] && fin[1]);
  EXPECT_EQ(all[15].header.ack, next[1]);
}

TEST(GoldenTcp, SegmentsInTheMiddleHaveTimestampsOnly) {
  const auto all = segments("tcp.pcap");
  ASSERT_EQ(all.size(), 18u);
  for (std::size_t i = 2; i < 16; ++i) {
    EXPECT_EQ(all[i].header.header_length, TcpHeader::kSize + TcpOptions::kTimestampsOnlySize);
    TcpOptions only_timestamps;
    only_timestamps.timestamps = all[i].options.timestamps;
    ASSERT_TRUE(only_timestamps.timestamps);
    EXPECT_EQ(all[i].options, only_timestamps);
  }
}

TEST(GoldenTcp, UrgentByteIsMarkedByFlagAndPointer) {
  for (const char* name : {"tcp.pcap", "tcp_no_timestamps.pcap"}) {
    const auto all = segments(name);
    const auto urgent =
        std::find_if(all.begin(), all.end(), [](const Seen& s) { return s.header.has(TcpFlags::kUrg); });
    ASSERT_NE(urgent, all.end());
    // RFC 6093 §3.1: as deployed, the pointer points behind the urgent byte.
    EXPECT_EQ(urgent->header.urgent_pointer, 1);
    EXPECT_EQ(urgent->frame.payload, Bytes{'!'});
    EXPECT_EQ(
        std::count_if(all.begin(), all.end(), [](const Seen& s) { return s.header.urgent_pointer != 0; }), 1);
  }
}

TEST(GoldenTcp, RefusedSynGetsAResetThatAcknowledgesIt) {
  const auto all = segments("tcp.pcap");
  ASSERT_EQ(all.size(), 18u);
  const TcpHeader& reset = all[17].header;
  EXPECT_EQ(reset.flags, TcpFlags::kRst | TcpFlags::kAck);
  EXPECT_EQ(reset.seq.value(), 0u);
  EXPECT_EQ(reset.ack, all[16].header.seq + 1);
  EXPECT_EQ(reset.window, 0);
  EXPECT_EQ(reset.header_length, 20);
  EXPECT_EQ(all[17].options, TcpOptions{});
}

TEST(GoldenTcp, HandshakeNegotiatesEcn) {
  const auto all = segments("tcp_sack.pcap");
  ASSERT_GE(all.size(), 3u);
  // RFC 3168 §6.1.1.
  EXPECT_EQ(all[0].header.flags, TcpFlags::kSyn | TcpFlags::kEce | TcpFlags::kCwr);
  EXPECT_EQ(all[1].header.flags, TcpFlags::kSyn | TcpFlags::kAck | TcpFlags::kEce);
  const TcpFlags flags{all[1].header.flags};
  EXPECT_TRUE(flags.syn() && flags.ack() && flags.ece());
  EXPECT_FALSE(flags.cwr() || flags.fin() || flags.rst() || flags.psh() || flags.urg());
}

TEST(GoldenTcp, SelectiveAcknowledgmentsLieAboveTheCumulativeOne) {
  const auto all = segments("tcp_sack.pcap");
  std::size_t with_one = 0;
  std::size_t with_two = 0;
  for (const Seen& segment : all) {
    const TcpOptions& options = segment.options;
    with_one += options.sack_count == 1 ? 1 : 0;
    with_two += options.sack_count == 2 ? 1 : 0;
    for (std::size_t i = 0; i < options.sack_count; ++i) {
      EXPECT_TRUE(options.sack[i].left < options.sack[i].right);
      EXPECT_TRUE(segment.header.ack < options.sack[i].left);
      // Blocks begin where segments do: every 1448 bytes, 1500 less 20, 20 and 12.
      EXPECT_EQ((options.sack[i].left - (all[0].header.seq + 1)) % 1448, 0);
    }
    if (options.sack_count > 0) {
      EXPECT_EQ(segment.header.header_length, 20 + 12 + 4 + 8 * options.sack_count);
    }
  }
  EXPECT_GT(with_one, 0u);
  EXPECT_GT(with_two, 0u);
}

TEST(GoldenTcp, FastOpenCookieIsAskedForGivenAndUsed) {
  const auto all = segments("tcp_fast_open.pcap");
  std::vector<const Seen*> syns;
  for (const Seen& segment : all) {
    if (segment.header.has(TcpFlags::kSyn)) syns.push_back(&segment);
  }
  ASSERT_EQ(syns.size(), 4u);
  ASSERT_TRUE(syns[0]->options.fast_open);
  EXPECT_EQ(syns[0]->options.fast_open->length, 0);
  ASSERT_TRUE(syns[1]->options.fast_open);
  EXPECT_EQ(syns[1]->options.fast_open->length, 8);
  EXPECT_EQ(syns[2]->options.fast_open, syns[1]->options.fast_open);
  EXPECT_EQ(syns[2]->frame.payload.size(), 44u);  // data on the SYN
  EXPECT_EQ(syns[3]->header.ack, syns[2]->header.seq + 45);
  EXPECT_FALSE(syns[3]->options.fast_open);
}

TEST(GoldenTcp, WithoutTimestampsTheSackPermittedOptionIsPadded) {
  const auto all = segments("tcp_no_timestamps.pcap");
  ASSERT_GE(all.size(), 3u);
  TcpOptions expected;
  expected.mss = 1460;
  expected.sack_permitted = true;
  expected.window_scale = 10;
  EXPECT_EQ(all[0].options, expected);
  EXPECT_EQ(all[0].header.header_length, 32);
  EXPECT_EQ(all[2].header.header_length, 20);
}

}  // namespace
}  // namespace millrace::wire
