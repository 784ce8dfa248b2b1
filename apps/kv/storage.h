#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config.h"
#include "keyspace.h"

namespace millrace::kv {

/// Where the keys of one thread outlive the process. What a turn changes is written together, and is there
/// completely or not at all after a crash: the keys' new values, however often they have changed.
class Storage : public Journal {
 public:
  struct Counters {
    std::uint64_t commits = 0, keys = 0, bytes = 0;
  };

  /// What is kept, into the keyspace; what has expired goes. Throws std::runtime_error.
  virtual void load(Keyspace& keys) = 0;
  /// Writes what has changed. With Sync::kAlways it is on the disk when this returns; else it is safe from
  /// the end of this process, and on the disk within a second or when the system likes. Throws
  /// std::runtime_error: nothing may be answered any more.
  virtual void commit(Keyspace& keys) = 0;
  [[nodiscard]] const Counters& counters() const { return counters_; }

 protected:
  Counters counters_;
};

/// Opens what is in the directory, or makes it. Throws std::runtime_error with one line for the user; also
/// when this was built without a library for it.
std::unique_ptr<Storage> open_storage(const std::string& directory, Sync sync);

}  // namespace millrace::kv
