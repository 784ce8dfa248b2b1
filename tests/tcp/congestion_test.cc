#include <gtest/gtest.h>

#include "support/tcp_script.h"
#include "tcp/congestion_list.h"
#include "tcp/reno.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

constexpr std::uint32_t kMss = 1000;

/// A connection with segments of 1000 bytes and ten of them in flight: 1:10001 of 100 kB. Reno's, whose
/// window can be told by heart.
void fill_window(TcpScript& t) {
  t.establish(syn().mss(kMss));
  t.set_option(SocketOption::kCongestion, static_cast<std::int64_t>(*tcp::find_congestion("reno")));
  t.write(100'000);
  // RFC 6928: min(10 MSS, max(2 MSS, 14600)).
  t.expect_stream(1, 10'001);
  t.expect_nothing();
}

TEST(SlowStart, BeginsWithTenSegments) {
  rfc("6928", "2", "the initial window is min(10 MSS, max(2 MSS, 14600))");
  TcpScript t;
  fill_window(t);
  TcpScript u;
  u.establish();
  u.write(100'000);
  u.expect_stream(1, 14'601);
  u.expect_nothing();
}

TEST(SlowStart, GrowsByWhatIsAcknowledged) {
  rfc("5681", "3.1", "slow start: cwnd grows by min(N, SMSS) at least for each ACK");
  rfc("9293", "3.8.2", "MUST-19: slow start and congestion avoidance");
  TcpScript t;
  fill_window(t);
  t.inject(ack(1001));
  t.expect_stream(10'001, 12'001);
  t.expect_nothing();
  t.inject(ack(3001));
  t.expect_stream(12'001, 16'001);
  t.expect_nothing();
}

TEST(SlowStart, DoesNotGrowForAnApplicationThatDoesNotFillTheWindow) {
  rfc("7661", "4.1", "the window grows only when it was full");
  TcpScript t;
  t.establish(syn().mss(kMss));
  std::uint32_t next = 1;
  for (int i = 0; i < 50; ++i) {
    t.write(kMss);
    next += kMss;
    t.take_sent();
    t.inject(ack(next));
  }
  t.write(100'000);
  t.expect_stream(next, next + 10'000);
  t.expect_nothing();
}

TEST(CongestionAvoidance, GrowsByOneSegmentARoundTrip) {
  rfc("5681", "3.1", "congestion avoidance: about one segment a round trip");
  TcpScript t;
  fill_window(t);
  t.expect_after(200ms, data(1, 1001));  // ssthresh = 5 segments
  t.inject(ack(10'001));
  std::uint32_t una = 10'001, next = 10'001;
  std::vector<std::uint32_t> flights;
  for (int round = 0; round < 8; ++round) {
    for (const Seg& sent : t.take_sent()) next = *sent.at + sent.length;
    flights.push_back((next - una) / kMss);
    // A round trip: everything is acknowledged, segment by segment.
    const std::uint32_t end = next;
    while (una != end) {
      una += kMss;
      t.inject(ack(una));
      t.after(1us);
    }
  }
  for (std::size_t i = 1; i < flights.size(); ++i) {
    if (flights[i - 1] >= 6) {
      EXPECT_LE(flights[i] - flights[i - 1], 2u) << "round " << i;
      EXPECT_GE(flights[i], flights[i - 1]) << "round " << i;
    }
  }
  EXPECT_GE(flights.back(), 7u);
  t.take_sent();
}

TEST(FastRetransmit, ThirdDuplicateAckResendsTheFirstHole) {
  rfc("5681", "3.2", "the third duplicate ACK retransmits the segment that seems lost");
  rfc("3042", "2", "limited transmit: the first two duplicate ACKs each let a new segment out");
  TcpScript t;
  fill_window(t);
  t.inject(ack(1).sack(1001, 2001));
  t.expect(data(10'001, 11'001));
  t.inject(ack(1).sack(1001, 3001));
  t.expect(data(11'001, 12'001));
  t.inject(ack(1).sack(1001, 4001));
  t.expect(data(1, 1001));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kFastRetrans), 1u);
}

TEST(FastRetransmit, HalvesTheWindow) {
  rfc("5681", "3.2", "(2) ssthresh = max(FlightSize / 2, 2 SMSS)");
  TcpScript t;
  fill_window(t);
  for (int i = 0; i < 3; ++i) t.inject(ack(1));
  t.take_sent();
  EXPECT_EQ(t.info().snd_ssthresh, 5u) << "what limited transmit sent does not count";
}

TEST(FastRetransmit, DuplicatesInRecoveryLetNewDataOutInProportion) {
  rfc("9937", "5",
      "while more than ssthresh is in flight, ssthresh / RecoverFS bytes go out for each that arrives");
  TcpScript t;
  fill_window(t);
  for (int i = 0; i < 3; ++i) t.inject(ack(1));
  t.take_sent();  // 1:12001 and the retransmission
  // Every second duplicate is worth a segment; the first two are worth the retransmission.
  t.inject(ack(1));
  t.expect_nothing();
  t.inject(ack(1));
  t.expect_nothing();
  t.inject(ack(1));
  t.expect(data(12'001, 13'001));
}

TEST(FastRetransmit, FullAckEndsTheRecovery) {
  rfc("6582", "3.2", "(3) a full ACK ends the recovery and deflates the window");
  TcpScript t;
  fill_window(t);
  for (int i = 0; i < 3; ++i) t.inject(ack(1));
  t.take_sent();
  t.inject(ack(12'001));
  // Nothing is in flight: min(ssthresh, max(FlightSize, SMSS) + SMSS) = 2 segments.
  t.expect_stream(12'001, 14'001);
  t.expect_nothing();
}

TEST(FastRetransmit, PartialAckResendsTheNextHole) {
  rfc("6582", "3.2", "(5) a partial ACK retransmits the first unacknowledged segment");
  TcpScript t;
  fill_window(t);
  for (int i = 0; i < 3; ++i) t.inject(ack(1));
  t.take_sent();
  t.inject(ack(4001));
  t.expect(data(4001, 5001));
  EXPECT_EQ(t.count(Counter::kPartialAcks), 1u);
  t.take_sent();
  t.inject(ack(7001));
  t.expect(data(7001, 8001));
  t.expect_nothing();  // cwnd was deflated by 6000, and 2000 added back: as much as is in flight
  t.inject(ack(12'001));
  t.take_sent();
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
}

TEST(FastRetransmit, IsNotTriggeredByAcksWithDataOrAnotherWindow) {
  rfc("5681", "2", "what a duplicate ACK is: no data, no SYN or FIN, the same number and window");
  TcpScript t;
  fill_window(t);
  for (std::uint16_t i = 0; i < 5; ++i) t.inject(ack(1).win(static_cast<std::uint16_t>(30'000 + i)));
  for (std::uint32_t i = 0; i < 5; ++i) t.inject(data(1 + 10 * i, 11 + 10 * i).ack(1).win(30'004));
  for (const Seg& sent : t.take_sent()) EXPECT_EQ(sent.length, 0u);
  EXPECT_EQ(t.count(Counter::kFastRetrans), 0u);
}

TEST(FastRetransmit, NeedsFewerDuplicatesWhenFewSegmentsAreOutstanding) {
  rfc("5827", "3", "early retransmit");
  TcpScript t;
  t.establish(syn().mss(kMss));
  t.write(3000);
  t.expect_stream(1, 3001);
  t.inject(ack(1));
  t.expect_nothing();
  t.inject(ack(1));
  t.expect(data(1, 1001));
}

TEST(FastRetransmit, IsNotRepeatedByDuplicatesOfATimeoutsRetransmissions) {
  rfc("6582", "3.2", "(1), (4): no fast retransmit below recover after a timeout");
  TcpScript t;
  fill_window(t);
  t.expect_after(200ms, data(1, 1001));
  for (int i = 0; i < 6; ++i) t.inject(ack(1));
  t.take_sent();
  EXPECT_EQ(t.count(Counter::kFastRetrans), 0u);
}

TEST(FastRetransmit, OfALostRetransmissionTimesOut) {
  TcpScript t;
  fill_window(t);
  for (int i = 0; i < 3; ++i) t.inject(ack(1));
  t.take_sent();
  t.expect_after(200ms, data(1, 1001));
}

TEST(Timeout, CutsSsthreshOnceForRepeatedExpiries) {
  rfc("5681", "3.1", "ssthresh is held constant when a segment is retransmitted by the timer again");
  TcpScript t;
  fill_window(t);
  t.expect_after(200ms, data(1, 1001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  EXPECT_EQ(t.info().snd_cwnd, 1u);
  t.expect_after(400ms, data(1, 1001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
}

TEST(Idle, RestartsWithTheInitialWindow) {
  rfc("5681", "4.1", "after an idle RTO cwnd is at most the restart window");
  TcpScript t;
  t.establish(syn().mss(kMss));
  t.write(200'000);
  std::uint32_t next = 1;
  while (next < 200'001) {
    for (const Seg& sent : t.take_sent()) next = *sent.at + sent.length;
    t.inject(ack(next));
  }
  EXPECT_GT(t.info().snd_cwnd, 20u);
  t.after(10s).write(100'000);
  t.expect_stream(next, next + 10'000);
  t.expect_nothing();
}

// --- Reno alone

TEST(Reno, StartsAndShrinksByTheRules) {
  tcp::Reno reno(1000, 10);
  EXPECT_EQ(reno.cwnd(), 10'000u);
  reno.on_loss({kEpoch, 10'000, 0});
  EXPECT_EQ(reno.cwnd(), 5000u);
  EXPECT_EQ(reno.ssthresh(), 5000u);
  reno.on_loss({kEpoch, 1000, 0});
  EXPECT_EQ(reno.ssthresh(), 2000u) << "never below two segments";
  reno.on_rto({kEpoch, 8000, 0}, true);
  EXPECT_EQ(reno.cwnd(), 1000u);
  EXPECT_EQ(reno.ssthresh(), 4000u);
  reno.on_rto({kEpoch, 2000, 0}, false);
  EXPECT_EQ(reno.ssthresh(), 4000u);
}

TEST(Reno, DoublesARoundTripAndThenAddsOneSegment) {
  tcp::Reno reno(1000, 10);
  const auto round = [&reno] {
    const std::uint32_t flight = reno.cwnd();
    for (std::uint32_t acked = 0; acked < flight; acked += 1000) {
      tcp::AckSample sample;
      sample.acked = 1000;
      sample.prior_in_flight = flight;
      sample.cwnd_limited = true;
      reno.on_ack(sample);
    }
  };
  round();
  EXPECT_EQ(reno.cwnd(), 20'000u);
  reno.on_loss({kEpoch, 20'000, 0});
  EXPECT_EQ(reno.cwnd(), 10'000u);
  round();
  EXPECT_EQ(reno.cwnd(), 11'000u);
  round();
  EXPECT_EQ(reno.cwnd(), 12'000u);
}

TEST(Reno, InitialWindowFollowsRfc6928) {
  EXPECT_EQ(tcp::Reno(536, 10).cwnd(), 5360u);
  EXPECT_EQ(tcp::Reno(1460, 10).cwnd(), 14'600u);
  EXPECT_EQ(tcp::Reno(8960, 10).cwnd(), 17'920u);
}

}  // namespace
}  // namespace millrace::test
