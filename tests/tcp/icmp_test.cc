#include <gtest/gtest.h>

#include "support/tcp_script.h"
#include "wire/icmpv4.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;
using wire::Icmpv4Header;

constexpr std::uint8_t kUnreachable = Icmpv4Header::kDestinationUnreachable;

TEST(Icmp, PortUnreachableRefusesAConnectionThatIsNotThereYet) {
  rfc("9293", "3.9.2.2", "MUST-54 and hard errors: reported; in SYN-SENT the connection is given up");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject_icmp(kUnreachable, Icmpv4Header::kPortUnreachable, 0);
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kConnectionRefused);
}

TEST(Icmp, HostUnreachableInSynSentIsReported) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject_icmp(kUnreachable, Icmpv4Header::kHostUnreachable, 0);
  EXPECT_EQ(t.error(), Error::kHostUnreachable);
}

TEST(Icmp, TimeExceededInSynSentIsSoft) {
  rfc("9293", "3.9.2.2", "MUST-56: soft errors do not abort the connection");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject_icmp(Icmpv4Header::kTimeExceeded, 0, 0);
  t.expect_state(State::kSynSent);
}

TEST(Icmp, ErrorsDoNotEndAnEstablishedConnection) {
  rfc("9293", "3.9.2.2", "MUST-56: Destination Unreachable codes 0, 1, 5 do not abort the connection");
  rfc("5927", "5.2", "hard errors are soft in synchronized states");
  for (const int code : {0, 1, 2, 3, 5, 13}) {
    TcpScript t;
    t.establish();
    t.write(10);
    t.expect(data(1, 11));
    t.inject_icmp(kUnreachable, static_cast<std::uint8_t>(code), 1);
    t.expect_state(State::kEstablished);
    t.inject(ack(11));
    EXPECT_EQ(t.error(), Error::kNone);
  }
}

TEST(Icmp, TellsWhyAConnectionTimedOut) {
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11));
  t.inject_icmp(kUnreachable, Icmpv4Header::kHostUnreachable, 1);
  t.after(2000s);
  t.take_sent();
  EXPECT_EQ(t.error(), Error::kHostUnreachable);
}

TEST(Icmp, AboutWhatIsNotInFlightIsIgnored) {
  rfc("5927", "4.1", "the quoted number must be in flight");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject_icmp(kUnreachable, Icmpv4Header::kPortUnreachable, 100);
  t.inject_icmp(kUnreachable, Icmpv4Header::kPortUnreachable, 0xfffffff0);
  t.expect_state(State::kSynSent);
  EXPECT_EQ(t.count(Counter::kIcmpIgnored), 2u);
}

TEST(Icmp, AboutTheNextNumberIsIgnoredForItIsNotSentYet) {
  rfc("5927", "4.1", "SND.UNA =< SEG.SEQ < SND.NXT");
  TcpScript t;
  t.establish();
  t.write(1460);
  t.expect(data(1, 1461));
  t.inject_icmp(kUnreachable, Icmpv4Header::kFragmentationNeeded, 1461, 600);
  t.expect_nothing();
  EXPECT_EQ(t.info().snd_mss, 1460u);
  EXPECT_EQ(t.count(Counter::kIcmpIgnored), 1u);
}

TEST(Icmp, SoftErrorInSynSentIsToldWhenTheConnectionIsGivenUp) {
  rfc("9293", "3.9.2.2", "SHLD-26: soft errors are made available to the application");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  t.inject_icmp(Icmpv4Header::kTimeExceeded, 0, 0);
  t.after(200s);
  t.take_sent();
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kHostUnreachable);
}

TEST(Icmp, HostUnreachableEndsAHalfOpenRequestOnlyAboutItsSynAck) {
  rfc("5927", "4.1", "in SYN-RECEIVED the quoted number must be that of the SYN-ACK");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject_icmp(kUnreachable, Icmpv4Header::kHostUnreachable, 1);
  t.inject_icmp(kUnreachable, Icmpv4Header::kPortUnreachable, 0);
  EXPECT_EQ(t.tcp().request_count(), 1u);
  EXPECT_EQ(t.count(Counter::kIcmpIgnored), 1u);
  t.inject_icmp(kUnreachable, Icmpv4Header::kHostUnreachable, 0);
  EXPECT_EQ(t.tcp().request_count(), 0u);
  t.expect_nothing_for(10s);
}

TEST(Icmp, FragmentationNeededLowersTheMssAndResendsAtOnce) {
  rfc("1191", "6.5", "what was too large is retransmitted at once, without a cut of the window");
  rfc("9293", "3.7.2", "path MTU discovery");
  TcpScript t;
  t.establish();
  t.write(2920);
  t.expect_stream(1, 2921);
  const std::uint32_t cwnd = t.info().snd_cwnd;
  t.inject_icmp(kUnreachable, Icmpv4Header::kFragmentationNeeded, 1, 1000);
  t.expect(data(1, 961));
  t.expect(data(961, 1921));
  t.expect(data(1921, 2881));
  t.expect(data(2881, 2921));
  EXPECT_GE(t.info().snd_cwnd, cwnd);
  EXPECT_EQ(t.info().snd_mss, 960u);
  EXPECT_EQ(t.count(Counter::kPathMtuReduced), 1u);
}

TEST(Icmp, FragmentationNeededOutsideTheWindowIsIgnored) {
  rfc("5927", "7.2", "path MTU claims are checked against the sequence numbers in flight");
  TcpScript t;
  t.establish();
  t.write(1460);
  t.expect(data(1, 1461));
  t.inject_icmp(kUnreachable, Icmpv4Header::kFragmentationNeeded, 5000, 600);
  t.expect_nothing();
  EXPECT_EQ(t.info().snd_mss, 1460u);
}

TEST(Icmp, FragmentationNeededCannotRaiseTheMssNorSinkItBelowTheFloor) {
  TcpScript t;
  t.establish();
  t.write(1460);
  t.expect(data(1, 1461));
  t.inject_icmp(kUnreachable, Icmpv4Header::kFragmentationNeeded, 1, 9000);
  EXPECT_EQ(t.info().snd_mss, 1460u);
  t.inject_icmp(kUnreachable, Icmpv4Header::kFragmentationNeeded, 1, 68);
  t.take_sent();
  EXPECT_EQ(t.info().snd_mss, 512u) << "claims are clamped to 552 bytes";
}

TEST(Icmp, SourceQuenchIsIgnored) {
  rfc("9293", "3.9.2.2", "MUST-55: Source Quench is discarded silently");
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11));
  t.inject_icmp(Icmpv4Header::kSourceQuench, 0, 1);
  t.expect_state(State::kEstablished);
  t.expect_nothing();
}

}  // namespace
}  // namespace millrace::test
