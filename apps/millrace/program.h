#pragma once

#include <string>

namespace millrace::command {

/// A program that cannot be run under the preload library, or not at all, and why: one line.
struct Program {
  std::string path;
  std::string problem;  ///< empty: it can be run
  int status = 126;     ///< what a shell would exit with, when there is a problem: 127 for "not found"
};

/// Looks the command up as execvp(3) would, and into the file: a static program, a Go program, one of another
/// machine and one that runs with somebody else's privileges never call the library.
[[nodiscard]] Program inspect_program(const std::string& command);

}  // namespace millrace::command
