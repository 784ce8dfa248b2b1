#include "dpdk/rss.h"

#include <algorithm>

namespace millrace::drivers::dpdk {
namespace {

constexpr std::uint64_t kTypes = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP;
/// Where a device does not say how long its key is.
constexpr std::size_t kUsualKey = 40;

using Table = std::vector<std::uint16_t>;

/// Round the queues. Empty: the device has no table that can be set or read.
Table fill_table(std::uint16_t port, std::uint16_t size, std::uint16_t queues) {
  constexpr std::size_t kGroup = RTE_ETH_RETA_GROUP_SIZE;
  std::vector<rte_eth_rss_reta_entry64> groups((size + kGroup - 1) / kGroup);
  Table table(size);
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<std::uint16_t>(i % queues);
    groups[i / kGroup].mask |= std::uint64_t{1} << i % kGroup;
    groups[i / kGroup].reta[i % kGroup] = table[i];
  }
  if (size == 0) return table;
  const bool filled = rte_eth_dev_rss_reta_update(port, groups.data(), size) == 0;
  if (rte_eth_dev_rss_reta_query(port, groups.data(), size) != 0) return filled ? table : Table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = groups[i / kGroup].reta[i % kGroup];
  return table;
}

}  // namespace

void Rss::ask(const rte_eth_dev_info& info, rte_eth_conf& conf) {
  if ((info.flow_type_rss_offloads & kTypes) != kTypes) return;
  key_.resize(info.hash_key_size != 0 ? info.hash_key_size : kUsualKey);
  for (std::size_t i = 0; i < key_.size(); ++i) key_[i] = i % 2 == 0 ? 0x6d : 0x5a;
  conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  conf.rx_adv_conf.rss_conf.rss_key = key_.data();
  conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<std::uint8_t>(key_.size());
  conf.rx_adv_conf.rss_conf.rss_hf = kTypes;
}

void Rss::apply(std::uint16_t port, const rte_eth_dev_info& info, std::uint16_t queues) {
  if (key_.empty()) return;
  Table table = fill_table(port, info.reta_size, queues);
  if (applied_) return;
  applied_ = true;
  const bool fits =
      std::all_of(table.begin(), table.end(), [queues](std::uint16_t queue) { return queue < queues; });
  if (!table.empty() && fits && read_key(port)) hash_.emplace(key_, std::move(table));
}

bool Rss::read_key(std::uint16_t port) {
  std::vector<std::uint8_t> key(key_.size());
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = static_cast<std::uint8_t>(key.size());
  if (rte_eth_dev_rss_hash_conf_get(port, &conf) != 0) return true;  // it cannot tell: what it took
  if ((conf.rss_hf & kTypes) != kTypes) return false;
  // Some do not tell the key: it is not zero.
  if (std::any_of(key.begin(), key.end(), [](std::uint8_t byte) { return byte != 0; }))
    std::copy(key.begin(), key.end(), key_.begin());
  return true;
}

}  // namespace millrace::drivers::dpdk
