#include "posix/stats.h"

#include <string_view>
#include <unordered_map>

#include "posix/context.h"

namespace millrace::posix {

namespace {

using Counters = std::vector<std::pair<std::string, std::uint64_t>>;

Counters snapshot_of(Context& context) {
  Counters counters;
  const auto add = [&](std::string_view room, std::string_view name, std::uint64_t value) {
    std::string full(room);
    full += '.';
    full += name;
    counters.emplace_back(std::move(full), value);
  };
  ContextLock guard(context);
  Stack& stack = context.stack();
  stack.for_each_counter(add);
  add("pool", "BytesInUse", stack.pool().bytes_in_use());
  add("pool", "BuffersInUse", stack.pool().buffers_in_use());
  add("pool", "PacketsInUse", stack.pool().packets_in_use());
  add("tcp", "Connections", stack.tcp().connection_count());
  add("tcp", "TimeWait", stack.tcp().time_wait_count());
  add("tcp", "SynReceived", stack.tcp().request_count());
  add("timer", "Armed", stack.timers().size());
  if (context.device() != nullptr) {
    const DeviceStats device = context.device()->stats();
    add("device", "RxPackets", device.rx_packets);
    add("device", "RxBytes", device.rx_bytes);
    add("device", "TxPackets", device.tx_packets);
    add("device", "TxBytes", device.tx_bytes);
    add("device", "RxDropped", device.rx_dropped);
    add("device", "RxTruncated", device.rx_truncated);
    add("device", "RxNoMemory", device.rx_no_memory);
    add("device", "TxErrors", device.tx_errors);
    add("device", "TxFull", device.tx_full);
    for (const auto& [name, value] : context.device()->extended_stats()) add("device", name, value);
  }
  return counters;
}

}  // namespace

Counters snapshot(std::span<Context* const> contexts) {
  Counters sums = snapshot_of(*contexts.front());
  if (contexts.size() == 1) return sums;
  std::unordered_map<std::string, std::size_t> places;
  for (const auto& [name, value] : sums) places.emplace(name, places.size());
  for (Context* context : contexts.subspan(1)) {
    for (auto& [name, value] : snapshot_of(*context)) {
      const auto [place, fresh] = places.emplace(name, sums.size());
      if (fresh) {
        sums.emplace_back(name, value);
      } else {
        sums[place->second].second += value;
      }
    }
  }
  return sums;
}

}  // namespace millrace::posix
