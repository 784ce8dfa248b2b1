// SACK: what is reported is not sent again, what is not is; DSACK as the receiver; super-segments; and RFC
// 6675, where it is chosen instead of RACK.
#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

TEST(Sack, OnlyTheHolesAreSentAgain) {
  rfc("2018", "5", "reported segments are not sent again");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(4001, 10'001).sack(1001, 3001));
  t.expect(data(1, 1001));
  t.expect(data(3001, 4001));
  t.expect_stream(10'001, 13'001);
  t.expect_nothing();
  t.after(kRoundTrip).inject(ack(10'001));
  EXPECT_EQ(t.count(Counter::kRetransSegs), 2u);
  t.take_sent();
}

TEST(Sack, BlocksThatMakeNoSenseAreIgnored) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(8001, 20'001));
  t.inject(ack(1).sack(9001, 8001));
  t.inject(ack(1).sack(0x80000001u, 0x80001001u));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kSackDiscarded), 3u);
  EXPECT_EQ(t.info().snd_cwnd, 10u);
  t.inject(ack(10'001));
  t.take_sent();
}

TEST(Sack, OldBlocksOfALateAckAreIgnored) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(5001));
  t.take_sent();
  t.inject(ack(1).sack(2001, 5001));
  t.expect_nothing();
  t.inject(ack(10'001));
  t.take_sent();
}

TEST(Sack, WhatThePeerThrewAwayIsSentAgainAfterATimeout) {
  rfc("2018", "8", "reported data is kept until it is acknowledged, and sent again after a timeout");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 5001));
  t.expect(data(1, 1001));
  // It has the first one now, and none of the rest any more.
  t.after(kRoundTrip).inject(ack(1001));
  t.expect_nothing_for(200ms);
  t.after(200ms);
  t.expect(data(1001, 2001));
  EXPECT_EQ(t.count(Counter::kSackReneging), 1u);
  t.inject(ack(2001));
  t.expect_stream(2001, 4001);
  t.inject(ack(4001));
  t.expect(data(4001, 5001));
  t.inject(ack(5001));
  t.expect_nothing_for(10s);
}

TEST(Sack, TimeoutDoesNotForgetWhatIsReportedBehindAHole) {
  rfc("6675", "5.1", "SACK information is used after a timeout too");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.after(kRoundTrip).inject(ack(1).sack(3001, 4001));
  t.after(1s);
  t.take_sent();
  t.inject(ack(3001).sack(3001, 4001));
  t.inject(ack(4001));
  t.expect(data(4001, 5001));
  t.inject(ack(5001));
  EXPECT_EQ(t.count(Counter::kSackReneging), 0u);
}

TEST(Sack, NumbersMayWrapInTheMiddleOfARecovery) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    TcpScript::Options options;
    options.seed = seed;
    TcpScript t(options);
    fill_far_window(t, sack_syn());
    t.inject(ack(1).sack(1001, 10'001));
    t.expect(data(1, 1001));
    t.take_sent();
    t.after(kRoundTrip).inject(ack(10'001));
    for (const Seg& sent : t.take_sent()) EXPECT_GT(*sent.at, 10'000u);
  }
}

TEST(Sack, LostFinIsSentAgain) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(4000);
  t.shutdown(Shutdown::kWrite);
  t.expect_stream(1, 4001);
  t.expect(fin(4001));
  t.after(kRoundTrip).inject(ack(4001));
  t.expect_after(220ms, fin(4001));
  t.inject(ack(4002));
  t.expect_state(tcp::State::kFinWait2);
  t.expect_nothing_for(10s);
}

TEST(Sack, FirstRoundTripTimeReplacesTheGuessOfTheTimer) {
  // RFC 6675 has no timer for the reordering of a few segments, so that the retransmission timer must do.
  TcpScript::Options options;
  options.stack.tcp.rack = false;
  TcpScript t(options);
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.expect_after(1s, syn());
  t.after(10ms).inject(synack().mss(kMss).sack_ok());
  t.expect(ack(1));
  t.set_option(SocketOption::kNoDelay, 1);
  t.write(10);
  t.write(10);
  t.expect_stream(1, 21);
  t.after(kRoundTrip).inject(ack(1).sack(11, 21));
  t.expect_after(220ms, data(1, 11));  // not 3 s
  t.inject(ack(21));
}

// --- DSACK, as the receiver

TEST(Dsack, DuplicateSegmentIsReportedOnce) {
  rfc("2883", "4", "a duplicate is the first block of the next ACK, and of that one only");
  TcpScript t;
  t.establish(sack_syn());
  t.inject(data(1, 1001));
  t.expect(ack(1001));
  t.inject(data(1, 1001));
  t.expect(ack(1001).sack(1, 1001));
  t.inject(data(1001, 2001));
  t.expect(ack(2001));
}

TEST(Dsack, DuplicateBehindAHoleIsFollowedByItsBlock) {
  rfc("2883", "4.1", "a duplicate above the ACK is followed by the block that contains it");
  TcpScript t;
  t.establish(sack_syn());
  t.inject(data(2001, 4001));
  t.expect(ack(1).sack(2001, 4001));
  t.inject(data(5001, 6001));
  t.expect(ack(1).sack(5001, 6001).sack(2001, 4001));
  t.inject(data(2001, 3001));
  t.expect(ack(1).sack(2001, 3001).sack(2001, 4001).sack(5001, 6001));
}

TEST(Dsack, OfASegmentThatIsKnownInPartItIsThatPart) {
  rfc("2883", "4.2", "of a partial duplicate the part that came twice is reported");
  TcpScript t;
  t.establish(sack_syn());
  t.inject(data(1, 1001));
  t.expect(ack(1001));
  t.inject(data(501, 1501));
  t.expect(ack(1501).sack(501, 1001));
}

TEST(Dsack, IsNotSentWithoutSack) {
  TcpScript t;
  t.establish(syn().mss(kMss));
  t.inject(data(1, 1001));
  t.expect(ack(1001));
  t.inject(data(1, 1001));
  t.expect(ack(1001));
}

TEST(Dsack, IsNotRepeatedInThePiecesOfASuperSegment) {
  rfc("2883", "4", "a duplicate is the first block of the next ACK, and of that one only");
  TcpScript::Options options;
  options.caps = super_segments();
  TcpScript t(options);
  fill_far_window(t, sack_syn());
  t.inject(data(1, 1001).ack(1));
  t.inject_batch({data(1, 1001).ack(8001)});
  const auto sent = t.take_sent();
  std::size_t told = 0;
  for (const Seg& one : sent) {
    if (one.blocks.empty()) continue;
    ++told;
    EXPECT_LE(one.length, kMss);
  }
  EXPECT_EQ(told, 1u);
}

// --- super-segments

TcpScript::Options with_super_segments() {
  TcpScript::Options options;
  options.caps = super_segments();
  return options;
}

TEST(SuperSegment, OfWhichAPartIsReportedOnlyTheRestIsSentAgain) {
  TcpScript t(with_super_segments());
  establish_far(t, sack_syn());
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.after(kRoundTrip).inject(ack(1).sack(3001, 6001).sack(8001, 10'001));
  t.expect(data(1, 3001));
  t.expect(data(6001, 8001));
  t.expect_nothing();  // ssthresh is 5000
  t.after(kRoundTrip).inject(ack(10'001));
  EXPECT_EQ(t.count(Counter::kRetransSegs), 5u);
  t.take_sent();
}

TEST(SuperSegment, SentAgainIsCutToTheWindow) {
  TcpScript t(with_super_segments());
  establish_far(t, sack_syn());
  t.write(100'000);
  t.expect_stream(1, 10'001);
  // Three have arrived, so three may go; the rest is lost as well.
  t.after(kRoundTrip).inject(ack(1).sack(7001, 10'001));
  t.expect(data(1, 3001));
  t.expect_nothing();
  t.after(kRoundTrip).inject(ack(3001).sack(7001, 10'001));
  t.expect_stream(3001, 7001);
  t.take_sent();
}

TEST(SuperSegment, AfterATimeoutOneSegmentOfItIsSentAgain) {
  rfc("5681", "3.1", "after a timeout cwnd is one segment and slow start begins");
  TcpScript t(with_super_segments());
  establish_far(t, syn().mss(kMss));
  t.write(10'000);
  t.expect_stream(1, 10'001);
  t.expect_after(220ms, data(1, 1001));
  t.after(kRoundTrip).inject(ack(1001));
  t.expect(data(1001, 3001));
  t.after(kRoundTrip).inject(ack(3001));
  t.expect_stream(3001, 7001);
  t.after(kRoundTrip).inject(ack(7001));
  t.expect(data(7001, 10'001));
  t.inject(ack(10'001));
}

TEST(SuperSegment, SmallLostSegmentsAreSentAgainAsOne) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.set_option(SocketOption::kNoDelay, 1);
  for (std::uint32_t i = 0; i < 10; ++i) {
    t.write(100);
    t.expect(data(1 + 100 * i, 101 + 100 * i));
  }
  t.after(kRoundTrip).inject(ack(1).sack(901, 1001));
  t.expect_after(5ms, data(1, 901));
  t.after(kRoundTrip).inject(ack(1001));
  t.expect_nothing_for(10s);
}

TEST(SuperSegment, FinOfOneIsSentAgainAlone) {
  TcpScript t(with_super_segments());
  establish_far(t, sack_syn());
  t.write(3000);
  t.shutdown(Shutdown::kWrite);
  t.after(kRoundTrip).take_sent();
  t.inject(ack(3001));
  t.after(1s);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].at, 3001u);
  EXPECT_EQ(sent[0].length, 0u);
  EXPECT_TRUE(sent[0].has(Seg::Flags::kFin));
  t.inject(ack(3002));
  t.expect_state(tcp::State::kFinWait2);
}

TEST(SuperSegment, IsSentAgainInSegmentsOfThePathsNewSize) {
  rfc("1191", "6.5", "what was too large is sent again at once, and the window stays");
  TcpScript t(with_super_segments());
  establish_far(t, syn().mss(1460).sack_ok());
  t.write(10'000);
  const auto first = t.take_sent();
  t.after(kRoundTrip).inject(ack(1461));
  t.inject_icmp(3, 4, 1461, 1040);
  std::uint32_t next = 1461;
  for (const Seg& sent : t.take_sent()) {
    EXPECT_EQ(sent.at, next);
    next += sent.length;
  }
  EXPECT_EQ(next, 10'001u);
  EXPECT_EQ(t.info().snd_mss, 1000u);
  EXPECT_GE(t.info().snd_cwnd, 14u);
  t.inject(ack(10'001));
  t.expect_nothing_for(10s);
}

// --- memory

TEST(SentSegments, RunOutAndEverythingIsSentAllTheSame) {
  // One connection holds all entries there are; the other one's turn comes by its timer.
  TcpScript::Options options;
  options.stack.tcp.max_sent_segments = 64;
  options.caps = super_segments();
  TcpScript t(options);
  establish_far(t, sack_syn());
  t.set_option(SocketOption::kNoDelay, 1);
  t.write(3000);
  t.expect(data(1, 3001));
  for (std::uint32_t i = 0; i < 80; ++i) t.write(10);
  t.expect_stream(3001, 3631);
  t.expect_nothing();
  // No entry is left to tell the first segment of the super-segment from the rest.
  t.after(1s);
  for (const Seg& sent : t.take_sent()) EXPECT_LE(sent.length, kMss);
  std::uint32_t una = 1;
  for (int i = 0; i < 30 && una < 3801; ++i) {
    t.inject(ack(una = std::min(una + 500, 3801u)));
    t.after(3s);
    t.take_sent();
  }
  EXPECT_EQ(t.info().unacked, 0u);
  EXPECT_EQ(t.info().notsent_bytes, 0u);
}

// --- RFC 6675

TcpScript::Options without_rack() {
  TcpScript::Options options;
  options.stack.tcp.rack = false;
  return options;
}

TEST(SackRecovery, MoreThanTwoSegmentsReportedAboveAHoleMakeItLost) {
  rfc("6675", "4", "IsLost(): more than (DupThresh - 1) * SMSS bytes above it are reported");
  TcpScript t(without_rack());
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(3001, 5001));
  t.expect_stream(10'001, 12'001);  // limited transmit
  t.inject(ack(1).sack(3001, 6001));
  t.expect(data(1, 1001));
  t.expect_nothing();
  t.inject(ack(1).sack(3001, 10'001));
  t.expect_stream(1001, 3001);  // in flight, with the new ones: ssthresh
  t.expect_nothing();
}

TEST(SackRecovery, ThirdDuplicateAckCountsHoweverSmallTheSegments) {
  rfc("6675", "5", "(1) DupAcks >= DupThresh begins a recovery");
  TcpScript t(without_rack());
  establish_far(t, sack_syn());
  t.set_option(SocketOption::kNoDelay, 1);
  for (std::uint32_t i = 0; i < 6; ++i) {
    t.write(100);
    t.expect(data(1 + 100 * i, 101 + 100 * i));
  }
  t.after(kRoundTrip).inject(ack(1).sack(101, 201));
  t.inject(ack(1).sack(101, 301));
  t.inject(ack(1).sack(101, 301));  // tells nothing new
  t.expect_nothing();
  t.inject(ack(1).sack(101, 401));
  t.expect(data(1, 101));
  t.expect_nothing();
}

TEST(SackRecovery, LostRetransmissionIsTheTimersToFind) {
  TcpScript t(without_rack());
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 10'001));
  t.expect(data(1, 1001));
  t.expect_stream(10'001, 14'001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 14'001));
  for (const Seg& sent : t.take_sent()) EXPECT_GT(*sent.at, 14'000u);
  t.after(300ms);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].at, 1u);
  EXPECT_EQ(t.count(Counter::kTimeouts), 1u);
}

}  // namespace
}  // namespace millrace::test
