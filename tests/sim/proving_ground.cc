// The proving ground: bulk transfers over bad and good networks, in virtual time.
//
//     proving-ground                                    every scenario under every congestion control
//     proving-ground --update tests/golden              the same, into the golden tables there
//     proving-ground --scenario 'loss 1% 100M 40ms' [--control reno] [--seed N] [--verbose]
//     proving-ground --aims [--seeds 20] [--control reno]
//     proving-ground --random N [--count M] [--verbose] seeds of the test of random networks

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "sim/aims.h"
#include "sim/random_network.h"
#include "sim/scenarios.h"
#include "tcp/congestion_list.h"

namespace {

using namespace millrace;
using namespace millrace::test;

struct Arguments {
  std::string update, scenario, control;
  std::optional<std::uint64_t> random;
  std::uint64_t seed = 1, seeds = 20, count = 1;
  bool aims = false, verbose = false;
};

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--aims") {
      arguments.aims = true;
      continue;
    }
    if (name == "--verbose") {
      arguments.verbose = true;
      continue;
    }
    if (++i == argc) return false;
    std::uint64_t number = 0;
    const char* const end = argv[i] + std::strlen(argv[i]);
    const bool is_number = std::from_chars(argv[i], end, number).ptr == end;
    if (name == "--update") {
      arguments.update = argv[i];
    } else if (name == "--scenario") {
      arguments.scenario = argv[i];
    } else if (name == "--control") {
      arguments.control = argv[i];
    } else if (!is_number) {
      return false;
    } else if (name == "--seed") {
      arguments.seed = number;
    } else if (name == "--seeds") {
      arguments.seeds = number;
    } else if (name == "--count") {
      arguments.count = number;
    } else if (name == "--random") {
      arguments.random = number;
    } else {
      return false;
    }
  }
  return true;
}

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

int tables(const Arguments& arguments) {
  for (const tcp::CongestionEntry& entry : tcp::congestion_list()) {
    if (!arguments.control.empty() && arguments.control != entry.name) continue;
    std::ofstream file;
    if (!arguments.update.empty()) {
      file.open(arguments.update + "/" + golden_table_name(entry.name));
      file << table_header() << '\n';
    }
    std::printf("%s: \n%s\n", std::string(entry.name).c_str(), table_header().c_str());
    for (const NetworkScenario& scenario : scenarios()) {
      if (!arguments.scenario.empty() && arguments.scenario != scenario.name) continue;
      const Stopwatch stopwatch;
      const std::string line = table_line(scenario, entry.name, arguments.seed);
      std::printf("%s", line.c_str());
      if (arguments.verbose) std::printf("  %.2f s", stopwatch.seconds());
      std::printf("\n");
      std::fflush(stdout);
      if (file.is_open()) file << line << '\n';
    }
    if (file.is_open() && !file.good()) {
      std::fprintf(stderr, "cannot write to %s\n", arguments.update.c_str());
      return 1;
    }
  }
  return 0;
}

int random_networks(const Arguments& arguments) {
  int failed = 0;
  for (std::uint64_t seed = *arguments.random; seed < *arguments.random + arguments.count; ++seed) {
    const Stopwatch stopwatch;
    const RandomNetwork network(seed);
    if (arguments.verbose) std::printf("%s", network.to_string().c_str());
    const std::string wrong = network.run();
    if (arguments.verbose)
      std::printf("seed %llu: %.2f s\n", static_cast<unsigned long long>(seed), stopwatch.seconds());
    if (wrong.empty()) continue;
    ++failed;
    std::printf("FAILED seed %llu: %s\n%s", static_cast<unsigned long long>(seed), wrong.c_str(),
                network.to_string().c_str());
    std::fflush(stdout);
  }
  std::printf("%d of %llu seeds failed\n", failed, static_cast<unsigned long long>(arguments.count));
  return failed == 0 ? 0 : 1;
}

int aims_table(const Arguments& arguments) {
  for (const tcp::CongestionEntry& entry : tcp::congestion_list()) {
    if (!arguments.control.empty() && arguments.control != entry.name) continue;
    for (const Aim& aim : aims()) {
      if (!aim.is_for(entry.name)) continue;
      const Stopwatch stopwatch;
      const double measured = aim.measure(entry.name, arguments.seeds);
      std::printf("%s", aim.to_string(entry.name, measured).c_str());
      if (arguments.verbose) std::printf("  %.2f s", stopwatch.seconds());
      std::printf("\n");
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fputs(
        "usage: proving-ground [--update DIR] [--scenario NAME] [--control NAME] [--seed N] [--verbose]\n"
        "       proving-ground --aims [--seeds N] [--control NAME] [--verbose]\n"
        "       proving-ground --random SEED [--count N] [--verbose]\n",
        stderr);
    return 2;
  }
  if (arguments.random) return random_networks(arguments);
  if (arguments.aims) return aims_table(arguments);
  return tables(arguments);
}
