#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

// --- LISTEN

TEST(Listen, SynIsAnsweredAndTheAckEstablishes) {
  rfc("9293", "3.10.7.2", "LISTEN: a SYN is answered with SYN-ACK, SEQ=ISS, ACK=SEG.SEQ+1");
  rfc("9293", "3.5", "the three-way handshake (figure 6)");
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

TEST(Handshake, ShowsThatTheNeighbourCanBeReached) {
  rfc("4861", "7.3.1", "an acknowledgement of what was sent shows that the neighbour can be reached");
  TcpScript::Options options;
  options.arp = true;
  TcpScript t(options);
  ASSERT_EQ(t.arp_sent(), 1u) << "its answer";
  t.listen();
  for (std::uint16_t port = 50'000; port < 50'010; ++port) {
    t.from_port(port).inject(syn().mss(1460));
    t.expect(synack());
    t.inject(ack(1));
    ASSERT_TRUE(t.accept());
    t.inject(rst(1));
    t.after(10s);
  }
  EXPECT_EQ(t.arp_sent(), 1u) << "it was asked for, though it had answered all the time";
}

TEST(Listen, TheConfiguredWindowScaleIsOfferedAndUsed) {
  TcpScript::Options options;
  options.stack.tcp.window_scale = 3;
  TcpScript t(options);
  t.listen();
  t.inject(syn().mss(1460).wscale(7));
  t.expect(synack().mss(1460).wscale(3).win(65535));
  t.inject(ack(1));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.info().rcv_wscale, 3);
  t.inject(data(1, 1001));
  t.expect(ack(1001).win((65535 - 1000) / 8));
}

TEST(Listen, ResetIsIgnored) {
  rfc("9293", "3.10.7.2", "LISTEN: a RST is ignored");
  TcpScript t;
  t.listen();
  t.inject(rst(0));
  t.inject(rst(0).ack(1));
  t.expect_nothing_for(1s);
}

TEST(Listen, AckIsAnsweredWithReset) {
  rfc("9293", "3.10.7.2", "LISTEN: an ACK is answered with <SEQ=SEG.ACK><CTL=RST>");
  TcpScript t;
  t.listen();
  t.inject(ack(777).seq(5));
  t.expect(rst(777));
}

TEST(Listen, SynWithAckIsAnsweredWithReset) {
  rfc("9293", "3.10.7.2", "LISTEN: the ACK bit is looked at before the SYN bit");
  TcpScript t;
  t.listen();
  t.inject(synack().ack(9));
  t.expect(rst(9));
}

TEST(Listen, DataWithoutFlagsIsDropped) {
  rfc("9293", "3.10.7.2", "LISTEN: any other segment is dropped");
  TcpScript t;
  t.listen();
  t.inject(data(1, 11).no_ack());
  t.expect_nothing_for(1s);
}

TEST(Listen, DataOnTheThirdSegmentIsDelivered) {
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(data(1, 101).ack(1));
  t.expect(ack(101));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.read(), 100u);
}

TEST(Listen, FinOnTheThirdSegmentIsTaken) {
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(data(1, 11).ack(1).fin());
  t.expect(ack(12));
  ASSERT_TRUE(t.accept());
  t.expect_state(State::kCloseWait);
  EXPECT_EQ(t.read(), 10u);
  EXPECT_TRUE(t.at_end_of_file());
}

TEST(Listen, DataInTheSynIsNotTakenBeforeTheHandshakeIsThrough) {
  rfc("9293", "3.4", "MAY queue data of a SYN; never delivered before ESTABLISHED");
  TcpScript t;
  t.listen();
  Seg first = syn().mss(1460);
  first.length = 20;
  t.inject(first);
  t.expect(synack().ack(1));
  t.inject(ack(1).seq(1));
  ASSERT_TRUE(t.accept());
  t.inject(data(1, 21));
  t.expect(ack(21));
  EXPECT_EQ(t.read(), 20u);
}

// --- CLOSED

TEST(Closed, SynToNoListenerIsAnsweredWithResetAndAck) {
  rfc("9293", "3.10.7.1", "CLOSED: without ACK, <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>");
  TcpScript t;
  t.inject(syn().mss(1460));
  t.expect(rst(0).ack(1));
  EXPECT_EQ(t.count(Counter::kNoPort), 1u);
}

TEST(Closed, DataWithoutAckIsAnsweredWithItsEnd) {
  rfc("9293", "3.10.7.1", "CLOSED: SEG.LEN counts the data");
  TcpScript t;
  t.inject(data(5, 25).no_ack());
  t.expect(rst(0).ack(25));
}

TEST(Closed, AckIsAnsweredWithResetAtItsNumber) {
  rfc("9293", "3.10.7.1", "CLOSED: with ACK, <SEQ=SEG.ACK><CTL=RST>");
  TcpScript t;
  t.inject(data(5, 25).ack(4711));
  t.expect(rst(4711));
}

TEST(Closed, ResetIsNotAnswered) {
  rfc("9293", "3.10.7.1", "CLOSED: a RST is dropped");
  TcpScript t;
  t.inject(rst(5).ack(1));
  t.inject(rst(5));
  t.expect_nothing_for(1s);
}

// --- SYN-SENT

TEST(SynSent, SynAckEstablishesAndIsAcknowledged) {
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

TEST(SynSent, UnacceptableAckIsAnsweredWithReset) {
  rfc("9293", "3.10.7.3", "SYN-SENT: SEG.ACK =< ISS or > SND.NXT: <SEQ=SEG.ACK><CTL=RST>");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(synack().ack(0));
  t.expect(rst(0));
  t.inject(synack().ack(2));
  t.expect(rst(2));
  t.inject(ack(7).seq(3));
  t.expect(rst(7));
  t.expect_state(State::kSynSent);
}

TEST(SynSent, ResetWithUnacceptableAckIsDropped) {
  rfc("9293", "3.10.7.3", "SYN-SENT: a RST with an unacceptable ACK is dropped");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(rst(0).ack(2));
  t.inject(rst(0).ack(0));
  t.expect_nothing();
  t.expect_state(State::kSynSent);
}

TEST(SynSent, ResetWithoutAckIsDropped) {
  rfc("9293", "3.10.7.3", "SYN-SENT: a RST without ACK is dropped");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(rst(0));
  t.expect_state(State::kSynSent);
}

TEST(SynSent, ResetWithTheRightAckRefuses) {
  rfc("9293", "3.10.7.3", "SYN-SENT: a RST with an acceptable ACK: connection refused");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(rst(0).ack(1));
  t.expect_nothing();
  t.expect_state(State::kClosed);
  EXPECT_TRUE(t.readiness() & kHangup);
  EXPECT_EQ(t.error(), Error::kConnectionRefused);
  t.close();
  t.expect_clean();
}

TEST(SynSent, AckWithoutSynIsDropped) {
  rfc("9293", "3.10.7.3", "SYN-SENT: neither SYN nor RST: dropped");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(ack(1).seq(1));
  t.expect_nothing();
  t.expect_state(State::kSynSent);
}

TEST(SynSent, DataOnTheSynAckIsDelivered) {
  rfc("9293", "3.10.7.3", "SYN-SENT: text on the SYN-ACK is processed");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  Seg answer = synack().mss(1460);
  answer.length = 50;
  t.inject(answer);
  t.expect(ack(51).seq(1));
  EXPECT_EQ(t.read(), 50u);
}

TEST(SynSent, FinOnTheSynAckLeadsToCloseWait) {
  rfc("9293", "3.10.7.3", "SYN-SENT: controls on the SYN-ACK are processed");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(synack().mss(1460).fin());
  t.expect(ack(2).seq(1));
  t.expect_state(State::kCloseWait);
  EXPECT_TRUE(t.at_end_of_file());
}

TEST(SynSent, CloseDeletesTheConnectionSilently) {
  rfc("9293", "3.10.4", "CLOSE in SYN-SENT: the TCB is deleted");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.close();
  t.expect_nothing_for(100s);
  t.expect_clean();
}

TEST(SynSent, SynIsRepeatedWithBackOffAndGivesUpWithTimedOut) {
  rfc("9293", "3.8.3", "MUST-22: SYN retransmission is handled as R1 and R2 demand");
  rfc("6298", "5.5", "the timer is doubled with each expiry, for SYNs too");
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

TEST(SynSent, SynCountOptionSetsTheTries) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.set_option(SocketOption::kSynCount, 1);
  t.expect_after(1s, syn());
  t.expect_nothing_for(2s);
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(SynSent, RepeatedConnectIsAlreadyThenIsConnected) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  EXPECT_EQ(t.connect(), Error::kAlready);
  t.inject(synack().mss(1460));
  t.expect(ack(1));
  EXPECT_EQ(t.connect(), Error::kNone);
  EXPECT_EQ(t.connect(), Error::kIsConnected);
}

TEST(SynSent, ConnectToBroadcastOrMulticastIsRefused) {
  rfc("9293", "3.9.1.1", "MUST-46: no OPEN to a broadcast or multicast address");
  TcpScript t;
  auto socket = std::move(*t.stack().create_socket(SocketType::kStream));
  EXPECT_FALSE(socket->connect({IpAddress::v4(224, 0, 0, 5), 80}, t.now()).ok());
  EXPECT_NE(socket->connect({IpAddress::v4(198, 18, 0, 255), 80}, t.now()).error(), Error::kInProgress);
  EXPECT_NE(socket->connect({IpAddress::v4(255, 255, 255, 255), 80}, t.now()).error(), Error::kInProgress);
  t.expect_nothing_for(1s);
}

// --- SYN-RECEIVED

TEST(SynReceived, SynAckIsRepeatedWithBackOffThenForgotten) {
  rfc("9293", "3.8.3", "MUST-22: SYN-ACKs are repeated and given up as SYNs are");
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
  t.close_listener();
  t.expect_clean();
}

TEST(SynReceived, RepeatedSynGetsTheSameAnswer) {
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.after(300ms).inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(1).seq(1));
  ASSERT_TRUE(t.accept());
  t.expect_nothing_for(10s);
}

TEST(SynReceived, ResetReturnsToListen) {
  rfc("9293", "3.10.7.4", "SYN-RECEIVED after a passive open: a RST returns to LISTEN");
  rfc("9293", "3.5", "MUST-11: SYN-RECEIVED remembers whether it came from LISTEN or SYN-SENT");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(rst(1));
  t.expect_nothing_for(60s);
  EXPECT_EQ(t.tcp().request_count(), 0u);
  t.inject(syn().mss(1460));
  t.expect(synack());
}

TEST(SynReceived, ResetElsewhereInTheWindowIsChallenged) {
  rfc("5961", "3.2", "a RST in the window, but not at RCV.NXT, is answered with a challenge ACK");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.after(600ms).inject(rst(100));
  t.expect(ack(1).seq(1));
  EXPECT_EQ(t.tcp().request_count(), 1u);
}

TEST(SynReceived, UnacceptableAckIsAnsweredWithReset) {
  rfc("9293", "3.10.7.4", "SYN-RECEIVED: an unacceptable ACK: <SEQ=SEG.ACK><CTL=RST>");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(2).seq(1));
  t.expect(rst(2));
  t.inject(ack(0).seq(1));
  t.expect(rst(0));
  t.inject(ack(1).seq(1));
  EXPECT_TRUE(t.accept());
}

TEST(SynReceived, SegmentOutsideTheWindowIsAcknowledgedAndDropped) {
  rfc("9293", "3.10.7.4", "SYN-RECEIVED: an unacceptable segment is answered with an ACK");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.after(600ms).inject(data(100'001, 100'011).ack(1));
  t.expect(ack(1).seq(1));
  EXPECT_FALSE(t.try_accept());
}

TEST(SynReceived, NewSynInTheWindowIsChallenged) {
  rfc("5961", "4.2", "a SYN in a synchronized state is answered with a challenge ACK");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.after(600ms).inject(syn().seq(50).mss(1460));
  t.expect(ack(1).seq(1));
  EXPECT_EQ(t.tcp().request_count(), 1u);
}

// --- simultaneous open

TEST(SimultaneousOpen, FollowsTheFigure) {
  rfc("9293", "3.5", "MUST-10: simultaneous open (figure 8)");
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

TEST(SimultaneousOpen, TheWindowOfTheSynAckIsNotScaled) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(syn().mss(1460).wscale(7).win(1460));
  t.expect(synack());
  t.inject(synack().mss(1460).wscale(7).win(1460));
  t.expect(ack(1).seq(1));
  t.write(8000);
  // 1460 rounded down to the peer's scale: one segment of 1408 bytes fills the window.
  t.expect(data(1, 1409).ack(1));
  t.expect_nothing();
}

TEST(SimultaneousOpen, EstablishesOnAPlainAckToo) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(1).seq(1));
  t.expect_nothing();
  t.expect_state(State::kEstablished);
}

TEST(SimultaneousOpen, SynAckIsRepeatedUntilAnswered) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.expect_after(1s, synack());
  t.expect_after(2s, synack());
  t.inject(syn().mss(1460));  // the peer has not seen one of them
  t.expect(synack());
  t.inject(ack(1).seq(1));
  t.expect_nothing_for(20s);
  t.expect_state(State::kEstablished);
}

TEST(SimultaneousOpen, ResetIsConnectionRefused) {
  rfc("9293", "3.10.7.4", "SYN-RECEIVED after an active open: a RST is connection refused");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(rst(1));
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kConnectionRefused);
}

TEST(SimultaneousOpen, CloseBeforeTheEndSendsTheFinAfterIt) {
  rfc("9293", "3.10.4", "CLOSE in SYN-RECEIVED: the FIN goes out once the connection is established");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.shutdown(Shutdown::kWrite);
  t.expect_nothing();
  t.inject(ack(1).seq(1));
  t.expect(fin(1).ack(1));
  t.expect_state(State::kFinWait1);
}

}  // namespace
}  // namespace millrace::test
