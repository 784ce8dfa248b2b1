#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/rng.h"
#include "value.h"

namespace millrace::kv {

/// A key and what belongs to it, in one allocation with the key's bytes.
struct Entry {
  Entry* next = nullptr;
  ValueRef value;
  std::int64_t expires_at = 0;     ///< Unix time in ms; 0: never
  std::uint32_t expiry_index = 0;  ///< where Keyspace's list of those that expire has it
  std::uint32_t hash = 0;
  std::uint32_t last_used = 0;  ///< Unix time in s
  std::uint32_t key_size = 0;

  static Entry* make(std::string_view key, std::uint32_t hash);
  static void destroy(Entry* entry);
  [[nodiscard]] std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), key_size}; }
};

/// A chained hash table of entries, which it owns. It grows and shrinks a bucket at a time with each search,
/// so that no operation takes long: meanwhile there are two arrays, and an entry is in the larger part of
/// `next_` or still in `table_` at or behind `moved_`.
class HashTable {
 public:
  HashTable() = default;
  HashTable(const HashTable&) = delete;
  HashTable& operator=(const HashTable&) = delete;
  HashTable(HashTable&& other) noexcept;
  HashTable& operator=(HashTable&& other) noexcept;
  ~HashTable();

  [[nodiscard]] Entry* find(std::string_view key, std::uint32_t hash);
  /// Steps of what find() will do, each for many keys before the next one is, so that what they wait for
  /// comes at the same time: the bucket; the entry that comes first in it; the value of that.
  void fetch_bucket(std::uint32_t hash) const;
  void fetch_entry(std::uint32_t hash) const;
  void fetch_value(std::uint32_t hash) const;
  /// The key must not be there.
  void insert(Entry* entry);
  /// Takes the entry out; the caller owns it. Null: not there.
  [[nodiscard]] Entry* take(std::string_view key, std::uint32_t hash);
  /// Takes any entry out of a table that is not used for anything else any more; null when it is empty.
  [[nodiscard]] Entry* take_any();

  /// Calls visit for some entries and returns the next cursor; 0: that was all. Whoever goes on from 0 to 0
  /// sees each entry that was there all the time, whatever the table's size did meanwhile. The cursor counts
  /// from its highest bit down: then the buckets that a bucket is split into, or united with, are
  /// neighbours in its order. visit must not use the table.
  std::uint64_t scan(std::uint64_t cursor, const std::function<void(Entry&)>& visit) const;
  /// Some entry by chance; not quite uniform. Null when empty.
  [[nodiscard]] Entry* random(Rng& rng) const;
  /// Moves up to so many buckets of a change of size; false: nothing is left to do.
  bool rehash(std::size_t buckets);

  [[nodiscard]] std::size_t size() const { return table_.used + next_.used; }
  [[nodiscard]] bool rehashing() const { return next_.buckets != nullptr; }
  /// Bytes of the arrays.
  [[nodiscard]] std::size_t footprint() const {
    return (table_.capacity() + next_.capacity()) * sizeof(void*);
  }

 private:
  struct Free {
    void operator()(Entry** buckets) const;
  };
  struct Table {
    std::unique_ptr<Entry*[], Free> buckets;
    std::size_t mask = 0;
    std::size_t used = 0;
    [[nodiscard]] std::size_t capacity() const { return buckets ? mask + 1 : 0; }
  };
  static Table make_table(std::size_t capacity);
  /// Null when the bucket is empty. While entries move only those that have not moved are found.
  [[nodiscard]] Entry* first_of(std::uint32_t hash) const {
    return table_.buckets ? table_.buckets[hash & table_.mask] : nullptr;
  }
  void resize_if_needed();
  [[nodiscard]] Entry** place_of(Table& table, std::string_view key, std::uint32_t hash);
  static void visit_bucket(const Table& table, std::uint64_t cursor,
                           const std::function<void(Entry&)>& visit);

  Table table_, next_;
  std::size_t moved_ = 0;  // buckets of table_ that are empty because of a change of size
};

}  // namespace millrace::kv
