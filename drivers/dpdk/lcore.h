#pragma once

#include <rte_lcore.h>

#include <cstdint>
#include <utility>

namespace millrace::drivers::dpdk {

/// That a queue's pool keeps for the queue's number.
inline constexpr std::uint32_t kCacheMbufs = 256;

/// A number by which DPDK keeps caches of mbufs. Only threads that it knows have one; here a queue has it,
/// and lends it to whichever thread holds the context's lock. So there is one cache a queue, however many
/// threads a program has, and no mbufs are left in the caches of threads that went elsewhere.
class Lcore {
 public:
  /// On the EAL's thread. Without a number left there is no cache, and all works a little slower.
  Lcore() {
    const unsigned own = std::exchange(RTE_PER_LCORE(_lcore_id), LCORE_ID_ANY);
    if (rte_thread_register() == 0) id_ = rte_lcore_id();
    RTE_PER_LCORE(_lcore_id) = own;
  }
  Lcore(const Lcore&) = delete;
  Lcore& operator=(const Lcore&) = delete;
  ~Lcore() {
    if (id_ == LCORE_ID_ANY) return;
    const unsigned own = std::exchange(RTE_PER_LCORE(_lcore_id), id_);
    rte_thread_unregister();
    RTE_PER_LCORE(_lcore_id) = own;
  }
  [[nodiscard]] unsigned id() const { return id_; }

 private:
  unsigned id_ = LCORE_ID_ANY;
};

/// The calling thread has the queue's number until the end of the scope.
class LcoreScope {
 public:
  explicit LcoreScope(const Lcore& lcore) : before_(std::exchange(RTE_PER_LCORE(_lcore_id), lcore.id())) {}
  LcoreScope(const LcoreScope&) = delete;
  LcoreScope& operator=(const LcoreScope&) = delete;
  ~LcoreScope() { RTE_PER_LCORE(_lcore_id) = before_; }

 private:
  unsigned before_;
};

}  // namespace millrace::drivers::dpdk
