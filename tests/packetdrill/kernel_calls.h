#pragma once

#include <errno.h>

#include <cstdint>
#include <type_traits>

#include "posix/system.h"

namespace millrace::packetdrill {

inline long word_of(std::nullptr_t) {
  return 0;
}
template <typename T>
long word_of(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return posix::sys::word(value);
  } else {
    return static_cast<long>(value);
  }
}

/// The kernel's own call for a descriptor that is not the stack's, past every function of that name: this
/// library has some of those names itself.
template <typename T, typename... Arguments>
T kernel(long number, Arguments... arguments) {
  const long result = posix::sys::call(number, word_of(arguments)...);
  if (result >= 0) return static_cast<T>(result);
  errno = static_cast<int>(-result);
  return T{-1};
}

}  // namespace millrace::packetdrill
