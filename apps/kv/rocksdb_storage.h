#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "storage.h"

namespace rocksdb {
class DB;
class WriteBatch;
}  // namespace rocksdb

namespace millrace::kv {

/// In a RocksDB of its own.
class RocksdbStorage final : public Storage {
 public:
  RocksdbStorage(const std::string& directory, Sync sync);
  ~RocksdbStorage() override;

  void load(Keyspace& keys) override;
  void commit(Keyspace& keys) override;
  void changed(std::string_view key) override;
  void cleared() override;

 private:
  void add(rocksdb::WriteBatch& batch, std::string_view key, const Entry* entry);
  void sync_every_second();

  std::unique_ptr<rocksdb::DB> db_;
  Sync sync_;
  std::vector<std::string> changed_;
  bool cleared_ = false;

  // The thread that syncs once a second.
  std::atomic<bool> unsynced_{false}, failed_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::thread syncer_;
};

}  // namespace millrace::kv
