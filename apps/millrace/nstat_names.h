#pragma once

#include <cstddef>
#include <string_view>

namespace millrace::command {

/// Where `name` stands among what nstat(8) prints of the kernel; npos when nstat has no such name. Names of
/// the same extension group (TcpExt, IpExt) share a place.
[[nodiscard]] std::size_t nstat_place(std::string_view name);

}  // namespace millrace::command
