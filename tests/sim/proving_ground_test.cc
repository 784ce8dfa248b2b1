#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>

#include "sim/random_network.h"
#include "sim/scenarios.h"
#include "tcp/congestion_list.h"

namespace millrace::test {
namespace {

constexpr std::uint64_t kSeedsACase = 25;
constexpr std::uint64_t kSeeds = 500, kSoakSeeds = 20'000, kBriefSeeds = 50;

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "1";
}
/// A build with sanitizers does less.
bool brief() {
  return is_set("MILLRACE_BRIEF");
}
bool soak() {
  return is_set("MILLRACE_SOAK");
}

std::vector<std::string> congestion_names() {
  std::vector<std::string> names;
  for (const tcp::CongestionEntry& entry : tcp::congestion_list()) names.emplace_back(entry.name);
  return names;
}

class GoldenTable : public testing::TestWithParam<std::string> {
 protected:
  /// The committed lines, by the scenario's name, which fills the first column.
  static std::map<std::string, std::string> committed(const std::string& control) {
    std::map<std::string, std::string> lines;
    std::ifstream file(std::string(MILLRACE_GOLDEN_DIR) + "/" + golden_table_name(control));
    for (std::string line; std::getline(file, line);) {
      for (const NetworkScenario& scenario : scenarios()) {
        if (line.starts_with(scenario.name + "  ")) lines[scenario.name] = line;
      }
    }
    return lines;
  }
};

TEST_P(GoldenTable, IsWhatTheStackDoesNow) {
  const auto lines = committed(GetParam());
  std::string differences;
  for (const NetworkScenario& scenario : scenarios()) {
    if (brief() && !scenario.brief) continue;
    const auto found = lines.find(scenario.name);
    const std::string now = table_line(scenario, GetParam());
    const std::string then = found == lines.end() ? std::string() : found->second;
    if (now != then) differences += "- " + then + "\n+ " + now + "\n";
    EXPECT_EQ(now.find("WRONG"), std::string::npos) << now;
  }
  EXPECT_EQ(differences, "")
      << "  " << table_header()
      << "\nIf this is what was meant to change: build/tests/sim/proving-ground --update "
         "tests/golden, and look at the difference.";
}

INSTANTIATE_TEST_SUITE_P(Of, GoldenTable, testing::ValuesIn(congestion_names()),
                         [](const auto& one) { return one.param; });

class RandomNetworks : public testing::TestWithParam<std::uint64_t> {};

TEST_P(RandomNetworks, DeliverEveryByteAndLeaveNothing) {
  for (std::uint64_t seed = GetParam(); seed < GetParam() + kSeedsACase; ++seed) {
    const RandomNetwork network(seed);
    EXPECT_EQ(network.run(), "") << network.to_string()
                                 << "replay: build/tests/sim/proving-ground --verbose --random " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(FromSeed, RandomNetworks,
                         testing::Range<std::uint64_t>(0,
                                                       soak()    ? kSoakSeeds
                                                       : brief() ? kBriefSeeds
                                                                 : kSeeds,
                                                       kSeedsACase),
                         [](const auto& one) { return std::to_string(one.param); });

}  // namespace
}  // namespace millrace::test
