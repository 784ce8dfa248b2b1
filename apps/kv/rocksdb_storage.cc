#include "rocksdb_storage.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace millrace::kv {

namespace {

// A record: 'k' and the key, so that "l" is behind them all; when it expires, and the value.
constexpr char kFirst = 'k';
constexpr std::string_view kBehindAll = "l";
using Expiry = std::array<char, sizeof(std::int64_t)>;

constexpr std::size_t kMemoryTable = std::size_t{64} << 20;
constexpr std::uint64_t kLargeValue = std::uint64_t{32} << 10;  // has a place of its own, and is not merged
constexpr std::size_t kReadAhead = std::size_t{2} << 20;

rocksdb::Slice slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}

rocksdb::Options options() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = kMemoryTable;
  options.max_background_jobs = 2;
  options.compression = rocksdb::kLZ4Compression;
  options.enable_blob_files = true;
  options.min_blob_size = kLargeValue;
  options.enable_blob_garbage_collection = true;
  options.keep_log_file_num = 4;
  return options;
}

void check(const rocksdb::Status& status, const char* doing) {
  if (!status.ok()) throw std::runtime_error(std::string(doing) + ": " + status.ToString());
}

void add(rocksdb::WriteBatch& batch, std::string_view key, const Entry* entry) {
  const std::array<rocksdb::Slice, 2> key_parts{rocksdb::Slice(&kFirst, 1), slice(key)};
  const rocksdb::SliceParts record_key(key_parts.data(), static_cast<int>(key_parts.size()));
  if (entry == nullptr) {
    check(batch.Delete(record_key), "cannot write to the store");
    return;
  }
  Expiry expiry;
  std::memcpy(expiry.data(), &entry->expires_at, expiry.size());
  const std::array<rocksdb::Slice, 2> parts{rocksdb::Slice(expiry.data(), expiry.size()),
                                            slice(entry->value->bytes())};
  check(batch.Put(record_key, rocksdb::SliceParts(parts.data(), static_cast<int>(parts.size()))),
        "cannot write to the store");
}

void add(rocksdb::WriteBatch& batch, ChangeLog& log) {
  // Looking may find that a key has expired, which is a change of its own: for the next turn.
  const std::vector<std::string> changed = log.take();
  for (const std::string& key : changed) add(batch, key, log.keys().peek(key));
  log.counters().keys += changed.size();
}

}  // namespace

RocksdbStorage::RocksdbStorage(const std::string& directory, Sync sync) : sync_(sync) {
  rocksdb::DB* db = nullptr;
  check(rocksdb::DB::Open(options(), directory, &db), "cannot open the store");
  db_.reset(db);
  if (sync_ == Sync::kEverySecond) syncer_ = std::thread([this] { sync_every_second(); });
}

RocksdbStorage::~RocksdbStorage() {
  if (syncer_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    syncer_.join();
  }
  // So that the next start has no log to go through. Without it nothing is lost either.
  static_cast<void>(db_->Flush(rocksdb::FlushOptions()));
  static_cast<void>(db_->Close());
}

void RocksdbStorage::load(const std::function<ChangeLog&(std::string_view key)>& log_of) {
  rocksdb::ReadOptions reading;
  reading.fill_cache = false;
  reading.readahead_size = kReadAhead;
  const std::unique_ptr<rocksdb::Iterator> record(db_->NewIterator(reading));
  for (record->SeekToFirst(); record->Valid(); record->Next()) {
    const std::string_view key = record->key().ToStringView().substr(1);
    const std::string_view content = record->value().ToStringView();
    std::int64_t expires_at = 0;
    if (content.size() < sizeof expires_at)
      throw std::runtime_error("the store is damaged: a record is too short");
    std::memcpy(&expires_at, content.data(), sizeof expires_at);
    ChangeLog& log = log_of(key);
    Keyspace& keys = log.keys();
    if (expires_at != 0 && expires_at < keys.now()) {
      log.changed(key);
      continue;
    }
    Entry& entry = keys.set(key, Value::copy_of(content.substr(sizeof expires_at)));
    if (expires_at != 0) keys.set_expiry(entry, expires_at);
  }
  check(record->status(), "cannot read the store");
}

void RocksdbStorage::commit(std::span<ChangeLog* const> logs) {
  if (failed_.load()) throw std::runtime_error("cannot sync the store");
  if (std::all_of(logs.begin(), logs.end(), [](const ChangeLog* log) { return log->empty(); })) return;
  rocksdb::WriteBatch batch;
  if (std::any_of(logs.begin(), logs.end(), [](const ChangeLog* log) { return log->was_cleared(); }))
    check(batch.DeleteRange(slice({&kFirst, 1}), slice(kBehindAll)), "cannot clear the store");
  for (ChangeLog* log : logs) add(batch, *log);
  rocksdb::WriteOptions writing;
  writing.sync = sync_ == Sync::kAlways;
  check(db_->Write(writing, &batch), "cannot write to the store");
  ++logs.front()->counters().commits;
  logs.front()->counters().bytes += batch.GetDataSize();
  if (sync_ == Sync::kEverySecond) unsynced_.store(true);
}

void RocksdbStorage::sync_every_second() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    wake_.wait_for(lock, std::chrono::seconds(1), [this] { return ending_; });
    if (!unsynced_.exchange(false)) continue;
    lock.unlock();
    if (!db_->SyncWAL().ok()) failed_.store(true);
    lock.lock();
  }
}

std::unique_ptr<Storage> open_storage(const std::string& directory, Sync sync) {
  return std::make_unique<RocksdbStorage>(directory, sync);
}

}  // namespace millrace::kv
