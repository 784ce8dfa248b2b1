// Reductions that were for nothing, and what takes them back: Eifel detection, DSACK. F-RTO has a file of its
// own.
#include "tcp/undo.h"

#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

// --- Eifel detection

TEST(Eifel, EchoFromBeforeTheRetransmissionTakesATimeoutBack) {
  rfc("3522", "3.2", "(4) the echo is older than the first retransmission: it was for nothing");
  rfc("4015", "3.2", "the window is again what it was before the timeout");
  TcpScript t;
  establish_far(t, stamped_syn());
  t.write(10'000);
  const auto sent = t.take_sent();
  expire(t);
  t.inject(ack(1001).ts(50'000, sent.at(0).timestamps->value));
  EXPECT_EQ(t.count(Counter::kLossUndo), 1u);
  EXPECT_GE(t.info().snd_cwnd, 10u);
  t.expect_nothing();
  t.inject(ack(10'001));
}

TEST(Eifel, EchoOfTheRetransmissionDoesNot) {
  TcpScript t;
  establish_far(t, stamped_syn());
  t.write(10'000);
  t.take_sent();
  expire(t);
  t.after(kRoundTrip).inject(ack(1001));
  EXPECT_EQ(t.count(Counter::kLossUndo), 0u);
  t.expect_stream(1001, 3001);
  t.inject(ack(10'001));
}

TEST(Eifel, LateSegmentTakesAFastRetransmitBack) {
  rfc("3522", "3.2", "(4) the echo is older than the first retransmission: it was for nothing");
  TcpScript t;
  establish_far(t, stamped_syn());
  t.write(100'000);
  const auto sent = t.take_sent();
  const std::uint32_t first = sent.at(0).timestamps->value;
  t.after(kRoundTrip).inject(ack(1).sack(1001, 4001).ts(50'000, first));
  t.expect(data(1, 1001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  t.after(1ms).inject(ack(4001).ts(50'001, first));
  EXPECT_EQ(t.count(Counter::kFullUndo), 1u);
  EXPECT_GE(t.info().snd_cwnd, 10u);
  EXPECT_GT(t.info().snd_ssthresh, 10u);
  for (const Seg& one : t.take_sent()) EXPECT_GE(*one.at, 10'001u);
  t.inject(ack(10'001));
  t.take_sent();
}

TEST(Eifel, AckThatTellsOfADuplicateDoesNot) {
  rfc("3522", "3.2", "(5) with DSACK it may answer to a repetition whose first answer was lost");
  TcpScript t;
  establish_far(t, stamped_syn());
  t.write(10'000);
  const auto sent = t.take_sent();
  expire(t);
  // The first had arrived, its ACK was lost; the rest is lost indeed.
  t.after(kRoundTrip).inject(ack(1001).sack(1, 1001).ts(50'000, sent.at(0).timestamps->value));
  EXPECT_EQ(t.count(Counter::kLossUndo), 0u);
  t.take_sent();
  t.inject(ack(10'001));
}

TEST(Eifel, AckOfEverythingDoesNot) {
  rfc("3522", "3.2", "(5) an ACK of all that is outstanding may answer to a repetition");
  TcpScript t;
  establish_far(t, stamped_syn());
  t.write(500);
  const auto sent = t.take_sent();
  expire(t);
  t.after(kRoundTrip).inject(ack(501).ts(50'000, sent.at(0).timestamps->value));
  EXPECT_EQ(t.count(Counter::kLossUndo), 0u);
}

TEST(Eifel, LossBehindALateSegmentStaysALoss) {
  TcpScript t;
  establish_far(t, stamped_syn());
  t.write(100'000);
  const auto sent = t.take_sent();
  const std::uint32_t first = sent.at(0).timestamps->value;
  // 1:1001 is late, 5001:6001 lost; both are sent again.
  t.after(kRoundTrip).inject(ack(1).sack(1001, 5001).sack(6001, 10'001).ts(50'000, first));
  t.expect(data(1, 1001));
  t.expect(data(5001, 6001));
  t.take_sent();
  t.after(1ms).inject(ack(5001).sack(6001, 10'001).ts(50'001, first));
  EXPECT_EQ(t.count(Counter::kFullUndo), 0u);
  t.after(kRoundTrip).inject(ack(10'001));
  EXPECT_EQ(t.count(Counter::kFullUndo), 0u);
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  t.take_sent();
}

// --- DSACK

TEST(DsackUndo, EverythingThatWasSentAgainCameTwice) {
  rfc("2883", "5", "the sender learns from DSACK that it sent something again for nothing");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 4001));
  t.expect(data(1, 1001));
  t.after(1ms).inject(ack(4001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  t.take_sent();
  t.after(kRoundTrip).inject(ack(4001).sack(1, 1001));
  EXPECT_EQ(t.count(Counter::kDsackUndo), 1u);
  EXPECT_GT(t.info().snd_ssthresh, 10u);
  EXPECT_GE(t.info().snd_cwnd, 10u);
  t.inject(ack(10'001));
  t.take_sent();
}

TEST(DsackUndo, IsHeardWhenNothingIsOutstanding) {
  TcpScript t;
  establish_and_send(t, sack_syn(), 10'000);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 4001));
  t.expect(data(1, 1001));
  t.after(1ms).inject(ack(10'001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  t.after(kRoundTrip).inject(ack(10'001).sack(1, 1001));
  EXPECT_EQ(t.count(Counter::kDsackUndo), 1u);
  EXPECT_GE(t.info().snd_cwnd, 10u);
  t.expect_nothing_for(10s);
}

TEST(DsackUndo, NeedsAllOfThem) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(2001, 10'001));
  t.expect_stream(1, 2001);
  t.take_sent();
  t.after(1ms).inject(ack(1001).sack(2001, 10'001));
  t.after(kRoundTrip).inject(ack(10'001).sack(1, 1001));
  EXPECT_EQ(t.count(Counter::kDsackUndo), 0u);
  t.take_sent();
  t.inject(ack(10'001).sack(1001, 2001));
  EXPECT_EQ(t.count(Counter::kDsackUndo), 1u);
  t.take_sent();
}

TEST(DsackUndo, WhatTheNetworkDoubledDoesNotCount) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 10'001));
  t.expect(data(1, 1001));
  t.take_sent();
  t.inject(ack(1).sack(3001, 4001).sack(1001, 10'001));
  EXPECT_EQ(t.count(Counter::kDsackReceived), 1u);
  EXPECT_EQ(t.count(Counter::kDsackUndo), 0u);
  t.after(kRoundTrip).inject(ack(10'001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  t.take_sent();
}

TEST(DsackUndo, OfATimeout) {
  TcpScript t;
  establish_and_send(t, sack_syn(), 500);
  expire(t);
  t.inject(ack(501));
  EXPECT_LE(t.info().snd_cwnd, 2u);
  t.after(kRoundTrip).inject(ack(501).sack(1, 501));
  EXPECT_EQ(t.count(Counter::kDsackUndo), 1u);
  EXPECT_EQ(t.info().dsack_dups, 1u);
  EXPECT_EQ(t.info().snd_cwnd, 10u);
}

TEST(DsackUndo, NonsenseIsIgnored) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(0x90000000u, 0x90000400u));
  EXPECT_EQ(t.count(Counter::kDsackReceived), 0u);
  t.inject(ack(10'001));
  t.take_sent();
}

TEST(Timeout, InARecoveryIsNotTakenBackToBeforeTheRecovery) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 10'001));
  t.expect(data(1, 1001));
  t.take_sent();
  t.after(1s);
  t.take_sent();
  EXPECT_GE(t.count(Counter::kTimeouts), 1u);
  EXPECT_EQ(t.info().snd_ssthresh, 5u) << "reduced once";
  t.inject(ack(10'001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  EXPECT_EQ(t.count(Counter::kSpuriousTimeouts), 0u);
  t.take_sent();
}

// --- alone

TEST(Undo, SmallPiecesCountAsTheyWereSent) {
  tcp::Undo undo;
  undo.start();
  EXPECT_FALSE(undo.all_duplicates()) << "nothing was sent again";
  undo.on_retransmitted(SeqNum{1000}, SeqNum{4000}, 3, 77);
  EXPECT_TRUE(undo.echo_is_early(76));
  EXPECT_FALSE(undo.echo_is_early(77));
  undo.on_dsack(SeqNum{1000}, SeqNum{3000}, 2);
  undo.on_dsack(SeqNum{4000}, SeqNum{5000}, 1);
  EXPECT_FALSE(undo.all_duplicates());
  undo.on_dsack(SeqNum{3000}, SeqNum{4000}, 1);
  EXPECT_TRUE(undo.all_duplicates());
  undo.stop();
  EXPECT_FALSE(undo.all_duplicates());
}

}  // namespace
}  // namespace millrace::test
