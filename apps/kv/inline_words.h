#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::kv {

/// The words of a line, as redis-cli and Redis split one: "…" with \n \r \t \b \a \xHH, '…' with \'. Nothing:
/// quotes that are not closed, or are followed by something other than a space.
std::optional<std::vector<std::string>> split_words(std::string_view line);

}  // namespace millrace::kv
