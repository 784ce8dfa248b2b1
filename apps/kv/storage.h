#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config.h"
#include "keyspace.h"

namespace millrace::kv {

/// What of a keyspace is not stored yet. Belongs to the keyspace's thread.
class ChangeLog final : public Journal {
 public:
  struct Counters {
    std::uint64_t commits = 0, keys = 0, bytes = 0;
  };

  explicit ChangeLog(Keyspace& keys) : keys_(keys) {}
  void changed(std::string_view key) override;
  void cleared() override;

  [[nodiscard]] Keyspace& keys() { return keys_; }
  [[nodiscard]] bool empty() const { return changed_.empty() && !cleared_; }
  [[nodiscard]] bool was_cleared() const { return cleared_; }
  /// Each changed key once, and none is left.
  [[nodiscard]] std::vector<std::string> take();
  /// What was stored of it.
  [[nodiscard]] Counters& counters() { return counters_; }

 private:
  Keyspace& keys_;
  std::vector<std::string> changed_;
  bool cleared_ = false;
  Counters counters_;
};

/// Where the keys outlive the process.
class Storage {
 public:
  Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  virtual ~Storage() = default;

  /// What is kept, into the keyspaces that the keys belong to; what has expired goes. Throws
  /// std::runtime_error.
  virtual void load(const std::function<ChangeLog&(std::string_view key)>& log_of) = 0;
  /// Writes what has changed: after a crash all of it is there or none. With Sync::kAlways it is on the disk
  /// when this returns; else it is safe from the end of this process, and on the disk within a second or when
  /// the system likes. Several threads may do so at once, each with its own. A clear is of all keyspaces, and
  /// comes with all their logs. Throws std::runtime_error: nothing may be answered any more.
  virtual void commit(std::span<ChangeLog* const> logs) = 0;
};

/// Opens what is in the directory, or makes it. Throws std::runtime_error with one line for the user; also
/// when this was built without a library for it.
std::unique_ptr<Storage> open_storage(const std::string& directory, Sync sync);

}  // namespace millrace::kv
