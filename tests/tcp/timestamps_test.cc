#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

TEST(Timestamps, AreUsedOnlyWhenBothAskForThem) {
  rfc("7323", "3.2", "TSopt is sent in non-SYN segments only after both SYNs had it");
  {
    TcpScript t;
    t.establish(syn().mss(1460));
    t.write(10);
    t.expect(data(1, 11).no_ts());
  }
  {
    TcpScript t;
    t.establish(syn().mss(1460).with_ts());
    t.write(10);
    t.expect(data(1, 11).with_ts());
  }
  {
    TcpScript t;
    t.establish_active(synack().mss(1460));
    t.write(10);
    t.expect(data(1, 11).no_ts());
  }
}

TEST(Timestamps, EchoTheValueOfTheLastSegmentInOrder) {
  rfc("7323", "3.2", "TSecr echoes the most recent TSval");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460).ts(1000, 0));
  Seg answer = t.take_sent().at(0);
  EXPECT_EQ(answer.timestamps->echo, 1000u);
  t.inject(ack(1).ts(1005, answer.timestamps->value));
  ASSERT_TRUE(t.accept());
  t.inject(data(1, 11).ts(1010, answer.timestamps->value));
  Seg reply = t.take_sent().at(0);
  EXPECT_EQ(reply.timestamps->echo, 1010u);
}

TEST(Timestamps, OfSegmentsOutOfOrderAreNotEchoed) {
  rfc("7323", "4.3", "(2): TS.Recent is updated only when SEG.SEQ <= Last.ACK.sent");
  TcpScript t;
  t.establish(syn().mss(1460).sack_ok().ts(1000, 0));
  t.inject(data(1, 11).ts(2000, 0));
  EXPECT_EQ(t.take_sent().at(0).timestamps->echo, 2000u);
  t.inject(data(21, 31).ts(2010, 0));
  EXPECT_EQ(t.take_sent().at(0).timestamps->echo, 2000u);
  t.inject(data(11, 21).ts(2020, 0));
  EXPECT_EQ(t.take_sent().at(0).timestamps->echo, 2020u);
}

TEST(Timestamps, OfTheEarliestUnacknowledgedSegmentAreEchoedByADelayedAck) {
  rfc("7323", "4.3", "an ACK for several segments echoes the earliest unacknowledged one");
  TcpScript t;
  t.establish(syn().mss(1460).ts(1000, 0));
  t.inject(data(1, 2).ts(1001, 0));
  t.write(1);
  t.take_sent();
  t.inject(data(2, 12).ack(2).ts(2000, 0));
  t.inject(data(12, 22).ts(2010, 0));
  t.expect_nothing();
  t.after(40ms);
  EXPECT_EQ(t.take_sent().at(0).timestamps->echo, 2000u);
}

TEST(Timestamps, ValueGrowsByOneAMillisecond) {
  rfc("7323", "5.4", "the timestamp clock ticks between 1 ms and 1 s");
  TcpScript t;
  t.establish(syn().mss(1460).with_ts());
  t.write(10);
  const std::uint32_t first = t.take_sent().at(0).timestamps->value;
  t.inject(ack(11));
  t.after(1s).write(10);
  EXPECT_EQ(t.take_sent().at(0).timestamps->value, first + 1000);
}

TEST(Timestamps, OffsetDiffersFromFlowToFlow) {
  rfc("7323", "5.4", "timestamps of different flows tell nothing of each other");
  TcpScript t;
  t.listen();
  t.from_port(41'000).inject(syn().mss(1460).with_ts());
  const std::uint32_t one = t.take_sent().at(0).timestamps->value;
  t.from_port(41'001).inject(syn().mss(1460).with_ts());
  const std::uint32_t two = t.take_sent().at(0).timestamps->value;
  EXPECT_NE(one, two);
}

TEST(Timestamps, SegmentWithoutThemIsDroppedOnceNegotiated) {
  rfc("7323", "3.2", "a non-RST segment without TSopt SHOULD be dropped silently once negotiated");
  TcpScript t;
  t.establish(syn().mss(1460).with_ts());
  t.inject(data(1, 11).no_ts());
  t.expect_nothing_for(1s);
  EXPECT_EQ(t.read(), 0u);
}

TEST(Timestamps, ResetWithoutThemIsTaken) {
  rfc("7323", "3.2", "a RST is acceptable without TSopt");
  TcpScript t;
  t.establish(syn().mss(1460).with_ts());
  t.inject(rst(1).no_ts());
  t.expect_state(State::kClosed);
}

TEST(Timestamps, ThirdSegmentWithoutThemDoesNotEstablish) {
  rfc("7323", "3.2", "a non-RST segment without TSopt SHOULD be dropped silently once negotiated");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460).with_ts());
  t.expect(synack().with_ts());
  t.inject(ack(1).no_ts());
  EXPECT_FALSE(t.try_accept());
  t.inject(ack(1));
  EXPECT_TRUE(t.try_accept());
}

TEST(Timestamps, SynAckThatEchoesWhatWasNeverSentIsIgnored) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  const std::uint32_t value = t.take_sent().at(0).timestamps->value;
  t.inject(synack().mss(1460).ts(1, value + 100'000));
  t.expect_nothing();
  t.expect_state(State::kSynSent);
}

// --- PAWS

TEST(Paws, OldTimestampIsAcknowledgedAndDropped) {
  rfc("7323", "5.3", "R1: SEG.TSval < TS.Recent: unacceptable, answered with an ACK, dropped");
  TcpScript t;
  t.establish(syn().mss(1460).ts(1000, 0));
  t.inject(data(1, 11).ts(2000, 0));
  t.expect(ack(11));
  t.inject(data(11, 21).ts(999, 0));
  t.expect(ack(11));
  EXPECT_EQ(t.count(Counter::kPawsEstab), 1u);
  EXPECT_EQ(t.read(), 10u);
}

TEST(Paws, WhatARetransmissionOvertookIsTaken) {
  rfc("7323", "5.3",
      "R1: but for what is younger than TS.Recent was a second or more ago: that is reordering");
  TcpScript t;
  t.establish(syn().mss(1460).ts(1000, 0));
  t.inject(data(11, 21).ts(1001, 0));
  t.expect(ack(1));
  t.after(40ms).inject(data(1, 11).ts(1040, 0));  // sent again
  t.expect(ack(21));
  t.after(1ms).inject(data(21, 31).ts(1002, 0));  // later than the first copy of that, and before the second
  t.expect(ack(31));
  EXPECT_EQ(t.count(Counter::kPawsEstab), 0u);
  EXPECT_EQ(t.read(), 30u);
}

TEST(Paws, TheYoungestTimestampIsEchoedAllTheSame) {
  rfc("7323", "4.3", "(2): TS.Recent is not replaced by an older one");
  TcpScript t;
  t.establish(syn().mss(1460).ts(1000, 0));
  t.inject(data(1, 11).ts(1040, 0));
  t.take_sent();
  t.inject(data(11, 21).ts(1002, 0));
  const auto sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].timestamps->echo, 1040u);
}

TEST(Paws, WhatIsSecondsOldIsDropped) {
  TcpScript t;
  t.establish(syn().mss(1460).ts(1000, 0));
  t.after(1s).inject(data(1, 11).ts(2000, 0));
  t.expect(ack(11));
  t.after(1s).inject(data(11, 21).ts(3000, 0));
  t.expect(ack(21));
  t.inject(data(21, 31).ts(1999, 0));
  t.expect(ack(21));
  EXPECT_EQ(t.count(Counter::kPawsEstab), 1u);
  t.inject(data(21, 31).ts(2000, 0));
  t.expect(ack(31));
}

TEST(Paws, EqualTimestampIsFine) {
  TcpScript t;
  t.establish(syn().mss(1460).ts(1000, 0));
  t.inject(data(1, 11).ts(2000, 0));
  t.expect(ack(11));
  t.inject(data(11, 21).ts(2000, 0));
  t.expect(ack(21));
}

TEST(Paws, WorksAcrossTheWrapOfTheClock) {
  TcpScript t;
  t.establish(syn().mss(1460).ts(0xfffffff0, 0));
  t.inject(data(1, 11).ts(0xfffffffe, 0));
  t.expect(ack(11));
  t.inject(data(11, 21).ts(5, 0));
  t.expect(ack(21));
  t.inject(data(21, 31).ts(0xffffffef, 0));
  t.expect(ack(21));
}

TEST(Paws, DoesNotStopAReset) {
  rfc("7323", "5.3", "R1 holds for segments without RST");
  TcpScript t;
  t.establish(syn().mss(1460).ts(1000, 0));
  t.inject(data(1, 11).ts(2000, 0));
  t.expect(ack(11));
  t.inject(rst(11).ts(1, 0));
  t.expect_state(State::kClosed);
}

TEST(Paws, ForgetsATimestampThatIs24DaysOld) {
  rfc("7323", "5.5", "TS.Recent is invalid after 24 days of idleness");
  TcpScript t;
  t.establish(syn().mss(1460).ts(0x70000000, 0));
  t.inject(data(1, 11).ts(0x70000001, 0));
  t.expect(ack(11));
  t.after(25 * 24h).inject(data(11, 21).ts(1, 0));
  t.expect(ack(21));
  EXPECT_EQ(t.read(), 20u);
}

// --- round-trip times

TEST(RoundTrip, TimestampsMeasureRetransmittedSegments) {
  rfc("7323", "4.1", "RTTM: an ACK that moves SND.UNA gives a sample, of retransmissions too");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460).ts(1000, 0));
  const auto synack_sent = t.take_sent();
  t.after(400ms).inject(ack(1).ts(1400, synack_sent.at(0).timestamps->value));
  ASSERT_TRUE(t.accept());
  t.after(1s).write(100);
  const std::uint32_t first = t.take_sent().at(0).timestamps->value;
  t.after(1300ms);  // RTO = 400 + 4 * 200 ms
  EXPECT_EQ(t.take_sent().size(), 1u);
  // Too early for an answer to the retransmission: the first one took 1.3 s.
  t.inject(ack(101).ts(3700, first));
  EXPECT_EQ(t.info().backoff, 0);
  EXPECT_NEAR(t.info().rtt, 400'000 + (1'300'000 - 400'000) / 8, 1000);
}

TEST(RoundTrip, AnswerToARepetitionIsNotMeasuredFromTheFirstCopy) {
  rfc("6298", "3", "an ACK that may answer to either transmission is no sample");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460).ts(1000, 0));
  const auto synack_sent = t.take_sent();
  t.after(20ms).inject(ack(1).ts(1020, synack_sent.at(0).timestamps->value));
  ASSERT_TRUE(t.accept());
  t.after(1s).write(100);
  const std::uint32_t first = t.take_sent().at(0).timestamps->value;
  t.after(220ms);
  EXPECT_EQ(t.take_sent().size(), 1u);
  // The peer had it; its ACK was lost, and it repeats it, with the same echo.
  t.after(20ms).inject(ack(101).ts(2260, first));
  EXPECT_EQ(t.info().rtt, 20'000u);
}

}  // namespace
}  // namespace millrace::test
