#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"

namespace millrace::test {

/// What a stack should reach on a kind of network: a figure that is measured as the median over seeds.
struct Aim {
  std::string name;
  std::string control;  ///< only for this congestion control; empty: for each
  double bound = 0;
  bool at_least = true;           ///< else at most
  bool costly = false;            ///< takes long: not in every run of the tests
  std::uint64_t test_seeds = 20;  ///< how many the long tests take; the short ones five at most
  bool brief = false;             ///< quick enough for a build with sanitizers
  double (*measure_one)(const Aim& aim, std::string_view congestion, std::uint64_t seed) = nullptr;
  std::string topology;
  Duration warm_up{0}, duration{0};
  double loss = 0;  ///< of the topology, for the law about it

  [[nodiscard]] bool is_for(std::string_view congestion) const {
    return control.empty() || control == congestion;
  }
  [[nodiscard]] double measure(std::string_view congestion, std::uint64_t seeds) const;
  [[nodiscard]] bool holds(double measured) const { return at_least ? measured >= bound : measured <= bound; }
  /// A line: name, control, aim, measured, and whether it holds.
  [[nodiscard]] std::string to_string(std::string_view congestion, double measured) const;
};

[[nodiscard]] std::span<const Aim> aims();

}  // namespace millrace::test
