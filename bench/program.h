#pragma once

#include <csignal>
#include <cstdio>
#include <exception>

namespace millrace::bench {

/// Set by SIGTERM and SIGINT.
inline volatile std::sig_atomic_t stopped = 0;

/// What main() is: `run` with signals that set `stopped`, and one line for what it throws.
inline int main_of(const char* name, int (*run)(int, char**), int argc, char** argv) {
  const auto stop = [](int /*signal*/) { stopped = 1; };
  std::signal(SIGTERM, stop);
  std::signal(SIGINT, stop);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 1;
  }
}

}  // namespace millrace::bench
