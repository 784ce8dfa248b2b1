#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

TEST(Rto, IsTwoHundredMillisecondsOnAFastPathAndDoubles) {
  rfc("6298", "5",
      "(5.1) the timer starts with the data; (5.4) the earliest segment is sent again; (5.5) RTO doubles");
  rfc("9293", "3.8.2", "MUST-19: exponential back-off");
  TcpScript t;
  t.establish(syn().mss(1460));
  t.write(3000);
  t.expect_stream(1, 3001);
  t.expect_after(200ms, data(1, 1461));
  t.expect_after(400ms, data(1, 1461));
  t.expect_after(800ms, data(1, 1461));
  t.expect_after(1600ms, data(1, 1025));  // smaller: it might be a path that swallows large packets
  EXPECT_EQ(t.info().backoff, 4);
}

TEST(Rto, FollowsTheRoundTripTime) {
  rfc("6298", "2", "(2.2) SRTT = R, RTTVAR = R/2, RTO = SRTT + max(G, 4*RTTVAR)");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.after(100ms).inject(ack(1));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.info().rtt, 100'000u);
  EXPECT_EQ(t.info().rttvar, 50'000u);
  EXPECT_EQ(t.info().rto, 300'000u);
  t.write(10);
  t.expect(data(1, 11));
  t.after(100ms).inject(ack(11));
  EXPECT_EQ(t.info().rtt, 100'000u);
  EXPECT_EQ(t.info().rttvar, 37'500u) << "(2.3) RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|";
  EXPECT_EQ(t.info().rto, 300'000u) << "the variance counts as 200 ms at least";
  t.write(10);
  t.expect(data(11, 21));
  t.after(260ms).inject(ack(21));
  EXPECT_EQ(t.info().rtt, 120'000u) << "SRTT = 7/8 SRTT + 1/8 R'";
  EXPECT_EQ(t.info().rttvar, 68'125u);
  EXPECT_EQ(t.info().rto, 120'000u + 4 * 68'125u);
}

TEST(Rto, IsCappedAndTheConnectionGivenUp) {
  rfc("9293", "3.8.3", "MUST-20: R2 ends the connection; SHLD-11: after 100 s at least");
  rfc("6298", "2.5", "an upper bound of 60 s or more");
  TcpScript t;
  t.establish(syn().mss(1460));
  t.write(10);
  t.expect(data(1, 11));
  Duration rto = 200ms;
  for (int i = 0; i < 15; ++i) {
    t.expect_after(rto, data(1, 11));
    rto = std::min<Duration>(rto * 2, 120s);
  }
  t.expect_state(State::kEstablished);
  t.expect_after(120s, rst(11).ack(1));
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(Rto, TimerStopsWhenAllIsAcknowledged) {
  rfc("6298", "5.2", "when all outstanding data is acknowledged the timer is off");
  TcpScript t;
  t.establish();
  t.write(3000);
  t.expect_stream(1, 3001);
  t.inject(ack(3001));
  t.expect_nothing_for(1000s);
}

TEST(Rto, TimerStartsAgainWithEachNewAck) {
  rfc("6298", "5.3", "an ACK of new data restarts the timer");
  TcpScript t;
  t.establish(syn().mss(1460));
  t.write(4380);
  t.expect_stream(1, 4381);
  t.expect_nothing_for(150ms);
  t.inject(ack(1461));
  t.expect_nothing_for(199ms);
  t.after(200ms);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.front().at, 1461u);
}

TEST(Rto, RetransmittedDataGivesNoSampleAndTheBackOffStays) {
  rfc("6298", "3", "Karn's algorithm: no sample of retransmitted segments");
  rfc("6298", "5", "a backed-off RTO stays until a new sample is there");
  rfc("9293", "3.8.1", "MUST-18: Karn's algorithm");
  TcpScript t;
  t.establish(syn().mss(1460));
  t.write(10);
  t.expect(data(1, 11));
  t.expect_after(200ms, data(1, 11));
  t.after(100ms).inject(ack(11));
  EXPECT_EQ(t.info().rtt, 0u);
  t.write(10);
  t.expect(data(11, 21));
  t.expect_after(400ms, data(11, 21));
  t.inject(ack(21));
  t.write(10);
  t.expect(data(21, 31));
  t.inject(ack(31));  // a sample
  t.write(10);
  t.expect(data(31, 41));
  t.expect_after(200ms, data(31, 41));
}

TEST(Rto, AnAckOfNewDataStartsTheCountToGivingUpAgain) {
  TcpScript t;
  t.establish();
  t.write(20);
  t.expect(data(1, 21));
  std::uint32_t acked = 1;
  for (int round = 0; round < 20; ++round) {
    t.after(600s);
    t.take_sent();
    if (t.state() != State::kEstablished) break;
    ++acked;
    if (acked > 20) break;
    t.inject(ack(acked));
    t.take_sent();
  }
  EXPECT_EQ(acked, 21u) << "five expiries and an ACK, again and again";
}

TEST(Rto, AfterALostSynIsThreeSeconds) {
  rfc("6298", "5.7", "after a SYN timeout the RTO is 3 s once data is sent");
  rfc("5681", "3.1", "a lost SYN: the initial window is one segment");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.expect_after(1s, syn());
  t.inject(synack().mss(1460));
  t.expect(ack(1));
  t.write(5000);
  t.expect(data(1, 1461));
  t.expect_nothing();
  t.expect_after(3s, data(1, 1461));
}

TEST(Rto, SendsTheRestInSlowStartAfterwards) {
  rfc("5681", "3.1", "after a timeout cwnd is one segment and slow start begins");
  TcpScript t;
  t.establish(syn().mss(1460));
  t.write(14'600);
  t.expect_stream(1, 14'601);
  t.expect_after(200ms, data(1, 1461));
  t.expect_nothing();
  t.inject(ack(1461));
  t.expect_stream(1461, 4381);
  t.expect_nothing();
  t.inject(ack(4381));
  t.expect_stream(4381, 10'221);
  t.expect_nothing();
}

TEST(Rto, SkipsWhatThePeerHadQueued) {
  TcpScript t;
  t.establish(syn().mss(1460));
  t.write(7300);
  t.expect_stream(1, 7301);
  t.expect_after(200ms, data(1, 1461));
  t.inject(ack(7301));  // the rest had arrived
  t.expect_nothing_for(10s);
}

TEST(Rto, UserTimeoutEndsTheConnectionEarlier) {
  rfc("9293", "3.8.3", "MUST-21: the application can set R2");
  rfc("5482", "3", "the user timeout");
  TcpScript t;
  t.establish(syn().mss(1460));
  t.set_option(SocketOption::kUserTimeout, 2000);
  t.write(10);
  t.expect(data(1, 11));
  t.after(1900ms);
  t.expect_state(State::kEstablished);
  t.after(1300ms);
  t.take_sent();
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(Rto, UserTimeoutCountsFromTheLastProgress) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kUserTimeout, 2000);
  t.write(20);
  t.expect(data(1, 21));
  t.after(1500ms).inject(ack(11));
  t.after(1500ms);
  t.expect_state(State::kEstablished);
  t.inject(ack(21));
  t.take_sent();
  t.expect_nothing_for(100s);
  t.expect_state(State::kEstablished);
}

// --- keepalive

void keep_alive(TcpScript& t) {
  t.set_option(SocketOption::kKeepalive, 1);
  t.set_option(SocketOption::kKeepaliveIdle, 100);
  t.set_option(SocketOption::kKeepaliveInterval, 10);
  t.set_option(SocketOption::kKeepaliveCount, 3);
}

TEST(Keepalive, IsOffByDefault) {
  rfc("9293", "3.8.4", "MUST-25: keep-alives are off by default");
  TcpScript t;
  t.establish();
  t.expect_nothing_for(100'000s);
}

TEST(Keepalive, StartsAfterTwoHoursByDefault) {
  rfc("9293", "3.8.4", "MUST-24: the application can turn them on; MUST-28: not before two hours by default");
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kKeepalive, 1);
  t.expect_after(7200s, ack(1).seq(0));
}

TEST(Keepalive, ProbesAnIdleConnectionAndEndsADeadOne) {
  rfc("9293", "3.8.4", "MUST-26, MUST-27: only when idle, with a settable interval; SHLD-12: without data");
  TcpScript t;
  t.establish();
  keep_alive(t);
  t.expect_after(100s, ack(1).seq(0));
  t.expect_after(10s, ack(1).seq(0));
  t.expect_after(10s, ack(1).seq(0));
  t.expect_after(10s, rst(1).ack(1));
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(Keepalive, AnswerStartsTheIdleTimeAgain) {
  rfc("9293", "3.8.4", "MUST-29: one unanswered probe does not mean death");
  TcpScript t;
  t.establish();
  keep_alive(t);
  t.expect_after(100s, ack(1).seq(0));
  t.expect_after(10s, ack(1).seq(0));
  t.inject(ack(1));
  t.expect_nothing_for(99s);
  t.expect_after(1s, ack(1).seq(0));
}

TEST(Keepalive, DataOfThePeerStartsTheIdleTimeAgain) {
  TcpScript t;
  t.establish();
  keep_alive(t);
  t.after(60s).inject(data(1, 11));
  t.expect(ack(11));
  t.expect_nothing_for(99s);
  t.expect_after(1s, ack(11).seq(0));
}

TEST(Keepalive, IsAnswered) {
  rfc("9293", "3.8.4", "a keep-alive probe of the peer is answered with an ACK");
  TcpScript t;
  t.establish();
  t.after(10s).inject(ack(1).seq(0));
  t.expect(ack(1).seq(1));
  t.after(10s).inject(data(0, 1));  // with a byte of garbage, as old stacks do
  t.expect(ack(1).seq(1).sack(0, 1));
}

}  // namespace
}  // namespace millrace::test
