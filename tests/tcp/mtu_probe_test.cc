#include "tcp/mtu_probe.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "loss_script.h"
#include "support/tcp_script.h"
#include "tcp/config.h"
#include "wire/icmpv4.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::MtuProbe;
using Probing = tcp::Config::MtuProbing;
using wire::Icmpv4Header;

// --- the search alone

constexpr std::uint32_t kBase = 1064, kFloor = 88;

/// Tries until the search is over, on a path that takes packets up to `path`. Returns how many probes it
/// took.
int search(MtuProbe& probe, std::uint32_t path, std::uint32_t limit, Instant now) {
  const tcp::Config config;
  int probes = 0;
  while (const std::uint32_t size = probe.next_size(config, limit, now)) {
    EXPECT_GT(size, probe.effective());
    EXPECT_LE(size, limit);
    probe.on_sent(SeqNum{1}, SeqNum{2}, size);
    if (size <= path) {
      probe.on_delivered(now);
    } else {
      probe.on_lost(Duration{0}, now);
    }
    if (++probes > 100) break;
  }
  return probes;
}

TEST(MtuSearch, FindsAnyPathMtuWithinTheThreshold) {
  rfc("4821", "7.3", "a binary search; it has converged when what is in doubt is no longer worth a probe");
  for (const std::uint32_t limit : {1500u, 4352u, 9000u, 65535u}) {
    for (std::uint32_t path = kBase; path <= limit; path += 1 + path / 512) {
      MtuProbe probe;
      probe.enable(kBase, kBase);
      EXPECT_LE(search(probe, path, limit, kEpoch + 1s), 16);
      EXPECT_LE(probe.effective(), path);
      EXPECT_GT(probe.effective() + tcp::Config{}.mtu_probe_threshold, path) << limit;
    }
  }
}

TEST(MtuSearch, EndsAtTheLimitItself) {
  MtuProbe probe;
  probe.enable(kBase, kBase);
  search(probe, 9000, 1500, kEpoch + 1s);
  EXPECT_EQ(probe.effective(), 1500u) << "where nothing fails, the limit is tried last";
}

TEST(MtuSearch, BeginsAgainAfterTheInterval) {
  rfc("4821", "7.3",
      "when the timer expires search_high is reset, so that a path that became wider is found");
  MtuProbe probe;
  probe.enable(kBase, kBase);
  search(probe, 1400, 1500, kEpoch + 1s);
  const std::uint32_t found = probe.effective();
  EXPECT_EQ(search(probe, 1500, 1500, kEpoch + 600s), 0);
  EXPECT_GT(search(probe, 1500, 1500, kEpoch + 601s), 0);
  EXPECT_GT(probe.effective(), found);
}

TEST(MtuSearch, ABlackHoleLeadsToWhatIsKnownThenToTheBaseThenToHalves) {
  rfc("4821", "7.7", "eff_pmtu falls to search_low, then both to the initial value, then they are halved");
  MtuProbe probe;
  probe.enable(kBase, 1400);
  probe.on_sent(SeqNum{1}, SeqNum{2}, 1282);
  probe.on_delivered(kEpoch + 1s);
  EXPECT_EQ(probe.effective(), 1400u);
  std::vector<std::uint32_t> sizes;
  for (int i = 0; i < 8; ++i) {
    probe.on_black_hole(kBase, kFloor, 1500);
    sizes.push_back(probe.effective());
  }
  EXPECT_EQ(sizes, (std::vector<std::uint32_t>{1282, kBase, 532, 266, 133, 88, 88, 88}));
}

TEST(MtuSearch, IsLimitedByNothingUntilItBegins) {
  MtuProbe probe;
  EXPECT_FALSE(probe.due(kEpoch + 1h));
  EXPECT_EQ(probe.effective(), 65535u);
  EXPECT_FALSE(probe.on_too_big(1400, kEpoch + 1s));
  EXPECT_EQ(probe.effective(), 65535u) << "the path MTU cache has it";
}

// --- in a connection

/// The whole window of 14 segments at the MSS of 1024 that the search begins with.
constexpr std::uint32_t kStart = 1024, kWindow = 14 * kStart;
/// Payload of the first probe: half way from 1064 to 1500.
constexpr std::uint32_t kProbe = 1282 - 40;

TcpScript::Options searching(Probing probing = Probing::kAlways) {
  TcpScript::Options options;
  options.stack.tcp.mtu_probing = probing;
  options.stack.tcp.initial_window_segments = 14;
  return options;
}

Seg large_syn() {
  return syn().mss(1460).sack_ok();
}

/// A probe and what follows it are in flight, for a round trip; its end is at 1 + kProbe.
void probe_under_way(TcpScript& t, const Seg& first = large_syn()) {
  establish_far(t, first);
  t.write(60'000);
  t.expect(data(1, 1 + kProbe));
  for (const Seg& one : t.take_sent()) EXPECT_EQ(one.length, kStart);
  t.after(kRoundTrip);
}

constexpr std::uint32_t kAfter = 1 + kProbe;  ///< where what follows the probe begins

/// The `n`th segment behind the probe.
constexpr std::uint32_t behind(std::uint32_t n) {
  return kAfter + n * kStart;
}

TEST(MtuProbes, AreOneSegmentOfTheNextData) {
  rfc("4821", "7.5", "a probe is a packet of exactly the probe size, of data that is next anyway");
  rfc("4821", "7.2", "eff_pmtu starts at a size that works nearly everywhere");
  TcpScript t(searching());
  probe_under_way(t);
  EXPECT_EQ(t.info().snd_mss, kStart);
  EXPECT_EQ(t.info().pmtu, 1064u);
  EXPECT_EQ(*t.socket().option(SocketOption::kPathMtu), 1064);
}

TEST(MtuProbes, RaiseTheMssWhenTheyArrive) {
  rfc("4821", "7.6.1", "search_low and eff_pmtu become the probe size");
  TcpScript t(searching());
  probe_under_way(t);
  const std::uint32_t cwnd = t.info().snd_cwnd * t.info().snd_mss;
  t.inject(ack(kAfter));
  EXPECT_EQ(t.count(Counter::kMtuProbeSuccess), 1u);
  EXPECT_EQ(t.info().snd_mss, kProbe);
  EXPECT_EQ(t.info().pmtu, 1282u);
  EXPECT_GE((t.info().snd_cwnd + 1) * t.info().snd_mss, cwnd) << "bytes, not segments";
  t.take_sent();
}

TEST(MtuProbes, ThatAreLostAloneAreNoSignOfCongestion) {
  rfc("4821", "7.6.2", "a probe lost alone: search_high falls below it, and no window is reduced");
  TcpScript t(searching());
  probe_under_way(t);
  const TcpInfo before = t.info();
  t.inject(ack(1).sack(kAfter, behind(3)));
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 1u);
  const TcpInfo after = t.info();
  EXPECT_EQ(after.ca_state, 1) << "disorder, no recovery";
  EXPECT_GE(after.snd_cwnd, before.snd_cwnd);
  EXPECT_EQ(after.snd_ssthresh, before.snd_ssthresh);
  EXPECT_EQ(after.snd_mss, kStart);
  // In ordinary pieces, at once.
  const std::vector<Seg> sent = t.take_sent();
  ASSERT_GE(sent.size(), 2u);
  EXPECT_EQ(*sent[0].at, 1u);
  EXPECT_EQ(sent[0].length, kStart);
  EXPECT_EQ(*sent[1].at, 1 + kStart);
  EXPECT_EQ(sent[1].length, kProbe - kStart);
  t.after(kRoundTrip).inject(ack(behind(12)));
  EXPECT_EQ(t.count(Counter::kFastRetrans), 0u);
  EXPECT_EQ(t.count(Counter::kTimeouts), 0u);
  t.take_sent();
}

TEST(MtuProbes, AreNotRepeatedBeforeCongestionWouldHaveBeenMet) {
  rfc("4821", "7.6.2",
      "MUST NOT probe again within the interval between congestion events: a window of round trips");
  TcpScript t(searching());
  probe_under_way(t);
  t.inject(ack(1).sack(kAfter, behind(3)));
  const Instant failed = t.now();
  const Duration pause = t.info().snd_cwnd * kRoundTrip;
  std::uint32_t probe_length = 0;
  while (probe_length == 0 && t.now() - failed < 10s) {
    std::uint32_t end = 0;
    for (const Seg& one : t.take_sent()) {
      end = *one.at + one.length;
      if (one.length > kStart) probe_length = one.length;
    }
    if (probe_length != 0) break;
    t.after(kRoundTrip).inject(ack(end));
    t.write(20'000);
  }
  EXPECT_EQ(probe_length, (1064u + 1281) / 2 - 40) << "half of what is left";
  EXPECT_GE(t.now() - failed, pause);
  EXPECT_LE(t.now() - failed, pause + 3 * kRoundTrip);
}

TEST(MtuProbes, LostWithOthersTellNothing) {
  rfc("4821", "7.6.4",
      "other losses near the probe's: search_low and search_high stay, the window is reduced");
  rfc("4821", "7.4", "a probe is not sent while losses are outstanding");
  TcpScript t(searching());
  probe_under_way(t);
  // The probe and the segment behind it.
  t.inject(ack(1).sack(behind(1), behind(5)));
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 0u);
  EXPECT_EQ(t.count(Counter::kFastRetrans), 1u);
  EXPECT_EQ(t.info().ca_state, 3);
  EXPECT_LT(t.info().snd_ssthresh, 14u);
  for (const Seg& one : t.take_sent()) EXPECT_LE(one.length, kStart);
  // All is repaired: the same size again, as soon as the window allows.
  t.after(kRoundTrip).inject(ack(behind(12)));
  EXPECT_EQ(t.info().ca_state, 0);
  std::uint32_t largest = 0;
  for (int i = 0; i < 10 && largest <= kStart; ++i) {
    t.write(20'000);
    std::uint32_t end = 0;
    for (const Seg& one : t.take_sent()) {
      end = *one.at + one.length;
      largest = std::max(largest, one.length);
    }
    if (largest <= kStart) t.after(kRoundTrip).inject(ack(end));
  }
  EXPECT_EQ(largest, kProbe);
}

TEST(MtuProbes, ThatATimeoutOvertakesTellNothing) {
  rfc("4821", "7.6.4", "a timeout says nothing of the probe's size");
  TcpScript t(searching());
  probe_under_way(t);
  t.after(1s);
  EXPECT_GE(t.count(Counter::kTimeouts), 1u);
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 0u);
  for (const Seg& one : t.take_sent()) EXPECT_LE(one.length, kStart);
  t.inject(ack(behind(12)));
  EXPECT_EQ(t.count(Counter::kMtuProbeSuccess), 0u) << "its bytes may have come in pieces";
  t.take_sent();
}

TEST(MtuProbes, AreResentOnceWithoutSack) {
  rfc("4821", "7.6.2", "without SACK: the duplicates that follow speak of the same loss");
  TcpScript t(searching());
  probe_under_way(t, syn().mss(1460));
  const std::uint32_t ssthresh = t.info().snd_ssthresh;
  for (int i = 0; i < 2; ++i) t.inject(ack(1));
  std::uint32_t end = 0;
  for (const Seg& one : t.take_sent()) end = *one.at + one.length;
  t.inject(ack(1));
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 1u);
  std::vector<Seg> sent = t.take_sent();
  ASSERT_GE(sent.size(), 2u);
  EXPECT_EQ(*sent[0].at, 1u);
  EXPECT_EQ(*sent[1].at, 1 + kStart);
  for (int i = 0; i < 9; ++i) t.inject(ack(1));
  for (const Seg& one : t.take_sent()) EXPECT_GE(*one.at, end) << "nothing is sent a third time";
  t.after(kRoundTrip).inject(ack(behind(12)));
  EXPECT_EQ(t.info().ca_state, 0);
  EXPECT_EQ(t.info().snd_ssthresh, ssthresh);
  EXPECT_EQ(t.count(Counter::kFastRetrans), 0u);
  t.take_sent();
}

TEST(MtuProbes, LostAloneAreRecognisedByRfc6675Too) {
  TcpScript::Options options = searching();
  options.stack.tcp.rack = false;
  TcpScript t(options);
  probe_under_way(t);
  t.inject(ack(1).sack(kAfter, behind(1)));
  t.inject(ack(1).sack(kAfter, behind(2)));
  t.take_sent();
  t.inject(ack(1).sack(kAfter, behind(3)));
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 1u);
  EXPECT_EQ(t.count(Counter::kFastRetrans), 0u);
  EXPECT_EQ(*t.take_sent().front().at, 1u);
}

TEST(MtuProbes, LostAgainAsPiecesAreCongestion) {
  TcpScript t(searching());
  probe_under_way(t);
  t.inject(ack(1).sack(kAfter, behind(3)));
  std::uint32_t end = 0;
  for (const Seg& one : t.take_sent()) end = *one.at + one.length;
  ASSERT_GT(end, behind(12)) << "new data follows the pieces";
  t.after(kRoundTrip).inject(ack(1).sack(kAfter, end));
  EXPECT_EQ(t.count(Counter::kFastRetrans), 1u);
  EXPECT_EQ(t.info().ca_state, 3);
  EXPECT_EQ(*t.take_sent().front().at, 1u);
}

TEST(MtuProbes, WaitForDataAndWindowsThatAreLargeEnough) {
  rfc("4821", "7.4", "enough data, and window for the probe and for what tells of its loss");
  const auto largest = [](const TcpScript::Options& options, std::uint16_t peer_window, std::size_t bytes) {
    TcpScript t(options);
    t.listen();
    t.inject(large_syn().win(peer_window));
    t.expect(synack());
    t.after(kRoundTrip).inject(ack(1).win(peer_window));
    EXPECT_TRUE(t.accept());
    t.write(bytes);
    std::uint32_t result = 0;
    for (const Seg& one : t.take_sent()) result = std::max(result, one.length);
    return result;
  };
  constexpr std::uint32_t kNeeded = kProbe + 4 * kStart;
  EXPECT_EQ(largest(searching(), 65535, kNeeded), kProbe);
  EXPECT_EQ(largest(searching(), 65535, kNeeded - 1), kStart);
  EXPECT_EQ(largest(searching(), kNeeded, 20'000), kProbe);
  EXPECT_EQ(largest(searching(), kNeeded - 1, 20'000), kStart);
  TcpScript::Options small = searching();
  small.stack.tcp.initial_window_segments = 11;
  EXPECT_EQ(largest(small, 65535, 20'000), kProbe);
  small.stack.tcp.initial_window_segments = 10;
  EXPECT_EQ(largest(small, 65535, 20'000), kStart);
  EXPECT_EQ(largest(searching(Probing::kOff), 65535, 20'000), 1460u);
  EXPECT_EQ(largest(searching(Probing::kBlackHole), 65535, 20'000), 1460u) << "as classical discovery";
}

TEST(MtuProbes, WaitForRoomInTheWindow) {
  TcpScript t(searching());
  establish_far(t, large_syn());
  t.set_option(SocketOption::kNoDelay, 1);
  // Pieces that are too small for a probe and what has to follow it.
  constexpr std::uint32_t kRoom = 1100;
  static_assert(kRoom > kStart && kRoom < kProbe);
  std::uint32_t next = 1;
  for (const std::uint32_t bytes : {5000u, 5000u, kWindow - 10'000 - kRoom}) {
    t.write(bytes);
    t.expect_stream(next, next + bytes);
    next += bytes;
  }
  t.write(20'000);
  t.expect_nothing();
  t.after(kRoundTrip).inject(ack(1 + kStart));
  t.expect(data(next, next + kProbe));
  t.take_sent();
}

TEST(MtuProbes, GoAloneBesideSuperSegments) {
  TcpScript::Options options = searching();
  options.caps = super_segments();
  TcpScript t(options);
  establish_far(t, large_syn());
  t.write(60'000);
  t.expect(data(1, 1 + kProbe));
  const std::vector<Seg> sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  for (const Seg& one : sent) {
    EXPECT_GT(one.length, kStart);
    EXPECT_EQ(one.length % kStart, 0u);
  }
}

TEST(MtuProbes, CountTimestampsAsPartOfTheirSize) {
  TcpScript t(searching());
  establish_far(t, large_syn().with_ts());
  t.write(60'000);
  t.expect(data(1, 1 + kProbe - 12));
  EXPECT_EQ(t.take_sent().front().length, kStart - 12);
}

TEST(MtuProbes, KeepToThePeersAndTheUsersLimit) {
  TcpScript t(searching());
  establish_far(t, syn().mss(1200).sack_ok());
  t.write(60'000);
  t.expect(data(1, 1 + (1064 + 1240) / 2 - 40));
  t.take_sent();
  t.set_option(SocketOption::kMaxSegment, 1100);
  t.after(kRoundTrip).inject(ack(1113 + 12 * kStart));
  for (const Seg& one : t.take_sent()) EXPECT_LE(one.length, 1100u);
}

TEST(MtuProbes, TellOtherConnectionsWhatTheSearchHasFound) {
  rfc("4821", "5.2", "what was found is kept with the path, for other connections");
  TcpScript::Options options = searching();
  options.stack.tcp.mtu_probe_threshold = 300;  // after one failure the search is over
  TcpScript t(options);
  probe_under_way(t);
  t.inject(ack(1).sack(kAfter, behind(3)));
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 1u);
  t.take_sent();
  t.from_port(40'001).inject(large_syn());
  t.expect(synack().mss(1460));
  t.inject(ack(1));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.info().pmtu, 1064u);
  t.set_option(SocketOption::kMtuDiscover, 2);
  t.write(1500);
  t.expect(data(1, 1 + kStart));
  t.expect(data(1 + kStart, 1501));
  t.from_port(40'002).from_host(IpAddress::v4(198, 18, 0, 9)).inject(large_syn());
  t.expect(synack().mss(1460));
}

// --- ICMP

TEST(MtuProbes, ThatARouterReportsAreResentAndTheNextIsOfItsSize) {
  rfc("4821", "7.6.2", "a validated PTB about the probe sets search_high from its MTU");
  TcpScript t(searching());
  probe_under_way(t);
  const TcpInfo before = t.info();
  t.inject_icmp(Icmpv4Header::kDestinationUnreachable, Icmpv4Header::kFragmentationNeeded, 1, 1200);
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 1u);
  t.expect(data(1, 1 + kStart));
  t.expect(data(1 + kStart, kAfter));
  EXPECT_EQ(t.info().snd_cwnd, before.snd_cwnd);
  EXPECT_EQ(t.info().snd_mss, kStart);
  EXPECT_EQ(t.count(Counter::kPathMtuReduced), 0u);
  t.inject(ack(behind(12)));
  t.expect(data(behind(12), behind(12) + 1160));
  t.take_sent();
}

TEST(MtuProbes, AreNotEndedByICMPAboutWhatIsNotInFlight) {
  rfc("5927", "7.2", "path MTU claims are checked against the sequence numbers in flight");
  TcpScript t(searching());
  probe_under_way(t);
  t.inject_icmp(Icmpv4Header::kDestinationUnreachable, Icmpv4Header::kFragmentationNeeded, 60'000, 600);
  t.expect_nothing();
  t.inject(ack(behind(12)));
  EXPECT_EQ(t.count(Counter::kMtuProbeSuccess), 1u);
  t.take_sent();
}

TEST(MtuProbes, ARouterMayReportLessThanWorkedBefore) {
  TcpScript t(searching());
  probe_under_way(t);
  t.inject_icmp(Icmpv4Header::kDestinationUnreachable, Icmpv4Header::kFragmentationNeeded, kAfter, 800);
  EXPECT_EQ(t.info().snd_mss, 760u);
  EXPECT_EQ(t.info().pmtu, 800u);
  t.expect(data(1, 761));
  t.take_sent();
}

// --- black holes

/// Three full segments have been sent and are lost, as often as they are repeated.
void fall_into_hole(TcpScript& t) {
  t.establish(syn().mss(1460).sack_ok(false));
  t.write(4380);
  t.expect_stream(1, 4381);
  t.expect_after(200ms, data(1, 1461));
  t.expect_after(400ms, data(1, 1461));
  t.expect_after(800ms, data(1, 1461));
}

TEST(MtuBlackHole, IsSuspectedAfterThreeRetransmissions) {
  rfc("4821", "7.7", "a full-stop timeout (R1) is taken for a black hole: eff_pmtu becomes search_low");
  rfc("4821", "7.2",
      "search_low = search_high at first: classical discovery, and probes only after a black hole");
  rfc("1122", "4.2.3.5", "R1: three retransmissions at least");
  TcpScript t;
  fall_into_hole(t);
  EXPECT_EQ(t.info().snd_mss, 1460u);
  t.expect_after(1600ms, data(1, 1 + kStart));
  EXPECT_EQ(t.info().snd_mss, kStart);
  EXPECT_EQ(t.info().pmtu, 1064u);
  EXPECT_EQ(t.info().snd_cwnd, 1u);
  EXPECT_EQ(t.count(Counter::kMtuBlackHole), 1u);
  t.inject(ack(1 + kStart));
  t.expect(data(1 + kStart, 1461));
  t.expect(data(1461, 1461 + kStart));
  t.inject(ack(1461 + kStart));
  t.expect_stream(1461 + kStart, 4381);
  t.inject(ack(4381));
  t.expect_state(tcp::State::kEstablished);
}

TEST(MtuBlackHole, IsFollowedByASearchUpwards) {
  TcpScript t;
  fall_into_hole(t);
  t.expect_after(1600ms, data(1, 1 + kStart));
  std::uint32_t end = 4381, largest = 0;
  for (int i = 0; i < 30 && t.info().snd_mss < 1460; ++i) {
    t.after(kRoundTrip).inject(ack(end));
    t.write(30'000);
    for (const Seg& one : t.take_sent()) {
      end = std::max(end, *one.at + one.length);
      largest = std::max(largest, one.length);
    }
  }
  EXPECT_EQ(t.info().snd_mss, 1460u) << "it was no hole after all";
  EXPECT_EQ(t.info().pmtu, 1500u);
  EXPECT_EQ(t.count(Counter::kMtuProbeFail), 0u);
  t.inject(ack(end));
  t.take_sent();
}

TEST(MtuBlackHole, GrowsDeeperWithEachTimeoutDownToTheFloor) {
  rfc("4821", "7.7", "successive timeouts halve search_low and eff_pmtu, down to 68 bytes or a little more");
  TcpScript t;
  fall_into_hole(t);
  Duration rto = 1600ms;
  for (const std::uint32_t payload : {1024u, 492u, 226u, 93u, 48u, 48u}) {
    t.expect_after(rto, data(1, 1 + payload));
    rto = std::min<Duration>(2 * rto, 120s);
  }
}

TEST(MtuBlackHole, IsNotWhatSwallowsSmallSegments) {
  TcpScript t;
  t.establish();
  t.write(500);
  t.expect(data(1, 501));
  t.after(60s);
  t.take_sent();
  EXPECT_EQ(t.count(Counter::kMtuBlackHole), 0u);
  EXPECT_EQ(t.info().snd_mss, 1460u);
}

TEST(MtuBlackHole, IsNotSuspectedWhenIcmpTellsWhy) {
  rfc("4821", "7.7", "a full-stop timeout for which ICMP gave the reason is no black hole");
  TcpScript t;
  fall_into_hole(t);
  t.inject_icmp(Icmpv4Header::kDestinationUnreachable, Icmpv4Header::kHostUnreachable, 1);
  t.expect_after(1600ms, data(1, 1461));
  EXPECT_EQ(t.count(Counter::kMtuBlackHole), 0u);
}

TEST(MtuBlackHole, IsNotLookedForWhenSwitchedOff) {
  TcpScript::Options options;
  options.stack.tcp.mtu_probing = Probing::kOff;
  TcpScript t(options);
  fall_into_hole(t);
  t.expect_after(1600ms, data(1, 1461));
  t.expect_after(3200ms, data(1, 1461));
}

TEST(MtuBlackHole, IsNotLookedForWhereRoutersFragment) {
  TcpScript t;
  t.establish(syn().mss(1460).sack_ok(false));
  t.set_option(SocketOption::kMtuDiscover, 0);
  t.write(1460);
  t.expect(data(1, 1461));
  t.after(10s);
  for (const Seg& one : t.take_sent()) EXPECT_EQ(one.length, 1460u);
}

// --- IP_MTU_DISCOVER

TEST(MtuDiscoverProbe, SearchesWhateverTheConfigurationSays) {
  TcpScript t(searching(Probing::kOff));
  t.listen();
  t.set_option(SocketOption::kMtuDiscover, 3);
  t.inject(large_syn());
  t.expect(synack());
  t.after(kRoundTrip).inject(ack(1));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(*t.socket().option(SocketOption::kMtuDiscover), 3);
  t.write(60'000);
  t.expect(data(1, 1 + kProbe));
  EXPECT_EQ(t.take_sent().front().length, kStart);
}

TEST(MtuDiscoverProbe, KeepsWhatAConnectionSendsAlready) {
  TcpScript t(searching(Probing::kOff));
  t.establish(large_syn());
  t.set_option(SocketOption::kMtuDiscover, 3);
  t.write(1460);
  t.expect(data(1, 1461));
  EXPECT_EQ(t.info().pmtu, 1500u);
}

TEST(MtuDiscoverDont, DoesNotBelieveThatFragmentationIsNeeded) {
  for (const int value : {0, 4, 5}) {
    TcpScript t;
    t.establish();
    t.set_option(SocketOption::kMtuDiscover, value);
    t.write(1460);
    t.expect(data(1, 1461));
    t.inject_icmp(Icmpv4Header::kDestinationUnreachable, Icmpv4Header::kFragmentationNeeded, 1, 600);
    t.expect_nothing();
    EXPECT_EQ(t.info().pmtu, 1500u);
  }
}

}  // namespace
}  // namespace millrace::test
