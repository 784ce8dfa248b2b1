#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

TEST(Close, OfOursFirstGoesThroughFinWaitToTimeWait) {
  rfc("9293", "3.6", "normal close (figure 12), the side that closes first");
  rfc("9293", "3.6.1", "MUST-13: TIME-WAIT lasts 2 MSL");
  TcpScript t;
  t.establish();
  t.close();
  t.expect(fin(1).ack(1));
  t.inject(ack(2));
  t.expect_nothing();
  t.inject(fin(1));
  t.expect(ack(2).seq(2));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
  t.expect_nothing_for(59'999ms);
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
  t.expect_nothing_for(1ms);
  t.close_listener();
  t.expect_clean();
}

TEST(Close, OfThePeerFirstGoesThroughCloseWaitToClosed) {
  rfc("9293", "3.6", "normal close (figure 12), the side that closes second");
  TcpScript t;
  t.establish();
  t.inject(fin(1));
  t.expect(ack(2));
  t.expect_state(State::kCloseWait);
  EXPECT_TRUE(t.at_end_of_file());
  EXPECT_TRUE(t.readiness() & kReadHangup);
  t.close();
  t.expect(fin(1).ack(2));
  t.inject(ack(2));
  t.close_listener();
  t.expect_clean();
}

TEST(Close, SimultaneousGoesThroughClosingToTimeWait) {
  rfc("9293", "3.6", "simultaneous close (figure 13)");
  TcpScript t;
  t.establish();
  t.shutdown(Shutdown::kWrite);
  t.expect(fin(1).ack(1));
  t.inject(fin(1).ack(1));
  t.expect(ack(2).seq(2));
  t.expect_state(State::kClosing);
  t.inject(ack(2));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
  t.expect_nothing_for(60s);
  EXPECT_EQ(t.tcp().time_wait_count(), 0u);
}

TEST(Close, FinWithTheAckOfOursGoesToTimeWaitAtOnce) {
  rfc("9293", "3.10.7.4", "eighth: FIN-WAIT-1 with our FIN acknowledged: TIME-WAIT");
  TcpScript t;
  t.establish();
  t.close();
  t.expect(fin(1));
  t.inject(fin(1).ack(2));
  t.expect(ack(2).seq(2));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
}

TEST(Close, FinRidesOnTheLastData) {
  TcpScript t;
  t.establish();
  t.write(100);
  t.expect(data(1, 101));
  EXPECT_TRUE(t.try_write(100, {.more = true}).ok());
  t.expect_nothing();
  t.close();
  t.expect(data(101, 201).fin());
  t.inject(ack(202));
  t.inject(fin(1));
  t.expect(ack(2).seq(202));
}

TEST(Close, QueuedDataGoesOutBeforeTheFin) {
  rfc("9293", "3.10.4", "CLOSE: data queued before is sent, then the FIN");
  TcpScript t;
  t.establish();
  t.write(30'000);
  t.expect_stream(1, 14'601);
  t.close();
  t.inject(ack(14'601));
  t.expect_stream(14'601, 29'201);
  t.expect(data(29'201, 30'001).fin());
  t.inject(ack(30'002));
  t.expect_nothing_for(1s);
}

TEST(Close, FinIsRetransmitted) {
  TcpScript t;
  t.establish(syn().mss(1460));
  t.close();
  t.expect(fin(1));
  t.expect_after(200ms, fin(1));
  t.expect_after(400ms, fin(1));
  t.inject(ack(2));
  t.expect_nothing_for(10s);
}

TEST(Close, RepeatedFinOfThePeerIsAcknowledgedAgain) {
  rfc("9293", "3.10.7.4", "first: a repeated FIN is unacceptable and answered with an ACK");
  TcpScript t;
  t.establish();
  t.inject(fin(1));
  t.expect(ack(2));
  t.after(1s).inject(fin(1));
  t.expect(ack(2));
  t.expect_state(State::kCloseWait);
}

TEST(Close, FinOutOfOrderWaitsForTheData) {
  TcpScript t;
  t.establish();
  t.inject(data(11, 21).fin());
  t.expect(ack(1).sack(11, 21));
  t.expect_state(State::kEstablished);
  t.inject(data(1, 11));
  t.expect(ack(22));
  t.expect_state(State::kCloseWait);
  EXPECT_EQ(t.read(), 20u);
  EXPECT_TRUE(t.at_end_of_file());
}

TEST(Close, DataBehindTheFinIsIgnored) {
  rfc("9293", "3.10.7.4", "seventh: CLOSE-WAIT and later: segment text is ignored");
  TcpScript t;
  t.establish();
  t.inject(data(1, 11).fin());
  t.expect(ack(12));
  t.inject(data(12, 22));
  t.expect(ack(12));
  EXPECT_EQ(t.read(), 10u);
  EXPECT_TRUE(t.at_end_of_file());
}

// --- half-close

TEST(HalfClose, OfOursStillReceives) {
  rfc("9293", "3.6", "after CLOSE the user may go on receiving");
  TcpScript t;
  t.establish();
  t.shutdown(Shutdown::kWrite);
  t.expect(fin(1));
  t.inject(ack(2));
  t.expect_state(State::kFinWait2);
  t.inject(data(1, 1001));
  t.expect(ack(1001).seq(2));
  EXPECT_EQ(t.read(), 1000u);
  EXPECT_EQ(t.try_write(1).error(), Error::kPipe);
  t.inject(fin(1001));
  t.expect(ack(1002));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
}

TEST(HalfClose, OfThePeerStillSends) {
  rfc("9293", "3.10.7.4", "CLOSE-WAIT: data goes out as in ESTABLISHED");
  TcpScript t;
  t.establish();
  t.inject(fin(1));
  t.expect(ack(2));
  t.write(5000);
  t.expect_stream(1, 5001);
  t.inject(ack(5001));
  t.shutdown(Shutdown::kWrite);
  t.expect(fin(5001).ack(2));
  t.expect_state(State::kLastAck);
  t.inject(ack(5002));
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kNone);
}

TEST(HalfClose, HeldOpenByItsOwnerNeverTimesOut) {
  TcpScript t;
  t.establish();
  t.shutdown(Shutdown::kWrite);
  t.expect(fin(1));
  t.inject(ack(2));
  t.expect_nothing_for(10'000s);
  t.expect_state(State::kFinWait2);
}

TEST(HalfClose, OrphanInFinWait2EndsAfterSixtySeconds) {
  TcpScript t;
  t.establish();
  t.close();
  t.expect(fin(1));
  t.inject(ack(2));
  t.expect_nothing_for(59'999ms);
  EXPECT_EQ(t.tcp().connection_count(), 1u);
  t.expect_nothing_for(1ms);
  EXPECT_EQ(t.tcp().connection_count(), 0u);
  t.inject(fin(1));
  t.expect(rst(2));
}

TEST(HalfClose, Linger2SetsTheOrphansTime) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kLinger2, 3);
  t.close();
  t.expect(fin(1));
  t.inject(ack(2));
  t.expect_nothing_for(2999ms);
  EXPECT_EQ(t.tcp().connection_count(), 1u);
  t.after(1ms);
  EXPECT_EQ(t.tcp().connection_count(), 0u);
}

TEST(HalfClose, CloseAfterShutdownInFinWait2StartsTheOrphansTime) {
  TcpScript t;
  t.establish();
  t.shutdown(Shutdown::kWrite);
  t.expect(fin(1));
  t.inject(ack(2));
  t.after(500s).close();
  EXPECT_EQ(t.tcp().connection_count(), 1u);
  t.expect_nothing_for(60s);
  EXPECT_EQ(t.tcp().connection_count(), 0u);
}

TEST(HalfClose, ShutdownReadGivesEndOfFileButKeepsTheConnection) {
  TcpScript t;
  t.establish();
  t.shutdown(Shutdown::kRead);
  EXPECT_TRUE(t.at_end_of_file());
  EXPECT_TRUE(t.readiness() & kReadHangup);
  t.write(100);
  t.expect(data(1, 101));
  t.inject(ack(101));
  t.expect_state(State::kEstablished);
}

TEST(HalfClose, ShutdownBothHangsUp) {
  TcpScript t;
  t.establish();
  t.shutdown(Shutdown::kBoth);
  t.expect(fin(1));
  EXPECT_TRUE(t.readiness() & kHangup);
  EXPECT_EQ(t.try_write(1).error(), Error::kPipe);
}

// --- abortive

TEST(Abort, CloseWithUnreadDataResets) {
  rfc("9293", "3.6.1", "SHLD-3: a RST shows that data was lost by closing with data unread");
  rfc("2525", "2.17", "failure to RST on close with data pending");
  TcpScript t;
  t.establish();
  t.inject(data(1, 101));
  t.expect(ack(101));
  t.close();
  t.expect(rst(1).ack(101));
  EXPECT_EQ(t.count(Counter::kAbortOnData), 1u);
  t.close_listener();
  t.expect_clean();
}

TEST(Abort, DataAfterCloseIsAnsweredWithReset) {
  rfc("9293", "3.6.1", "SHLD-3: data after CLOSE is answered with a RST");
  TcpScript t;
  t.establish();
  t.close();
  t.expect(fin(1));
  t.inject(ack(2));
  t.inject(data(1, 11));
  t.expect(rst(2));
  EXPECT_EQ(t.count(Counter::kAfterClose), 1u);
  t.close_listener();
  t.expect_clean();
}

TEST(Abort, LingerZeroResetsAndDropsWhatIsQueued) {
  rfc("9293", "3.10.5", "ABORT: queued SENDs are dropped, a RST is sent");
  TcpScript t;
  t.establish();
  t.write(100'000);
  t.expect_stream(1, 14'601);
  t.set_option(SocketOption::kLinger, 0);
  t.close();
  t.expect(rst(14'601).ack(1));
  t.close_listener();
  t.expect_clean();
}

TEST(Abort, LingerZeroInCloseWaitAndFinWaitResetsToo) {
  rfc("9293", "3.10.5", "ABORT in SYN-RECEIVED, ESTABLISHED, FIN-WAIT and CLOSE-WAIT sends a RST");
  {
    TcpScript t;
    t.establish();
    t.inject(fin(1));
    t.expect(ack(2));
    t.set_option(SocketOption::kLinger, 0);
    t.close();
    t.expect(rst(1).ack(2));
  }
  {
    TcpScript t;
    t.establish();
    t.shutdown(Shutdown::kWrite);
    t.expect(fin(1));
    t.set_option(SocketOption::kLinger, 0);
    t.close();
    t.expect(rst(2).ack(1));
  }
}

TEST(Abort, WhatCameBeforeTheResetOfThePeerIsReadBeforeTheError) {
  TcpScript t;
  t.establish();
  t.inject(data(1, 101));
  t.expect(ack(101));
  t.inject(rst(101));
  EXPECT_EQ(t.read(), 100u);
  EXPECT_EQ(t.read_error(), Error::kConnectionReset);
  EXPECT_TRUE(t.at_end_of_file()) << "the error is told once";
}

TEST(Abort, OrphanIsGivenUpAfterItsRetries) {
  TcpScript t;
  t.establish(syn().mss(1460));
  t.write(100);
  t.expect(data(1, 101));
  t.close();
  t.expect(fin(101));
  t.after(600s);
  const auto sent = t.take_sent();
  EXPECT_EQ(sent.size(), 9u) << "eight retransmissions and a reset";
  EXPECT_TRUE(sent.back().has(Seg::Flags::kRst));
  t.close_listener();
  t.expect_clean();
}

// --- TIME-WAIT

TcpScript::Options stamped() {
  return {};
}

void into_time_wait(TcpScript& t) {
  t.close();
  t.expect(fin(1));
  t.inject(fin(1).ack(2));
  t.expect(ack(2).seq(2));
}

TEST(TimeWait, RepeatedFinIsAcknowledgedAndRestartsTheTime) {
  rfc("9293", "3.10.7.4", "eighth: TIME-WAIT: a repeated FIN restarts the 2 MSL timeout");
  TcpScript t;
  t.establish();
  into_time_wait(t);
  t.after(50s).inject(fin(1).ack(2));
  t.expect(ack(2).seq(2));
  t.expect_nothing_for(59'999ms);
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
  t.after(1ms);
  EXPECT_EQ(t.tcp().time_wait_count(), 0u);
}

TEST(TimeWait, ResetDoesNotEndIt) {
  rfc("1337", "3", "TIME-WAIT assassination: RST is ignored");
  TcpScript t;
  t.establish();
  into_time_wait(t);
  t.inject(rst(2));
  t.expect_nothing();
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
}

TEST(TimeWait, OldDataIsAnsweredWithAck) {
  rfc("9293", "3.10.7.4", "first: TIME-WAIT: an unacceptable segment is answered with an ACK");
  TcpScript t;
  t.establish();
  into_time_wait(t);
  t.after(1s).inject(data(1, 2).ack(2));
  t.expect(ack(2).seq(2));
}

TEST(TimeWait, LateAckIsIgnored) {
  TcpScript t;
  t.establish();
  into_time_wait(t);
  t.inject(ack(2).seq(2));
  t.expect_nothing_for(1s);
}

TEST(TimeWait, NewSynWithHigherNumberOpensAgain) {
  rfc("9293", "3.6.1",
      "MAY-2: a new SYN may be accepted from TIME-WAIT, with a larger ISN of ours than any used");
  TcpScript t;
  t.establish();
  into_time_wait(t);
  const SeqNum old_iss = t.our_iss();
  t.inject(syn().seq(1000).mss(1460));
  t.expect(synack().ack(1001));
  EXPECT_GT(t.our_iss(), old_iss + 2);
  EXPECT_EQ(t.tcp().time_wait_count(), 0u);
  EXPECT_EQ(t.count(Counter::kTimeWaitRecycled), 1u);
  t.inject(ack(1).seq(1001));
  EXPECT_TRUE(t.accept());
}

TEST(TimeWait, OldSynIsAnsweredWithAck) {
  rfc("9293", "3.6.1", "an old duplicate SYN in TIME-WAIT returns to TIME-WAIT");
  TcpScript t;
  t.establish();
  into_time_wait(t);
  t.after(1s).inject(syn().mss(1460));
  t.expect(ack(2).seq(2));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
}

TEST(TimeWait, NewSynWithNewerTimestampOpensAgainWhateverItsNumber) {
  rfc("6191", "2", "timestamps tell a new incarnation");
  TcpScript t(stamped());
  t.establish(syn().mss(1460).with_ts());
  into_time_wait(t);
  t.after(2s).inject(syn().seq(0).mss(1460).with_ts());
  t.expect(synack().ack(1).with_ts());
}

TEST(TimeWait, SynWithOlderTimestampIsRefused) {
  rfc("6191", "2", "a SYN with an older timestamp is answered with an ACK");
  TcpScript t(stamped());
  t.establish(syn().mss(1460).ts(10'000, 0));
  t.close();
  t.expect(fin(1));
  t.inject(fin(1).ack(2).ts(10'500, 0));
  t.expect(ack(2).seq(2).with_ts());
  t.after(1s).inject(syn().seq(5000).mss(1460).ts(9000, 0));
  t.expect(ack(2).seq(2).with_ts());
}

TEST(TimeWait, TableIsBoundedAndTheOldestGoes) {
  TcpScript::Options options;
  options.stack.tcp.max_time_wait = 3;
  TcpScript t(options);
  for (std::uint16_t port = 50'000; port < 50'005; ++port) {
    t.from_port(port);
    t.establish();
    into_time_wait(t);
  }
  EXPECT_EQ(t.tcp().time_wait_count(), 3u);
  EXPECT_EQ(t.count(Counter::kTimeWaitOverflow), 2u);
  t.from_port(50'000).inject(ack(2));
  t.expect(rst(2));
}

}  // namespace
}  // namespace millrace::test
