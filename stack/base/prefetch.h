#pragma once

#include <cstddef>

namespace millrace {

/// Asks for the cache line of `at` ahead of its use: into the second-level cache, as what is asked for early
/// and in numbers would push out of the first what is being worked on. A hint: any address will do, at worst
/// it is for nothing.
inline void prefetch(const void* at) {
  __builtin_prefetch(at, 0, 2);
  // GCC takes a function for pure that does no more than that, and drops calls of it.
  asm volatile("");
}

/// The same for each line of [begin, end).
inline void prefetch(const void* begin, const void* end) {
  constexpr std::size_t kLine = 64;
  for (auto at = static_cast<const char*>(begin); at < end; at += kLine) prefetch(at);
}
inline void prefetch(const void* first, std::size_t bytes) {
  prefetch(first, static_cast<const char*>(first) + bytes);
}

}  // namespace millrace
