#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace::drivers::dpdk {

/// What a port of DPDK's counts, under its own names. Empty where it says nothing.
[[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> read_xstats(std::uint16_t port);

}  // namespace millrace::drivers::dpdk
