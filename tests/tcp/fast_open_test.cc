// TCP Fast Open (RFC 7413), the stack as server and as client.

#include "tcp/fast_open.h"

#include <gtest/gtest.h>

#include <set>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::FastOpenBits;
using tcp::FastOpenCookie;
using tcp::State;

FastOpenCookie cookie_of(std::uint8_t byte, std::uint8_t length = 8) {
  FastOpenCookie cookie;
  cookie.length = length;
  for (std::uint8_t i = 0; i < length; ++i) cookie.storage[i] = byte;
  return cookie;
}

// --- server

void listen_fast(TcpScript& t, std::int64_t queue = 5, int backlog = 16) {
  t.listen(backlog);
  EXPECT_TRUE(t.listener().set_option(SocketOption::kFastOpen, queue, t.now()).ok());
}

/// Asks for a cookie as a client does the first time.
FastOpenCookie ask(TcpScript& t) {
  t.from_port(50'000).inject(syn().mss(1460).cookie_request());
  const std::vector<Seg> sent = t.take_sent();
  t.inject(rst(1));
  EXPECT_EQ(sent.size(), 1u);
  return sent.size() == 1 ? sent[0].fast_open.value_or(FastOpenCookie{}) : FastOpenCookie{};
}

TEST(FastOpenServer, GivesACookieToWhoAsks) {
  rfc("7413", "4.1.2", "the SYN-ACK brings the cookie that was asked for");
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  EXPECT_EQ(cookie.length, 8u);
  EXPECT_EQ(ask(t), cookie) << "the same for the same addresses";
  EXPECT_EQ(t.count(Counter::kFastOpenCookieRequests), 2u);
}

TEST(FastOpenServer, DeliversDataOfTheSynBeforeTheHandshakeIsThrough) {
  rfc("7413", "4.2.2", "with a valid cookie the data is delivered, and acknowledged by the SYN-ACK");
  rfc("7413", "4.2.2", "the server may send data before the handshake is through");
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).cookie(cookie).carries(100));
  t.expect(synack().ack(101));
  EXPECT_TRUE(t.listener().readiness() & kReadable);
  ASSERT_TRUE(t.accept());
  t.expect_state(State::kSynReceived);
  EXPECT_EQ(t.read(), 100u);
  t.write(3000);
  t.expect(data(1, 1461).ack(101));
  t.expect(data(1461, 2921));
  t.expect(data(2921, 3001));
  t.after(50ms).inject(ack(3001));
  t.expect_state(State::kEstablished);
  EXPECT_EQ(t.info().rtt, 50'000u);
  EXPECT_EQ(t.count(Counter::kFastOpenPassive), 1u);
  t.inject(data(101, 201));
  t.expect_after(40ms, ack(201));
  EXPECT_EQ(t.read(), 100u);
  t.close();
  t.expect(fin(3001));
}

TEST(FastOpenServer, ScalesWindowsAndKeepsOptions) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(
      syn().mss(1460).sack_ok().wscale(5).with_ts().cookie(cookie).carries(10).win(60'000));
  t.expect(synack().ack(11).sack_ok().wscale(7).with_ts());
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.info().snd_wnd, 60'000u);
  t.inject(ack(1).win(1000));
  EXPECT_EQ(t.info().snd_wnd, 32'000u);
  EXPECT_TRUE(t.info().sack);
  EXPECT_EQ(t.info().snd_mss, 1448u);
}

TEST(FastOpenServer, WrongCookieGetsAnOrdinaryHandshakeAndTheRightOne) {
  rfc("7413", "4.2.2",
      "an invalid cookie: the data is dropped, the SYN alone acknowledged, a new cookie sent");
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie right = ask(t);
  for (const FastOpenCookie& wrong : {cookie_of(1), cookie_of(1, 16)}) {
    t.from_port(wrong.length == 8 ? 40'000 : 40'001).inject(syn().mss(1460).cookie(wrong).carries(100));
    t.expect(synack().ack(1).cookie(right));
    t.inject(data(1, 101).ack(1));
    t.take_sent();
    ASSERT_TRUE(t.accept());
    EXPECT_EQ(t.read(), 100u);
    t.take_sent();
  }
  EXPECT_EQ(t.count(Counter::kFastOpenPassiveFail), 2u);
  EXPECT_EQ(t.count(Counter::kFastOpenPassive), 0u);
}

TEST(FastOpenServer, CookieIsGoodForItsAddressOnly) {
  rfc("7413", "4.1.1", "the cookie authenticates the client's address");
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000)
      .from_host(IpAddress::v4(198, 18, 0, 3))
      .inject(syn().mss(1460).cookie(cookie).carries(10));
  const std::vector<Seg> sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledges, 1u);
  EXPECT_NE(sent[0].fast_open, cookie);
}

TEST(FastOpenServer, IsOffUnlessTheListenerSaysSo) {
  rfc("7413", "4.2.2", "without Fast Open the option and the data are ignored");
  for (const bool by_config : {false, true}) {
    TcpScript::Options options;
    if (by_config) options.stack.tcp.fast_open = FastOpenBits::kClient;
    TcpScript t(options);
    listen_fast(t, by_config ? 5 : 0);
    t.inject(syn().mss(1460).cookie_request().carries(100));
    t.expect(synack().ack(1));
  }
}

TEST(FastOpenServer, QueueIsLimited) {
  rfc("7413", "5.1", "beyond the limit of pending Fast Open connections a SYN is an ordinary one");
  TcpScript t;
  listen_fast(t, 2);
  const FastOpenCookie cookie = ask(t);
  for (std::uint16_t port = 50'001; port < 50'003; ++port) {
    t.from_port(port).inject(syn().mss(1460).cookie(cookie).carries(10));
    t.expect(synack().ack(11));
  }
  t.from_port(50'003).inject(syn().mss(1460).cookie(cookie).carries(10));
  t.expect(synack().ack(1));
  EXPECT_EQ(t.count(Counter::kFastOpenListenOverflow), 1u);
  t.from_port(50'001).inject(ack(1));
  t.from_port(50'004).inject(syn().mss(1460).cookie(cookie).carries(10));
  t.expect(synack().ack(11));
}

TEST(FastOpenServer, WhatARstEndedCountsForAMinute) {
  rfc("7413", "5.1",
      "a connection that a RST ended still counts, so that resets of spoofed hosts make no room");
  TcpScript t;
  listen_fast(t, 1);
  const FastOpenCookie cookie = ask(t);
  t.from_port(50'001).inject(syn().mss(1460).cookie(cookie).carries(10));
  t.expect(synack().ack(11));
  t.inject(rst(11));
  t.from_port(50'002).inject(syn().mss(1460).cookie(cookie).carries(10));
  t.expect(synack().ack(1));
  t.inject(rst(1));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.read(), 10u);
  EXPECT_EQ(t.read_error(), Error::kConnectionReset);
  t.after(60s).from_port(50'003).inject(syn().mss(1460).cookie(cookie).carries(10));
  t.expect(synack().ack(11));
}

TEST(FastOpenServer, RepeatsTheSynAckWhenTheSynComesAgain) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).cookie(cookie).carries(100));
  t.expect(synack().ack(101));
  t.after(600ms).inject(syn().mss(1460));
  t.expect(synack().ack(101));
  t.inject(ack(1).seq(101));
  ASSERT_TRUE(t.accept());
  t.expect_state(State::kEstablished);
  EXPECT_EQ(t.read(), 100u);
}

TEST(FastOpenServer, RepeatsTheSynAckAndTheDataByTimer) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).cookie(cookie).carries(100));
  t.expect(synack().ack(101));
  ASSERT_TRUE(t.accept());
  t.write(10);
  t.expect(data(1, 11));
  t.after(1001ms);
  std::set<std::uint32_t> starts;
  for (const Seg& sent : t.take_sent()) starts.insert(*sent.at);
  EXPECT_EQ(starts, (std::set<std::uint32_t>{0, 1})) << "the SYN-ACK and the data, each from its own number";
  t.inject(ack(11));
  t.expect_state(State::kEstablished);
  t.after(200s);
  t.expect_nothing();
}

TEST(FastOpenServer, AckOfTheSynIsNoDuplicate) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).cookie(cookie).carries(100));
  t.expect(synack().ack(101));
  ASSERT_TRUE(t.accept());
  t.write(4 * 1460);
  for (std::uint32_t i = 0; i < 4; ++i) t.expect(data(1 + i * 1460, 1461 + i * 1460));
  t.after(10ms).inject(ack(1).seq(101));
  t.expect_state(State::kEstablished);
  for (int i = 0; i < 2; ++i) t.inject(ack(1).seq(101));
  t.expect_nothing();
  t.inject(ack(1).seq(101));
  t.expect(data(1, 1461));
}

TEST(FastOpenServer, FindsWhatSackReportsWithTheHandshakeLost) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).sack_ok().cookie(cookie).carries(100));
  t.expect(synack().ack(101).sack_ok());
  ASSERT_TRUE(t.accept());
  t.write(5 * 1460);
  for (std::uint32_t i = 0; i < 5; ++i) t.expect(data(1 + i * 1460, 1461 + i * 1460));
  t.after(10ms).inject(ack(1).seq(101).sack(1461, 7301));
  t.expect(data(1, 1461));
  t.after(10ms).inject(ack(7301).seq(101));
  t.expect_nothing();
}

TEST(FastOpenServer, GivesUpWhenTheHandshakeIsNeverThrough) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).cookie(cookie).carries(100));
  t.take_sent();
  t.after(200s);
  EXPECT_EQ(t.take_sent().size(), 5u);
  ASSERT_TRUE(t.accept());
  t.expect_state(State::kClosed);
  t.close();
  t.close_listener();
  t.expect_clean();
}

TEST(FastOpenServer, ListenerMayGoBeforeTheHandshakeIsThrough) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).cookie(cookie).carries(100));
  t.expect(synack().ack(101));
  ASSERT_TRUE(t.accept());
  t.close_listener();
  t.inject(ack(1));
  t.expect_state(State::kEstablished);
}

TEST(FastOpenServer, AnswersAndClosesBeforeTheHandshakeIsThrough) {
  TcpScript t;
  listen_fast(t);
  const FastOpenCookie cookie = ask(t);
  t.from_port(40'000).inject(syn().mss(1460).cookie(cookie).carries(100));
  t.expect(synack().ack(101));
  ASSERT_TRUE(t.accept());
  t.read();
  t.write(10);
  t.expect(data(1, 11));
  t.close();
  t.expect(fin(11));
  t.inject(ack(12));
  t.inject(fin(101).ack(12));
  t.expect(ack(102));
  t.close_listener();
  t.after(61s);
  t.expect_clean();
}

// --- client

constexpr std::uint32_t kSynRoom = 1460 - 40;

/// The client's first connection, which brings it the cookie.
void learn(TcpScript& t, const FastOpenCookie& cookie) {
  EXPECT_EQ(t.connect_with(100).error(), Error::kInProgress);
  t.expect(syn().cookie_request());
  t.inject(synack().mss(1460).cookie(cookie));
  t.expect(ack(1));
  t.close();
  t.expect(fin(1));
  t.inject(rst(1).ack(2));
}

TEST(FastOpenClient, AsksForACookieFirst) {
  rfc("7413", "4.1.3", "without a cookie the SYN asks for one and carries no data");
  TcpScript t;
  EXPECT_EQ(t.connect_with(100).error(), Error::kInProgress);
  t.expect(syn().cookie_request());
  EXPECT_EQ(t.try_write(100).error(), Error::kAgain);
  t.inject(synack().mss(1460).cookie(cookie_of(9)));
  t.expect(ack(1));
  t.write(100);
  t.expect(data(1, 101));
}

TEST(FastOpenClient, SendsDataInTheSynWithACookie) {
  rfc("7413", "4.2.1", "with a cookie data goes out in the SYN, as much as the cached MSS allows");
  TcpScript t;
  learn(t, cookie_of(9));
  const auto taken = t.connect_with(5000);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(*taken, kSynRoom);
  t.expect(syn().cookie(cookie_of(9)).carries(kSynRoom));
  t.after(20ms).inject(synack().ack(1 + kSynRoom).mss(1460));
  t.expect(ack(1).seq(1 + kSynRoom));
  EXPECT_EQ(t.count(Counter::kFastOpenActive), 1u);
  EXPECT_EQ(t.info().rtt, 20'000u);
  t.write(1000);
  t.expect(data(1 + kSynRoom, 1001 + kSynRoom));
  t.inject(data(1, 11).ack(1001 + kSynRoom));
  t.expect(ack(11));
  EXPECT_EQ(t.read(), 10u);
}

TEST(FastOpenClient, SendsUnacknowledgedDataAgainAfterTheHandshake) {
  rfc("7413", "4.2.1", "when the SYN-ACK acknowledges the SYN only, the data is sent again with the ACK");
  TcpScript t;
  learn(t, cookie_of(9));
  EXPECT_EQ(*t.connect_with(500), 500u);
  t.expect(syn().cookie(cookie_of(9)).carries(500));
  t.inject(synack().mss(1460).cookie(cookie_of(7)));
  t.expect(data(1, 501).ack(1));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kFastOpenActiveFail), 1u);
  t.inject(ack(501));
  t.close();
  t.take_sent();
  t.inject(rst(1).ack(502));
  EXPECT_EQ(*t.connect_with(10), 10u);
  t.expect(syn().cookie(cookie_of(7)).carries(10));
}

TEST(FastOpenClient, TakesAnAcknowledgmentOfAPart) {
  TcpScript t;
  learn(t, cookie_of(9));
  EXPECT_EQ(*t.connect_with(500), 500u);
  t.expect(syn().cookie(cookie_of(9)).carries(500));
  t.inject(synack().ack(201).mss(1460));
  t.expect(data(201, 501).ack(1));
}

TEST(FastOpenClient, RefusesAnAcknowledgmentOfMoreThanItSent) {
  TcpScript t;
  learn(t, cookie_of(9));
  EXPECT_EQ(*t.connect_with(500), 500u);
  t.expect(syn().cookie(cookie_of(9)).carries(500));
  t.inject(synack().ack(502).mss(1460));
  t.expect(rst(502));
  t.expect_state(State::kSynSent);
}

TEST(FastOpenClient, LostSynIsRepeatedPlainAndTheDestinationSparedForAWhile) {
  rfc("7413", "4.1.3.1",
      "a SYN that is repeated has no data; where such data is lost Fast Open rests for a while");
  TcpScript t;
  learn(t, cookie_of(9));
  EXPECT_EQ(*t.connect_with(500), 500u);
  t.expect(syn().cookie(cookie_of(9)).carries(500));
  t.expect_after(1s, syn());
  t.inject(synack().mss(1460));
  t.expect(data(1, 501).ack(1));
  t.inject(ack(501));
  t.close();
  t.take_sent();
  t.inject(rst(1).ack(502));
  EXPECT_EQ(t.connect_with(10).error(), Error::kInProgress);
  t.expect(syn());
  EXPECT_EQ(t.count(Counter::kFastOpenBlackhole), 1u);
  t.close();
  t.after(121s);
  EXPECT_EQ(*t.connect_with(10), 10u);
  t.expect(syn().cookie(cookie_of(9)).carries(10));
}

TEST(FastOpenClient, UnsolicitedCookieIsIgnored) {
  rfc("7413", "4.1.3", "a cookie nobody asked for is ignored");
  TcpScript t;
  t.establish_active(synack().mss(1460).cookie(cookie_of(9)));
  t.close();
  t.expect(fin(1));
  t.inject(rst(1).ack(2));
  EXPECT_EQ(t.connect_with(10).error(), Error::kInProgress);
  t.expect(syn().cookie_request());
}

TEST(FastOpenClient, ConnectWaitsForTheFirstWriteWhenAsked) {
  TcpScript t;
  learn(t, cookie_of(9));
  t.set_option(SocketOption::kFastOpenConnect, 1);
  EXPECT_EQ(t.connect(), Error::kNone);
  t.expect_nothing();
  EXPECT_TRUE(t.readiness() & kWritable);
  EXPECT_EQ(t.connect(), Error::kIsConnected);
  t.write(50);
  t.expect(syn().cookie(cookie_of(9)).carries(50));
  t.inject(synack().ack(51).mss(1460));
  t.expect(ack(1));
  t.expect_state(State::kEstablished);
}

TEST(FastOpenClient, ConnectWithoutACookieAsksForOne) {
  TcpScript t;
  learn(t, FastOpenCookie{});
  t.set_option(SocketOption::kFastOpenConnect, 1);
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn().cookie_request());
}

TEST(FastOpenClient, ClosedBeforeTheFirstWriteSaysNothing) {
  TcpScript t;
  learn(t, cookie_of(9));
  t.set_option(SocketOption::kFastOpenConnect, 1);
  EXPECT_EQ(t.connect(), Error::kNone);
  t.close();
  t.expect_nothing_for(10s);
  t.expect_clean();
}

TEST(FastOpenClient, CanDoWithoutCookies) {
  for (const bool by_config : {false, true}) {
    TcpScript::Options options;
    if (by_config) options.stack.tcp.fast_open |= FastOpenBits::kClientNoCookie;
    TcpScript t(options);
    if (!by_config) {
      learn(t, FastOpenCookie{});
      t.set_option(SocketOption::kFastOpenNoCookie, 1);
    }
    EXPECT_EQ(*t.connect_with(100), 100u);
    t.expect(syn().carries(100));
  }
}

TEST(FastOpenClient, SaysWhatIsWrong) {
  TcpScript::Options options;
  options.stack.tcp.fast_open = 0;
  TcpScript off(options);
  EXPECT_EQ(off.connect_with(10).error(), Error::kNotSupported);
  EXPECT_EQ(off.socket().set_option(SocketOption::kFastOpenConnect, 1, off.now()).error(),
            Error::kNotSupported);

  TcpScript t;
  t.establish_active();
  EXPECT_EQ(t.connect_with(10).error(), Error::kIsConnected);
  EXPECT_EQ(t.socket().set_option(SocketOption::kFastOpen, 5, t.now()).error(), Error::kInvalid);
  EXPECT_EQ(t.socket().set_option(SocketOption::kFastOpenConnect, 1, t.now()).error(), Error::kInvalid);

  TcpScript other;
  EXPECT_EQ(other.connect(), Error::kInProgress);
  other.expect(syn());
  EXPECT_EQ(other.connect_with(10).error(), Error::kAlready);
  other.listen();
  EXPECT_EQ(other.listener().set_option(SocketOption::kFastOpen, -1, other.now()).error(), Error::kInvalid);
  EXPECT_TRUE(other.listener().set_option(SocketOption::kFastOpen, 7, other.now()).ok());
  EXPECT_EQ(*other.listener().option(SocketOption::kFastOpen), 7);
}

TEST(FastOpenCache, IsBoundedAndForgetsTheLongestUnused) {
  Rng rng{3};
  tcp::FastOpenCache cache(rng);
  Instant now = kEpoch + 1s;
  const IpAddress dear = IpAddress::v4(198, 18, 0, 9);
  cache.learn(dear, 1460, cookie_of(9), false, now);
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    now += 1ms;
    cache.learn(IpAddress::v4(0xc6130000 + i), 1460, cookie_of(1), false, now);
    ASSERT_NE(cache.find(dear, now), nullptr);
  }
  int known = 0;
  for (std::uint32_t i = 0; i < 100'000; ++i)
    known += cache.find(IpAddress::v4(0xc6130000 + i), now) != nullptr;
  EXPECT_LE(known, 256);
  EXPECT_GE(known, 200);
}

}  // namespace
}  // namespace millrace::test
