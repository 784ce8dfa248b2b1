// Paths that swallow large packets and do not tell: what a transfer makes of them.
#include <gtest/gtest.h>

#include <string>

#include "support/network.h"
#include "tcp/counters.h"

namespace millrace::test {
namespace {

using Probing = tcp::Config::MtuProbing;

constexpr std::uint32_t kThreshold = 8;

/// One flow from a to b; `hole` is said of the direction from r1 to r2.
struct Path {
  std::string hole;
  std::string device = "1500";
  std::string congestion = "cubic";
  Probing probing = Probing::kBlackHole;
  std::uint64_t seed = 1;
  std::string bytes = {};
  std::string rate = "20M";  ///< from r1 to r2, a second
};

struct Outcome {
  TcpInfo info;  ///< of the sender, at the end of the run
  std::uint64_t received = 0, black_holes = 0, probes_failed = 0, probes_arrived = 0;
  std::string wrong;
};

Network network_of(const Path& path) {
  NetworkOptions options;
  options.seed = path.seed;
  options.verify = BulkFlow::Verify::kAll;
  options.tcp.mtu_probing = path.probing;
  const std::string bytes = path.bytes.empty() ? "" : " bytes=" + path.bytes;
  return Network(
      Topology::parse("a -- 100M 1ms mtu=" + path.device + " -- r1\nr1 -- " + path.rate +
                      " 9ms queue=1bdp mtu=" + path.device + " -- r2\nb -- 100M 1ms mtu=" + path.device +
                      " -- r2\nr1 -> " + path.hole + " -> r2\na > b " + path.congestion + bytes + "\n"),
      options);
}

Outcome run(const Path& path, Duration duration) {
  Network network = network_of(path);
  network.run_for(duration);
  Outcome outcome;
  outcome.info = network.flow(0).info(kEpoch + 1000s + duration);
  outcome.received = network.flow(0).received();
  const auto& counters = network.sender(0).stack.tcp().counters();
  outcome.black_holes = counters[tcp::Counter::kMtuBlackHole];
  outcome.probes_failed = counters[tcp::Counter::kMtuProbeFail];
  outcome.probes_arrived = counters[tcp::Counter::kMtuProbeSuccess];
  outcome.wrong = network.finish();
  return outcome;
}

void expect_found(const Outcome& outcome, std::uint32_t mtu, const std::string& what) {
  EXPECT_EQ(outcome.wrong, "") << what;
  EXPECT_LE(outcome.info.pmtu, mtu) << what;
  EXPECT_GT(outcome.info.pmtu + kThreshold, mtu) << what;
  EXPECT_EQ(outcome.info.snd_mss, outcome.info.pmtu - 52) << what;
}

class BlackHole : public testing::TestWithParam<const char*> {};

TEST_P(BlackHole, IsLeftAndThePathMtuFound) {
  for (const std::uint32_t mtu : {1400u, 1280u, 576u}) {
    Path path{"mtu=" + std::to_string(mtu)};
    path.congestion = GetParam();
    const Outcome outcome = run(path, 60s);
    expect_found(outcome, mtu, path.hole);
    EXPECT_GE(outcome.black_holes, 1u);
    EXPECT_GE(outcome.probes_arrived, 1u);
    EXPECT_GT(static_cast<double>(outcome.received) * 8 / 60, 15e6)
        << path.hole << ": most of the time is used";
  }
}

TEST_P(BlackHole, IsNeverMetWhenTheSearchBeginsLow) {
  Path path{"mtu=1400"};
  path.congestion = GetParam();
  path.probing = Probing::kAlways;
  const Outcome outcome = run(path, 60s);
  expect_found(outcome, 1400, "from the start");
  EXPECT_EQ(outcome.black_holes, 0u);
}

TEST_P(BlackHole, OfAnOrdinaryMtuOnAWayWithJumboFrames) {
  Path path{"mtu=1500", "9000"};
  path.congestion = GetParam();
  expect_found(run(path, 100s), 1500, "9000 to 1500");
}

TEST_P(BlackHole, OpensInMidTransfer) {
  Path path{"mtu=5s:1280 mtu=40s:1400"};
  path.congestion = GetParam();
  expect_found(run(path, 40s), 1280, "a route with a smaller MTU");
}

TEST_P(BlackHole, ClosesInMidTransfer) {
  Path path{"mtu=1280 mtu=30s:1500"};
  path.congestion = GetParam();
  path.rate = "4M";  // the less there is to simulate in so long a time
  const Outcome outcome = run(path, 700s);
  EXPECT_EQ(outcome.wrong, "");
  EXPECT_EQ(outcome.info.pmtu, 1500u) << "ten minutes later it is tried again";
}

TEST_P(BlackHole, IsFoundDespiteRandomLoss) {
  std::uint32_t exact = 0;
  constexpr std::uint64_t kSeeds = 8;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Path path{"mtu=1400 loss=0.2%"};
    path.congestion = GetParam();
    path.seed = seed;
    const Outcome outcome = run(path, 60s);
    EXPECT_EQ(outcome.wrong, "");
    EXPECT_LE(outcome.info.pmtu, 1400u);
    EXPECT_GE(outcome.info.pmtu, 1064u) << "seed " << seed;
    exact += outcome.info.pmtu + kThreshold > 1400 ? 1u : 0u;
  }
  // A probe that is lost by chance ends its search too low, until the next.
  EXPECT_GE(exact, kSeeds * 3 / 4);
}

TEST_P(BlackHole, SwallowsNoTransfer) {
  for (const std::uint32_t mtu : {1400u, 1280u, 576u, 296u}) {
    Path path{"mtu=" + std::to_string(mtu) + " loss=1%"};
    path.congestion = GetParam();
    path.bytes = "3M";
    Network network = network_of(path);
    EXPECT_TRUE(network.run_to_completion(120s)) << mtu << '\n' << network.describe();
    EXPECT_EQ(network.flow(0).received(), 3'000'000u);
    EXPECT_EQ(network.finish(), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Of, BlackHole, testing::Values("reno", "cubic", "bbr"),
                         [](const auto& one) { return std::string(one.param); });

TEST(BlackHoleWithoutProbing, LetsNothingThrough) {
  Path path{"mtu=1400"};
  path.probing = Probing::kOff;
  Network network = network_of(path);
  network.run_for(60s);
  EXPECT_EQ(network.flow(0).received(), 0u);
  EXPECT_EQ(network.finish(Network::Ending::kReset), "");
}

TEST(BlackHoleOfAnother, IsKnownToLaterConnections) {
  NetworkOptions options;
  Network network(Topology::parse("a -- 20M 10ms -- r\nb -- 20M 10ms -- r\nr -> mtu=1400 -> b\na > b\n"
                                  "a > b bytes=100k start=40s\n"),
                  options);
  network.run_for(40s);
  EXPECT_FALSE(network.flow(1).complete());
  network.run_for(1s);
  EXPECT_TRUE(network.flow(1).complete()) << "it does not stop at a hole of its own";
  EXPECT_EQ(network.finish(), "");
}

}  // namespace
}  // namespace millrace::test
