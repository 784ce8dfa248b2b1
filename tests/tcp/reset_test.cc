#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

/// Ways into each synchronized state that has a connection. Nothing is left to expect afterwards; the peer's
/// next number and the error that a reset means there are told.
struct Way {
  State state;
  void (*go)(TcpScript& t);
  std::uint32_t peer_next;
  std::uint32_t our_next;
  Error error;
};

void to_established(TcpScript& t) {
  t.establish();
}
void to_fin_wait_1(TcpScript& t) {
  t.establish();
  t.shutdown(Shutdown::kWrite);
  t.expect(fin(1));
}
void to_fin_wait_2(TcpScript& t) {
  to_fin_wait_1(t);
  t.inject(ack(2));
}
void to_close_wait(TcpScript& t) {
  t.establish();
  t.inject(fin(1));
  t.expect(ack(2));
}
void to_closing(TcpScript& t) {
  to_fin_wait_1(t);
  t.inject(fin(1).ack(1));
  t.expect(ack(2));
}
void to_last_ack(TcpScript& t) {
  to_close_wait(t);
  t.shutdown(Shutdown::kWrite);
  t.expect(fin(1).ack(2));
}

const Way kWays[] = {
    {State::kEstablished, to_established, 1, 1, Error::kConnectionReset},
    {State::kFinWait1, to_fin_wait_1, 1, 2, Error::kConnectionReset},
    {State::kFinWait2, to_fin_wait_2, 1, 2, Error::kConnectionReset},
    {State::kCloseWait, to_close_wait, 2, 1, Error::kPipe},
    {State::kClosing, to_closing, 2, 2, Error::kConnectionReset},
    {State::kLastAck, to_last_ack, 2, 2, Error::kConnectionReset},
};

class EachState : public testing::TestWithParam<Way> {};

TEST_P(EachState, IsReachedByItsWay) {
  rfc("9293", "3.3.2", "the state diagram");
  TcpScript t;
  GetParam().go(t);
  t.expect_state(GetParam().state);
}

TEST_P(EachState, ResetAtTheNextNumberClosesAndTells) {
  rfc("9293", "3.10.7.4", "second: a RST at RCV.NXT ends the connection");
  rfc("9293", "3.6", "MUST-12: the application learns that the connection was aborted");
  TcpScript t;
  GetParam().go(t);
  t.inject(rst(GetParam().peer_next));
  t.expect_nothing_for(1s);
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), GetParam().error);
  EXPECT_TRUE(t.readiness() & kHangup);
  t.close();
  t.expect_clean();
}

TEST_P(EachState, ResetElsewhereInTheWindowIsChallenged) {
  rfc("5961", "3.2", "a RST in the window, but not at RCV.NXT, is answered with a challenge ACK");
  TcpScript t;
  GetParam().go(t);
  t.inject(rst(GetParam().peer_next + 1));
  t.expect(ack(GetParam().peer_next).seq(GetParam().our_next));
  t.expect_state(GetParam().state);
  EXPECT_EQ(t.count(Counter::kChallengeAck), 1u);
}

TEST_P(EachState, ResetOutsideTheWindowIsDropped) {
  rfc("5961", "3.2", "a RST outside the window is dropped silently");
  TcpScript t;
  GetParam().go(t);
  t.inject(rst(GetParam().peer_next - 1));
  t.inject(rst(GetParam().peer_next + 100'000));
  t.expect_nothing();
  t.expect_state(GetParam().state);
}

TEST_P(EachState, SynIsChallengedWhereverItLies) {
  rfc("5961", "4.2", "a SYN in a synchronized state is answered with a challenge ACK");
  for (const std::uint32_t at : {0u, GetParam().peer_next, GetParam().peer_next + 1000, 500'000u}) {
    TcpScript t;
    GetParam().go(t);
    t.inject(syn().seq(at).mss(1460));
    t.expect(ack(GetParam().peer_next).seq(GetParam().our_next));
    t.expect_state(GetParam().state);
  }
}

TEST_P(EachState, SegmentWithoutAckIsDropped) {
  rfc("9293", "3.10.7.4", "fifth: without the ACK bit a segment is dropped");
  TcpScript t;
  GetParam().go(t);
  t.inject(data(GetParam().peer_next, GetParam().peer_next + 10).no_ack());
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kNoAckFlag), 1u);
}

TEST_P(EachState, AckOfWhatWasNeverSentIsAnsweredWithAnAckAndDropped) {
  rfc("9293", "3.10.7.4", "fifth: SEG.ACK > SND.NXT: send an ACK, drop");
  rfc("5961", "5.2", "an ACK outside SND.UNA-MAX.SND.WND..SND.NXT is answered with an ACK and dropped");
  TcpScript t;
  GetParam().go(t);
  t.inject(ack(GetParam().our_next + 1).seq(GetParam().peer_next));
  t.expect(ack(GetParam().peer_next).seq(GetParam().our_next));
  t.expect_state(GetParam().state);
}

TEST_P(EachState, AncientAckIsChallenged) {
  rfc("5961", "5.2", "SEG.ACK < SND.UNA - MAX.SND.WND is answered with a challenge ACK");
  TcpScript t;
  GetParam().go(t);
  t.inject(ack(1u - 100'000u).seq(GetParam().peer_next));
  t.expect(ack(GetParam().peer_next).seq(GetParam().our_next));
  EXPECT_EQ(t.count(Counter::kOldAck), 1u);
}

TEST_P(EachState, UnacceptableDataIsAcknowledgedAndDropped) {
  rfc("9293", "3.10.7.4", "first: an unacceptable segment is answered with an ACK and dropped");
  TcpScript t;
  GetParam().go(t);
  t.inject(data(500'000, 500'010).ack(1));
  t.expect(ack(GetParam().peer_next).seq(GetParam().our_next));
  EXPECT_EQ(t.count(Counter::kOutOfWindow), 1u);
}

std::string name_of_way(const testing::TestParamInfo<Way>& one) {
  switch (one.param.state) {
    case State::kEstablished:
      return "Established";
    case State::kFinWait1:
      return "FinWait1";
    case State::kFinWait2:
      return "FinWait2";
    case State::kCloseWait:
      return "CloseWait";
    case State::kClosing:
      return "Closing";
    default:
      return "LastAck";
  }
}
INSTANTIATE_TEST_SUITE_P(Synchronized, EachState, testing::ValuesIn(kWays), name_of_way);

// --- limits

TEST(ChallengeAck, IsLimitedASecondForTheWholeStack) {
  rfc("5961", "7", "challenge ACKs are limited a second");
  TcpScript::Options options;
  options.stack.tcp.challenge_acks_per_second = 10;
  TcpScript t(options);
  t.listen(100);
  for (std::uint16_t port = 50'000; port < 50'040; ++port) {
    t.from_port(port).inject(syn().mss(1460));
    t.expect(synack());
    t.inject(ack(1));
  }
  std::size_t sent = 0;
  t.after(1s);
  for (std::uint16_t port = 50'000; port < 50'040; ++port) {
    t.from_port(port).inject(rst(100));
    sent += t.take_sent().size();
  }
  EXPECT_GE(sent, 5u);
  EXPECT_LE(sent, 10u);
  EXPECT_GE(t.count(Counter::kChallengeAckLimited), 30u);
  t.after(1s).inject(rst(100));
  EXPECT_EQ(t.take_sent().size(), 1u);
}

TEST(ChallengeAck, IsLimitedForOneConnectionWhateverCallsForIt) {
  rfc("5961", "7", "challenge ACKs of one connection are limited too");
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11));
  const Seg causes[] = {rst(100), syn().seq(1), syn().seq(500'000), ack(5000).seq(1), ack(0x80000000).seq(1)};
  for (const Seg& first : causes) {
    t.after(500ms);
    t.take_sent();
    t.inject(first);
    t.expect(ack(1).seq(11));
    for (const Seg& next : causes) t.inject(next);
    t.expect_nothing();
  }
  EXPECT_EQ(t.count(Counter::kChallengeAck), 5u);
  EXPECT_EQ(t.count(Counter::kChallengeAckLimited), 25u);
}

TEST(ChallengeAck, TellsAPeerThatHasForgottenTheConnection) {
  rfc("5961", "4.2", "the RST of a peer that restarted, at the challenge's number, ends the connection");
  TcpScript t;
  t.establish();
  t.inject(syn().seq(70'000).mss(1460));
  t.expect(ack(1).seq(1));
  t.inject(rst(1));
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.read_error(), Error::kConnectionReset);
}

TEST(ChallengeAck, AcksOfUnsentDataAreUnderTheLimitToo) {
  rfc("5961", "7", "the limit holds for answers to unacceptable ACKs");
  TcpScript::Options options;
  options.stack.tcp.challenge_acks_per_second = 10;
  TcpScript t(options);
  t.establish();
  t.after(1s);
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    t.inject(ack(1000).seq(1));
    sent += t.take_sent().size();
  }
  EXPECT_LE(sent, 10u);
}

TEST(ChallengeAck, TwoConfusedEndsDoNotAnswerEachOtherForEver) {
  TcpScript t;
  t.establish();
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    t.inject(ack(1).seq(500'000));
    sent += t.take_sent().size();
  }
  EXPECT_EQ(sent, 1u);
  t.after(500ms).inject(ack(1).seq(500'000));
  t.expect(ack(1).seq(1));
}

TEST(Reset, WithDataInItIsTaken) {
  rfc("9293", "3.5.3", "SHLD-2: a RST can contain data");
  TcpScript t;
  t.establish();
  Seg reset = rst(1);
  reset.length = 10;
  t.inject(reset);
  t.expect_state(State::kClosed);
}

TEST(Reset, IsTakenThroughAClosedWindow) {
  rfc("9293", "3.4", "MUST-66: RST is processed even with a zero window");
  TcpScript::Options options;
  options.stack.tcp.receive_window_initial = 4096;
  TcpScript t(options);
  t.establish();
  t.inject(data(1, 1461));
  t.inject(data(1461, 2921));
  t.inject(data(2921, 4097));
  t.after(1s);
  t.take_sent();
  t.inject(rst(4097));
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.read(), 4096u) << "what came before the reset can still be read";
}

TEST(Reset, OfOursCarriesTheNextNumberAndAck) {
  rfc("9293", "3.5.2", "ABORT sends <SEQ=SND.NXT><CTL=RST>");
  TcpScript t;
  t.establish();
  t.write(100);
  t.expect(data(1, 101));
  t.set_option(SocketOption::kLinger, 0);
  t.close();
  t.expect(rst(101).ack(1));
  t.expect_clean();
}

TEST(Reset, AnswersSegmentsOfAConnectionThatIsGone) {
  rfc("9293", "3.10.7.1", "a half-open connection is found out by a RST");
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kLinger, 0);
  t.close();
  t.expect(rst(1).ack(1));
  t.inject(data(1, 11));
  t.expect(rst(1));
}

}  // namespace
}  // namespace millrace::test
