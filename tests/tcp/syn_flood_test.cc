// SYN floods and full queues: cookies, the share of one source, what happens at each limit.

#include <gtest/gtest.h>

#include "support/tcp_script.h"
#include "tcp/syn_cookie.h"

namespace millrace::test {
namespace {

using tcp::CookieOptions;
using tcp::Counter;
using tcp::FlowKey;
using tcp::State;
using tcp::SynCookies;
using Mode = tcp::Config::SynCookies;

constexpr IpAddress kOther = IpAddress::v4(198, 18, 0, 3);

FlowKey flow(std::uint16_t port) {
  return {{TcpScript::kOwn, 80}, {TcpScript::kPeer, port}};
}

TcpScript::Options small_queue(std::size_t requests, Mode mode, unsigned share = 1) {
  TcpScript::Options options;
  options.stack.tcp.max_syn_backlog = requests;
  options.stack.tcp.syn_backlog_source_share = share;
  options.stack.tcp.syn_cookies = mode;
  return options;
}

/// Half-open requests of the peer, from port 50000 on.
void flood(TcpScript& t, std::uint16_t count) {
  for (std::uint16_t i = 0; i < count; ++i) {
    t.from_port(static_cast<std::uint16_t>(50'000 + i)).inject(syn().mss(1460));
    t.expect(synack());
  }
  t.from_port(40'000);
}

// --- the cookie

TEST(SynCookie, BringsTheMssBackRoundedDown) {
  rfc("4987", "3.6", "a cookie encodes the MSS, rounded down to one of a few");
  Rng rng{7};
  const SynCookies cookies(rng);
  const Instant now = kEpoch + 5000s;
  const SeqNum irs{0xfffffff0};
  const std::pair<std::uint16_t, std::uint16_t> cases[] = {
      {20, 88}, {88, 88}, {535, 88}, {536, 536}, {1459, 1440}, {1460, 1460}, {8959, 1460}, {65535, 8960}};
  for (const auto& [announced, kept] : cases)
    EXPECT_EQ(cookies.check(flow(1), irs, cookies.make(flow(1), irs, announced, now), now), kept);
}

TEST(SynCookie, IsGoodForItsMinuteAndTheNext) {
  rfc("4987", "3.6", "a cookie expires");
  Rng rng{7};
  const SynCookies cookies(rng);
  const Instant made = kEpoch + 6000s;
  const SeqNum iss = cookies.make(flow(1), SeqNum{1}, 1460, made);
  EXPECT_TRUE(cookies.check(flow(1), SeqNum{1}, iss, made + 119s));
  EXPECT_FALSE(cookies.check(flow(1), SeqNum{1}, iss, made + 120s));
  EXPECT_FALSE(cookies.check(flow(1), SeqNum{1}, iss, made - 1s)) << "made in the future";
}

TEST(SynCookie, IsGoodForOneFlowAndOneInitialNumber) {
  rfc("4987", "3.6", "a cookie is bound to the 4-tuple, the peer's ISN and a secret");
  Rng rng{7}, other_rng{8};
  const SynCookies cookies(rng), others(other_rng);
  const Instant now = kEpoch + 6000s;
  const SeqNum iss = cookies.make(flow(1), SeqNum{1}, 1460, now);
  EXPECT_FALSE(cookies.check(flow(2), SeqNum{1}, iss, now));
  EXPECT_FALSE(cookies.check(flow(1), SeqNum{9000}, iss, now));
  EXPECT_FALSE(others.check(flow(1), SeqNum{1}, iss, now));
  int guessed = 0;
  for (int i = 0; i < 200'000; ++i)
    guessed += cookies.check(flow(1), SeqNum{1}, SeqNum{rng.u32()}, now).has_value();
  EXPECT_EQ(guessed, 0);
}

TEST(CookieOptions, TravelInAStampThatIsNeverAheadOfTheClock) {
  const CookieOptions cases[] = {
      {}, {std::uint8_t{0}, true, false}, {std::uint8_t{14}, true, true}, {std::uint8_t{7}, false, false}};
  for (const CookieOptions& options : cases) {
    for (std::uint32_t clock : {0u, 63u, 64u, 1000u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
      const std::uint32_t stamp = options.stamp(clock);
      EXPECT_EQ(CookieOptions::from(stamp), options);
      EXPECT_LT(clock - stamp, 128u);
    }
  }
}

// --- cookies in use

TEST(SynFlood, FullQueueIsAnsweredWithACookieAndTheAckEstablishes) {
  rfc("4987", "3.6", "with a full queue no state is kept for a SYN, and the ACK establishes");
  TcpScript t(small_queue(2, Mode::kWhenFull));
  t.listen();
  flood(t, 2);
  t.inject(syn().mss(1460));
  t.expect(synack().mss(1460));
  EXPECT_EQ(t.tcp().request_count(), 2u);
  EXPECT_EQ(t.count(Counter::kSyncookiesSent), 1u);
  EXPECT_EQ(t.count(Counter::kReqQFullDoCookies), 1u);
  EXPECT_EQ(t.count(Counter::kListenDrops), 0u);
  t.after(30ms).inject(ack(1));
  EXPECT_EQ(t.count(Counter::kSyncookiesRecv), 1u);
  ASSERT_TRUE(t.accept());
  t.inject(data(1, 101));
  t.expect(ack(101));
  EXPECT_EQ(t.read(), 100u);
  t.write(3000);
  t.expect(data(1, 1461));
  t.expect(data(1461, 2921));
  t.expect(data(2921, 3001));
  t.inject(ack(3001));
  t.close();
  t.expect(fin(3001));
  t.inject(fin(101).ack(3002));
  t.expect(ack(102));
  t.from_port(50'000).take_sent();
}

TEST(SynFlood, TimestampsKeepSackAndWindowScale) {
  rfc("4987", "3.6", "options survive in the low bits of the timestamp");
  TcpScript t(small_queue(0, Mode::kWhenFull));
  t.listen();
  t.inject(syn().mss(1460).sack_ok().wscale(3).with_ts());
  t.expect(synack().mss(1460).sack_ok().wscale(7).with_ts());
  t.after(10ms).inject(ack(1).win(10'000));
  ASSERT_TRUE(t.accept());
  EXPECT_TRUE(t.info().sack);
  EXPECT_TRUE(t.info().timestamps);
  EXPECT_EQ(t.info().snd_wscale, 3);
  EXPECT_EQ(t.info().snd_wnd, 80'000u);
  EXPECT_EQ(t.info().rto, 1'000'000u) << "the handshake was not measured";
  EXPECT_EQ(t.info().snd_cwnd, 10u);
  t.inject(data(1001, 2001));
  t.expect(ack(1).sack(1001, 2001));
  t.write(1000);
  t.expect(data(1, 1001).with_ts().sack(1001, 2001));
}

TEST(SynFlood, WithoutTimestampsTheOtherOptionsAreOff) {
  rfc("4987", "3.6", "without timestamps no window scale and no SACK");
  TcpScript t(small_queue(0, Mode::kWhenFull));
  t.listen();
  t.inject(syn().mss(1460).sack_ok().wscale(3));
  const std::vector<Seg> sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_FALSE(*sent[0].sack_permitted);
  EXPECT_FALSE(sent[0].scale);
  t.inject(ack(1).win(10'000));
  ASSERT_TRUE(t.accept());
  EXPECT_FALSE(t.info().sack);
  EXPECT_EQ(t.info().snd_wnd, 10'000u);
}

TEST(SynFlood, DataBringsTheCookieBackWhenTheAckIsLost) {
  TcpScript t(small_queue(0, Mode::kWhenFull));
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(data(1, 501).ack(1));
  t.expect(ack(501));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.read(), 500u);
}

TEST(SynFlood, ForgedAckIsAnsweredWithReset) {
  TcpScript t(small_queue(0, Mode::kWhenFull));
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(1001));
  t.expect(rst(1001));
  EXPECT_EQ(t.count(Counter::kSyncookiesFailed), 1u);
  EXPECT_EQ(t.tcp().connection_count(), 0u);
  t.inject(ack(1));
  EXPECT_EQ(t.count(Counter::kSyncookiesRecv), 1u);
  EXPECT_TRUE(t.try_accept());
}

TEST(SynFlood, AckIsNoCookieWhenNoneWasSentOfLate) {
  TcpScript t(small_queue(0, Mode::kWhenFull));
  t.listen();
  t.inject(ack(1));
  t.expect(rst(1));
  EXPECT_EQ(t.count(Counter::kSyncookiesFailed), 0u) << "none was sent at all";
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.after(121s).inject(ack(1));
  t.expect(rst(1));
  EXPECT_EQ(t.count(Counter::kSyncookiesFailed), 0u);
  EXPECT_EQ(t.count(Counter::kSyncookiesRecv), 0u);
}

TEST(SynFlood, FullAcceptQueueDropsTheAckAndTheDataBringsItAgain) {
  TcpScript t(small_queue(0, Mode::kWhenFull));
  t.listen(0);
  t.from_port(50'000).inject(syn().mss(1460));
  t.expect(synack());
  t.from_port(50'001).inject(syn().mss(1460));
  t.expect(synack());
  t.from_port(50'000).inject(ack(1));
  t.from_port(50'001).inject(ack(1));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kListenOverflows), 1u);
  EXPECT_EQ(t.tcp().connection_count(), 1u);
  ASSERT_TRUE(t.accept());
  t.inject(data(1, 11));
  t.expect(ack(11));
  EXPECT_EQ(t.tcp().connection_count(), 2u);
}

/// A queue of two is full and answers the peer's SYN with a cookie, whose number this is; then there is room,
/// and the SYN, which was sent again meanwhile, or `second`, becomes a request.
SeqNum cookie_beside_a_request(TcpScript& t, const Seg& second = syn().mss(1460)) {
  flood(t, 2);
  t.inject(syn().mss(1460));
  t.expect(synack());
  const SeqNum cookie = t.our_iss();
  t.from_port(50'000).inject(rst(1));
  t.from_port(40'000).inject(second);
  t.expect(synack().ack(second.at.value_or(0) + 1));
  EXPECT_EQ(t.tcp().request_count(), 2u);
  return cookie;
}

TEST(SynFlood, CookieIsGoodBesideTheRequestOfTheSameSyn) {
  rfc("4987", "3.6", "a cookie is good also where the same SYN, sent again, found room since");
  TcpScript t(small_queue(2, Mode::kWhenFull));
  t.listen();
  const SeqNum cookie = cookie_beside_a_request(t);
  const std::uint32_t behind = SeqNum::distance(t.our_iss(), cookie);
  EXPECT_NE(behind, 0u);
  t.inject(ack(1 + behind));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kSyncookiesRecv), 1u);
  EXPECT_EQ(t.tcp().request_count(), 1u);
  ASSERT_TRUE(t.accept());
  t.inject(data(1, 101).ack(1 + behind));
  t.expect(ack(101));
  EXPECT_EQ(t.read(), 100u);
}

TEST(SynFlood, NeitherCookieNorAnswerIsAnsweredWithReset) {
  TcpScript t(small_queue(2, Mode::kWhenFull));
  t.listen();
  const SeqNum cookie = cookie_beside_a_request(t);
  const std::uint32_t wrong = 1001 + SeqNum::distance(t.our_iss(), cookie);
  t.inject(ack(wrong));
  t.expect(rst(wrong));
  EXPECT_EQ(t.count(Counter::kSyncookiesFailed), 1u);
  EXPECT_EQ(t.tcp().request_count(), 2u);
  t.inject(ack(1));
  EXPECT_EQ(t.tcp().request_count(), 1u);
}

TEST(SynFlood, CookieOfAnotherSynIsNotGoodBesideARequest) {
  TcpScript t(small_queue(2, Mode::kWhenFull));
  t.listen();
  const SeqNum cookie = cookie_beside_a_request(t, syn().seq(0u - 1000).mss(1460));
  const std::uint32_t behind = SeqNum::distance(t.our_iss(), cookie);
  t.inject(ack(1 + behind));
  t.expect(rst(1 + behind));
  EXPECT_EQ(t.count(Counter::kSyncookiesRecv), 0u);
  EXPECT_EQ(t.tcp().request_count(), 2u);
}

TEST(SynFlood, FullAcceptQueueKeepsTheRequestBesideACookie) {
  TcpScript t(small_queue(2, Mode::kWhenFull));
  t.listen(0);
  const SeqNum cookie = cookie_beside_a_request(t);
  const std::uint32_t behind = SeqNum::distance(t.our_iss(), cookie);
  t.from_port(50'001).inject(ack(1));
  t.from_port(40'000).inject(ack(1 + behind));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kListenOverflows), 1u);
  EXPECT_EQ(t.tcp().request_count(), 1u);
  ASSERT_TRUE(t.accept()) << "of port 50001";
  t.from_port(50'001).inject(rst(1));
  t.from_port(40'000).inject(ack(1 + behind));
  t.expect_nothing();
  EXPECT_EQ(t.tcp().request_count(), 0u);
  EXPECT_TRUE(t.accept());
}

TEST(SynFlood, CookiesCanBeTheRule) {
  TcpScript t(small_queue(100, Mode::kAlways));
  t.establish();
  EXPECT_EQ(t.count(Counter::kSyncookiesRecv), 1u);
  EXPECT_EQ(t.count(Counter::kReqQFullDoCookies), 0u);
  t.write(10);
  t.expect(data(1, 11));
}

TEST(SynFlood, LeavesNothingBehind) {
  TcpScript t(small_queue(4, Mode::kWhenFull));
  t.listen();
  for (std::uint16_t i = 0; i < 2000; ++i) {
    t.from_port(static_cast<std::uint16_t>(1024 + i)).inject(syn().mss(1460));
    t.take_sent();
  }
  EXPECT_EQ(t.tcp().request_count(), 4u);
  EXPECT_EQ(t.count(Counter::kSyncookiesSent), 1996u);
  t.after(100s);
  t.take_sent();
  t.close_listener();
  t.expect_clean();
}

TEST(SynFlood, BeyondTheRateASynIsAnsweredWhenItComesAgain) {
  TcpScript::Options options = small_queue(2, Mode::kWhenFull);
  options.stack.tcp.syn_cookie_rate = 20;  // and two at once
  TcpScript t(options);
  t.listen();
  flood(t, 4);
  EXPECT_EQ(t.count(Counter::kSyncookiesSent), 2u);
  t.inject(syn().mss(1460));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kSynDeferred), 1u);
  EXPECT_EQ(t.count(Counter::kListenDrops), 1u);
  // Others, and another SYN from there, use up what there is meanwhile.
  const auto others = [&](std::uint16_t from) {
    for (std::uint16_t port = from; port < from + 30; ++port) t.from_port(port).inject(syn().mss(1460));
    t.from_port(40'000);
    t.take_sent();
  };
  t.after(1s);
  others(41'000);
  t.inject(syn().mss(1460));
  t.expect(synack().mss(1460));
  t.inject(ack(1));
  EXPECT_TRUE(t.try_accept());
}

TEST(SynFlood, ASynIsForgottenInTime) {
  TcpScript::Options options = small_queue(1, Mode::kAlways);
  options.stack.tcp.syn_cookie_rate = 1;
  TcpScript t(options);
  t.listen();
  const auto use_up = [&] {
    t.from_port(41'000).inject(syn().mss(1460));
    t.from_port(40'000);
    t.take_sent();
  };
  use_up();
  t.inject(syn().mss(1460));
  t.expect_nothing();
  t.after(3s);
  use_up();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.after(2 * tcp::SynMemory::kSpan + 1ms);
  use_up();
  t.inject(syn().mss(1460));
  t.expect_nothing();
}

TEST(SynFlood, WithoutARateEverySynIsAnswered) {
  TcpScript::Options options = small_queue(1, Mode::kAlways);
  options.stack.tcp.syn_cookie_rate = 0;
  TcpScript t(options);
  t.listen();
  for (std::uint16_t i = 0; i < 20'000; ++i)
    t.from_port(static_cast<std::uint16_t>(1024 + i)).inject(syn().mss(1460));
  EXPECT_EQ(t.count(Counter::kSyncookiesSent), 20'000u);
  t.take_sent();
}

// --- without them

TEST(SynFlood, OneSourceHoldsItsShareOfTheQueueOnly) {
  TcpScript t(small_queue(8, Mode::kOff, 2));
  t.listen();
  flood(t, 4);
  t.from_port(50'010).inject(syn().mss(1460));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kSynSourceLimited), 1u);
  EXPECT_EQ(t.count(Counter::kListenDrops), 1u);
  t.from_port(50'011).from_host(kOther).inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(1));
  EXPECT_TRUE(t.try_accept());
  t.from_port(50'000).inject(rst(1));
  t.from_port(50'010).inject(syn().mss(1460));
  t.expect(synack());
}

TEST(SynFlood, SourceWithItsShareGetsCookiesWhenThereAre) {
  TcpScript t(small_queue(8, Mode::kWhenFull, 2));
  t.listen();
  flood(t, 5);
  EXPECT_EQ(t.tcp().request_count(), 4u);
  EXPECT_EQ(t.count(Counter::kSynSourceLimited), 1u);
  EXPECT_EQ(t.count(Counter::kSyncookiesSent), 1u);
}

TEST(SynFlood, OldestUnansweredRequestMakesRoom) {
  rfc("4987", "3.4", "the oldest half-open connection is recycled");
  TcpScript t(small_queue(2, Mode::kOff));
  t.listen();
  flood(t, 2);
  t.inject(syn().mss(1460));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kReqQFullDrop), 1u) << "they may be handshakes under way";
  t.after(1001ms);
  t.take_sent();
  t.inject(syn().mss(1460));
  t.expect(synack());
  EXPECT_EQ(t.count(Counter::kSynEvicted), 1u);
  EXPECT_EQ(t.tcp().request_count(), 2u);
  t.from_port(50'000).inject(ack(1));
  t.expect(rst(1));
  t.from_port(50'001).inject(ack(1));
  t.expect_nothing();
  EXPECT_EQ(t.tcp().connection_count(), 1u);
}

// --- accept queue

TEST(Backlog, FullCanResetInstead) {
  TcpScript::Options options;
  options.stack.tcp.abort_on_overflow = true;
  TcpScript t(options);
  t.listen(0);
  t.from_port(50'000).inject(syn().mss(1460));
  t.expect(synack());
  t.from_port(50'001).inject(syn().mss(1460));
  t.expect(synack());
  t.from_port(50'000).inject(ack(1));
  t.from_port(50'001).inject(ack(1));
  t.expect(rst(1));
  EXPECT_EQ(t.count(Counter::kListenOverflows), 1u);
  EXPECT_EQ(t.count(Counter::kEmbryonicRsts), 1u);
  EXPECT_EQ(t.tcp().request_count(), 0u);
}

TEST(Backlog, SynOfATimeWaitFlowGetsNoCookieAndNoMoreThanTwiceTheRoom) {
  TcpScript t(small_queue(1, Mode::kAlways));
  t.establish(syn().mss(1460).with_ts());
  t.close();
  t.expect(fin(1));
  t.inject(fin(1).ack(2));
  t.expect(ack(2));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
  const auto cookies = t.count(Counter::kSyncookiesSent);
  t.after(2s).inject(syn().mss(1460).with_ts());
  t.expect(synack());
  EXPECT_EQ(t.tcp().request_count(), 1u);
  EXPECT_EQ(t.count(Counter::kSyncookiesSent), cookies);
  t.inject(ack(1));
  EXPECT_TRUE(t.try_accept());
}

}  // namespace
}  // namespace millrace::test
