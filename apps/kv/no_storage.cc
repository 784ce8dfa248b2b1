#include <stdexcept>

#include "storage.h"

namespace millrace::kv {

std::unique_ptr<Storage> open_storage(const std::string& /*directory*/, Sync /*sync*/) {
  throw std::runtime_error("--store: this was built without RocksDB (librocksdb-dev)");
}

}  // namespace millrace::kv
