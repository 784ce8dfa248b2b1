#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace millrace::posix {

class Context;

/// Every counter, "room.Name", value: as of one moment of each context, and their sums over several.
[[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> snapshot(std::span<Context* const> contexts);

}  // namespace millrace::posix
