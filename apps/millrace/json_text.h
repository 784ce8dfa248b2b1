#pragma once

#include <string>
#include <string_view>

namespace millrace::command {

/// A string as JSON has it, with its quotes (RFC 8259 §7).
[[nodiscard]] std::string quoted_json(std::string_view text);

}  // namespace millrace::command
