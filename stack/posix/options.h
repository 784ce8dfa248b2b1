#pragma once

#include <errno.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/time.h"
#include "posix/socket_file.h"

/// The options of each level that are more than an integer of the stack's Socket. Results are 0, -errno, or
/// kNotThere.
namespace millrace::posix {

/// Not an option of that function: options.cc looks further.
inline constexpr long kNotThere = 1;

struct OptionInput {
  const void* value;
  socklen_t length;

  /// Precondition: the length was checked.
  template <typename T>
  [[nodiscard]] T load() const {
    T loaded;
    std::memcpy(&loaded, value, sizeof loaded);
    return loaded;
  }
};

struct OptionOutput {
  void* value;
  socklen_t* length;

  /// Copies as much as the caller has room for, and says how much that was.
  [[nodiscard]] long store(const void* data, std::size_t size) const {
    const std::size_t stored = std::min<std::size_t>(*length, size);
    if (stored != 0) {
      if (value == nullptr) return -EFAULT;
      std::memcpy(value, data, stored);
    }
    *length = static_cast<socklen_t>(stored);
    return 0;
  }
  template <typename T>
  [[nodiscard]] long store(const T& object) const {
    return store(&object, sizeof object);
  }
};

[[nodiscard]] long set_socket_level(SocketFile& file, int option, OptionInput input, Instant now);
[[nodiscard]] long get_socket_level(SocketFile& file, int option, OptionOutput output);
/// `number`: the argument by the level's rules about short ones.
[[nodiscard]] long set_ip_level(SocketFile& file, int option, OptionInput input, int number, Instant now);
[[nodiscard]] long get_ip_level(SocketFile& file, int option, OptionOutput output);
[[nodiscard]] long set_v6_level(SocketFile& file, int option, int number, Instant now);
[[nodiscard]] long get_v6_level(SocketFile& file, int option, OptionOutput output);
[[nodiscard]] long set_tcp_level(SocketFile& file, int option, OptionInput input, Instant now);
[[nodiscard]] long get_tcp_level(SocketFile& file, int option, OptionOutput output);

}  // namespace millrace::posix
