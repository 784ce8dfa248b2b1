#include "tcp/bbr.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "path_model.h"
#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::AckSample;
using tcp::Bbr;
using State = tcp::Bbr::State;

constexpr std::uint32_t kMss = 1000;
constexpr const char* kDraft = "draft-ietf-ccwg-bbr";
/// 10 Mbit/s and 40 ms: a BDP of 50 segments, and a queue of two.
constexpr PathModel::Config kPath{.rate = 1'250'000, .rtt = 40ms, .queue = 100'000};

/// BBR on a path, with what states it goes through.
struct Trip {
  explicit Trip(const PathModel::Config& config = kPath, std::uint64_t seed = 1)
      : bbr(kMss, 10, seed), path(bbr, config) {
    path.watch = [this](const AckSample&) {
      if (bbr.state() != states.back()) states.push_back(bbr.state());
      if (watch) watch();
    };
  }
  /// Until it enters `state`, or for `most`.
  bool until(State state, Duration most = 10s) {
    const Instant end = path.now() + most;
    while (path.now() < end) {
      if (bbr.state() == state) return true;
      path.run(1ms);
    }
    return false;
  }
  /// The share of `rate` that is delivered in `time`.
  double share(Duration time, std::uint64_t rate) {
    const std::uint64_t before = path.delivered();
    path.run(time);
    return static_cast<double>(path.delivered() - before) /
           (static_cast<double>(rate) * std::chrono::duration<double>(time).count());
  }

  Bbr bbr;
  PathModel path;
  std::vector<State> states{State::kStartup};
  std::function<void()> watch;
};

TEST(MaxFilter, ForgetsWhatIsOlderThanItsSlots) {
  tcp::MaxFilter<int, 3> filter;
  filter.add(5);
  filter.advance();
  filter.add(3);
  EXPECT_EQ(filter.max(), 5);
  EXPECT_EQ(filter.max(1), 3);
  filter.advance();
  EXPECT_EQ(filter.max(), 5);
  EXPECT_EQ(filter.max(2), 3);
  filter.advance();
  EXPECT_EQ(filter.max(), 3);
}

TEST(FullPipe, IsFullAfterThreeRoundsWithoutGrowth) {
  rfc(kDraft, "Startup", "the pipe is full after three rounds of less than 25 % growth");
  tcp::FullPipe pipe;
  for (const std::uint64_t rate : {100u, 200u, 249u, 250u, 260u, 300u}) pipe.on_round(rate);
  EXPECT_FALSE(pipe.full()) << "250 was 25 % more than 200";
  pipe.on_round(311);
  EXPECT_TRUE(pipe.full());
  pipe.reset(1000);
  EXPECT_FALSE(pipe.full());
}

TEST(Bbr, ConvergesToTheRateWithABdpInFlight) {
  rfc(kDraft, "Design Overview", "full throughput with a short queue");
  for (const std::uint64_t rate : {125'000u, 1'250'000u, 12'500'000u}) {
    for (const Duration rtt : {10ms, 40ms, 160ms}) {
      const auto bdp =
          static_cast<std::uint32_t>(rate * static_cast<std::uint64_t>(rtt.count()) / 1'000'000'000);
      Trip r({.rate = rate, .rtt = rtt, .queue = 3 * bdp + 50'000});
      r.path.run(4s);
      EXPECT_GT(r.share(10s, rate), 0.93) << rate << " B/s, " << rtt / 1ms << " ms";
      EXPECT_NEAR(static_cast<double>(r.bbr.max_bw()), static_cast<double>(rate),
                  0.02 * static_cast<double>(rate));
      if (bdp < 8 * kMss) continue;  // four segments in flight are a queue there
      // A segment's time at the bottleneck is part of the round trip.
      EXPECT_LE(r.bbr.min_rtt(), rtt + 1ms + Duration{1'000'000'000'000 / static_cast<std::int64_t>(rate)});
      EXPECT_EQ(r.path.dropped(), 0u);
      ASSERT_TRUE(r.until(State::kCruise));
      r.path.run(4 * rtt);
      EXPECT_GE(r.path.in_flight(), std::min(bdp * 8 / 10, r.bbr.cwnd()));
      EXPECT_LE(r.path.in_flight(), 2 * bdp + 4 * kMss);
    }
  }
}

TEST(Bbr, LeavesStartupWhenTheRateNoLongerGrows) {
  rfc(kDraft, "Startup", "leaves for Drain on a plateau of the delivery rate");
  Trip r;
  ASSERT_TRUE(r.until(State::kDrain, 2s));
  EXPECT_NEAR(static_cast<double>(r.bbr.max_bw()), 1'250'000, 25'000);
  EXPECT_EQ(r.path.dropped(), 0u) << "the window bounds the queue to a BDP";
}

TEST(Bbr, LeavesStartupOnHighLoss) {
  rfc(kDraft, "Startup", "leaves for Drain on more than 2 % loss in a round of recovery");
  PathModel::Config config = kPath;
  config.rate = 12'500'000;
  config.queue = 1'000'000;
  config.loss = 0.1;  // at random, so that the rate still grows
  Trip r(config);
  ASSERT_TRUE(r.until(State::kDrain, 2s));
  EXPECT_NE(r.bbr.inflight_longterm(), Bbr::kNoLimit);
  EXPECT_LT(r.bbr.max_bw(), 12'500'000u);
}

TEST(Bbr, DrainsTheQueueOfStartup) {
  rfc(kDraft, "Drain", "paces at half until no more than the BDP is in flight");
  Trip r;
  ASSERT_TRUE(r.until(State::kDrain));
  EXPECT_GT(r.path.queued(), 40'000u);
  r.path.run(1ms);
  EXPECT_NEAR(static_cast<double>(r.bbr.pacing_rate()), 0.5 * 1'250'000, 20'000);
  ASSERT_TRUE(r.until(State::kCruise, 200ms));
  EXPECT_LT(r.path.queued(), 3000u);
}

TEST(Bbr, ProbesInACycle) {
  rfc(kDraft, "ProbeBW", "Down, Cruise, Refill, Up; two to three seconds apart");
  Trip r;
  ASSERT_TRUE(r.until(State::kCruise));
  const Instant start = r.path.now();
  EXPECT_NEAR(static_cast<double>(r.bbr.pacing_rate()), 0.99 * 1'250'000, 15'000);
  ASSERT_TRUE(r.until(State::kUp));
  EXPECT_GT(r.path.now() - start, 1900ms);
  EXPECT_LT(r.path.now() - start, 3200ms);
  EXPECT_NEAR(static_cast<double>(r.bbr.pacing_rate()), 1.25 * 0.99 * 1'250'000, 20'000);
  ASSERT_TRUE(r.until(State::kDown));
  EXPECT_NEAR(static_cast<double>(r.bbr.pacing_rate()), 0.9 * 0.99 * 1'250'000, 15'000);
  ASSERT_TRUE(r.until(State::kCruise));
  const std::vector<State> cycle{State::kCruise, State::kRefill, State::kUp, State::kDown, State::kCruise};
  ASSERT_GE(r.states.size(), cycle.size());
  EXPECT_TRUE(std::equal(cycle.rbegin(), cycle.rend(), r.states.rbegin()));
}

TEST(Bbr, ProbesAtTimesThatTheSeedDecides) {
  rfc(kDraft, "ProbeBW", "the wait for the next probe is random");
  const auto first_probe = [](std::uint64_t seed) {
    Trip r(kPath, seed);
    EXPECT_TRUE(r.until(State::kRefill));
    return r.path.now();
  };
  EXPECT_EQ(first_probe(7), first_probe(7));
  EXPECT_NE(first_probe(7), first_probe(8));
}

TEST(Bbr, YieldsInProbeRtt) {
  rfc(kDraft, "ProbeRTT",
      "after 5 s without a shorter round trip half a BDP at most is in flight for 200 ms");
  Trip r;
  ASSERT_TRUE(r.until(State::kProbeRtt));
  const Instant begin = r.path.now();
  EXPECT_GT(begin - (kEpoch + 1000s), 5s);
  r.path.run(100ms);
  ASSERT_EQ(r.bbr.state(), State::kProbeRtt);
  EXPECT_LE(r.path.in_flight(), r.path.bdp() * 55 / 100);
  EXPECT_GE(r.path.in_flight(), 4 * kMss);
  EXPECT_EQ(r.path.queued(), 0u);
  const std::uint64_t max_bw = r.bbr.max_bw();
  ASSERT_TRUE(r.until(State::kCruise));
  EXPECT_GT(r.path.now() - begin, 200ms);
  EXPECT_LT(r.path.now() - begin, 350ms);
  r.path.run(200ms);
  EXPECT_EQ(r.bbr.max_bw(), max_bw) << "its low rates are not believed";
  EXPECT_GT(r.path.in_flight(), r.path.bdp() * 9 / 10);
}

TEST(Bbr, FindsALongerRoundTrip) {
  rfc(kDraft, "BBR.min_rtt", "the shortest round trip of 10 s");
  PathModel::Config config = kPath;
  config.queue = 300'000;
  Trip r(config);
  r.path.run(3s);
  r.path.set_rtt(80ms);
  r.path.run(15s);
  EXPECT_NEAR(static_cast<double>(r.bbr.min_rtt() / 1us), 80'000, 3000);
  EXPECT_GT(r.share(4s, 1'250'000), 0.9);
}

TEST(Bbr, IdleTimeReplacesProbeRtt) {
  rfc(kDraft, "Restarting From Idle", "no ProbeRTT after idle, and pacing at the rate known");
  Trip r;
  ASSERT_TRUE(r.until(State::kCruise));
  r.path.run(100ms);
  r.path.pause(true);
  r.path.run(6s);
  ASSERT_EQ(r.path.in_flight(), 0u);
  r.path.pause(false);
  r.states = {r.bbr.state()};
  r.path.run(1ms);
  EXPECT_NEAR(static_cast<double>(r.bbr.pacing_rate()), 0.99 * 1'250'000, 15'000);
  r.path.run(1s);
  EXPECT_EQ(std::count(r.states.begin(), r.states.end(), State::kProbeRtt), 0);
  EXPECT_GT(r.share(1s, 1'250'000), 0.95);
}

TEST(Bbr, StaysInStartupWhileTheApplicationLimitsIt) {
  rfc(kDraft, "Startup", "rounds limited by the application do not count");
  Trip r;
  for (int i = 0; i < 100; ++i) {
    r.path.pause(false);
    r.path.run(100us);
    r.path.pause(true);
    r.path.run(100ms);
  }
  EXPECT_TRUE(std::all_of(r.states.begin(), r.states.end(),
                          [](State s) { return s == State::kStartup || s == State::kProbeRtt; }));
  r.path.pause(false);
  r.path.run(2s);
  EXPECT_GT(r.share(2s, 1'250'000), 0.95);
}

TEST(Bbr, SurvivesOnePercentRandomLoss) {
  rfc(kDraft, "Updating the Model Upon Packet Loss", "less than 2 % loss does not bound what is in flight");
  for (const std::uint64_t rate : {1'250'000u, 12'500'000u}) {
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      Trip r({.rate = rate,
              .rtt = 40ms,
              .queue = static_cast<std::uint32_t>(rate / 12),
              .loss = 0.01,
              .seed = seed},
             seed);
      r.path.run(4s);
      EXPECT_GT(r.share(20s, rate), 0.9) << rate << " B/s";
    }
  }
}

TEST(Bbr, KeepsLossLowInAShallowQueue) {
  rfc(kDraft, "ProbeBW", "inflight_longterm is what was in flight when a probe lost 2 %");
  PathModel::Config config = kPath;
  config.queue = 10'000;
  Trip r(config);
  r.path.run(5s);
  const std::uint64_t dropped = r.path.dropped(), sent = r.path.sent();
  EXPECT_GT(r.share(20s, 1'250'000), 0.93);
  EXPECT_LT(static_cast<double>(r.path.dropped() - dropped),
            0.005 * static_cast<double>(r.path.sent() - sent) / kMss);
  EXPECT_GT(r.bbr.inflight_longterm(), 55'000u);
  EXPECT_LT(r.bbr.inflight_longterm(), 65'000u);
  EXPECT_LE(r.path.in_flight(), r.bbr.inflight_longterm());
}

TEST(Bbr, AdaptsToHalfTheRate) {
  rfc(kDraft, "BBR.max_bw", "the fastest of two cycles of probing");
  Trip r;
  r.path.run(6s);
  r.path.set_rate(625'000);
  r.path.run(12s);
  EXPECT_NEAR(static_cast<double>(r.bbr.max_bw()), 625'000, 20'000);
  EXPECT_GT(r.share(5s, 625'000), 0.93);
  EXPECT_EQ(r.path.timeouts(), 0u);
}

TEST(Bbr, FindsTwiceAndTenTimesTheRateWithinAProbe) {
  rfc(kDraft, "ProbeBW", "Up goes on while the rate grows");
  for (const std::uint64_t factor : {2u, 10u}) {
    PathModel::Config config = kPath;
    config.queue = 1'000'000;
    Trip r(config);
    r.path.run(6s);
    r.path.set_rate(factor * config.rate);
    r.path.run(5s);
    EXPECT_GT(r.share(3s, factor * config.rate), 0.93) << factor;
  }
}

TEST(Bbr, KeepsAGatheringPathBusy) {
  rfc(kDraft, "BBR.extra_acked", "the window holds as much more as is gathered");
  PathModel::Config config = kPath;
  config.segments_per_ack = 40;
  Trip r(config);
  r.path.run(4s);
  EXPECT_GE(r.bbr.extra_acked(), 30'000u);
  EXPECT_GT(r.share(10s, 1'250'000), 0.9);
}

TEST(Bbr, HasFourSegmentsInFlightHoweverSmallTheBdp) {
  rfc(kDraft, "Minimum cwnd for Pipelining", "four segments");
  Trip r({.rate = 100'000, .rtt = 1ms, .queue = 20'000});
  r.path.run(4s);
  EXPECT_GE(r.bbr.cwnd(), 4 * kMss);
  EXPECT_GT(r.share(10s, 100'000), 0.97);
}

TEST(Bbr, TakesMarksForCongestion) {
  rfc(kDraft, "ECN", "CE is treated as congestion");
  PathModel::Config config = kPath;
  config.mark_above = 10'000;
  Trip r(config);
  r.path.run(2s);
  EXPECT_NE(r.bbr.inflight_longterm(), Bbr::kNoLimit);
  const std::uint64_t marked = r.path.marked(), sent = r.path.sent();
  EXPECT_GT(r.share(20s, 1'250'000), 0.88);
  EXPECT_LT(static_cast<double>(r.path.marked() - marked),
            0.1 * static_cast<double>(r.path.sent() - sent) / kMss);
  EXPECT_EQ(r.path.dropped(), 0u);
}

TEST(Bbr, RecoversFromASilentPath) {
  rfc(kDraft, "Modulating cwnd in Loss Recovery",
      "a timeout leaves one segment, and growth by what is delivered");
  Trip r;
  r.path.run(3s);
  r.path.set_loss(1);
  r.path.run(3s);
  EXPECT_GT(r.path.timeouts(), 0u);
  EXPECT_LE(r.bbr.cwnd(), kMss);
  r.path.set_loss(0);
  r.path.run(3s);
  EXPECT_GT(r.share(5s, 1'250'000), 0.93);
}

// --- by hand

/// ACKs of a path at 1 MB/s with 50 ms.
struct Hand {
  AckSample ack(std::uint32_t delivered, std::uint32_t in_flight, bool in_recovery = false,
                std::uint32_t lost = 0) {
    AckSample sample;
    sample.now = now;
    sample.acked = sample.delivered = delivered;
    sample.lost = lost;
    sample.in_flight = in_flight;
    sample.prior_in_flight = in_flight + delivered + lost;
    sample.rate.prior_delivered = delivered_total > 50'000 ? delivered_total - 50'000 : 0;
    delivered_total += delivered;
    sample.delivered_total = sample.acked_total = delivered_total;
    sample.sent_total = delivered_total + in_flight;
    sample.rtt = 50ms;
    sample.in_recovery = in_recovery;
    sample.rate.valid = true;
    sample.rate.bytes_per_second = rate;
    sample.rate.interval = 50ms;
    sample.rate.delivered = 50'000;
    sample.rate.tx_in_flight = in_flight;
    bbr.on_ack(sample);
    now += 1ms;
    return sample;
  }
  void cruise() {
    while (bbr.state() != State::kCruise) ack(1000, 50'000);
  }
  Bbr bbr{kMss, 10, 1};
  Instant now = kEpoch + 1000s;
  std::uint64_t delivered_total = 0, rate = 1'000'000;
};

TEST(Bbr, GovernsItsRecovery) {
  rfc(kDraft, "Modulating cwnd in Loss Recovery", "the window before is restored after");
  Hand h;
  EXPECT_TRUE(h.bbr.governs_recovery());
  EXPECT_EQ(h.bbr.ssthresh(), Bbr::kNoLimit);
  h.cruise();
  const std::uint32_t before = h.bbr.cwnd();
  EXPECT_NEAR(before, 100'000, kMss) << "twice the BDP, and what was gathered";
  h.bbr.on_segment_lost({h.now, 5000, 50'000, 5000, false});
  h.bbr.on_loss({h.now, 50'000, 0});
  h.ack(1000, 44'000, true, 5000);
  EXPECT_EQ(h.bbr.cwnd(), before) << "the model answers at the end of the round";
  for (int i = 0; i < 60; ++i) h.ack(1000, 45'000, true);
  EXPECT_NEAR(h.bbr.cwnd(), 70'000, kMss) << "with less, though not less than is delivered";
  while (h.bbr.state() != State::kRefill) h.ack(1000, 45'000, true);
  h.bbr.on_recovery_exit(h.now, 45'000);
  EXPECT_GE(h.bbr.cwnd(), before);
}

TEST(Bbr, LossesOfOthersLowerTheShortTermBounds) {
  rfc(kDraft, "When not Probing for Bandwidth",
      "by 30 % a round at most, to what is delivered, until Refill");
  Hand h;
  h.cruise();
  h.bbr.on_segment_lost({h.now, 5000, 50'000, 5000, false});
  h.bbr.on_loss({h.now, 50'000, 0});
  for (int i = 0; i < 60; ++i) h.ack(1000, 45'000, true);
  EXPECT_NEAR(h.bbr.inflight_shortterm(), 70'000, kMss) << "0.7 of the window before";
  EXPECT_EQ(h.bbr.inflight_longterm(), Bbr::kNoLimit) << "nothing was probed";
  h.bbr.on_recovery_exit(h.now, 45'000);
  while (h.bbr.state() != State::kRefill) h.ack(1000, 45'000);
  EXPECT_EQ(h.bbr.inflight_shortterm(), Bbr::kNoLimit);
}

TEST(Bbr, LossesWithinThresholdAndChanceLeaveTheShortTermBounds) {
  rfc(kDraft, "When not Probing for Bandwidth", "which this does only for rounds that lose more than 2 %");
  for (const auto& [lost, limits] : {std::pair{1u, false}, std::pair{2u, false}, std::pair{3u, true}}) {
    Hand h;
    h.cruise();
    for (std::uint32_t i = 1; i <= lost; ++i) h.bbr.on_segment_lost({h.now, 1000, 50'000, i * 1000, false});
    h.bbr.on_loss({h.now, 50'000, 0});
    for (int i = 0; i < 60; ++i) h.ack(1000, 50'000, true);
    EXPECT_EQ(h.bbr.inflight_shortterm() != Bbr::kNoLimit, limits) << lost << " of 50";
  }
}

TEST(Bbr, ShortTermRateDoesNotFallByItsOwnPacing) {
  rfc(kDraft, "When not Probing for Bandwidth", "towards what is delivered, at what was paced below it");
  Hand h;
  h.cruise();
  h.rate = 990'000;  // all that is sent
  for (int round = 0; round < 10; ++round) {
    for (std::uint32_t i = 1; i <= 5; ++i) h.bbr.on_segment_lost({h.now, 1000, 50'000, i * 1000, false});
    h.bbr.on_loss({h.now, 50'000, 0});
    for (int i = 0; i < 55; ++i) h.ack(1000, 50'000, true);
    ASSERT_EQ(h.bbr.state(), State::kCruise);
    EXPECT_EQ(h.bbr.pacing_rate(), 990'000u) << "round " << round;
  }
  EXPECT_NE(h.bbr.inflight_shortterm(), Bbr::kNoLimit);
}

TEST(Bbr, ShortTermBoundsDoNotFollowProbeRtt) {
  rfc(kDraft, "ProbeRTT", "its low rate is no sign of the path's");
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    PathModel::Config config = kPath;
    config.seed = seed;
    Trip r(config);
    ASSERT_TRUE(r.until(State::kProbeRtt));
    r.path.set_loss(0.2);
    ASSERT_TRUE(r.until(State::kCruise));
    r.path.run(60ms);
    EXPECT_EQ(r.bbr.inflight_shortterm(), Bbr::kNoLimit) << "seed " << seed;
    r.path.run(100ms);
    EXPECT_NE(r.bbr.inflight_shortterm(), Bbr::kNoLimit) << "what was sent after it may tell";
  }
}

TEST(Bbr, ProbeThatLosesIsBoundedWhereTheLossesBegan) {
  rfc(kDraft, "ProbeBW", "on more than 2 % loss inflight_longterm is set and Up ends");
  Hand h;
  h.cruise();
  while (h.bbr.state() != State::kUp) h.ack(1000, 50'000);
  h.bbr.on_segment_lost({h.now, 1000, 60'000, 1000, false});
  EXPECT_EQ(h.bbr.inflight_longterm(), Bbr::kNoLimit) << "1 of 60";
  h.bbr.on_segment_lost({h.now, 5000, 65'000, 6000, false});
  // A burst, of which 2 % are reached when 204 bytes are lost: (0.02 * 60000 - 1000) / 0.98.
  EXPECT_EQ(h.bbr.inflight_longterm(), 60'204u);
  EXPECT_EQ(h.bbr.state(), State::kDown);
}

TEST(Bbr, AProbeEndedForNothingIsResumed) {
  rfc(kDraft, "Handling a Spurious Loss Recovery", "the bounds are restored and the probe begins again");
  Hand h;
  h.cruise();
  while (h.bbr.state() != State::kUp) h.ack(1000, 50'000);
  const std::uint32_t before = h.bbr.cwnd();
  for (std::uint32_t i = 1; i <= 3; ++i) h.bbr.on_segment_lost({h.now, 1000, 60'000, i * 1000, false});
  h.bbr.on_loss({h.now, 60'000, 0});
  for (int i = 0; i < 60; ++i) h.ack(1000, 50'000, true);
  ASSERT_NE(h.bbr.inflight_longterm(), Bbr::kNoLimit);
  h.bbr.on_undo(h.now);
  EXPECT_EQ(h.bbr.inflight_longterm(), Bbr::kNoLimit);
  EXPECT_EQ(h.bbr.inflight_shortterm(), Bbr::kNoLimit);
  EXPECT_EQ(h.bbr.state(), State::kRefill);
  EXPECT_EQ(h.bbr.cwnd(), before);
}

TEST(Bbr, ATimeoutForNothingIsUndone) {
  rfc(kDraft, "Handling a Spurious Loss Recovery", "the window before a spurious timeout is restored");
  Hand h;
  h.cruise();
  const std::uint32_t before = h.bbr.cwnd();
  h.bbr.on_rto({h.now, 50'000, 0}, true);
  EXPECT_EQ(h.bbr.cwnd(), kMss);
  h.bbr.on_rto({h.now, 1000, 0}, false);
  h.bbr.on_undo(h.now);
  EXPECT_EQ(h.bbr.cwnd(), before);
}

}  // namespace
}  // namespace millrace::test
