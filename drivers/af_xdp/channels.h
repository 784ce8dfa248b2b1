#pragma once

#include <cstdint>
#include <string>

namespace millrace::drivers {

/// Whether an interface has `count` queues from `first` on, each to receive by and to send by. Empty, also
/// where its driver does not tell; or what it has and what to do. One queue is not asked for: opening its
/// socket tells.
[[nodiscard]] std::string check_queues(const std::string& interface, std::uint32_t first,
                                       std::uint32_t count);

}  // namespace millrace::drivers
