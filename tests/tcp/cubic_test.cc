#include "tcp/cubic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "path_model.h"
#include "support/tcp_script.h"
#include "tcp/reno.h"

namespace millrace::test {
namespace {

using tcp::AckSample;
using tcp::Cubic;

constexpr std::uint32_t kMss = 1000;
constexpr std::uint32_t kSegment = kMss;

/// CUBIC whose window begins with `segments`, and ACKs of what fills it.
struct Driver {
  explicit Driver(unsigned segments) : cubic(kMss, segments) {}

  void ack(std::uint32_t bytes, Duration rtt, bool limited = true) {
    AckSample sample;
    sample.now = now;
    sample.acked = sample.delivered = bytes;
    sample.prior_in_flight = cubic.cwnd();
    sample.in_flight = cubic.cwnd() - std::min(bytes, cubic.cwnd());
    acked_total += bytes;
    sample.acked_total = acked_total;
    sample.sent_total = acked_total + sample.in_flight;
    sample.rtt = rtt;
    sample.cwnd_limited = limited;
    cubic.on_ack(sample);
  }
  /// A window is acknowledged segment by segment, evenly in `rtt`.
  void round(Duration rtt, bool limited = true) {
    const std::uint32_t segments = std::max(1u, cubic.cwnd() / kMss);
    const Instant end = now + rtt;
    for (std::uint32_t i = 0; i < segments; ++i) {
      now += rtt / segments;
      ack(kMss, rtt, limited);
    }
    now = end;
  }
  void rounds_for(Duration time, Duration rtt, bool limited = true) {
    for (const Instant end = now + time; now < end;) round(rtt, limited);
  }
  void lose() { cubic.on_loss({now, cubic.cwnd(), acked_total + cubic.cwnd()}); }
  [[nodiscard]] double segments() const { return static_cast<double>(cubic.cwnd()) / kMss; }

  Cubic cubic;
  Instant now = kEpoch + 100s;
  std::uint64_t acked_total = 0;
};

double w_cubic(double t, double w_max, double cwnd_epoch) {
  const double k = std::cbrt((w_max - cwnd_epoch) / 0.4);
  return 0.4 * std::pow(t - k, 3) + w_max;
}

TEST(Cubic, ReducesToSevenTenths) {
  rfc("9438", "4.6", "ssthresh = flight size * beta_cubic, beta_cubic = 0.7, at least two segments");
  Driver d(100);
  d.cubic.on_loss({d.now, 100'000, 0});
  EXPECT_EQ(d.cubic.ssthresh(), 70'000u);
  EXPECT_EQ(d.cubic.cwnd(), 70'000u);
  d.cubic.on_loss({d.now, 1000, 0});
  EXPECT_EQ(d.cubic.ssthresh(), 2000u);
}

TEST(Cubic, WindowFollowsTheCurveAndIsWMaxAfterKSeconds) {
  rfc("9438", "4.2", "W_cubic(t) = C (t - K)^3 + W_max, K = cbrt((W_max - cwnd_epoch) / C)");
  rfc("9438", "4.4", "concave up to W_max");
  rfc("9438", "4.5", "convex beyond");
  Driver d(1000);
  d.lose();
  ASSERT_EQ(d.segments(), 700);
  const Instant start = d.now;
  for (int second = 1; second <= 15; ++second) {
    d.rounds_for(start + second * 1s - d.now, 100ms);
    // Each ACK aims a round trip ahead and gets there within one: the curve itself is met.
    EXPECT_NEAR(d.segments(), w_cubic(second, 1000, 700), 10) << second << " s";
  }
  EXPECT_GT(d.segments(), 1050);
}

TEST(Cubic, GrowsByHalfAWindowARoundTripAtMost) {
  rfc("9438", "4.2", "the target is between cwnd and 1.5 cwnd");
  Driver d(1000);
  d.lose();
  d.rounds_for(20s, 100ms);
  const std::uint32_t before = d.cubic.cwnd();
  // Two minutes without an ACK: the curve is out of sight.
  d.now += 120s;
  d.ack(before, 100ms);
  EXPECT_LE(d.cubic.cwnd(), before + before / 2);
  EXPECT_GT(d.cubic.cwnd(), before + before / 3);
}

TEST(Cubic, GrowsAsRenoWouldWhereThatIsFaster) {
  rfc("9438", "4.3", "Reno-friendly region: W_est grows by alpha_cubic = 3 (1 - beta) / (1 + beta) a window");
  Driver d(40);
  d.lose();
  ASSERT_EQ(d.segments(), 28);
  for (int i = 0; i < 17; ++i) d.round(1ms);
  EXPECT_NEAR(d.segments(), 28 + 9, 1) << "9/17 of a segment a round trip";
}

TEST(Cubic, GrowsByASegmentARoundTripOnceItIsWhereItWas) {
  rfc("9438", "4.3", "alpha_cubic = 1 once W_est has reached cwnd_prior");
  Driver d(40);
  d.lose();
  while (d.segments() < 40) d.round(1ms);
  for (int i = 0; i < 10; ++i) d.round(1ms);
  EXPECT_NEAR(d.segments(), 50, 1.5);
}

TEST(Cubic, LeavesRoomWhenItDidNotReachTheLastMaximum) {
  rfc("9438", "4.7", "fast convergence: W_max = cwnd (1 + beta) / 2");
  Driver d(1000);
  d.lose();
  d.rounds_for(2s, 100ms);
  const double before = d.segments();
  ASSERT_LT(before, 1000);
  d.lose();
  const double epoch = d.segments();
  const double w_max = before * 0.85;
  d.rounds_for(4s, 100ms);
  EXPECT_NEAR(d.segments(), w_cubic(4, w_max, epoch), 10);
}

TEST(Cubic, AfterATimeoutBeginsAtTheMiddleOfTheCurve) {
  rfc("9438", "4.8", "after a timeout K is 0 and W_max the window that congestion avoidance begins with");
  Driver d(1000);
  d.cubic.on_rto({d.now, 1'000'000, 1'000'000}, true);
  EXPECT_EQ(d.cubic.cwnd(), 1000u);
  EXPECT_EQ(d.cubic.ssthresh(), 700'000u);
  d.cubic.on_rto({d.now, 1000, 1'000'000}, false);
  EXPECT_EQ(d.cubic.ssthresh(), 700'000u) << "RFC 5681 §3.1: only the first expiry cuts it";
  while (d.cubic.cwnd() < d.cubic.ssthresh()) d.round(100ms);
  const double begin = d.segments();
  d.rounds_for(5s, 100ms);
  EXPECT_NEAR(d.segments(), std::max(begin + 0.4 * 125, begin + 50 * 9 / 17.0), 12);
}

TEST(Cubic, AReductionForNothingIsUndone) {
  rfc("9438", "4.9", "spurious congestion events: cwnd, ssthresh and the curve are restored");
  Driver d(1000);
  d.lose();
  const Instant start = d.now;
  d.rounds_for(3s, 100ms);
  const std::uint32_t cwnd = d.cubic.cwnd();
  const std::uint32_t ssthresh = d.cubic.ssthresh();
  d.lose();
  d.now += 200ms;
  d.cubic.on_undo(d.now);
  EXPECT_EQ(d.cubic.cwnd(), cwnd);
  EXPECT_EQ(d.cubic.ssthresh(), ssthresh);
  d.rounds_for(start + 9s - d.now, 100ms);
  EXPECT_NEAR(d.segments(), w_cubic(9, 1000, 700), 10) << "the same curve goes on";
}

TEST(Cubic, ATimeoutForNothingIsUndone) {
  rfc("9438", "4.9.1", "spurious timeouts");
  Driver d(100);
  d.cubic.on_rto({d.now, 100'000, 100'000}, true);
  d.cubic.on_rto({d.now + 1s, 1000, 100'000}, false);
  d.cubic.on_undo(d.now + 1s);
  EXPECT_EQ(d.cubic.cwnd(), 100'000u);
  EXPECT_GT(d.cubic.ssthresh(), 1u << 30) << "there was no ssthresh yet";
}

TEST(Cubic, UndoKeepsAWindowThatHasOutgrownTheOldOne) {
  rfc("4015", "3", "a response to nothing never lowers the window");
  Driver d(10);
  d.lose();
  d.rounds_for(10s, 10ms);
  const std::uint32_t grown = d.cubic.cwnd();
  ASSERT_GT(grown, 10'000u);
  d.cubic.on_undo(d.now);
  EXPECT_EQ(d.cubic.cwnd(), grown);
}

TEST(Cubic, TimeThatTheApplicationLeftUnusedDoesNotCount) {
  rfc("9438", "5.8", "the curve's time leaves out what is limited by the application");
  Driver d(1000);
  d.lose();
  const Instant start = d.now;
  d.rounds_for(2s, 100ms);
  const double before = d.segments();
  const Duration used = d.now - start;
  d.rounds_for(30s, 100ms, false);
  EXPECT_EQ(d.segments(), before);
  d.rounds_for(5s - used, 100ms);
  EXPECT_NEAR(d.segments(), w_cubic(5, 1000, 700), 12);
}

TEST(Cubic, IdleTimeDoesNotCount) {
  rfc("9438", "4.2", "the elapsed time leaves out periods in which the window is not updated");
  Driver d(1000);
  d.lose();
  const Instant start = d.now;
  d.rounds_for(2s, 100ms);
  const Duration used = d.now - start;
  d.now += 30s;
  d.cubic.on_sent(d.now, kSegment, kSegment);
  d.rounds_for(5s - used, 100ms);
  EXPECT_NEAR(d.segments(), w_cubic(5, 1000, 700), 12);
}

TEST(Cubic, ForgetsAnIdleWindowStepByStep) {
  rfc("5681", "4.1", "after idle cwnd is no more than the restart window");
  Driver d(10);
  while (d.cubic.cwnd() < 80'000) d.round(10ms);
  const std::uint32_t cwnd = d.cubic.cwnd();
  d.cubic.on_idle_restart(1500ms, 1s);
  EXPECT_EQ(d.cubic.cwnd(), cwnd / 2);
  EXPECT_GE(d.cubic.ssthresh(), cwnd / 4 * 3);
  d.cubic.on_idle_restart(100s, 1s);
  EXPECT_EQ(d.cubic.cwnd(), 10'000u);
}

TEST(Cubic, ReactsMoreMildlyToEcn) {
  rfc("8511", "3.1", "beta_ecn is 0.85 for CUBIC");
  Driver d(100);
  d.cubic.on_ecn({d.now, 100'000, 0});
  EXPECT_EQ(d.cubic.ssthresh(), 85'000u);
  EXPECT_EQ(d.cubic.cwnd(), 85'000u);
}

TEST(Cubic, DoesNotGrowInARecovery) {
  Driver d(100);
  d.lose();
  AckSample sample;
  sample.now = d.now;
  sample.acked = 50'000;
  sample.prior_in_flight = 100'000;
  sample.cwnd_limited = sample.in_recovery = true;
  d.cubic.on_ack(sample);
  EXPECT_EQ(d.cubic.cwnd(), 70'000u);
  d.cubic.on_recovery_exit(d.now, 20'000);
  EXPECT_EQ(d.cubic.cwnd(), 21'000u);
  d.cubic.on_recovery_exit(d.now, 90'000);
  EXPECT_EQ(d.cubic.cwnd(), 70'000u);
}

TEST(Cubic, SlowStartCountsEveryByteOfAGatheredAck) {
  rfc("3465", "2.1", "slow start grows by the bytes acknowledged");
  Driver d(100);
  d.ack(64'000, 10ms);
  EXPECT_EQ(d.cubic.cwnd(), 164'000u);
}

TEST(Cubic, SlowStartAfterATimeoutDoesNotCountWhatArrivedBefore) {
  rfc("3465", "2.3", "after a timeout an ACK may tell of what was not sent since");
  Driver d(100);
  d.cubic.on_rto({d.now, 100'000, 100'000}, true);
  AckSample sample;
  sample.now = d.now;
  sample.acked = 60'000;  // the one hole is filled
  sample.prior_in_flight = 1000;
  sample.cwnd_limited = true;
  d.cubic.on_ack(sample);
  EXPECT_EQ(d.cubic.cwnd(), 2000u);
}

// --- On a path

TEST(Cubic, FillsAPathWithAQueueOfItsBdp) {
  Cubic cubic(kMss, 10);
  PathModel path(cubic, {.rate = 1'250'000, .rtt = 40ms, .queue = 50'000});
  path.run(10s);
  const std::uint64_t before = path.delivered();
  path.run(30s);
  EXPECT_GT(path.delivered() - before, 30u * 1'250'000 * 99 / 100);
  EXPECT_EQ(path.timeouts(), 0u);
}

TEST(Cubic, IsFasterThanRenoOnALongFatPath) {
  const PathModel::Config config{.rate = 12'500'000, .rtt = 200ms, .queue = 500'000, .loss = 2e-5};
  Cubic cubic(kMss, 10);
  tcp::Reno reno(kMss, 10);
  PathModel with_cubic(cubic, config), with_reno(reno, config);
  with_cubic.run(120s);
  with_reno.run(120s);
  EXPECT_GT(with_cubic.delivered(), with_reno.delivered() * 3 / 2);
}

TEST(Cubic, DoesNoWorseThanRenoOnAShortPath) {
  rfc("9438", "4.3", "Reno-friendly region: at least Reno's throughput");
  const PathModel::Config config{.rate = 12'500'000, .rtt = 1ms, .queue = 10'000, .loss = 1e-3};
  Cubic cubic(kMss, 10);
  tcp::Reno reno(kMss, 10);
  PathModel with_cubic(cubic, config), with_reno(reno, config);
  with_cubic.run(20s);
  with_reno.run(20s);
  EXPECT_GT(with_cubic.delivered(), with_reno.delivered() * 95 / 100);
}

}  // namespace
}  // namespace millrace::test
