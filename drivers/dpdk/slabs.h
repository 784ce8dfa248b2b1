#pragma once

#include "packet/pool.h"

namespace millrace::drivers::dpdk {

/// DPDK's memory for a stack's Buffers: devices send from there.
class Slabs final : public SlabSource {
 public:
  [[nodiscard]] void* take_slab(std::size_t bytes) override;
  void give_slab(void* slab) override;
};

}  // namespace millrace::drivers::dpdk
