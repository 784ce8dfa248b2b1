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

/// The same for each line of so many bytes; null: of none.
inline void prefetch(const void* first, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  if (first == nullptr || bytes == 0) return;
  const auto* const from = static_cast<const char*>(first);
  for (std::size_t at = 0; at < bytes; at += kLine) prefetch(from + at);
  prefetch(from + bytes - 1);  // one line more than that, where `first` begins none
}
/// [begin, end)
inline void prefetch(const void* begin, const void* end) {
  prefetch(begin, static_cast<std::size_t>(static_cast<const char*>(end) - static_cast<const char*>(begin)));
}

}  // namespace millrace
