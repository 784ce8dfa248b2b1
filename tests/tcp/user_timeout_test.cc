// The User Timeout Option (RFC 5482).
#include "tcp/user_timeout.h"

#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::UserTimeout;

TcpScript::Options enabled() {
  TcpScript::Options options;
  options.stack.tcp.user_timeout_option = true;
  return options;
}

/// The peer has said `value`, and nothing that is sent from now on is acknowledged.
void lose_peer(TcpScript& t, std::uint16_t value) {
  t.establish();
  t.inject(ack(1).uto(value));
  t.write(100);
}

void expect_dead_between(TcpScript& t, Duration alive, Duration dead) {
  t.after(alive);
  t.take_sent();
  t.expect_state(tcp::State::kEstablished);
  t.after(dead - alive);
  t.take_sent();
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(UserTimeoutOption, IsInSecondsOrInMinutesRoundedUp) {
  rfc("5482", "3.3", "with the granularity bit the value is in minutes, without in seconds");
  EXPECT_EQ(UserTimeout::encode(1ms), 1u);
  EXPECT_EQ(UserTimeout::encode(2001ms), 3u);
  EXPECT_EQ(UserTimeout::encode(32'767s), 0x7fffu);
  EXPECT_EQ(UserTimeout::encode(32'768s), 0x8000u | 547u);
  EXPECT_EQ(UserTimeout::encode(60s * 40'000), 0xffffu);
  EXPECT_EQ(UserTimeout::decode(90), 90s);
  EXPECT_EQ(UserTimeout::decode(0x8000 | 90), 90 * 60s);
}

TEST(UserTimeoutOption, IsOffUnlessEnabled) {
  rfc("5482", "3", "ENABLED defaults to false: nothing is sent, and what comes is ignored");
  TcpScript t;
  t.set_option(SocketOption::kUserTimeout, 600'000);
  ASSERT_EQ(t.connect(), Error::kInProgress);
  const auto sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_FALSE(sent.front().user_timeout);
  t.inject(synack().mss(1460).uto(120));
  const auto answer = t.take_sent();
  ASSERT_EQ(answer.size(), 1u);
  EXPECT_FALSE(answer.front().user_timeout);

  TcpScript other;
  lose_peer(other, 120);
  other.after(700s);
  other.take_sent();
  other.expect_state(tcp::State::kEstablished);
}

TEST(UserTimeoutOption, IsInTheSynAndInTheFirstSegmentAfterIt) {
  rfc("5482", "3.2",
      "SHOULD be in the SYN, and in the first segment that is none, as a SYN cookie forgets it");
  TcpScript t(enabled());
  t.set_option(SocketOption::kUserTimeout, 600'000);
  ASSERT_EQ(t.connect(), Error::kInProgress);
  const auto sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent.front().user_timeout, 600);
  t.inject(synack().mss(1460).sack_ok());
  const auto answer = t.take_sent();
  ASSERT_EQ(answer.size(), 1u);
  EXPECT_EQ(answer.front().user_timeout, 600);
  t.write(100);
  t.expect(data(1, 101));
  t.inject(ack(101));
}

TEST(UserTimeoutOption, IsInTheSynAckAndInTheFirstSegmentAfterIt) {
  rfc("5482", "3.2", "SHOULD be in the SYN-ACK");
  TcpScript t(enabled());
  t.listen();
  t.set_option(SocketOption::kUserTimeout, 600'000);
  t.inject(syn().mss(1460).sack_ok());
  const auto sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent.front().user_timeout, 600);
  t.inject(ack(1));
  ASSERT_TRUE(t.accept());
  t.write(3000);
  const auto first = t.take_sent();
  ASSERT_GE(first.size(), 2u);
  EXPECT_EQ(first.front().user_timeout, 600);
  EXPECT_EQ(first.front().length, 1456u) << "it takes a part of the segment";
  t.inject(ack(3001));
}

TEST(UserTimeoutOption, IsSentWhenTheApplicationChangesItsTimeout) {
  rfc("5482", "3.2", "SHOULD be sent when the timeout changes");
  TcpScript t(enabled());
  t.establish();
  t.write(100);
  t.expect(data(1, 101));
  t.inject(ack(101));
  t.set_option(SocketOption::kUserTimeout, 7'200'000);
  t.write(100);
  t.expect(data(101, 201).uto(7200));
  t.inject(ack(201));
  t.write(100);
  t.expect(data(201, 301));
  t.inject(ack(301));
  t.set_option(SocketOption::kUserTimeout, 0);
  t.write(100);
  t.expect(data(301, 401));
  t.inject(ack(401));
}

TEST(UserTimeoutOption, ThePeersIsAdopted) {
  rfc("5482", "3.1",
      "CHANGEABLE is true: the timeout is adjusted, to the longest of ADV_UTO, REMOTE_UTO, L_LIMIT");
  TcpScript t(enabled());
  lose_peer(t, 1800);
  expect_dead_between(t, 1790s, 1930s);
}

TEST(UserTimeoutOption, ThePeersIsNoShorterThanOurs) {
  rfc("5482", "3.1",
      "CHANGEABLE is true: the timeout is adjusted, to the longest of ADV_UTO, REMOTE_UTO, L_LIMIT");
  TcpScript t(enabled());
  lose_peer(t, 2);
  expect_dead_between(t, 299s, 430s);
}

TEST(UserTimeoutOption, ThePeersIsNoLongerThanTheLimit) {
  rfc("5482", "3.1", "no longer than U_LIMIT");
  TcpScript t(enabled());
  lose_peer(t, 0xffff);
  expect_dead_between(t, 3590s, 3730s);
}

TEST(UserTimeoutOption, ThePeersInItsSynAckCountsToo) {
  TcpScript t(enabled());
  ASSERT_EQ(t.connect(), Error::kInProgress);
  t.take_sent();
  t.inject(synack().mss(1460).uto(1800));
  t.write(100);
  expect_dead_between(t, 1790s, 1930s);
}

TEST(UserTimeoutOption, TheLowerLimitIsNoLessThanTheRetransmissionTimeout) {
  rfc("5482", "3.1", "L_LIMIT is larger than the retransmission timeout");
  UserTimeout timeout;
  EXPECT_EQ(timeout.adopted(1s), 0s);
  timeout.on_option(1);
  EXPECT_EQ(timeout.adopted(1s), UserTimeout::kDefault);
  EXPECT_EQ(timeout.adopted(500s), 500s);
}

TEST(UserTimeoutOption, TheApplicationsOwnIsNotOverruled) {
  rfc("5482", "3.1", "CHANGEABLE is false: the timeout MUST NOT be changed");
  TcpScript t(enabled());
  t.establish();
  t.set_option(SocketOption::kUserTimeout, 10'000);
  t.inject(ack(1).uto(1800));
  t.write(100);
  expect_dead_between(t, 9s, 30s);
}

TEST(UserTimeoutOption, ZeroIsIgnored) {
  rfc("5482", "3.3", "the value 0 is reserved: MUST NOT be sent, MUST be ignored");
  EXPECT_NE(UserTimeout::encode(0s), 0u);
  UserTimeout timeout;
  timeout.on_option(1800);
  timeout.on_option(0);
  timeout.on_option(0x8000);
  EXPECT_EQ(timeout.adopted(1s), 1800s);
}

TEST(UserTimeoutOption, ALongerOneOutlastsTheCountOfRetransmissions) {
  TcpScript::Options options;
  options.stack.tcp.retries = 3;
  TcpScript t(options);
  t.establish();
  t.set_option(SocketOption::kUserTimeout, 60'000);
  t.write(100);
  expect_dead_between(t, 55s, 150s);
}

}  // namespace
}  // namespace millrace::test
