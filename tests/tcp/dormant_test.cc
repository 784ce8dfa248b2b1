// Connections on which nothing happens for long, and that go on as if they had never slept.

#include "tcp/dormant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/object_slabs.h"
#include "base/sanitizer.h"
#include "support/many_connections.h"
#include "support/tcp_figures.h"
#include "support/tcp_script.h"
#include "tcp/congestion_list.h"
#include "tcp/report.h"
#include "tcp/tcp_socket.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

constexpr Duration kSilence = 10s;

TcpScript::Options options(Duration dormant_after = kSilence) {
  TcpScript::Options options;
  options.stack.tcp.dormant_after = dormant_after;
  return options;
}

void expect_asleep(TcpScript& t) {
  EXPECT_EQ(t.tcp().dormant_count(), 1u);
  EXPECT_EQ(t.tcp().connection_count(), 1u);
}

void expect_awake(TcpScript& t) {
  EXPECT_EQ(t.tcp().dormant_count(), 0u);
  EXPECT_EQ(t.tcp().connection_count(), 1u);
}

TEST(Dormant, FallsAsleepWhenNothingHappensAndIsStillEstablished) {
  TcpScript t(options());
  t.establish();
  t.after(9s);
  expect_awake(t);
  t.after(2s);
  expect_asleep(t);
  EXPECT_EQ(t.count(Counter::kFellAsleep), 1u);
  EXPECT_EQ(t.readiness(), kWritable);
  EXPECT_EQ(t.socket().local_endpoint(), (Endpoint{TcpScript::kOwn, TcpScript::kServerPort}));
  EXPECT_EQ(t.socket().remote_endpoint()->address, TcpScript::kPeer);
  EXPECT_EQ(t.socket().accepted_from().address, TcpScript::kPeer);
  EXPECT_EQ(t.socket().readable_bytes(), 0u);
  EXPECT_EQ(t.socket().unsent_bytes(), 0u);
  EXPECT_FALSE(t.socket().at_mark());
  EXPECT_FALSE(t.socket().draining());
  expect_asleep(t);  // none of that has woken it
  t.expect_nothing_for(3600s);
  expect_asleep(t);
  t.expect_state(State::kEstablished);
}

TEST(Dormant, SilenceBeginsWithTheLastSegment) {
  TcpScript t(options());
  t.establish();
  for (std::uint32_t i = 0; i < 10; ++i) {
    t.after(4s).inject(data(1 + i, 2 + i));
    EXPECT_EQ(t.read(), 1u);
    t.after(100ms).take_sent();
    expect_awake(t);
  }
  t.after(8s);
  expect_awake(t);
  t.after(12s);
  expect_asleep(t);
}

TEST(Dormant, DataWakesItAndIsRead) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  expect_asleep(t);
  t.inject(data(1, 101));
  expect_awake(t);
  EXPECT_EQ(t.count(Counter::kWokeUp), 1u);
  EXPECT_NE(t.readiness() & kReadable, 0);
  EXPECT_EQ(t.read(), 100u);
  t.expect(ack(101));
  t.after(60s);
  expect_asleep(t);
}

TEST(Dormant, SendingWakesIt) {
  TcpScript t(options());
  t.establish();
  t.write(1000);
  t.expect(data(1, 1001));
  t.inject(ack(1001));
  t.after(60s);
  expect_asleep(t);
  t.write(500);
  t.expect(data(1001, 1501));
  expect_awake(t);
  t.inject(ack(1501));
  EXPECT_EQ(t.info().retransmits, 0);
}

TEST(Dormant, ReadingWakesItForNothing) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  EXPECT_EQ(t.read_error(), Error::kAgain);
  expect_awake(t);
  t.after(11s);
  expect_asleep(t);
}

TEST(Dormant, NeverWithoutATime) {
  TcpScript t(options(0s));
  t.establish();
  t.after(3600s);
  expect_awake(t);
}

// --- what keeps one awake

struct Reason {
  const char* name;
  std::function<void(TcpScript&)> have;
};

class Wakeful : public testing::TestWithParam<Reason> {};

TEST_P(Wakeful, DoesNotSleep) {
  TcpScript t(options());
  t.establish();
  t.make_interactive();
  GetParam().have(t);
  t.take_sent();
  for (int i = 0; i < 6; ++i) {
    t.after(7s);
    t.take_sent();
    EXPECT_EQ(t.tcp().dormant_count(), 0u);
  }
  EXPECT_EQ(t.count(Counter::kFellAsleep), 0u);
  t.inject(rst(2));
}

const Reason kReasons[] = {Reason{"UnreadData", [](TcpScript& t) { t.inject(data(2, 12)); }},
                           Reason{"UnacknowledgedData", [](TcpScript& t) { t.write(10); }},
                           Reason{"SomethingOutOfOrder",
                                  [](TcpScript& t) {
                                    t.inject(data(5, 12));
                                    t.inject(rst(100));  // of no effect
                                  }},
                           Reason{"AClosedWindow",
                                  [](TcpScript& t) {
                                    t.inject(ack(2).win(0));
                                    t.write(10);
                                  }},
                           Reason{"TheEndOfThePeersStream", [](TcpScript& t) { t.inject(fin(2)); }},
                           Reason{"TheEndOfOurs", [](TcpScript& t) { t.shutdown(Shutdown::kWrite); }},
                           Reason{"ReadingThatWasShut", [](TcpScript& t) { t.shutdown(Shutdown::kRead); }},
                           Reason{"ACongestionControlThatKnowsMore", [](TcpScript& t) {
                                    t.set_option(SocketOption::kCongestion,
                                                 static_cast<std::int64_t>(*tcp::find_congestion("bbr")));
                                  }}};

INSTANTIATE_TEST_SUITE_P(Dormant, Wakeful, testing::ValuesIn(kReasons),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Dormant, ReadingTheLastOfItLetsItSleep) {
  TcpScript t(options());
  t.establish();
  t.inject(data(1, 11));
  t.take_sent();
  t.after(60s);
  expect_awake(t);
  EXPECT_EQ(t.read(), 10u);
  t.after(60s);
  expect_asleep(t);
}

TEST(Dormant, RemembersThatItsSynWasLost) {
  for (const Duration after : {kSilence, Duration{0}}) {
    TcpScript t(options(after));
    t.listen();
    t.inject(syn().mss(1460));
    t.expect(synack());
    t.expect_after(1s, synack());
    t.inject(ack(1));
    ASSERT_NE(t.accept(), nullptr);
    t.after(60s);
    EXPECT_EQ(t.tcp().dormant_count(), after == kSilence ? 1u : 0u);
    t.write(100);
    t.expect(data(1, 101));
    EXPECT_EQ(t.info().rto, 3'000'000u);
    t.inject(rst(1));
    static_cast<void>(t.read_error());
  }
}

TEST(Dormant, NotInAnAcceptQueue) {
  TcpScript t(options());
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(1));
  t.after(60s);
  expect_awake(t);
  ASSERT_NE(t.accept(), nullptr);
  t.after(20s);
  expect_asleep(t);
}

// --- what wakes one otherwise

TEST(Dormant, AResetEndsIt) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  t.inject(rst(1));
  EXPECT_EQ(t.read_error(), Error::kConnectionReset);
  EXPECT_EQ(t.tcp().dormant_count(), 0u);
}

TEST(Dormant, AForeignResetIsChallenged) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  t.inject(rst(100));
  t.expect(ack(1));
  t.expect_state(State::kEstablished);
}

TEST(Dormant, ThePeersEndIsSeen) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  t.inject(fin(1));
  t.expect(ack(2));
  EXPECT_TRUE(t.at_end_of_file());
  t.close();
  t.expect(fin(1));
  t.inject(ack(2));
  t.expect_clean();
}

TEST(Dormant, ClosesWithAFin) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  t.close();
  t.expect(fin(1));
  t.inject(ack(2));
  t.inject(fin(1));
  t.expect(ack(2));
  t.after(120s);
  t.expect_clean();
}

TEST(Dormant, ClosesWithAResetWhereLingerSaysSo) {
  TcpScript t(options());
  t.establish();
  t.set_option(SocketOption::kLinger, 0);
  t.after(60s);
  expect_asleep(t);
  t.close();
  t.expect(rst(1).ack(1));
  t.expect_clean();
}

TEST(Dormant, ThePeersProbeIsAnswered) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  t.inject(ack(1).seq(0));
  t.expect(ack(1));
  expect_awake(t);
}

TEST(Dormant, IcmpSpeaksOfNothingThatIsInFlight) {
  TcpScript t(options());
  t.establish();
  t.after(60s);
  constexpr std::uint8_t kUnreachable = 3, kHost = 1;
  t.inject_icmp(kUnreachable, kHost, 1);
  EXPECT_EQ(t.count(Counter::kIcmpIgnored), 1u);
  expect_asleep(t);
}

// --- keepalive

TEST(Dormant, SendsItsKeepalivesAndLivesAsLongAsTheyAreAnswered) {
  TcpScript t(options());
  t.establish();
  t.set_option(SocketOption::kKeepaliveIdle, 30);
  t.set_option(SocketOption::kKeepaliveInterval, 20);
  t.set_option(SocketOption::kKeepalive, 1);
  const Instant start = t.now();
  t.after(29s);
  expect_asleep(t);
  for (int i = 1; i <= 5; ++i) {
    t.after(start + i * 30s - t.now());
    t.expect(ack(1).seq(0));
    t.inject(ack(1));
    expect_awake(t);
    t.after(15s);
    expect_asleep(t);
    t.expect_nothing();
  }
}

TEST(Dormant, ItsKeepalivesEndItWhenNobodyAnswers) {
  TcpScript t(options());
  t.establish();
  t.set_option(SocketOption::kKeepaliveIdle, 30);
  t.set_option(SocketOption::kKeepaliveInterval, 20);
  t.set_option(SocketOption::kKeepaliveCount, 2);
  t.set_option(SocketOption::kKeepalive, 1);
  t.expect_after(30s, ack(1).seq(0));
  t.expect_after(20s, ack(1).seq(0));
  t.expect_after(20s, rst(1).ack(1));
  EXPECT_EQ(t.read_error(), Error::kTimedOut);
}

// --- what is known of one

TEST(Dormant, IsListedAsItWouldBeAwake) {
  TcpScript t(options());
  t.establish();
  t.set_option(SocketOption::kKeepaliveIdle, 100);
  t.set_option(SocketOption::kKeepalive, 1);
  t.after(20s);
  expect_asleep(t);
  const std::size_t promised = t.tcp().receive_budget().used();
  std::vector<SocketReport> reports;
  tcp::Walk walk;
  while (walk.next(t.tcp(), reports, 64, true, t.now())) continue;
  int found = 0;
  for (const SocketReport& report : reports) {
    if (report.state != static_cast<std::uint8_t>(State::kEstablished)) continue;
    ++found;
    EXPECT_EQ(report.socket, &t.socket());
    EXPECT_EQ(report.timer, SocketReport::Timer::kKeepalive);
    EXPECT_GT(report.timer_left, 79s);
    EXPECT_LE(report.timer_left, 80s);
    EXPECT_TRUE(report.has_info);
    EXPECT_EQ(report.info.segs_in, 1u);  // the handshake's
    EXPECT_EQ(report.congestion, "cubic");
  }
  EXPECT_EQ(found, 1);
  expect_asleep(t);
  EXPECT_EQ(t.tcp().receive_budget().used(), promised);
}

TEST(Dormant, WhoeverWouldEndItInOurPlaceStillKnowsIt) {
  std::array<tcp::LiveEntry, 4> entries{};
  TcpScript::Options with_entries = options();
  with_entries.stack.tcp.live = entries;
  TcpScript t(with_entries);
  const auto used = [&entries] {
    return std::count_if(entries.begin(), entries.end(), [](const auto& entry) { return entry.is_used(); });
  };
  t.establish();
  t.after(60s);
  expect_asleep(t);
  EXPECT_EQ(used(), 1);
  t.inject(data(1, 11));
  EXPECT_EQ(used(), 1);
  t.read();
  t.after(60s).take_sent();
  expect_asleep(t);
  EXPECT_EQ(used(), 1);
  EXPECT_EQ(entries[0].snd_nxt, t.our_iss().value() + 1);
  t.inject(rst(11));
  EXPECT_EQ(used(), 0);
  static_cast<void>(t.read_error());
}

TEST(Dormant, KeepsTheReceiveWindowsPromise) {
  TcpScript t(options());
  t.establish();
  const std::size_t promised = t.tcp().receive_budget().used();
  EXPECT_NE(promised, 0u);
  t.after(60s);
  expect_asleep(t);
  EXPECT_EQ(t.tcp().receive_budget().used(), promised);
  t.inject(data(1, 11));
  EXPECT_EQ(t.read(), 10u);
  EXPECT_EQ(t.tcp().receive_budget().used(), promised);
  t.take_sent();
  t.after(60s).take_sent();
  expect_asleep(t);
  t.inject(rst(11));
  static_cast<void>(t.read_error());
  EXPECT_EQ(t.tcp().receive_budget().used(), 0u);
}

// --- it goes on as one that never slept

struct Past {
  const char* name;
  Seg first;  ///< the peer's SYN
  std::function<void(TcpScript&)> live;
};

class Twins : public testing::TestWithParam<Past> {
 protected:
  /// What a program and the peer can know of the connection, after a minute of silence and what follows.
  struct Life {
    TcpInfo asleep, later;
    std::vector<std::int64_t> options;
    std::vector<std::string> sent;
  };

  static void establish(TcpScript& t) {
    const Seg& first = GetParam().first;
    t.listen();
    t.inject(first);
    t.expect(first.has(Seg::Flags::kEce) ? synack().ece() : synack());
    t.after(20ms).inject(ack(1));
    ASSERT_NE(t.accept(), nullptr);
  }

  static Life live(Duration dormant_after) {
    TcpScript t(options(dormant_after));
    establish(t);
    GetParam().live(t);
    t.after(1s).take_sent();
    t.after(60s);
    EXPECT_EQ(t.tcp().dormant_count(), dormant_after == 0s ? 0u : 1u);
    Life life;
    life.asleep = t.info();
    for (const SocketOption option :
         {SocketOption::kSendBuffer, SocketOption::kReceiveBuffer, SocketOption::kMaxSegment,
          SocketOption::kPathMtu, SocketOption::kNoDelay, SocketOption::kKeepaliveIdle,
          SocketOption::kTypeOfService})
      life.options.push_back(*t.socket().option(option));
    t.after(30s);
    EXPECT_EQ(t.tcp().dormant_count(), dormant_after == 0s ? 0u : 1u);
    const auto written = static_cast<std::uint32_t>(life.asleep.bytes_sent - life.asleep.bytes_retrans) + 1;
    const auto received = static_cast<std::uint32_t>(life.asleep.bytes_received) + 1;
    t.write(40'000);
    t.inject(ack(written + 2 * life.asleep.snd_mss));
    t.after(1ms).inject(data(received, received + 700));
    t.read();
    t.after(1ms).inject(data(received + 700, received + 1700).ack(written + 5000));
    t.after(300ms);  // a retransmission timeout, and a delayed ACK
    for (const Seg& segment : t.take_sent()) life.sent.push_back(segment.to_string());
    life.later = t.info();
    t.inject(rst(received + 1700));
    static_cast<void>(t.read_error());
    return life;
  }
};

TEST_P(Twins, TheOneThatSleptIsLikeTheOther) {
  const Life slept = live(kSilence), awake = live(0s);
  EXPECT_EQ(figures(slept.asleep), figures(awake.asleep));
  EXPECT_EQ(slept.asleep.delivery_rate, awake.asleep.delivery_rate);
  EXPECT_EQ(figures(slept.later), figures(awake.later));
  EXPECT_EQ(slept.options, awake.options);
  EXPECT_EQ(slept.sent, awake.sent);
}

const Past kPasts[] = {Past{"Young", syn().mss(1460), [](TcpScript&) {}},
                       Past{"WithAllOptions", syn().mss(1460).sack_ok().wscale(7).with_ts(),
                            [](TcpScript& t) {
                              t.write(3000);
                              t.after(20ms).inject(ack(3001));
                              t.inject(data(1, 501));
                              t.read();
                            }},
                       Past{"WithEcn", syn().mss(1200).sack_ok().ece().cwr(),
                            [](TcpScript& t) {
                              t.write(1000);
                              t.after(20ms).inject(ack(1001));
                            }},
                       Past{"WithOptionsOfItsOwn", syn().mss(1460).sack_ok(),
                            [](TcpScript& t) {
                              t.set_option(SocketOption::kNoDelay, 1);
                              t.set_option(SocketOption::kSendBuffer, 100'000);
                              t.set_option(SocketOption::kReceiveBuffer, 50'000);
                              t.set_option(SocketOption::kTypeOfService, 0x10);
                              t.set_option(SocketOption::kCongestion,
                                           static_cast<std::int64_t>(*tcp::find_congestion("reno")));
                            }},
                       Past{"AfterMuch", syn().mss(1460).sack_ok().wscale(4),
                            [](TcpScript& t) {
                              std::uint32_t at = 1;
                              for (int i = 0; i < 20; ++i) {
                                t.write(10'000);
                                at += 10'000;
                                t.after(30ms).inject(ack(at));
                              }
                            }},
                       Past{"AfterALoss", syn().mss(1000).sack_ok(),
                            [](TcpScript& t) {
                              t.write(10'000);
                              t.after(20ms).inject(ack(1).sack(1001, 10'001));
                              t.after(20ms).inject(ack(10'001));
                            }},
                       Past{"AfterATimeout", syn().mss(1000).sack_ok(),
                            [](TcpScript& t) {
                              t.write(1000);
                              t.after(20ms).inject(ack(1001));
                              t.write(5000);
                              t.after(2s).inject(ack(6001));
                            }},
                       Past{"AfterReordering", syn().mss(1000).sack_ok(), [](TcpScript& t) {
                              t.write(5000);
                              t.after(20ms).inject(ack(1).sack(2001, 3001));
                              t.inject(ack(3001));
                              t.after(20ms).inject(ack(5001));
                              t.inject(data(101, 201));
                              t.inject(data(1, 101));
                              t.read();
                            }}};

INSTANTIATE_TEST_SUITE_P(Dormant, Twins, testing::ValuesIn(kPasts),
                         [](const auto& one) { return std::string(one.param.name); });

// --- many

TEST(Dormant, TakesAFifthOfTheMemory) {
  if (address_sanitizer()) GTEST_SKIP() << "slabs are not used here";
  constexpr std::size_t kConnections = 4000;
  ManyConnections many;
  ASSERT_NO_FATAL_FAILURE(many.open(kConnections));
  StackPair& pair = many.pair;
  const auto each = [&pair] { return pair.b.stack.tcp().slabs().bytes() / kConnections; };
  const std::size_t awake = each();
  const auto asleep = [&pair] { return pair.b.stack.tcp().dormant_count(); };
  // Some at a time, so that others are served meanwhile.
  const auto be_silent = [&] {
    pair.advance(1s);
    pair.advance(kSilence);
    EXPECT_EQ(asleep(), tcp::Tcp::kSleepersATurn);
    for (std::size_t turn = 0; turn < 2 * kConnections / tcp::Tcp::kSleepersATurn; ++turn) {
      const std::size_t before = asleep();
      pair.advance(tcp::Tcp::kTurnOfSleepers);
      EXPECT_LE(asleep(), before + tcp::Tcp::kSleepersATurn);
    }
  };
  be_silent();
  ASSERT_EQ(asleep(), kConnections);
  // Its socket, and what is left of it; and the last slab of each size.
  EXPECT_LT(each(), sizeof(tcp::TcpSocket) + 320 + 5 * ObjectSlabs::kSlabBytes / kConnections);
  EXPECT_GT(2 * awake, 5 * each());

  for (int round = 0; round < 2; ++round) {
    ASSERT_NO_FATAL_FAILURE(many.send_requests());
    pair.advance(100ms);
    EXPECT_EQ(asleep(), 0u);
    std::size_t read = 0;
    for (auto& server : many.servers) {
      const auto got = receive_from(*server, pair.now, 100);
      ASSERT_TRUE(got.ok());
      read += got->data.size();
    }
    EXPECT_EQ(read, 2 * kConnections);
    be_silent();
    EXPECT_EQ(asleep(), kConnections);
    EXPECT_EQ(pair.a.stack.tcp().dormant_count(), kConnections);
  }
  EXPECT_EQ(pair.a.stack.tcp().counters()[Counter::kRetransSegs], 0u);
}

}  // namespace
}  // namespace millrace::test
