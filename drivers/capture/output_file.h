#pragma once

#include <string>

#include "unique_fd.h"

namespace millrace::drivers {

/// Makes a file for a capture, or empties one that is there. It is locked (flock(2)) for as long as somebody
/// has the descriptor, so that two programs cannot write one file. Writes append. None, and `error` says in
/// one line what is wrong.
[[nodiscard]] UniqueFd make_output_file(const std::string& path, std::string& error);

}  // namespace millrace::drivers
