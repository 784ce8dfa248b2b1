#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

TEST(Handshake, PassiveOpenAnswersSynAndEstablishesOnTheAck) {
  rfc("9293", "3.10.7.2", "LISTEN: a SYN is answered with SYN-ACK, SEQ=ISS, ACK=SEG.SEQ+1");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460).sack_ok());
  t.expect(synack().mss(1460).sack_ok().win(65535).no_ts());
  EXPECT_FALSE(t.try_accept());
  t.inject(ack(1));
  t.expect_nothing();
  ASSERT_TRUE(t.accept());
  t.expect_state(State::kEstablished);
  EXPECT_EQ(t.count(Counter::kPassiveOpens), 1u);
}

TEST(Handshake, ActiveOpenEstablishesOnSynAckAndAcknowledgesIt) {
  rfc("9293", "3.10.7.3", "SYN-SENT: a SYN with an acceptable ACK leads to ESTABLISHED and an ACK");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn().mss(1460).sack_ok().with_ts().wscale(7).win(65535));
  t.expect_state(State::kSynSent);
  t.inject(synack().mss(1460).sack_ok());
  t.expect(ack(1).seq(1));
  t.expect_state(State::kEstablished);
  EXPECT_TRUE(t.readiness() & kWritable);
}

TEST(Handshake, SimultaneousOpenOfTheFigureEstablishes) {
  rfc("9293", "3.5", "MUST-10: simultaneous open");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(syn().mss(1460).sack_ok());
  t.expect(synack());
  t.expect_state(State::kSynReceived);
  t.inject(synack().mss(1460).sack_ok());
  t.expect(ack(1).seq(1));
  t.expect_state(State::kEstablished);
  t.write(100);
  t.expect(data(1, 101).ack(1));
}

TEST(Handshake, SimultaneousOpenEstablishesOnAPlainAckToo) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(1).seq(1));
  t.expect_nothing();
  t.expect_state(State::kEstablished);
}

TEST(Handshake, SynAckIsRepeatedAfterOneTwoFourEightSixteenSecondsThenForgotten) {
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.expect_after(1s, synack());
  t.expect_after(2s, synack());
  t.expect_after(4s, synack());
  t.expect_after(8s, synack());
  t.expect_after(16s, synack());
  t.expect_nothing_for(200s);
  EXPECT_EQ(t.tcp().request_count(), 0u);
  t.expect_clean();
}

TEST(Handshake, SynIsRepeatedWithBackOffAndGivesUpWithTimedOut) {
  rfc("9293", "3.8.3", "MUST-22, MUST-23: SYN retransmission gives up, after three minutes at the earliest");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.expect_after(1s, syn());
  t.expect_after(2s, syn());
  t.expect_after(4s, syn());
  t.expect_after(8s, syn());
  t.expect_after(16s, syn());
  t.expect_after(32s, syn());
  t.expect_nothing_for(63999ms);
  t.expect_state(State::kSynSent);
  t.expect_nothing_for(1ms);
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(Handshake, DelayedAckComesAtFortyMilliseconds) {
  TcpScript t;
  t.establish();
  for (std::uint32_t i = 0; i < 20; ++i) {
    t.inject(data(1 + 10 * i, 11 + 10 * i));
  }
  t.take_sent();
  t.after(1s);
  t.take_sent();
  t.inject(data(201, 211));
  t.expect_nothing();
  t.expect_after(40ms, ack(211));
  EXPECT_EQ(t.read(), 210u);
  t.close();
  t.expect(fin(1));
  t.inject(fin(211).ack(2));
  t.expect(ack(212));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
  t.expect_nothing_for(60s);
  t.expect_clean();
}

TEST(Handshake, DataIsCutByTheMssAndAcknowledged) {
  TcpScript t;
  t.establish();
  t.write(4000);
  t.expect(data(1, 1461));
  t.expect(data(1461, 2921));
  t.expect(data(2921, 4001).psh());
  t.inject(ack(4001));
  t.expect_nothing_for(10s);
}

}  // namespace
}  // namespace millrace::test
