#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/unordered_set.hpp>

#include "base/ip_address.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "ip/config.h"
#include "ip/counters.h"
#include "link/address_hash.h"

namespace millrace::ip {

/// Path MTUs that are lower than the interface's (RFC 1191), for a bounded number of destinations and a
/// bounded time. Whoever caches a route watches `generation`, which moves with every change here.
class PathMtuCache {
 public:
  PathMtuCache(const Config& config, TimerWheel& timers, Rng& rng, CounterSet<Counter>& counters,
               std::uint32_t& generation);
  PathMtuCache(const PathMtuCache&) = delete;
  PathMtuCache& operator=(const PathMtuCache&) = delete;
  ~PathMtuCache();

  /// min(known, otherwise).
  [[nodiscard]] std::uint32_t get(const IpAddress& destination, std::uint32_t otherwise) const;
  /// A claim, clamped to the least we believe. Only ever lowers: RFC 1191 §3.
  void lower(const IpAddress& destination, std::uint32_t mtu, std::uint32_t in_force, Instant now);
  /// What lower() would make of a claim.
  [[nodiscard]] std::uint32_t clamp(std::uint32_t mtu) const { return std::max(mtu, min_mtu_); }
  [[nodiscard]] std::size_t size() const { return table_.size(); }

 private:
  struct Entry : boost::intrusive::unordered_set_base_hook<>, boost::intrusive::list_base_hook<> {
    IpAddress destination;
    std::uint32_t mtu = 0;
    Instant expires{};
  };
  struct Hash {
    std::uint64_t seed;
    std::size_t operator()(const IpAddress& address) const { return link::hash_address(address, seed); }
    std::size_t operator()(const Entry& entry) const { return (*this)(entry.destination); }
  };
  struct Equal {
    bool operator()(const Entry& a, const Entry& b) const { return a.destination == b.destination; }
    bool operator()(const IpAddress& a, const Entry& b) const { return a == b.destination; }
  };
  using Table =
      boost::intrusive::unordered_set<Entry, boost::intrusive::hash<Hash>, boost::intrusive::equal<Equal>,
                                      boost::intrusive::power_2_buckets<true>>;

  static void on_timer(void* owner, Instant now);
  void remove(Entry& entry);

  std::size_t limit_;
  std::uint32_t min_mtu_;
  Duration timeout_;
  TimerWheel& timers_;
  CounterSet<Counter>& counters_;
  std::uint32_t& generation_;
  std::vector<Table::bucket_type> buckets_;
  Table table_;
  boost::intrusive::list<Entry> by_expiry_;
  Timer timer_;
};

}  // namespace millrace::ip
