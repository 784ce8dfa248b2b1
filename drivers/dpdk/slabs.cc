#include "dpdk/slabs.h"

#include <rte_malloc.h>

namespace millrace::drivers::dpdk {

void* Slabs::take_slab(std::size_t bytes) {
  return rte_malloc("millrace", bytes, RTE_CACHE_LINE_SIZE);
}

void Slabs::give_slab(void* slab) {
  rte_free(slab);
}

}  // namespace millrace::drivers::dpdk
