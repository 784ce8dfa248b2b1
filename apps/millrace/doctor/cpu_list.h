#pragma once

#include <set>
#include <string>
#include <string_view>

namespace millrace::doctor {

/// The kernel's way to write a set of CPUs (and of other numbers): "0-3,8".
[[nodiscard]] std::set<unsigned> parse_cpu_list(std::string_view text);
[[nodiscard]] std::string format_cpu_list(const std::set<unsigned>& cpus);

}  // namespace millrace::doctor
