#pragma once

#include <cstdint>

namespace millrace::drivers::dpdk {

// Hints, all of them: any address will do, at worst they are for nothing.

inline constexpr std::uint32_t kCacheLine = 64;
/// So much of a frame that another core may have written: headers, and all of a small one. What follows comes
/// by itself.
inline constexpr std::uint32_t kFirstBytes = 192;

/// Asks for the lines of so many bytes, into the first-level cache, as they are used at once.
inline void fetch_to_read(const std::uint8_t* first, std::uint32_t bytes) {
  for (std::uint32_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(first + at);
}

/// Asks for the cache line of `at` ahead of a store there, which waits until no other core has it.
inline void fetch_line_to_write(const std::uint8_t* at) {
#ifdef __x86_64__
  // A processor that does not know it passes it over; compilers use it only when told of the processor.
  asm volatile("prefetchw %0" : : "m"(*at));
#else
  __builtin_prefetch(at, 1);
#endif
}
inline void fetch_to_write(const std::uint8_t* first, std::uint32_t bytes) {
  for (std::uint32_t at = 0; at < bytes; at += kCacheLine) fetch_line_to_write(first + at);
}

}  // namespace millrace::drivers::dpdk
