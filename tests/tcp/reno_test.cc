#include "tcp/reno.h"

#include <gtest/gtest.h>

#include "path_model.h"
#include "support/tcp_script.h"

namespace millrace::test {
namespace {

TEST(Reno, ReactsMoreMildlyToEcn) {
  rfc("8511", "3.1", "beta_ecn is 0.8 for Reno");
  tcp::Reno reno(1000, 10);
  reno.on_ecn({kEpoch, 10'000, 0});
  EXPECT_EQ(reno.ssthresh(), 8000u);
  EXPECT_EQ(reno.cwnd(), 8000u);
  reno.on_ecn({kEpoch, 1000, 0});
  EXPECT_EQ(reno.ssthresh(), 2000u) << "never below two segments";
}

TEST(Reno, AReductionForNothingIsUndone) {
  rfc("4015", "3.2", "the window before the spurious reduction is restored");
  tcp::Reno reno(1000, 10);
  reno.on_rto({kEpoch, 10'000, 0}, true);
  reno.on_rto({kEpoch, 1000, 0}, false);
  reno.on_undo(kEpoch);
  EXPECT_EQ(reno.cwnd(), 10'000u);
  EXPECT_GT(reno.ssthresh(), 1u << 30);
}

TEST(Reno, FillsAPathWithAQueueOfItsBdp) {
  tcp::Reno reno(1000, 10);
  PathModel path(reno, {.rate = 1'250'000, .rtt = 40ms, .queue = 50'000});
  path.run(10s);
  const std::uint64_t before = path.delivered();
  path.run(30s);
  EXPECT_GT(path.delivered() - before, 30u * 1'250'000 * 97 / 100);
}

TEST(Reno, KeepsAMarkingQueueShort) {
  rfc("8511", "3.1", "ECN is reacted to without a loss");
  tcp::Reno reno(1000, 10);
  PathModel path(reno, {.rate = 1'250'000, .rtt = 40ms, .queue = 500'000, .mark_above = 10'000});
  path.run(30s);
  EXPECT_EQ(path.dropped(), 0u);
  EXPECT_LT(path.queued(), 20'000u);
  EXPECT_GT(path.delivered(), 30u * 1'250'000 * 90 / 100);
}

}  // namespace
}  // namespace millrace::test
