#pragma once

#include "common/stack_api.h"

namespace millrace::apps {

/// As many descriptors as the system allows: the soft limit is raised to the hard one.
void allow_many_descriptors();

/// The stack, for as long as the server runs; nothing for a server on the kernel's sockets.
class StackRun {
 public:
  /// Throws std::runtime_error with one line for the user.
  StackRun(bool on, const StackSettings& settings);
  StackRun(const StackRun&) = delete;
  StackRun& operator=(const StackRun&) = delete;
  ~StackRun();

 private:
  bool on_;
};

}  // namespace millrace::apps
