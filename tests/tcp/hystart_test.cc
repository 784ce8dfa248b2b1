#include "tcp/hystart.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "path_model.h"
#include "support/tcp_script.h"
#include "tcp/cubic.h"
#include "tcp/reno.h"

namespace millrace::test {
namespace {

using tcp::AckSample;
using tcp::HyStart;

constexpr std::uint32_t kMss = 1000;

/// Rounds of a fixed number of ACKs, a segment each.
struct Rounds {
  std::uint32_t ack(Duration rtt, std::uint32_t acked = kMss) {
    AckSample sample;
    sample.acked = acked;
    sample.prior_in_flight = flight;
    sent_total = acked_total + flight;  // what this ACK lets out is not sent yet
    acked_total += acked;
    sample.acked_total = acked_total;
    sample.sent_total = sent_total;
    sample.rtt = rtt;
    return hystart.on_ack(sample, kMss);
  }
  void round(Duration rtt, std::uint32_t acks) {
    flight = acks * kMss;
    for (std::uint32_t i = 0; i < acks; ++i) ack(rtt);
  }
  HyStart hystart;
  std::uint32_t flight = 20'000;
  std::uint64_t acked_total = 0, sent_total = 0;
};

TEST(HyStart, GrowsByWhatIsAcknowledgedWhileTheRoundTripStays) {
  rfc("9406", "4.2", "slow start: cwnd grows by min(N, L * SMSS)");
  Rounds r;
  for (int i = 0; i < 10; ++i) r.round(20ms, 20);
  EXPECT_FALSE(r.hystart.conservative());
  EXPECT_EQ(r.ack(20ms), kMss);
  r.flight = 64'000;
  EXPECT_EQ(r.ack(20ms, 60'000), 60'000u) << "gathered ACKs count in full";
  r.flight = 1000;
  EXPECT_EQ(r.ack(20ms, 60'000), 8000u) << "but not what was not in flight";
}

TEST(HyStart, LongerRoundTripBeginsTheConservativeSlowStart) {
  rfc("9406", "4.2", "CSS when the round's minimum RTT exceeds the last's by RttThresh, after N_RTT_SAMPLE");
  Rounds r;
  r.round(40ms, 20);
  r.round(40ms, 20);
  for (int i = 0; i < 7; ++i) r.ack(46ms);
  EXPECT_FALSE(r.hystart.conservative()) << "seven samples";
  r.ack(46ms);
  EXPECT_TRUE(r.hystart.conservative()) << "eight samples of 40 ms / 8 more at least";
  EXPECT_EQ(r.ack(46ms), kMss / 4) << "CSS_GROWTH_DIVISOR";
}

TEST(HyStart, ThresholdIsAnEighthOfTheRoundTripWithinBounds) {
  rfc("9406", "4.2", "RttThresh = max(4 ms, min(lastRoundMinRTT / 8, 16 ms))");
  const auto begins = [](Duration base, Duration next) {
    Rounds r;
    r.round(base, 20);
    r.round(base, 20);
    r.round(next, 20);
    return r.hystart.conservative();
  };
  EXPECT_FALSE(begins(100us, 4ms));
  EXPECT_TRUE(begins(100us, 4100us));
  EXPECT_FALSE(begins(80ms, 89ms));
  EXPECT_TRUE(begins(80ms, 90ms));
  EXPECT_FALSE(begins(400ms, 415ms));
  EXPECT_TRUE(begins(400ms, 416ms));
}

TEST(HyStart, ShorterRoundTripResumesTheSlowStart) {
  rfc("9406", "4.2", "CSS ends when the round's minimum RTT falls below the baseline");
  Rounds r;
  r.round(40ms, 20);
  r.round(40ms, 20);
  r.round(50ms, 20);
  ASSERT_TRUE(r.hystart.conservative());
  r.round(42ms, 20);
  r.round(42ms, 20);
  EXPECT_FALSE(r.hystart.conservative());
  EXPECT_FALSE(r.hystart.finished());
}

TEST(HyStart, FiveConservativeRoundsEndTheSlowStart) {
  rfc("9406", "4.2", "CSS_ROUNDS = 5, the partial one included");
  Rounds r;
  r.round(40ms, 20);
  r.round(40ms, 20);
  int rounds = 0;
  while (!r.hystart.finished() && rounds < 20) {
    r.round(50ms, 20);
    ++rounds;
  }
  EXPECT_GE(rounds, 5);
  EXPECT_LE(rounds, 6);
}

TEST(HyStart, AReductionEndsItForGood) {
  rfc("9406", "4.2", "loss or ECN ends it");
  Rounds r;
  r.round(40ms, 20);
  r.hystart.stop();
  r.round(40ms, 20);
  for (int i = 0; i < 10; ++i) r.round(80ms, 20);
  EXPECT_FALSE(r.hystart.conservative());
  EXPECT_FALSE(r.hystart.finished());
  EXPECT_EQ(r.ack(80ms), kMss);
}

TEST(HyStart, LosesFarLessInADeepQueueThanPlainSlowStart) {
  rfc("9406", "1", "slow start ends before it overshoots by much");
  for (const unsigned gathered : {1u, 4u}) {
    std::uint64_t with = 0, without = 0;
    // Where in its last doubling the window meets the path's limit is chance: nine paths.
    for (unsigned rate = 8; rate <= 16; ++rate) {
      const PathModel::Config config{
          .rate = rate * 1'000'000, .rtt = 40ms, .queue = 4 * rate * 40'000, .segments_per_ack = gathered};
      tcp::Cubic cubic(kMss, 10);
      tcp::Reno reno(kMss, 10);
      PathModel with_hystart(cubic, config), plain(reno, config);
      with_hystart.run(1500ms);
      plain.run(1500ms);
      with += with_hystart.dropped();
      without += plain.dropped();
      EXPECT_GT(cubic.cwnd(), with_hystart.bdp()) << "and not too early, " << rate << " MB/s";
    }
    EXPECT_LT(with, without / 3) << gathered << " segments an ACK";
  }
}

TEST(HyStart, IsInTheConservativeSlowStartBeforeAQueueOfABdpOverflows) {
  rfc("9406", "4.2", "the delay shows before the loss, where a window is spread over the round trip");
  // A round trip of samples a round: the window doubles, and all beyond the BDP waits.
  Rounds r;
  const double bdp = 500;
  double window = 10;
  while (!r.hystart.conservative()) {
    ASSERT_LT(window, 2 * bdp);
    const double queue = std::max(0.0, window - bdp);
    const std::uint64_t before = r.acked_total;
    r.flight = static_cast<std::uint32_t>(window) * kMss;
    std::uint32_t growth = 0;
    while (r.acked_total < before + r.flight)
      growth += r.ack(40ms + Duration{static_cast<std::int64_t>(40e6 * queue / bdp)});
    window += static_cast<double>(growth) / kMss;
  }
}

}  // namespace
}  // namespace millrace::test
