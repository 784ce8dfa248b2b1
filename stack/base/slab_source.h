#pragma once

#include <cstddef>

namespace millrace {

/// Where slabs of memory come from: a device's, which sends from there without a copy; memory of large pages.
class SlabSource {
 public:
  virtual ~SlabSource() = default;
  /// Memory aligned to a cache line. Null: there is none, and who asks takes the system's.
  [[nodiscard]] virtual void* take_slab(std::size_t bytes) = 0;
  virtual void give_slab(void* slab) = 0;
};

}  // namespace millrace
