#include "keyspace.h"

#include <algorithm>
#include <functional>

#include "heap.h"

namespace millrace::kv {

namespace {

constexpr std::uint32_t kMostSamples = 64;
constexpr int kEvictionsAtOnce = 1000;
constexpr std::uint32_t kExpirySamples = 20;
constexpr int kExpiryRounds = 50;
constexpr int kBurials = 5000;
constexpr std::size_t kBucketsAtOnce = 1000;

std::size_t footprint(const Entry& entry) {
  return heap_footprint(&entry) + (entry.value ? entry.value->footprint() : 0);
}

}  // namespace

Keyspace::Keyspace(const Rng::Seed& seed) : hash_(Rng(seed)), rng_(seed) {}

void Keyspace::expect(std::span<const std::string_view> keys) {
  expect_nothing();
  for (const std::string_view key : keys) expected_.push_back({key, hash_bytes(key)});
  next_expected_ = 0;
  for (const Expected& expected : expected_) table_.fetch_bucket(expected.hash);
  for (const Expected& expected : expected_) table_.fetch_entry(expected.hash);
  for (const Expected& expected : expected_) table_.fetch_value(expected.hash);
}

std::uint32_t Keyspace::hash_of(std::string_view key) {
  while (next_expected_ < expected_.size()) {
    const Expected& expected = expected_[next_expected_];
    if (std::greater<>()(expected.key.data(), key.data())) break;
    ++next_expected_;
    if (expected.key.data() == key.data() && expected.key.size() == key.size()) return expected.hash;
  }
  return hash_bytes(key);
}

std::uint32_t Keyspace::hash_bytes(std::string_view key) const {
  return static_cast<std::uint32_t>(hash_({reinterpret_cast<const std::uint8_t*>(key.data()), key.size()}));
}

Entry* Keyspace::live(std::string_view key, std::uint32_t hash) {
  Entry* entry = table_.find(key, hash);
  if (entry == nullptr || !expired(*entry)) return entry;
  ++counters_.expired;
  remove(*entry);
  return nullptr;
}

Entry* Keyspace::peek(std::string_view key) {
  return live(key, hash_of(key));
}

Entry* Keyspace::find(std::string_view key) {
  Entry* entry = peek(key);
  if (entry != nullptr) touch(*entry);
  return entry;
}

Entry* Keyspace::read(std::string_view key) {
  Entry* entry = find(key);
  ++(entry != nullptr ? counters_.hits : counters_.misses);
  return entry;
}

Entry& Keyspace::set(std::string_view key, ValueRef value, Expiry expiry) {
  const std::uint32_t hash = hash_of(key);
  Entry* entry = live(key, hash);
  if (entry == nullptr) {
    entry = Entry::make(key, hash);
    table_.insert(entry);
    bytes_ += heap_footprint(entry);
  } else {
    if (entry->value) bytes_ -= entry->value->footprint();
    if (expiry == Expiry::kForget) leave_expiring(*entry);
  }
  bytes_ += value->footprint();
  entry->value = std::move(value);
  touch(*entry);
  changed(key);
  return *entry;
}

char* Keyspace::edit(std::string_view key, std::size_t size) {
  Entry* entry = find(key);
  if (entry == nullptr) {
    ValueRef value;
    Value::own(value, size);
    return set(key, std::move(value)).value->data();
  }
  bytes_ -= entry->value->footprint();
  Value::own(entry->value, size);
  bytes_ += entry->value->footprint();
  changed(key);
  return entry->value->data();
}

void Keyspace::remove(Entry& entry) {
  changed(entry.key());
  leave_expiring(entry);
  Entry* taken = table_.take(entry.key(), entry.hash);
  bytes_ -= footprint(*taken);
  Entry::destroy(taken);
}

void Keyspace::leave_expiring(Entry& entry) {
  if (entry.expires_at == 0) return;
  Entry* last = expiring_.back();
  expiring_[entry.expiry_index] = last;
  last->expiry_index = entry.expiry_index;
  expiring_.pop_back();
  entry.expires_at = 0;
}

bool Keyspace::erase(std::string_view key) {
  Entry* entry = peek(key);
  if (entry == nullptr) return false;
  remove(*entry);
  return true;
}

void Keyspace::clear() {
  if (table_.size() > 0) graveyard_.push_back(std::move(table_));
  table_ = HashTable();
  expiring_.clear();
  if (journal_ != nullptr) journal_->cleared();
}

void Keyspace::set_expiry(Entry& entry, std::optional<std::int64_t> at) {
  if (at && entry.expires_at == 0) {
    entry.expiry_index = static_cast<std::uint32_t>(expiring_.size());
    expiring_.push_back(&entry);
  } else if (!at) {
    leave_expiring(entry);
  }
  entry.expires_at = at.value_or(0);
  changed(entry.key());
}

std::uint64_t Keyspace::scan(std::uint64_t cursor, const std::function<void(Entry&)>& visit) {
  return table_.scan(cursor, [&](Entry& entry) {
    if (!expired(entry)) visit(entry);
  });
}

Entry* Keyspace::random() {
  for (;;) {
    Entry* entry = table_.random(rng_);
    if (entry == nullptr || !expired(*entry)) return entry;
    ++counters_.expired;
    remove(*entry);
  }
}

std::size_t Keyspace::memory() const {
  std::size_t bytes = bytes_ + table_.footprint() + expiring_.size() * sizeof(void*);
  for (const HashTable& table : graveyard_) bytes += table.footprint();
  return bytes;
}

void Keyspace::evict_one(std::uint32_t samples) {
  Entry* oldest = nullptr;
  for (std::uint32_t i = 0; i < std::min(samples, kMostSamples); ++i) {
    Entry* entry = table_.random(rng_);
    if (oldest == nullptr || entry->last_used < oldest->last_used) oldest = entry;
  }
  ++counters_.evicted;
  remove(*oldest);
}

bool Keyspace::make_room(std::size_t limit, Eviction eviction, std::uint32_t samples) {
  for (int i = 0; memory() > limit; ++i) {
    if (!graveyard_.empty()) {
      bury_some();
    } else if (eviction == Eviction::kNone || table_.size() == 0) {
      return false;
    } else {
      evict_one(samples);
    }
    if (i == kEvictionsAtOnce) break;
  }
  return true;
}

void Keyspace::expire_some() {
  more_expired_ = false;
  for (int round = 0; round < kExpiryRounds && !expiring_.empty(); ++round) {
    std::uint32_t found = 0;
    for (std::uint32_t i = 0; i < kExpirySamples && !expiring_.empty(); ++i) {
      Entry* entry = expiring_[rng_.below(static_cast<std::uint32_t>(expiring_.size()))];
      if (!expired(*entry)) continue;
      ++counters_.expired;
      ++found;
      remove(*entry);
    }
    // A tenth or less of what expires is stale: that may wait.
    if (found * 10 <= kExpirySamples) return;
  }
  more_expired_ = !expiring_.empty();
}

void Keyspace::bury_some() {
  for (int i = 0; i < kBurials; ++i) {
    Entry* entry = graveyard_.back().take_any();
    if (entry == nullptr) {
      graveyard_.pop_back();
      return;
    }
    bytes_ -= footprint(*entry);
    Entry::destroy(entry);
  }
}

void Keyspace::work() {
  expire_some();
  table_.rehash(kBucketsAtOnce);
  if (!graveyard_.empty()) bury_some();
}

bool Keyspace::has_work() const {
  return !expiring_.empty() || has_more_work();
}

}  // namespace millrace::kv
