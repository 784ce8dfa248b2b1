#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "support/simulator.h"

namespace millrace::test {
namespace {

constexpr std::uint64_t kSeedsACase = 25;
constexpr std::uint64_t kSeeds = 500, kSoakSeeds = 20'000;

std::uint64_t seed_count() {
  const char* soak = std::getenv("MILLRACE_SOAK");
  return soak != nullptr && std::string_view(soak) == "1" ? kSoakSeeds : kSeeds;
}

class TwoStacks : public testing::TestWithParam<std::uint64_t> {};

TEST_P(TwoStacks, EveryByteArrivesEveryConnectionEndsAndNothingIsLeft) {
  for (std::uint64_t seed = GetParam(); seed < GetParam() + kSeedsACase; ++seed) {
    const std::string wrong = Simulator(Scenario::from_seed(seed)).run();
    EXPECT_EQ(wrong, "") << "replay: build/tests/sim/millrace-sim --trace --seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(FromSeed, TwoStacks, testing::Range<std::uint64_t>(0, seed_count(), kSeedsACase),
                         [](const auto& one) { return std::to_string(one.param); });

}  // namespace
}  // namespace millrace::test
