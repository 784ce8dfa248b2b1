#include <gtest/gtest.h>

#include "support/tcp_script.h"
#include "tcp/congestion_list.h"

namespace millrace::test {
namespace {

using tcp::Config;
using tcp::Counter;

constexpr std::uint32_t kMss = 1000;
constexpr std::uint8_t kEct = 2, kCe = 3;

TcpScript::Options with_ecn(Config::Ecn how) {
  TcpScript::Options options;
  options.stack.tcp.ecn = how;
  return options;
}

Seg setup_syn() {
  return syn().mss(kMss).sack_ok().ece().cwr();
}

void use_reno(TcpScript& t) {
  t.set_option(SocketOption::kCongestion, static_cast<std::int64_t>(*tcp::find_congestion("reno")));
}

/// The peer asked for ECN and got it.
void establish_with_ecn(TcpScript& t) {
  t.listen();
  t.inject(setup_syn());
  t.expect(synack().ece().ecn(0));
  t.after(20ms).inject(ack(1));
  ASSERT_TRUE(t.accept());
  use_reno(t);
}

TEST(EcnNegotiation, SynThatAsksIsAnsweredWithEce) {
  rfc("3168", "6.1.1", "an ECN-setup SYN has ECE and CWR, an ECN-setup SYN-ACK ECE alone");
  rfc("3168", "6.1.1", "no ECT on SYN and SYN-ACK");
  TcpScript t;
  establish_with_ecn(t);
  EXPECT_TRUE(t.info().ecn);
  t.write(kMss);
  t.expect(data(1, 1001).ecn(kEct));
}

TEST(EcnNegotiation, SynThatDoesNotAskIsAnsweredWithout) {
  for (const std::uint8_t flags : {Seg::Flags::kEce, Seg::Flags::kCwr, std::uint8_t{0}}) {
    TcpScript t;
    t.listen();
    t.inject(syn().mss(kMss).set(flags));
    t.expect(synack());
    t.inject(ack(1));
    ASSERT_TRUE(t.accept());
    EXPECT_FALSE(t.info().ecn);
    t.write(kMss);
    t.expect(data(1, 1001).ecn(0));
    // Nor is there an echo of a mark.
    t.inject(data(1, 1001).ecn(kCe));
    t.expect(ack(1001));
  }
}

TEST(EcnNegotiation, IsRefusedWhenTurnedOff) {
  TcpScript t(with_ecn(Config::Ecn::kOff));
  t.listen();
  t.inject(setup_syn());
  t.expect(synack());
}

TEST(EcnNegotiation, ClientAsksWhenToldTo) {
  rfc("3168", "6.1.1", "an ECN-setup SYN has ECE and CWR, an ECN-setup SYN-ACK ECE alone");
  TcpScript t(with_ecn(Config::Ecn::kRequest));
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn().ece().cwr().ecn(0));
  t.inject(synack().mss(kMss).ece());
  t.expect(ack(1));
  EXPECT_TRUE(t.info().ecn);
  t.write(kMss);
  t.expect(data(1, 1001).ecn(kEct));
}

TEST(EcnNegotiation, ClientDoesNotAskByDefault) {
  TcpScript t;
  t.establish_active(synack().mss(kMss).ece());
  EXPECT_FALSE(t.info().ecn);
}

TEST(EcnNegotiation, SynAckThatReflectsBothFlagsIsNoConsent) {
  rfc("3168", "6.1.1", "a SYN-ACK with ECE and CWR reflects the SYN's reserved bits: no ECN");
  for (const std::uint8_t flags : {std::uint8_t{Seg::Flags::kEce | Seg::Flags::kCwr}, std::uint8_t{0}}) {
    TcpScript t(with_ecn(Config::Ecn::kRequest));
    EXPECT_EQ(t.connect(), Error::kInProgress);
    t.expect(syn().ece().cwr());
    t.inject(synack().mss(kMss).set(flags));
    t.expect(ack(1));
    EXPECT_FALSE(t.info().ecn);
    t.write(kMss);
    t.expect(data(1, 1001).ecn(0));
  }
}

TEST(EcnNegotiation, ClientGivesItUpWhenTheFirstSynIsLost) {
  rfc("3168", "6.1.1.1", "a repeated SYN may come without ECE and CWR");
  TcpScript t(with_ecn(Config::Ecn::kRequest));
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn().ece().cwr());
  t.expect_after(1s, syn());
  t.inject(synack().mss(kMss).ece());
  t.expect(ack(1));
  EXPECT_FALSE(t.info().ecn);
  t.write(kMss);
  t.expect(data(1, 1001).ecn(0));
}

TEST(EcnNegotiation, ServerGivesItUpWhenThePeerAsksAgainWithout) {
  rfc("3168", "6.1.1", "who has received a non-ECN-setup SYN sets no ECT on data");
  TcpScript t;
  t.listen();
  t.inject(setup_syn());
  t.expect(synack().ece());
  t.after(1s);
  t.take_sent();
  t.inject(syn().mss(kMss).sack_ok());
  t.expect(synack());
  t.inject(ack(1));
  ASSERT_TRUE(t.accept());
  EXPECT_FALSE(t.info().ecn);
  t.write(kMss);
  t.expect(data(1, 1001).ecn(0));
}

// --- the receiver

TEST(EcnReceiver, EchoesAMarkUntilTheSenderAnswers) {
  rfc("3168", "6.1.3", "ECE on every ACK from a CE packet until CWR arrives");
  TcpScript t;
  establish_with_ecn(t);
  t.inject(data(1, 1001).ecn(kEct));
  t.expect(ack(1001));
  t.inject(data(1001, 2001).ecn(kCe));
  t.expect(ack(2001).ece());
  t.inject(data(2001, 3001).ecn(kEct));
  t.expect(ack(3001).ece());
  t.inject(data(3001, 4001).ecn(kEct).cwr());
  t.expect(ack(4001));
  // The segment with CWR may be marked itself.
  t.inject(data(4001, 5001).ecn(kCe).cwr());
  t.expect(ack(5001).ece());
}

TEST(EcnReceiver, EchoRidesOnData) {
  TcpScript t;
  establish_with_ecn(t);
  t.inject(data(1, 1001).ecn(kCe));
  t.expect(ack(1001).ece());
  t.write(100);
  t.expect(data(1, 101).ece().ecn(kEct));
}

TEST(EcnReceiver, MarkOnWhatIsOutsideTheWindowIsIgnored) {
  rfc("3168", "6.1.5", "CE on a packet outside the window is ignored");
  TcpScript t;
  establish_with_ecn(t);
  t.inject(data(1, 1001).ecn(kEct));
  t.expect(ack(1001));
  t.inject(data(1, 1001).ecn(kCe));
  t.expect(ack(1001).sack(1, 1001));
}

// --- the sender

TEST(EcnSender, MarksNewDataOnly) {
  rfc("3168", "6.1.5", "no ECT on retransmitted data");
  rfc("3168", "6.1.4", "no ECT on pure ACKs");
  TcpScript t;
  establish_with_ecn(t);
  t.write(3000);
  t.expect(data(1, 1001).ecn(kEct));
  t.expect(data(1001, 2001).ecn(kEct));
  t.expect(data(2001, 3001).ecn(kEct));
  t.inject(data(1, 101).ack(1));
  t.expect(ack(101).ecn(0));
  t.expect_after(40ms, data(2001, 3001).ack(101).ecn(0));  // the probe repeats the last segment
  t.expect_after(220ms, data(1, 1001).ecn(0));             // the timer the first
}

TEST(EcnSender, EchoReducesTheWindowOnceARoundTrip) {
  rfc("3168", "6.1.2", "ECE is answered as one loss would be, once in a round trip");
  rfc("8511", "3.1", "the window shrinks to 0.8 of it for a mark, not to the half as for a loss");
  TcpScript t;
  establish_with_ecn(t);
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.inject(ack(1001).ece());
  EXPECT_EQ(t.info().snd_ssthresh, 7u) << "of nine in flight";
  const std::uint32_t reduced = t.info().snd_ssthresh;
  for (std::uint32_t una = 2001; una <= 10'001; una += kMss) t.inject(ack(una).ece());
  EXPECT_EQ(t.info().snd_ssthresh, reduced) << "all of that was sent before the window was reduced";
  EXPECT_EQ(t.count(Counter::kFastRetrans), 0u);
  for (const Seg& sent : t.take_sent()) EXPECT_GT(*sent.at, 10'000u) << "nothing is sent again";
  // The next round trip is another.
  t.inject(ack(11'001).ece());
  EXPECT_LT(t.info().snd_ssthresh, reduced);
  t.take_sent();
}

TEST(EcnSender, AnswersWithCwrOnOneNewSegment) {
  rfc("3168", "6.1.2", "CWR on the first new data packet after the reduction");
  TcpScript::Options options;
  options.caps.tx_checksum = options.caps.rx_checksum = options.caps.tso = options.caps.scatter = true;
  options.caps.max_gso_bytes = 65'535;
  TcpScript t(options);
  establish_with_ecn(t);
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.inject(ack(5001).ece());
  const auto sent = t.take_sent();
  ASSERT_GE(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(Seg::Flags::kCwr));
  EXPECT_EQ(sent[0].length, kMss) << "a super-segment would repeat it";
  for (std::size_t i = 1; i < sent.size(); ++i) EXPECT_FALSE(sent[i].has(Seg::Flags::kCwr));
}

TEST(EcnSender, SaysCwrForALossToo) {
  rfc("3168", "6.1.2", "CWR says that the window was reduced, for whatever reason");
  TcpScript t;
  establish_with_ecn(t);
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.after(20ms).inject(ack(1).sack(1001, 6001));
  t.expect(data(1, 1001).ecn(0));
  std::vector<Seg> fresh;
  for (std::uint32_t right = 7001; right <= 10'001; right += kMss) {
    t.inject(ack(1).sack(1001, right));
    for (const Seg& one : t.take_sent()) fresh.push_back(one);
  }
  ASSERT_GE(fresh.size(), 2u);
  EXPECT_EQ(fresh[0].at, 10'001u);
  EXPECT_TRUE(fresh[0].has(Seg::Flags::kCwr));
  EXPECT_FALSE(fresh[1].has(Seg::Flags::kCwr));
}

TEST(EcnSender, SaysCwrAfterATimeout) {
  rfc("3168", "6.1.2", "CWR says that the window was reduced, for whatever reason");
  TcpScript t;
  establish_with_ecn(t);
  t.write(1000);
  t.expect(data(1, 1001).ecn(kEct));
  t.expect_after(220ms, data(1, 1001).ecn(0));  // a probe of the tail
  t.expect_after(220ms, data(1, 1001).ecn(0));
  t.inject(ack(1001));
  t.write(1000);
  t.expect(data(1001, 2001).cwr().ecn(kEct));
}

TEST(EcnSender, EchoOnAnAckThatTellsNothingElseLetsNothingOut) {
  TcpScript t;
  establish_with_ecn(t);
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.inject(ack(1).ece().win(65'000));
  t.expect_nothing();
  EXPECT_EQ(t.info().snd_ssthresh, 8u);
  t.inject(ack(1001));
  t.take_sent();
}

TEST(EcnSender, LossWithinTheRoundOfAMarkReducesNoFurther) {
  TcpScript t;
  establish_with_ecn(t);
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.inject(ack(1001).ece());
  t.take_sent();
  const std::uint32_t reduced = t.info().snd_ssthresh;
  t.inject(ack(1001).sack(2001, 8001));
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].at, 1001u);
  EXPECT_EQ(t.info().snd_ssthresh, reduced);
}

}  // namespace
}  // namespace millrace::test
