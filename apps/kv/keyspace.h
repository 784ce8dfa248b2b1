#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/keyed_hash.h"
#include "base/rng.h"
#include "hash_table.h"

namespace millrace::kv {

/// Who wants to know what changes.
class Journal {
 public:
  Journal() = default;
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  virtual ~Journal() = default;
  virtual void changed(std::string_view key) = 0;
  virtual void cleared() = 0;
};

/// What the memory limit does to keys.
enum class Eviction : std::uint8_t { kNone, kLeastRecentlyUsed };

/// Keys, values and expiry: what one thread owns of the data. No lock, no global; whoever uses it says what
/// time it is. An entry is valid until the next call that is not const.
class Keyspace {
 public:
  struct Counters {
    std::uint64_t hits = 0, misses = 0, expired = 0, evicted = 0;
    void add(const Counters& other) {
      hits += other.hits;
      misses += other.misses;
      expired += other.expired;
      evicted += other.evicted;
    }
  };

  explicit Keyspace(const Rng::Seed& seed);

  /// Unix time in ms. What has expired by then is gone for all the calls below.
  void set_now(std::int64_t now_ms) { now_ = now_ms; }
  [[nodiscard]] std::int64_t now() const { return now_; }
  /// Null: nobody. Must outlive the keyspace or be taken back.
  void set_journal(Journal* journal) { journal_ = journal; }

  /// Counts as a use, and as a hit or a miss. Null: no such key.
  Entry* read(std::string_view key);
  /// Counts as a use only.
  Entry* find(std::string_view key);
  /// Counts as nothing.
  Entry* peek(std::string_view key);

  /// These keys will be asked for, in this order: what a search looks at is fetched for all of them at the
  /// same time. Their bytes must stay as they are until expect_nothing().
  void expect(std::span<const std::string_view> keys);
  void expect_nothing() { expected_.clear(); }
  static constexpr std::size_t kMostExpected = 16;

  enum class Expiry : std::uint8_t { kForget, kKeep };
  /// Makes the key if there is none.
  Entry& set(std::string_view key, ValueRef value, Expiry expiry = Expiry::kForget);
  /// The bytes of the value for changing, so many of them; new ones are zero. Makes the key if there is none.
  char* edit(std::string_view key, std::size_t size);
  bool erase(std::string_view key);
  /// All of it; memory is given back little by little, by work().
  void clear();
  /// Unix time in ms; nothing: never.
  void set_expiry(Entry& entry, std::optional<std::int64_t> at);

  /// See HashTable::scan. Keys that have expired are passed over.
  std::uint64_t scan(std::uint64_t cursor, const std::function<void(Entry&)>& visit);
  /// Null when there is none.
  Entry* random();
  [[nodiscard]] std::uint64_t random_number() { return rng_.u64(); }
  [[nodiscard]] std::size_t size() const { return table_.size(); }
  [[nodiscard]] std::size_t expiring() const { return expiring_.size(); }

  /// Bytes of keys, values and tables.
  [[nodiscard]] std::size_t memory() const;
  /// Evicts until memory() is `limit` at most, but for a bounded time. False: it is more, and nothing can be
  /// evicted.
  bool make_room(std::size_t limit, Eviction eviction, std::uint32_t samples);

  /// A share of what is done by and by: expiry by samples, change of size, memory of what was cleared.
  void work();
  /// Whether work() has anything to do, now or when time has passed.
  [[nodiscard]] bool has_work() const;
  /// Whether it has more to do than it has just done.
  [[nodiscard]] bool has_more_work() const {
    return more_expired_ || table_.rehashing() || !graveyard_.empty();
  }

  [[nodiscard]] const Counters& counters() const { return counters_; }
  void reset_counters() { counters_ = {}; }

 private:
  /// Of one that is expected, without hashing it again.
  [[nodiscard]] std::uint32_t hash_of(std::string_view key);
  [[nodiscard]] std::uint32_t hash_bytes(std::string_view key) const;
  [[nodiscard]] Entry* live(std::string_view key, std::uint32_t hash);
  [[nodiscard]] bool expired(const Entry& entry) const {
    return entry.expires_at != 0 && entry.expires_at < now_;
  }
  void touch(Entry& entry) const { entry.last_used = static_cast<std::uint32_t>(now_ / 1000); }
  void remove(Entry& entry);
  void leave_expiring(Entry& entry);
  void evict_one(std::uint32_t samples);
  void expire_some();
  void bury_some();
  void changed(std::string_view key) {
    if (journal_ != nullptr) journal_->changed(key);
  }

  KeyedHash hash_;
  Rng rng_;
  std::int64_t now_ = 1;
  HashTable table_;
  struct Expected {
    std::string_view key;
    std::uint32_t hash;
  };
  std::vector<Expected> expected_;  // in the order in which they lie in memory
  std::size_t next_expected_ = 0;
  std::deque<Entry*> expiring_;       // in no order; an entry knows its place
  std::vector<HashTable> graveyard_;  // cleared, not yet given back
  std::size_t bytes_ = 0;             // of entries and values, those in the graveyard included
  bool more_expired_ = false;
  Journal* journal_ = nullptr;
  Counters counters_;
};

}  // namespace millrace::kv
