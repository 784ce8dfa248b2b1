#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>

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

  void load(const std::function<ChangeLog&(std::string_view key)>& log_of) override;
  void commit(std::span<ChangeLog* const> logs) override;

 private:
  void sync_every_second();

  std::unique_ptr<rocksdb::DB> db_;
  Sync sync_;

  // The thread that syncs once a second.
  std::atomic<bool> unsynced_{false}, failed_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::thread syncer_;
};

}  // namespace millrace::kv
