#pragma once

#include <unistd.h>

#include <string>
#include <string_view>

namespace millrace::drivers {

/// One line on standard error, for what no caller can be told any more. The program may have closed it, or be
/// at work on it: one write, whatever becomes of it.
inline void complain(std::string_view what) {
  const std::string line = "millrace: " + std::string(what) + "\n";
  [[maybe_unused]] const ssize_t said = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace millrace::drivers
