// Replays seeds of the simulator: millrace-sim --seed 17 [--count 100] [--trace] [--verbose]

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "support/simulator.h"

namespace {

std::optional<std::uint64_t> number(const char* text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != '\0') return std::nullopt;
  return value;
}

int usage() {
  std::fputs("usage: millrace-sim --seed N [--count N] [--trace] [--verbose]\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<std::uint64_t> seed;
  std::uint64_t count = 1;
  bool trace = false, verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--trace") {
      trace = true;
    } else if (argument == "--verbose") {
      verbose = true;
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = number(argv[++i]);
    } else if (argument == "--count" && i + 1 < argc) {
      const auto given = number(argv[++i]);
      if (!given) return usage();
      count = *given;
    } else {
      return usage();
    }
  }
  if (!seed) return usage();
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto scenario = millrace::test::Scenario::from_seed(*seed + i);
    if (verbose) std::fputs(scenario.to_string().c_str(), stdout);
    const auto start = std::chrono::steady_clock::now();
    millrace::test::Simulator simulator(scenario, trace);
    const std::string wrong = simulator.run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (verbose || trace || count == 1)
      std::printf("%s, took %.3f s\n", simulator.summary().c_str(), took.count());
    if (!wrong.empty()) {
      ++failed;
      std::printf("FAILED seed %llu: %s\n", static_cast<unsigned long long>(*seed + i), wrong.c_str());
    }
    std::fflush(stdout);
  }
  std::printf("%llu of %llu seeds failed\n", static_cast<unsigned long long>(failed),
              static_cast<unsigned long long>(count));
  return failed == 0 ? 0 : 1;
}
