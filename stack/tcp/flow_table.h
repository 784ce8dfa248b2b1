#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/ip_address.h"
#include "base/prefetch.h"

namespace millrace::tcp {

/// The 4-tuple, ours first.
struct FlowKey {
  Endpoint local, remote;
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

/// What a 4-tuple leads to. Base of Connection, Dormant, Request and TimeWait; linked into the FlowTable by
/// itself.
class Flow {
 public:
  enum class Kind : std::uint8_t { kConnection, kDormant, kRequest, kTimeWait };

  Flow(Kind kind, const FlowKey& key) : key_(key), kind_(kind) {}
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] const FlowKey& key() const { return key_; }
  [[nodiscard]] const Endpoint& local() const { return key_.local; }
  [[nodiscard]] const Endpoint& remote() const { return key_.remote; }
  [[nodiscard]] bool in_table() const { return in_table_; }

 protected:
  ~Flow() = default;

 private:
  friend class FlowTable;
  Flow* next_ = nullptr;
  std::uint32_t hash_ = 0;
  FlowKey key_;
  Kind kind_;
  bool in_table_ = false;
};

/// 4-tuple → Flow: chained hash table under a secret key, doubling when it is full, so that a lookup costs
/// the same with one connection and with a million. Also counts flows a local port, for bind().
class FlowTable {
 public:
  explicit FlowTable(std::uint64_t secret_a, std::uint64_t secret_b);

  [[nodiscard]] Flow* find(const FlowKey& key) const {
    const std::uint32_t hash = hash_of(key);
    for (Flow* flow = buckets_[hash & mask_]; flow != nullptr; flow = flow->next_) {
      if (flow->hash_ == hash && flow->key_ == key) return flow;
    }
    return nullptr;
  }
  /// The same for IPv4, its addresses and ports as numbers.
  [[nodiscard]] Flow* find_v4(std::uint32_t local, std::uint16_t local_port, std::uint32_t remote,
                              std::uint16_t remote_port) const {
    const std::uint32_t hash =
        hash_of_v4(std::uint64_t{local} << 32 | remote, std::uint64_t{local_port} << 16 | remote_port);
    for (Flow* flow = buckets_[hash & mask_]; flow != nullptr; flow = flow->next_) {
      const FlowKey& key = flow->key_;
      if (flow->hash_ == hash && key.local.address.is_v4() && key.local.address.v4_value() == local &&
          key.remote.address.v4_value() == remote && key.local.port == local_port &&
          key.remote.port == remote_port)
        return flow;
    }
    return nullptr;
  }
  /// The first whose hash this is, most likely the only one.
  [[nodiscard]] const Flow* find_likely(std::uint32_t hash) const {
    const Flow* flow = buckets_[hash & mask_];
    while (flow != nullptr && flow->hash_ != hash) flow = flow->next_;
    return flow;
  }
  /// What find() and find_likely() read first; and, of what is there then, what they read next.
  void prefetch_bucket(std::uint32_t hash) const { prefetch(&buckets_[hash & mask_]); }
  void prefetch_first(std::uint32_t hash) const { prefetch(buckets_[hash & mask_]); }
  /// Precondition: no flow with that key is in the table.
  void insert(Flow& flow);
  /// No effect when it is not in the table.
  void remove(Flow& flow);
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Flows (TIME-WAIT too) whose local port this is.
  [[nodiscard]] std::uint32_t flows_on_port(std::uint16_t port) const { return per_port_[port]; }
  /// The hash under the table's secret: for spreading over SO_REUSEPORT groups too.
  [[nodiscard]] std::uint32_t hash_of(const FlowKey& key) const;
  /// The same for a segment that came: its source and destination as in the IPv4 header, its ports as in its
  /// own.
  [[nodiscard]] std::uint32_t hash_of_arrival(std::span<const std::uint8_t, 8> addresses,
                                              std::span<const std::uint8_t, 4> ports) const;

  /// A walk in pieces, between which anything may change: visits the buckets from `cursor` on (0: the first)
  /// until `flows` flows or `buckets` buckets are exceeded, and returns where to go on (0: it was the last).
  /// A flow that is in the table throughout is visited exactly once, even when the table grows meanwhile: as
  /// buckets are taken in the order of their index's bits reversed, those that a visited one was split into
  /// are behind the cursor, and all others before it.
  template <typename Visitor>
  std::uint32_t visit_from(std::uint32_t cursor, std::size_t flows, std::size_t buckets,
                           Visitor&& visit) const {
    std::size_t visited = 0;
    for (std::size_t i = 0; i < buckets && visited < flows; ++i) {
      for (const Flow* flow = buckets_[cursor & mask_]; flow != nullptr; flow = flow->next_, ++visited)
        visit(*flow);
      cursor = next_bucket(cursor);
      if (cursor == 0) break;
    }
    return cursor;
  }

  template <typename Visitor>
  void for_each(Visitor&& visit) {
    for (std::size_t i = 0; i <= mask_; ++i) {
      for (Flow* flow = buckets_[i]; flow != nullptr;) {
        Flow* next = flow->next_;
        visit(*flow);
        flow = next;
      }
    }
  }

 private:
  void grow();
  /// 64×64→128 multiplication folded by xor: with secret operands a strong and very cheap mixer.
  [[nodiscard]] static std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  [[nodiscard]] std::uint32_t hash_of_v4(std::uint64_t addresses, std::uint64_t ports) const {
    return finish(fold_multiply(addresses ^ secret_a_, ports ^ secret_b_));
  }
  [[nodiscard]] std::uint32_t finish(std::uint64_t h) const {
    h = fold_multiply(h ^ secret_b_, secret_a_);
    return static_cast<std::uint32_t>(h ^ (h >> 32));
  }
  /// The bucket after `cursor`: plus one, counted from the highest bit of the index down.
  [[nodiscard]] std::uint32_t next_bucket(std::uint32_t cursor) const;

  std::uint64_t secret_a_, secret_b_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
  std::unique_ptr<Flow*[]> buckets_;
  std::unique_ptr<std::uint32_t[]> per_port_;
};

}  // namespace millrace::tcp
