// Timeouts that were spurious, found out by F-RTO (RFC 5682).
#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

// --- with SACK

TEST(ForwardRto, AckOfWhatWasSentOnceTakesATimeoutBack) {
  rfc("5682", "3", "what was not sent again after a timeout is acknowledged: the timeout was spurious");
  rfc("4015", "3.2", "the window is again what it was before the timeout");
  TcpScript t;
  establish_and_send(t, sack_syn(), 10'000);
  expire(t);
  t.inject(ack(3001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 1u);
  t.expect_nothing();  // the rest is late, not lost
  EXPECT_GE(t.info().snd_cwnd, 10u);
  EXPECT_EQ(t.info().backoff, 1u) << "the path may have become so slow: there is no sample yet (Karn)";
  t.inject(ack(9001));  // of nothing that was sent twice
  EXPECT_EQ(t.info().backoff, 0u);
  t.take_sent();  // the tail probe's copy left before what has arrived
  t.inject(ack(10'001));
  t.expect_nothing_for(10s);
}

TEST(ForwardRto, ReportOfWhatWasSentOnceDoesToo) {
  rfc("5682", "3", "what was not sent again after a timeout is acknowledged: the timeout was spurious");
  TcpScript t;
  establish_and_send(t, sack_syn(), 10'000);
  expire(t);
  t.inject(ack(1).sack(1001, 2001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 1u);
  t.take_sent();
  t.inject(ack(10'001));
}

TEST(ForwardRto, AckOfWhatWasSentAgainDoesNot) {
  rfc("5682", "3", "an ACK of the retransmission alone is no sign");
  TcpScript t;
  establish_and_send(t, sack_syn(), 10'000);
  expire(t);
  t.after(kRoundTrip).inject(ack(1001));
  t.expect_stream(1001, 3001);
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  EXPECT_EQ(t.info().snd_cwnd, 2u);
  // From here on what was sent again has holes behind it that may have been late: no sign either.
  t.after(kRoundTrip).inject(ack(4001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.take_sent();
  t.inject(ack(10'001));
}

TEST(ForwardRto, WhatIsSentForTheFirstTimeAfterTheTimeoutIsNoSign) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.set_option(SocketOption::kNoDelay, 1);
  t.write(100);
  t.expect(data(1, 101));
  expire(t);
  t.write(100);
  t.expect(data(101, 201));
  t.after(kRoundTrip).inject(ack(1).sack(101, 201));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  EXPECT_EQ(t.info().snd_cwnd, 1u) << "the first was lost, twice";
  t.after(1s).inject(ack(201));
  t.take_sent();
}

TEST(ForwardRto, SecondExpiryIsNoLongerInDoubt) {
  rfc("5682", "3", "not when the timer expires again");
  TcpScript t;
  establish_and_send(t, sack_syn(), 10'000);
  expire(t);
  t.after(1s);
  t.take_sent();
  t.inject(ack(3001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.take_sent();
  t.inject(ack(10'001));
}

// --- without SACK

/// A window of ten segments, of which the timer has sent the first again, and more than two to follow.
void expire_without_sack(TcpScript& t, std::uint32_t unsent = 5000) {
  establish_far(t, syn().mss(kMss));
  t.write(10'000 + unsent);
  t.expect_stream(1, 10'001);
  t.expect_nothing();
  expire(t);
  t.after(kRoundTrip);
}

TEST(BasicForwardRto, TwoAcksInARowTakeATimeoutBack) {
  rfc("5682", "2.1", "(2b) after the first ACK two new segments go out, and nothing is sent again");
  rfc("5682", "2.1", "(3b) the second ACK acknowledges what was not sent again: the timeout was spurious");
  TcpScript t;
  expire_without_sack(t);
  t.inject(ack(2001));
  t.expect_stream(10'001, 12'001);
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.inject(ack(3001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 1u);
  EXPECT_GE(t.info().snd_cwnd, 10u);
  EXPECT_EQ(t.info().backoff, 0u);
  EXPECT_EQ(t.info().total_retrans, 1u);
  t.expect_stream(12'001, 14'001);
  t.inject(ack(14'001));
  t.expect_stream(14'001, 15'001);
  t.inject(ack(15'001));
  t.expect_nothing_for(10s);
}

TEST(BasicForwardRto, NoMoreThanTwoHoweverMuchWasAcknowledged) {
  rfc("5682", "2.1", "(2b) after the first ACK two new segments go out, and nothing is sent again");
  TcpScript t;
  expire_without_sack(t);
  t.inject(ack(9001));
  t.expect_stream(10'001, 12'001);
  t.expect_nothing();
  t.write(1000);
  t.expect_nothing();
  t.inject(ack(12'001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 1u) << "of what was not sent again, too";
  t.expect_stream(12'001, 16'001);
  t.inject(ack(16'001));
}

TEST(BasicForwardRto, ADuplicateAfterThemDoesNot) {
  rfc("5682", "2.1",
      "(3a) a duplicate after the first ACK: what was lost is sent again, one of three segments");
  TcpScript t;
  expire_without_sack(t);
  t.inject(ack(1001));
  t.expect_stream(10'001, 12'001);
  t.inject(ack(1001));
  t.expect(data(1001, 2001));
  t.expect_nothing();
  t.inject(ack(1001));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  EXPECT_LE(t.info().snd_cwnd, 3u);
  // Slow start goes on.
  t.after(kRoundTrip).inject(ack(2001));
  t.expect(data(2001, 3001));
  t.inject(ack(12'001));
  t.take_sent();
  t.inject(ack(15'001));
}

TEST(BasicForwardRto, AFirstDuplicateGoesOnAsAfterAnyTimeout) {
  rfc("5682", "2.1", "(2a) a duplicate first: slow start goes on");
  TcpScript t;
  expire_without_sack(t);
  t.inject(ack(1));
  t.expect_nothing();
  t.inject(ack(1001));
  t.expect_stream(1001, 3001);
  t.inject(ack(3001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.take_sent();
}

TEST(BasicForwardRto, AnAckOfEverythingTellsNothing) {
  rfc("5682", "2.1", "(2a) the first ACK covers all that was sent: slow start goes on");
  TcpScript t;
  expire_without_sack(t);
  t.inject(ack(10'001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  EXPECT_LE(t.info().snd_cwnd, 3u);
  t.take_sent();
}

TEST(BasicForwardRto, AnAckOfAPartOfWhatWasSentAgainTellsNothing) {
  rfc("5682", "2.1", "(2a) the first ACK covers a part of what was sent again: slow start goes on");
  TcpScript t;
  expire_without_sack(t);
  t.inject(ack(501));
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(*sent.front().at, 1001u);
  t.inject(ack(2001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.take_sent();
}

TEST(BasicForwardRto, WithoutNewDataSlowStartGoesOn) {
  rfc("5682", "2.1", "(2b) nothing new to send: step 3 is skipped");
  TcpScript t;
  expire_without_sack(t, 0);
  t.inject(ack(1001));
  t.expect_stream(1001, 3001);
  t.inject(ack(3001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.take_sent();
  t.inject(ack(10'001));
}

TEST(BasicForwardRto, WhereTheWindowLetsNothingNewSlowStartGoesOn) {
  rfc("5682", "2.1", "(2b) the window allows nothing new: step 3 is skipped");
  TcpScript t;
  establish_far(t, syn().mss(kMss).win(10'000));
  t.inject(ack(1).win(10'000));
  t.write(15'000);
  t.expect_stream(1, 10'001);
  expire(t);
  t.after(kRoundTrip).inject(ack(1001).win(9'000));
  t.expect_stream(1001, 3001);
  t.inject(ack(10'001).win(10'000));
  t.take_sent();
}

TEST(BasicForwardRto, SegmentsOfThePeerAreNoDuplicates) {
  TcpScript t;
  expire_without_sack(t);
  t.inject(data(1, 101));
  t.take_sent();
  t.inject(ack(1001));
  t.expect_stream(10'001, 12'001);
  t.inject(ack(2001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 1u);
  t.take_sent();
  t.inject(ack(15'001));
  t.take_sent();
  EXPECT_EQ(t.read(), 100u);
}

TEST(BasicForwardRto, NotWhenTheTimerExpiresAgain) {
  rfc("5682", "2.1", "(1) not in a recovery from another timeout");
  TcpScript t;
  expire_without_sack(t);
  t.inject(ack(1001));
  t.expect_stream(10'001, 12'001);
  t.after(500ms);
  t.expect(data(1001, 2001));
  t.inject(ack(2001));
  t.expect_stream(2001, 4001);
  t.inject(ack(4001));
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.take_sent();
}

}  // namespace
}  // namespace millrace::test
