#include "support/network.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace millrace::test {
namespace {

constexpr const char* kOneFlow =
    "s1 -- 10ms -- r1\n"
    "r1 -- 50M queue=1bdp loss=0.1% -- r2\n"
    "d1 -- 0ms -- r2\n"
    "s1 > d1\n";

NetworkReport report_of(const std::string& topology, std::uint64_t seed, Duration duration) {
  NetworkOptions options;
  options.seed = seed;
  options.verify = BulkFlow::Verify::kAll;
  Network network(Topology::parse(topology), options);
  network.run_for(duration);
  network.measure();
  network.run_for(duration);
  const NetworkReport report = network.report();
  EXPECT_EQ(network.finish(), "");
  return report;
}

TEST(Network, DoesTheSameForTheSameSeed) {
  const NetworkReport first = report_of(kOneFlow, 1, 5s), again = report_of(kOneFlow, 1, 5s),
                      other = report_of(kOneFlow, 2, 5s);
  EXPECT_EQ(first.bits_per_second(), again.bits_per_second());
  EXPECT_EQ(first.queueing_p95, again.queueing_p95);
  EXPECT_EQ(first.bottleneck_packets, again.bottleneck_packets);
  EXPECT_NE(first.bits_per_second(), other.bits_per_second());
}

TEST(Network, CutsSuperFramesBeforeTheyCanBeLost) {
  NetworkOptions options;
  Network network(Topology::parse(kOneFlow), options);
  network.run_for(2s);
  const NetworkLinkStats& stats = network.link("r1", "r2").stats();
  EXPECT_GT(stats.packets, 1000u);
  EXPECT_LE(stats.bytes, stats.packets * 1500);
  EXPECT_GT(stats.bytes, stats.packets * 1400);
  EXPECT_EQ(network.base_rtt(0), 20ms);
  EXPECT_EQ(network.link("r1", "r2").spec().queue_bytes, 125'000u);
  EXPECT_EQ(network.finish(), "");
}

TEST(Network, EndsByResetToo) {
  Network network(Topology::parse(kOneFlow), {});
  network.run_for(1s);
  EXPECT_EQ(network.finish(Network::Ending::kReset), "");
  EXPECT_LT(network.elapsed(), 2s);
}

TEST(Network, RunsUntilAllIsDelivered) {
  Network network(Topology::parse("a -- 10M 5ms -- b\na > b bytes=1M\nb > a bytes=10k start=1s\n"), {});
  EXPECT_TRUE(network.run_to_completion(10s));
  EXPECT_GE(network.elapsed(), 1s);
  EXPECT_LT(network.elapsed(), 2s);
  EXPECT_EQ(network.flow(0).received(), 1'000'000u);
  EXPECT_EQ(network.flow(1).received(), 10'000u);
  EXPECT_EQ(network.finish(), "");
}

TEST(Network, SharesOfFlowsAreMeasuredAtTheNarrowLink) {
  const NetworkReport report = report_of(
      "a -- 100M 1ms -- r\nb -- 100M 1ms -- r\nr -- 10M queue=60k -- x\ny -- 0ms -- x\nz -- 0ms -- x\n"
      "a > y\nb > z\n",
      1, 10s);
  EXPECT_EQ(report.flows.size(), 2u);
  EXPECT_NEAR(report.capacity, 10e6 * 1448 / 1500, 1);
  EXPECT_GT(report.share(), 0.9);
  EXPECT_LE(report.share(), 1.01);
  EXPECT_LE(report.utilisation, 1.0);
  EXPECT_GT(report.fairness(), 0.5);
  EXPECT_LE(report.queueing_p95, 48ms);
}

TEST(Network, FillsALongFatPathWhenNothingIsLost) {
  // 25 MB under way: more than a window scale of 7 can tell of.
  const NetworkReport report = report_of("a -- 1G 100ms -- b\na > b\n", 1, 4s);
  EXPECT_GT(report.share(), 0.95);
  EXPECT_EQ(report.timeouts(), 0u);
}

TEST(Network, WithoutAWayIsRefused) {
  EXPECT_THROW(Network(Topology::parse("a -- 1ms -- b\nc -- 1ms -- d\na > d\n"), {}), std::invalid_argument);
  EXPECT_THROW(Network(Topology::parse("a -- 1ms -- b\na > e\n"), {}), std::invalid_argument);
}

}  // namespace
}  // namespace millrace::test
