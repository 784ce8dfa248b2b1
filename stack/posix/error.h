#pragma once

#include "base/result.h"

namespace millrace::posix {

/// The errno that Linux reports for it; positive. 0 for kNone.
[[nodiscard]] int to_errno(Error error);

/// The room's calls return as a system call does: a result, or -errno.
[[nodiscard]] inline long failure(Error error) {
  return -to_errno(error);
}

}  // namespace millrace::posix
