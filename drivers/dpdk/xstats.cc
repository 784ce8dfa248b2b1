#include "dpdk/xstats.h"

#include <rte_ethdev.h>

#include <cstddef>

namespace millrace::drivers::dpdk {

std::vector<std::pair<std::string, std::uint64_t>> read_xstats(std::uint16_t port) {
  std::vector<std::pair<std::string, std::uint64_t>> all;
  const int count = rte_eth_xstats_get_names(port, nullptr, 0);
  if (count <= 0) return all;
  std::vector<rte_eth_xstat_name> names(static_cast<std::size_t>(count));
  std::vector<rte_eth_xstat> values(static_cast<std::size_t>(count));
  const auto size = static_cast<unsigned>(count);
  if (rte_eth_xstats_get_names(port, names.data(), size) != count ||
      rte_eth_xstats_get(port, values.data(), size) != count)
    return all;
  for (const rte_eth_xstat& value : values) {
    if (value.id < names.size()) all.emplace_back(names[value.id].name, value.value);
  }
  return all;
}

}  // namespace millrace::drivers::dpdk
