#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace millrace::apps {

/// Throws errno as std::system_error. `doing`: what failed.
[[noreturn]] inline void throw_errno(const std::string& doing) {
  throw std::system_error(errno, std::generic_category(), doing);
}

}  // namespace millrace::apps
