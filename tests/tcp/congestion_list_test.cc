#include "tcp/congestion_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/rng.h"
#include "path_model.h"
#include "tcp/loss_window.h"

namespace millrace::test {
namespace {

/// Every control of the list.
class EachControl : public testing::TestWithParam<std::size_t> {
 protected:
  [[nodiscard]] const tcp::CongestionEntry& entry() const { return tcp::congestion_list()[GetParam()]; }
  ObjectSlabs slabs;
};

INSTANTIATE_TEST_SUITE_P(All, EachControl, testing::Range<std::size_t>(0, tcp::congestion_list().size()),
                         [](const auto& param) {
                           return std::string(tcp::congestion_list()[param.param].name);
                         });

TEST_P(EachControl, KeepsAWindowWithinBoundsWhateverItIsTold) {
  Rng rng(GetParam() + 1);
  for (int run = 0; run < 20; ++run) {
    const std::uint32_t mss = 48 + rng.below(65'000);
    const auto control = entry().make(slabs, mss, 1 + rng.below(100), rng.u64());
    Instant now = kEpoch + 1000s;
    tcp::AckSample sample;
    std::uint32_t least = mss;
    for (int i = 0; i < 5000; ++i) {
      // Of all magnitudes, and with no regard to each other.
      const auto size = [&rng] { return rng.u32() >> rng.below(32); };
      now += Duration{size()};
      switch (rng.below(24)) {
        case 0:
          control->on_loss({now, size(), sample.sent_total});
          break;
        case 1:
          control->on_ecn({now, size(), sample.sent_total});
          break;
        case 2:
          control->on_rto({now, size(), sample.sent_total}, rng.chance(0.5));
          break;
        case 3:
          control->on_recovery_exit(now, size());
          break;
        case 4:
          control->on_undo(now);
          break;
        case 5:
          control->on_idle_restart(Duration{1s} * rng.below(1000), 200ms + Duration{size()});
          break;
        case 6:
          least = 48 + rng.below(65'000);
          control->set_mss(least);
          break;
        case 7:
          control->on_segment_lost({now, size(), size(), size(), rng.chance(0.5)});
          break;
        case 8:
          control->on_sent(now, size(), size());
          break;
        default:
          sample.now = now;
          sample.acked = size();
          sample.delivered = size();
          sample.lost = rng.chance(0.1) ? size() : 0;
          sample.prior_in_flight = size();
          sample.in_flight = size();
          sample.delivered_total += sample.delivered;
          sample.acked_total += sample.acked;
          sample.sent_total = sample.acked_total + sample.in_flight;
          sample.rtt = rng.chance(0.2) ? Duration{-1} : Duration{size()};
          sample.cwnd_limited = rng.chance(0.8);
          sample.in_recovery = rng.chance(0.2);
          sample.ece = rng.chance(0.1);
          sample.rate.valid = rng.chance(0.8);
          sample.rate.app_limited = rng.chance(0.2);
          sample.rate.bytes_per_second = sample.rate.valid ? rng.u64() >> (24 + rng.below(40)) : 0;
          sample.rate.prior_delivered =
              sample.delivered_total - std::min<std::uint64_t>(size(), sample.delivered_total);
          sample.rate.delivered = size();
          sample.rate.lost = size();
          sample.rate.tx_in_flight = size();
          control->on_ack(sample);
      }
      ASSERT_GE(control->cwnd(), std::min(mss, least)) << "step " << i;
      // BBR's bound leaves out quanta and what the receiver gathers.
      ASSERT_LE(control->cwnd(), tcp::kMaxCwnd + (1u << 20)) << "step " << i;
    }
  }
}

TEST_P(EachControl, DoesTheSameAgainWithTheSameSeed) {
  const PathModel::Config config{.loss = 0.005, .mark_above = 20'000};
  const auto one = entry().make(slabs, 1000, 10, 5), other = entry().make(slabs, 1000, 10, 5);
  PathModel first(*one, config), second(*other, config);
  first.run(20s);
  second.run(20s);
  EXPECT_EQ(first.sent(), second.sent());
  EXPECT_EQ(one->cwnd(), other->cwnd());
}

TEST_P(EachControl, GoesOnAfterALongSilence) {
  const auto control = entry().make(slabs, 1000, 10, 1);
  PathModel path(*control, {.rate = 1'250'000, .rtt = 40ms, .queue = 50'000});
  path.run(5s);
  path.set_loss(1);
  path.run(10s);
  path.set_loss(0);
  path.run(20s);
  const std::uint64_t before = path.delivered();
  path.run(10s);
  EXPECT_GT(path.delivered() - before, 10u * 1'250'000 * 9 / 10);
}

}  // namespace
}  // namespace millrace::test
