#pragma once

#include <span>
#include <string>
#include <string_view>

#include "support/network.h"

namespace millrace::test {

/// A network of the proving ground and how long it is looked at.
struct NetworkScenario {
  std::string name;
  std::string topology;
  Duration warm_up, duration;
  bool brief = false;  ///< quick enough for a build with sanitizers
};

/// The list that the golden tables are made of. Names are unique.
[[nodiscard]] std::span<const NetworkScenario> scenarios();

/// A line of the table, without its end.
[[nodiscard]] std::string table_header();
/// Runs a scenario with flows that name no congestion control under this one. What is wrong with the run
/// stands in the line's end.
[[nodiscard]] std::string table_line(const NetworkScenario& scenario, std::string_view congestion,
                                     std::uint64_t seed = 1);

/// The file of a congestion control's table in tests/golden.
[[nodiscard]] std::string golden_table_name(std::string_view congestion);

/// The topology with that congestion control for all flows that name none.
[[nodiscard]] Topology with_congestion(Topology topology, std::string_view congestion);

}  // namespace millrace::test
