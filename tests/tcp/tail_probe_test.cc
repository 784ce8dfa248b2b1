// Tail loss probes (RFC 8985 §7).
#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

TEST(TailProbe, RepeatsTheLastSegmentAfterTwoRoundTrips) {
  rfc("8985", "7.2", "PTO = 2 * SRTT");
  rfc("8985", "7.3", "without new data the probe is the last segment");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(3000);
  t.expect_stream(1, 3001);
  t.expect_after(2 * kRoundTrip, data(2001, 3001));
  EXPECT_EQ(t.count(Counter::kLossProbes), 1u);
  // One probe; then the retransmission timer.
  t.expect_nothing_for(219ms);
  t.expect_after(1ms, data(1, 1001));
  t.inject(ack(3001));
}

TEST(TailProbe, IsNewDataWhereThereIsSome) {
  rfc("8985", "7.3", "the probe is new data when there is some that the peer's window takes");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.expect_after(2 * kRoundTrip, data(10'001, 11'001));
  t.inject(ack(11'001));
  EXPECT_EQ(t.count(Counter::kLossProbeRecovery), 0u);
  t.take_sent();
}

TEST(TailProbe, RepeatsTheLastSegmentWhenThePeersWindowIsFull) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.inject(data(1, 2).ack(1).win(3000));
  t.expect(ack(2));
  t.write(100'000);
  t.expect_stream(1, 3001);
  t.expect_after(2 * kRoundTrip, data(2001, 3001));
  t.inject(ack(3001).win(3000));
  t.take_sent();
}

TEST(TailProbe, IsTheLastPieceOfASuperSegment) {
  TcpScript::Options options;
  options.caps = super_segments();
  TcpScript t(options);
  establish_far(t, sack_syn());
  t.write(4500);
  t.expect(data(1, 4501));
  t.expect_after(2 * kRoundTrip, data(4001, 4501));
  t.after(kRoundTrip).inject(ack(1).sack(4001, 4501));
  t.expect(data(1, 1001));
  t.after(kRoundTrip).inject(ack(1001).sack(4001, 4501));
  t.take_sent();
}

TEST(TailProbe, RevealsTheLossOfATail) {
  rfc("8985", "7.4", "the answer to a probe starts the recovery of what was lost before it");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.expect_after(2 * kRoundTrip, data(4001, 5001));
  t.after(kRoundTrip).inject(ack(2001).sack(4001, 5001));
  t.expect_stream(2001, 4001);
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  t.after(kRoundTrip).inject(ack(5001));
}

TEST(TailProbe, ThatRepairedALossReducesTheWindow) {
  rfc("8985", "7.4.2", "a loss that the probe repaired is answered as a loss");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(4000);
  t.expect_stream(1, 4001);
  t.expect_after(2 * kRoundTrip, data(3001, 4001));
  t.after(kRoundTrip).inject(ack(4001));
  t.write(1000);
  t.expect(data(4001, 5001));
  t.after(kRoundTrip).inject(ack(5001));
  EXPECT_EQ(t.count(Counter::kLossProbeRecovery), 1u);
  EXPECT_EQ(t.info().snd_ssthresh, 2u);
}

TEST(TailProbe, ThatCameTwiceReducesNothing) {
  rfc("8985", "7.4.2", "a DSACK for the probe: nothing was lost");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(4000);
  t.expect_stream(1, 4001);
  t.expect_after(2 * kRoundTrip, data(3001, 4001));
  t.inject(ack(4001));
  t.after(kRoundTrip).inject(ack(4001).sack(3001, 4001));
  t.write(1000);
  t.expect(data(4001, 5001));
  t.after(kRoundTrip).inject(ack(5001));
  EXPECT_EQ(t.count(Counter::kLossProbeRecovery), 0u);
  EXPECT_EQ(t.info().snd_cwnd, 10u);
}

TEST(TailProbe, WithTwoAnswersReducesNothing) {
  rfc("8985", "7.4.2", "a duplicate ACK without SACK answers the probe: nothing was lost");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(4000);
  t.expect_stream(1, 4001);
  t.expect_after(2 * kRoundTrip, data(3001, 4001));
  t.inject(ack(4001));
  t.inject(ack(4001));
  t.write(1000);
  t.expect(data(4001, 5001));
  t.after(kRoundTrip).inject(ack(5001));
  EXPECT_EQ(t.count(Counter::kLossProbeRecovery), 0u);
  EXPECT_EQ(t.info().snd_cwnd, 10u);
}

TEST(TailProbe, IsNotAnsweredByADuplicateAckBelowIt) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(4000);
  t.expect_stream(1, 4001);
  t.expect_after(2 * kRoundTrip, data(3001, 4001));
  t.inject(ack(1));
  t.after(kRoundTrip).inject(ack(4001));
  t.write(1000);
  t.expect(data(4001, 5001));
  t.after(kRoundTrip).inject(ack(5001));
  EXPECT_EQ(t.count(Counter::kLossProbeRecovery), 1u);
}

TEST(TailProbe, IsNotSentInARecovery) {
  rfc("8985", "7.2", "no probe while in loss recovery");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 5001));
  t.expect(data(1, 1001));
  t.expect_nothing_for(200ms);
  t.inject(ack(5001));
  EXPECT_EQ(t.count(Counter::kLossProbes), 0u);
}

TEST(TailProbe, NeedsSack) {
  rfc("8985", "7.2", "a probe needs SACK");
  TcpScript t;
  establish_far(t, syn().mss(kMss));
  t.write(3000);
  t.expect_stream(1, 3001);
  t.expect_after(220ms, data(1, 1001));
  t.inject(ack(3001));
}

TEST(TailProbe, OfASingleSegmentWaitsForADelayedAck) {
  rfc("8985", "7.2", "a single segment's probe waits for a delayed ACK too");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(1000);
  t.expect(data(1, 1001));
  t.expect_nothing_for(2 * kRoundTrip + 100ms);
  t.inject(ack(1001));
}

TEST(TailProbe, StartsAnewWithWhatIsSentButTheTimerBehindItDoesNot) {
  rfc("6298", "5.1", "a retransmission timer that runs is not started again by further data");
  rfc("8985", "7.2", "the probe is due after what was sent last, and no later than the timer");
  TcpScript t;
  establish_far(t, sack_syn());
  t.set_option(SocketOption::kNoDelay, 1);
  // Something small every 30 ms, into the void.
  std::uint32_t next = 1;
  for (int i = 0; i < 7; ++i) {
    t.write(10);
    t.expect(data(next, next + 10));
    next += 10;
    t.after(30ms);
    t.expect_nothing();
  }
  t.after(11ms);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty()) << "220 ms after the first of them";
  EXPECT_EQ(sent[0].at, 61u) << "the probe takes the timer's place";
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  t.after(220ms);
  EXPECT_EQ(t.take_sent().at(0).at, 1u);
  EXPECT_EQ(t.count(Counter::kTimeouts), 1u);
  t.inject(ack(next));
}

TEST(TailProbe, FinIsOneToo) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(2500);
  t.shutdown(Shutdown::kWrite);
  t.expect_stream(1, 2001);
  t.take_sent();
  t.after(2 * kRoundTrip);
  const auto sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(Seg::Flags::kFin));
  t.inject(ack(2502));
  t.expect_state(tcp::State::kFinWait2);
}

}  // namespace
}  // namespace millrace::test
