#include "sim/aims.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tcp/congestion_list.h"

namespace millrace::test {
namespace {

struct Held {
  std::string_view control, name;
};
/// What is reached and must stay so. The others are only measured: proving-ground --aims shows all.
constexpr std::array kHeld{
    Held{"cubic", "share of a clean 100M, 1 ms, queue of a BDP"},
    Held{"cubic", "share of a clean 100M, 10 ms, queue of a BDP"},
    Held{"cubic", "share of a clean 100M, 100 ms, queue of a BDP"},
    Held{"cubic", "share of a clean 100M, 200 ms, queue of a BDP"},
    Held{"cubic", "share of a clean 1G, 1 ms, queue of a BDP"},
    Held{"cubic", "share of a clean 1G, 10 ms, queue of a BDP"},
    Held{"cubic", "share of a clean 100M, 40 ms, queue of half a BDP"},
    Held{"cubic", "share of a clean 1G, 40 ms, queue of half a BDP"},
    Held{"cubic", "smaller of two equal flows to the larger, 20M, 40 ms"},
    Held{"cubic", "losses repaired without a timeout, 1% loss, 100 ms"},
    Held{"cubic", "throughput left at 30% reordering within RTT/4, 100M, 40 ms"},
    Held{"reno", "share of a clean 100M, 10 ms, queue of a BDP"},
    Held{"reno", "share of a clean 100M, 100 ms, queue of a BDP"},
    Held{"reno", "share of a clean 100M, 200 ms, queue of a BDP"},
    Held{"reno", "share of a clean 1G, 1 ms, queue of a BDP"},
    Held{"reno", "share of a clean 1G, 10 ms, queue of a BDP"},
    Held{"reno", "deviation from 1.22/sqrt(p) at 0.01% loss, 40 ms"},
    Held{"reno", "deviation from 1.22/sqrt(p) at 0.1% loss, 40 ms"},
    Held{"reno", "deviation from 1.22/sqrt(p) at 1% loss, 40 ms"},
    Held{"reno", "smaller of two equal flows to the larger, 20M, 40 ms"},
    Held{"reno", "losses repaired without a timeout, 1% loss, 100 ms"},
    Held{"reno", "throughput left at 30% reordering within RTT/4, 100M, 40 ms"},
    Held{"bbr", "share of a clean 100M, 1 ms, queue of a BDP"},
    Held{"bbr", "share of a clean 100M, 10 ms, queue of a BDP"},
    Held{"bbr", "share of a clean 100M, 100 ms, queue of a BDP"},
    Held{"bbr", "share of a clean 100M, 200 ms, queue of a BDP"},
    Held{"bbr", "share of a clean 1G, 1 ms, queue of a BDP"},
    Held{"bbr", "share of a clean 1G, 10 ms, queue of a BDP"},
    Held{"bbr", "smaller of two equal flows to the larger, 20M, 40 ms"},
    Held{"bbr", "losses repaired without a timeout, 1% loss, 100 ms"},
    Held{"bbr", "throughput left at 30% reordering within RTT/4, 100M, 40 ms"},
    Held{"dctcp", "share of a clean 100M, 10 ms, queue of a BDP"},
    Held{"dctcp", "share of a clean 100M, 100 ms, queue of a BDP"},
    Held{"dctcp", "share of a clean 100M, 200 ms, queue of a BDP"},
    Held{"dctcp", "share of a clean 1G, 1 ms, queue of a BDP"},
    Held{"dctcp", "share of a clean 1G, 10 ms, queue of a BDP"},
    Held{"dctcp", "smaller of two equal flows to the larger, 20M, 40 ms"},
    Held{"dctcp", "losses repaired without a timeout, 1% loss, 100 ms"},
    Held{"dctcp", "throughput left at 30% reordering within RTT/4, 100M, 40 ms"},
};
constexpr std::uint64_t kBriefSeeds = 2, kQuickSeeds = 5;

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "1";
}

struct Case {
  const Aim* aim;
  std::string control;
};
std::vector<Case> cases() {
  std::vector<Case> result;
  for (const tcp::CongestionEntry& entry : tcp::congestion_list()) {
    for (const Aim& aim : aims()) {
      if (!aim.is_for(entry.name) || (aim.costly && !is_set("MILLRACE_SOAK"))) continue;
      if (is_set("MILLRACE_BRIEF") && !aim.brief) continue;
      result.push_back({&aim, std::string(entry.name)});
    }
  }
  return result;
}

class Aims : public testing::TestWithParam<Case> {};

TEST_P(Aims, Measured) {
  const auto& [aim, control] = GetParam();
  const std::uint64_t seeds = is_set("MILLRACE_BRIEF")  ? kBriefSeeds
                              : is_set("MILLRACE_SOAK") ? aim->test_seeds
                                                        : std::min(aim->test_seeds, kQuickSeeds);
  const double measured = aim->measure(control, seeds);
  const std::string line = aim->to_string(control, measured);
  const bool held = std::any_of(kHeld.begin(), kHeld.end(), [&](const Held& one) {
    return one.control == GetParam().control && one.name == GetParam().aim->name;
  });
  if (held) {
    EXPECT_TRUE(aim->holds(measured)) << line;
  } else {
    std::printf("%s\n", line.c_str());
  }
}

INSTANTIATE_TEST_SUITE_P(Each, Aims, testing::ValuesIn(cases()), [](const auto& one) {
  std::string name = one.param.control + "_" + one.param.aim->name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace millrace::test
