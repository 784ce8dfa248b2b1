#pragma once

#include <malloc.h>

#include <cstddef>

namespace millrace::kv {

/// What a block of malloc's takes of the heap, the word before it included.
inline std::size_t heap_footprint(const void* block) {
  return malloc_usable_size(const_cast<void*>(block)) + sizeof(std::size_t);
}

}  // namespace millrace::kv
