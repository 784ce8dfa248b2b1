// RACK: loss detection by time.
#include "tcp/rack.h"

#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

/// A quarter of the round trip.
constexpr Duration kWindow = 5ms;

/// What was sent second arrives first: [1, 1001) is late, and reordering seen.
void show_reordering(TcpScript& t) {
  t.write(2000);
  t.expect_stream(1, 2001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 2001));
  t.after(1ms).inject(ack(2001));
  t.expect_nothing();
}

TEST(Rack, ThreeReportedSegmentsNeedNoWaitBeforeReorderingIsSeen) {
  rfc("8985", "6.2", "step 4: without reordering seen, DupThresh reported segments make the window 0");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 2001));
  t.expect(data(10'001, 11'001));
  t.inject(ack(1).sack(1001, 3001));
  t.expect(data(11'001, 12'001));
  t.inject(ack(1).sack(1001, 4001));
  t.expect(data(1, 1001));
  t.expect_nothing();
}

TEST(Rack, OneReportedSegmentIsEnoughAfterAQuarterOfTheRoundTrip) {
  rfc("8985", "6.2", "step 5: a segment is lost when one sent later has arrived and the window is over");
  rfc("8985", "6.3", "a timer detects what is lost when no further ACK comes");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(2000);
  t.expect_stream(1, 2001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 2001));
  t.expect_after(kWindow, data(1, 1001));
  EXPECT_EQ(t.count(Counter::kFastRetrans), 1u);
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  t.inject(ack(2001));
  t.expect_nothing_for(10s);
}

TEST(Rack, LateSegmentWithinTheWindowIsNotLost) {
  TcpScript t;
  establish_far(t, sack_syn());
  show_reordering(t);
  EXPECT_EQ(t.count(Counter::kFastRetrans), 0u);
  EXPECT_EQ(t.info().reord_seen, 1u);
  t.expect_nothing_for(10s);
}

TEST(Rack, AfterReorderingWasSeenThreeReportedSegmentsWaitToo) {
  rfc("8985", "6.2", "step 4: after reordering was seen, the window is min_rtt / 4 at first");
  TcpScript t;
  establish_far(t, sack_syn());
  show_reordering(t);
  t.write(5000);
  t.expect_stream(2001, 7001);
  t.after(kRoundTrip).inject(ack(2001).sack(3001, 7001));
  t.expect_after(kWindow, data(2001, 3001));
  t.inject(ack(7001));
}

TEST(Rack, ReportsOfDuplicatesWidenTheWindow) {
  rfc("8985", "6.2", "step 4: DSACK widens the window by min_rtt / 4 once a round trip");
  TcpScript t;
  establish_far(t, sack_syn());
  show_reordering(t);
  t.write(3000);
  t.expect_stream(2001, 5001);
  t.after(kRoundTrip).inject(ack(2001).sack(3001, 5001));
  t.expect_after(kWindow, data(2001, 3001));
  t.inject(ack(5001));
  t.after(kRoundTrip).inject(ack(5001).sack(2001, 3001));
  EXPECT_EQ(t.count(Counter::kDsackReceived), 1u);
  t.write(3000);
  t.expect_stream(5001, 8001);
  t.after(kRoundTrip).inject(ack(5001).sack(6001, 8001));
  t.expect_nothing_for(kWindow);
  t.expect_after(kWindow, data(5001, 6001));
  t.inject(ack(8001));
}

TEST(Rack, LostAcksAreNoReordering) {
  rfc("8985", "6.2", "step 3: reordering is something sent once that arrives after what was sent later");
  TcpScript t;
  fill_far_window(t, sack_syn());
  // Of three ACKs the last has come: it tells of both gaps, the later one first.
  t.inject(ack(1).sack(5001, 6001).sack(1001, 3001));
  t.expect(data(1, 1001));  // at once: the window is 0
  t.after(kRoundTrip).inject(ack(10'001));
  t.take_sent();
}

TEST(Rack, LostRetransmissionIsSentAgain) {
  rfc("8985", "3.1", "a lost retransmission is detected as any other segment");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 10'001));
  t.expect(data(1, 1001));
  t.expect_stream(10'001, 14'001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 14'001));
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].at, 1u);
  EXPECT_EQ(t.count(Counter::kLostRetransmit), 1u);
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  t.after(kRoundTrip).inject(ack(14'001));
  t.take_sent();
}

TEST(Rack, LostRetransmissionOfTheLastSegmentsIsTheTimersToFind) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 5001));
  t.expect(data(1, 1001));
  t.expect_nothing_for(219ms);
  t.expect_after(1ms, data(1, 1001));
  t.inject(ack(5001));
}

TEST(Rack, FirstCopyThatArrivesDoesNotSpeakForTheSecond) {
  rfc("8985", "6.2",
      "step 2: an ACK sooner after a retransmission than min_rtt is of the first transmission");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(3001, 10'001));
  t.expect_stream(1, 3001);
  t.expect_stream(10'001, 13'001 - 1000);
  // Were it taken for the second copy, 2001:3001 sent at the same time would be in doubt.
  t.after(1ms).inject(ack(1).sack(1001, 2001).sack(3001, 10'001));
  for (const Seg& sent : t.take_sent()) EXPECT_GE(*sent.at, 12'001u);
  t.after(kRoundTrip).inject(ack(10'001));
  t.take_sent();
}

TEST(Rack, TimerThatFindsAllLostDoesNotWaitForTheRetransmissionTimer) {
  TcpScript t;
  establish_far(t, sack_syn());
  show_reordering(t);
  t.write(8000);
  t.expect_stream(2001, 10'001);
  t.after(kRoundTrip).inject(ack(2001).sack(9001, 10'001));
  t.expect_after(kWindow, data(2001, 3001));  // nothing is in flight, one has arrived
  t.after(kRoundTrip).inject(ack(3001).sack(9001, 10'001));
  t.expect_stream(3001, 5001);
  t.after(kRoundTrip).inject(ack(5001).sack(9001, 10'001));
  t.take_sent();
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  t.after(kRoundTrip).inject(ack(10'001));
}

TEST(Rack, AcksOfOneBatchAreTakenOneByOne) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject_batch(
      {ack(1).sack(1001, 2001), ack(1).sack(1001, 3001), ack(1).sack(1001, 4001), ack(4001), ack(5001)});
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].at, 10'001u) << "it had arrived, late";
  t.after(kRoundTrip).inject(ack(10'001));
  t.take_sent();
}

// --- alone

TEST(RackWindow, LastsForSixteenRecoveries) {
  rfc("8985", "6.2", "step 4: the wider window lasts for 16 recoveries");
  ObjectSlabs slabs;
  tcp::SentSegmentPool pool(64, slabs);
  tcp::Scoreboard board(pool);
  tcp::Rack rack;
  const SeqNum start{1000};
  rack.start(start);
  Instant now = kEpoch + 1s;
  ASSERT_NE(board.append(start, 10, 10, now), nullptr);
  ASSERT_NE(board.append(start + 10, 10, 10, now), nullptr);
  rack.on_arrival({start + 10, start + 20, now, false, false}, kRoundTrip, now + kRoundTrip);
  now += kRoundTrip;
  tcp::Rack::Context context;
  context.min_rtt = kRoundTrip;
  context.srtt = 100ms;
  const auto window = [&] { return rack.detect(board, context, now, [](tcp::SentSegment&) {}); };
  EXPECT_EQ(window(), 5ms);
  rack.on_dsack(start, start + 20);
  EXPECT_EQ(window(), 10ms);
  rack.on_dsack(start + 5, start + 20);
  EXPECT_EQ(window(), 10ms) << "once a round trip";
  rack.on_dsack(start + 20, start + 40);
  EXPECT_EQ(window(), 15ms);
  for (int i = 0; i < 15; ++i) rack.on_recovery_exit();
  EXPECT_EQ(window(), 15ms);
  rack.on_recovery_exit();
  EXPECT_EQ(window(), 5ms);
  for (std::uint32_t i = 2; i < 30; ++i) rack.on_dsack(start + 20 * i, start + 20 * i + 20);
  EXPECT_EQ(window(), 100ms) << "a smoothed round trip at most";
}

}  // namespace
}  // namespace millrace::test
