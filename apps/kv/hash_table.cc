#include "hash_table.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace millrace::kv {

namespace {

constexpr std::size_t kSmallest = 4;
constexpr std::size_t kSparse = 8;         // buckets for an entry that are too many
constexpr std::size_t kEmptyBuckets = 64;  // looked at for one that is moved

std::uint64_t reverse_bits(std::uint64_t bits) {
  bits = ((bits >> 1) & 0x5555555555555555) | ((bits & 0x5555555555555555) << 1);
  bits = ((bits >> 2) & 0x3333333333333333) | ((bits & 0x3333333333333333) << 2);
  bits = ((bits >> 4) & 0x0f0f0f0f0f0f0f0f) | ((bits & 0x0f0f0f0f0f0f0f0f) << 4);
  return __builtin_bswap64(bits);
}

/// The next cursor in a table of that mask, counted from the highest bit down.
std::uint64_t advance(std::uint64_t cursor, std::uint64_t mask) {
  return reverse_bits(reverse_bits(cursor | ~mask) + 1);
}

}  // namespace

Entry* Entry::make(std::string_view key, std::uint32_t hash) {
  void* memory = std::malloc(sizeof(Entry) + key.size());
  if (memory == nullptr) throw std::bad_alloc();
  auto* entry = new (memory) Entry;
  entry->hash = hash;
  entry->key_size = static_cast<std::uint32_t>(key.size());
  std::memcpy(reinterpret_cast<char*>(entry + 1), key.data(), key.size());
  return entry;
}

void Entry::destroy(Entry* entry) {
  entry->~Entry();
  std::free(entry);
}

void HashTable::Free::operator()(Entry** buckets) const {
  std::free(buckets);
}

HashTable::Table HashTable::make_table(std::size_t capacity) {
  Table table;
  // A large array comes from the system as zeros, page by page when it is used.
  table.buckets.reset(static_cast<Entry**>(std::calloc(capacity, sizeof(void*))));
  if (!table.buckets) throw std::bad_alloc();
  table.mask = capacity - 1;
  return table;
}

HashTable::HashTable(HashTable&& other) noexcept
    : table_(std::exchange(other.table_, {})),
      next_(std::exchange(other.next_, {})),
      moved_(std::exchange(other.moved_, 0)) {}

HashTable& HashTable::operator=(HashTable&& other) noexcept {
  std::swap(table_, other.table_);
  std::swap(next_, other.next_);
  std::swap(moved_, other.moved_);
  return *this;
}

HashTable::~HashTable() {
  while (Entry* entry = take_any()) Entry::destroy(entry);
}

Entry** HashTable::place_of(Table& table, std::string_view key, std::uint32_t hash) {
  if (!table.buckets) return nullptr;
  for (Entry** place = &table.buckets[hash & table.mask]; *place != nullptr; place = &(*place)->next) {
    if ((*place)->hash == hash && (*place)->key() == key) return place;
  }
  return nullptr;
}

Entry* HashTable::find(std::string_view key, std::uint32_t hash) {
  if (rehashing()) rehash(1);
  Entry** place = place_of(table_, key, hash);
  if (place == nullptr && rehashing()) place = place_of(next_, key, hash);
  return place != nullptr ? *place : nullptr;
}

void HashTable::fetch_bucket(std::uint32_t hash) const {
  if (table_.buckets) __builtin_prefetch(&table_.buckets[hash & table_.mask]);
}

void HashTable::fetch_entry(std::uint32_t hash) const {
  const Entry* entry = first_of(hash);
  if (entry == nullptr) return;
  __builtin_prefetch(entry);
  __builtin_prefetch(entry + 1);  // the key
}

void HashTable::fetch_value(std::uint32_t hash) const {
  const Entry* entry = first_of(hash);
  if (entry == nullptr || !entry->value) return;
  const char* const value = reinterpret_cast<const char*>(entry->value.get());
  __builtin_prefetch(value - sizeof(void*));  // the allocator's word, too
  __builtin_prefetch(value + 56);
}

void HashTable::insert(Entry* entry) {
  resize_if_needed();
  Table& table = rehashing() ? next_ : table_;
  Entry*& bucket = table.buckets[entry->hash & table.mask];
  entry->next = bucket;
  bucket = entry;
  ++table.used;
}

Entry* HashTable::take(std::string_view key, std::uint32_t hash) {
  if (rehashing()) rehash(1);
  for (Table* table : {&table_, &next_}) {
    Entry** place = place_of(*table, key, hash);
    if (place == nullptr) continue;
    Entry* entry = std::exchange(*place, (*place)->next);
    entry->next = nullptr;
    --table->used;
    resize_if_needed();
    return entry;
  }
  return nullptr;
}

Entry* HashTable::take_any() {
  for (;;) {
    for (; table_.used > 0; ++moved_) {
      Entry*& bucket = table_.buckets[moved_];
      if (bucket == nullptr) continue;
      --table_.used;
      return std::exchange(bucket, bucket->next);
    }
    if (next_.used == 0) return nullptr;
    table_ = std::exchange(next_, {});
    moved_ = 0;
  }
}

void HashTable::resize_if_needed() {
  if (rehashing()) return;
  const std::size_t capacity = table_.capacity();
  if (capacity == 0) {
    table_ = make_table(kSmallest);
  } else if (table_.used >= capacity) {
    next_ = make_table(capacity * 2);
    moved_ = 0;
  } else if (capacity > kSmallest && table_.used * kSparse < capacity) {
    next_ = make_table(std::max(kSmallest, std::bit_ceil(table_.used * 2 + 1)));
    moved_ = 0;
  }
}

bool HashTable::rehash(std::size_t buckets) {
  for (std::size_t looked_at = buckets * kEmptyBuckets; rehashing() && buckets > 0 && looked_at > 0;
       --looked_at) {
    if (table_.used == 0) {
      table_ = std::exchange(next_, {});
      moved_ = 0;
      return false;
    }
    Entry*& bucket = table_.buckets[moved_++];
    if (bucket == nullptr) continue;
    for (Entry* entry = std::exchange(bucket, nullptr); entry != nullptr;) {
      Entry* following = entry->next;
      Entry*& target = next_.buckets[entry->hash & next_.mask];
      entry->next = std::exchange(target, entry);
      --table_.used;
      ++next_.used;
      entry = following;
    }
    --buckets;
  }
  return rehashing();
}

void HashTable::visit_bucket(const Table& table, std::uint64_t cursor,
                             const std::function<void(Entry&)>& visit) {
  for (Entry* entry = table.buckets[cursor & table.mask]; entry != nullptr;) {
    Entry* following = entry->next;
    visit(*entry);
    entry = following;
  }
}

std::uint64_t HashTable::scan(std::uint64_t cursor, const std::function<void(Entry&)>& visit) const {
  if (size() == 0) return 0;
  if (!rehashing()) {
    visit_bucket(table_, cursor, visit);
    return advance(cursor, table_.mask);
  }
  const bool growing = table_.mask < next_.mask;
  const Table& smaller = growing ? table_ : next_;
  const Table& larger = growing ? next_ : table_;
  visit_bucket(smaller, cursor, visit);
  // All buckets of the larger one whose entries would be in that bucket of the smaller one.
  do {
    visit_bucket(larger, cursor, visit);
    cursor = advance(cursor, larger.mask);
  } while ((cursor & (smaller.mask ^ larger.mask)) != 0);
  return cursor;
}

Entry* HashTable::random(Rng& rng) const {
  if (size() == 0) return nullptr;
  const std::size_t buckets = table_.capacity() - moved_ + next_.capacity();
  Entry* bucket = nullptr;
  while (bucket == nullptr) {
    const std::size_t index = moved_ + (rng.u64() & (std::bit_ceil(buckets) - 1));
    if (index < table_.capacity()) {
      bucket = table_.buckets[index];
    } else if (index - table_.capacity() < next_.capacity()) {
      bucket = next_.buckets[index - table_.capacity()];
    }
  }
  std::uint32_t length = 0;
  for (const Entry* entry = bucket; entry != nullptr; entry = entry->next) ++length;
  for (std::uint32_t steps = length > 1 ? rng.below(length) : 0; steps > 0; --steps) bucket = bucket->next;
  return bucket;
}

}  // namespace millrace::kv
