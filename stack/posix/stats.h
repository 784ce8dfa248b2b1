#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace::posix {

class Context;

/// Every counter of the context as of one moment: "room.Name", value.
[[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> snapshot(Context& context);

}  // namespace millrace::posix
