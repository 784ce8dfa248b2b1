#include "tcp/dctcp.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "path_model.h"
#include "support/tcp_script.h"
#include "tcp/reno.h"

namespace millrace::test {
namespace {

using tcp::AckSample;
using tcp::Dctcp;

constexpr std::uint32_t kMss = 1000;

/// Windows of `segments`, of which the first `marked` met congestion.
struct Windows {
  void window(std::uint32_t segments, std::uint32_t marked, bool limited = true) {
    const std::uint64_t sent_total = acked_total + segments * kMss;
    for (std::uint32_t i = 0; i < segments; ++i) {
      AckSample sample;
      acked_total += kMss;
      sample.acked = sample.delivered = kMss;
      sample.prior_in_flight = segments * kMss;
      sample.acked_total = acked_total;
      // What follows the window is sent as this one is acknowledged.
      sample.sent_total = i + 1 == segments ? acked_total + segments * kMss : sent_total;
      sample.cwnd_limited = limited;
      sample.ece = i < marked;
      dctcp.on_ack(sample);
    }
  }
  [[nodiscard]] double alpha() const { return static_cast<double>(dctcp.alpha()) / Dctcp::kAlphaOne; }

  Dctcp dctcp{kMss, 10};
  std::uint64_t acked_total = 0;
};

TEST(Dctcp, WantsMarksEchoedExactly) {
  rfc("8257", "3.2", "every CE mark is echoed");
  EXPECT_TRUE(Dctcp(kMss, 10).needs_accurate_ecn());
}

TEST(Dctcp, AlphaBeginsAtOneAndMovesByASixteenth) {
  rfc("8257", "3.3", "alpha = alpha (1 - g) + g M");
  rfc("8257", "4.2", "g = 1/16, alpha = 1 at first");
  Windows w;
  EXPECT_EQ(w.alpha(), 1);
  w.window(20, 0);  // the very first ACK begins a window
  double alpha = w.alpha();
  w.window(20, 0);
  EXPECT_NEAR(w.alpha(), alpha * 15 / 16, 1e-4);
  alpha = w.alpha();
  w.window(20, 5);
  EXPECT_NEAR(w.alpha(), alpha * 15 / 16 + 0.25 / 16, 1e-4);
}

TEST(Dctcp, AlphaConvergesToTheShareOfMarks) {
  rfc("8257", "3.3", "alpha estimates the fraction of bytes that encounter congestion");
  for (const std::uint32_t marked : {0u, 2u, 10u, 20u}) {
    Windows w;
    for (int i = 0; i < 200; ++i) w.window(20, marked, false);
    EXPECT_NEAR(w.alpha(), marked / 20.0, 0.005) << marked;
  }
}

TEST(Dctcp, ReducesByHalfOfAlphaOnceAWindow) {
  rfc("8257", "3.3", "cwnd = cwnd (1 - alpha / 2), once a window");
  Windows w;
  for (int i = 0; i < 200; ++i) w.window(20, 4, false);
  while (w.dctcp.cwnd() < 100'000) w.window(w.dctcp.cwnd() / kMss, 0);
  const double before = w.dctcp.cwnd();
  w.window(w.dctcp.cwnd() / kMss, 10);
  // It may have grown by a segment within the window.
  EXPECT_NEAR(w.dctcp.cwnd(), (before + kMss) * (1 - w.alpha() / 2), 1500);
}

TEST(Dctcp, ReactsToLossAsReno) {
  rfc("8257", "3.5", "a loss episode is reacted to as by any TCP");
  Dctcp dctcp(kMss, 100);
  dctcp.on_loss({kEpoch, 100'000, 0});
  EXPECT_EQ(dctcp.cwnd(), 50'000u);
  EXPECT_EQ(dctcp.ssthresh(), 50'000u);
  dctcp.on_rto({kEpoch, 50'000, 0}, true);
  EXPECT_EQ(dctcp.cwnd(), 1000u);
  EXPECT_EQ(dctcp.ssthresh(), 25'000u);
  dctcp.on_undo(kEpoch);
  EXPECT_EQ(dctcp.cwnd(), 50'000u);
}

TEST(Dctcp, DoesNotReduceASecondTimeInAWindow) {
  rfc("8257", "3.3", "at most one reduction a window");
  Windows w;
  w.window(10, 0);
  for (int i = 0; i < 3; ++i) w.window(w.dctcp.cwnd() / kMss, 0);
  w.dctcp.on_ecn({kEpoch, w.dctcp.cwnd(), w.acked_total + w.dctcp.cwnd()});
  const std::uint32_t reduced = w.dctcp.cwnd();
  w.dctcp.on_ecn({kEpoch, w.dctcp.cwnd(), w.acked_total + w.dctcp.cwnd()});
  EXPECT_EQ(w.dctcp.cwnd(), reduced);
  w.window(10, 10, false);
  EXPECT_EQ(w.dctcp.cwnd(), reduced);
}

TEST(Dctcp, KeepsAShortQueueAndTheLinkBusy) {
  rfc("8257", "1", "high throughput with shallow queues");
  const PathModel::Config config{.rate = 125'000'000, .rtt = 200us, .queue = 1'000'000, .mark_above = 10'000};
  Dctcp dctcp(kMss, 10);
  PathModel path(dctcp, config);
  path.run(500ms);
  const std::uint64_t before = path.delivered();
  std::uint32_t most = 0;
  path.watch = [&](const AckSample&) { most = std::max(most, path.queued()); };
  path.run(1s);
  EXPECT_GT(path.delivered() - before, std::uint64_t{125'000'000} * 97 / 100);
  EXPECT_LT(most, 20'000u);
  EXPECT_EQ(path.dropped(), 0u);
}

}  // namespace
}  // namespace millrace::test
