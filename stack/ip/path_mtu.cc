#include "ip/path_mtu.h"

#include <algorithm>
#include <bit>
#include <memory>

namespace millrace::ip {

PathMtuCache::PathMtuCache(const Config& config, TimerWheel& timers, Rng& rng, CounterSet<Counter>& counters,
                           std::uint32_t& generation)
    : limit_(std::max<std::size_t>(config.path_mtu_entries, 1)),
      min_mtu_(config.min_path_mtu),
      timeout_(config.path_mtu_timeout),
      timers_(timers),
      counters_(counters),
      generation_(generation),
      buckets_(std::bit_ceil(limit_)),
      table_(Table::bucket_traits(buckets_.data(), buckets_.size()), Hash{rng.u64()}),
      timer_(&PathMtuCache::on_timer, this) {}

PathMtuCache::~PathMtuCache() {
  while (!by_expiry_.empty()) remove(by_expiry_.front());
}

std::uint32_t PathMtuCache::get(const IpAddress& destination, std::uint32_t otherwise) const {
  if (table_.empty()) return otherwise;
  const auto it = table_.find(destination, table_.hash_function(), table_.key_eq());
  return it == table_.end() ? otherwise : std::min(it->mtu, otherwise);
}

void PathMtuCache::lower(const IpAddress& destination, std::uint32_t mtu, std::uint32_t in_force,
                         Instant now) {
  mtu = clamp(mtu);
  if (mtu >= in_force) {
    counters_.add(Counter::kPathMtuIgnored);
    return;
  }
  const auto it = table_.find(destination, table_.hash_function(), table_.key_eq());
  Entry* entry = it == table_.end() ? nullptr : &*it;
  if (entry != nullptr) {
    by_expiry_.erase(by_expiry_.iterator_to(*entry));
  } else {
    if (table_.size() >= limit_) {
      counters_.add(Counter::kPathMtuEvicted);
      remove(by_expiry_.front());
    }
    auto fresh = std::make_unique<Entry>();
    fresh->destination = destination;
    entry = fresh.release();
    table_.insert(*entry);
  }
  entry->mtu = mtu;
  entry->expires = now + timeout_;
  by_expiry_.push_back(*entry);
  timers_.arm_no_later_than(timer_, by_expiry_.front().expires);
  ++generation_;
  counters_.add(Counter::kPathMtuUpdates);
}

void PathMtuCache::remove(Entry& entry) {
  by_expiry_.erase(by_expiry_.iterator_to(entry));
  table_.erase(table_.iterator_to(entry));
  delete &entry;
  ++generation_;
}

void PathMtuCache::on_timer(void* owner, Instant now) {
  // RFC 1191 §6.3: after a while the larger MTU is tried again.
  PathMtuCache& cache = *static_cast<PathMtuCache*>(owner);
  while (!cache.by_expiry_.empty() && cache.by_expiry_.front().expires <= now)
    cache.remove(cache.by_expiry_.front());
  if (!cache.by_expiry_.empty()) cache.timers_.arm(cache.timer_, cache.by_expiry_.front().expires);
}

}  // namespace millrace::ip
