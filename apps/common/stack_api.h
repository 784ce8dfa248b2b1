#pragma once

#include <cstdint>
#include <string>

#include "common/socket_api.h"

namespace millrace::apps {

/// The stack's sockets (millrace/socket.h), in the same form as the kernel's.
const SocketApi& stack_sockets();

/// What is recorded of a device's frames; 0 is left to the library.
struct Capture {
  std::string file;  ///< "FILE[,FILTER]"; nothing is recorded when empty
  unsigned limit = 0, snaplen = 0;
};

/// What a program says of the stack it wants; empty and 0 are left to the library.
struct StackSettings {
  std::string device, address, gateway;
  std::string tcp;  ///< "NAME=VALUE;NAME=VALUE"
  unsigned mtu = 0;
  unsigned queues = 0;  ///< of the device
  bool busy_poll = false;
  unsigned tx_batch = 0;  ///< sends
  Capture capture = {};
  int drain_ms = 0;  ///< how long stop_stack() waits until what was sent is acknowledged
};

/// Throws std::runtime_error with one line for the user.
void start_stack(const StackSettings& settings);
void stop_stack();

/// Calls visit for each counter of the stack; none when it is not started.
void visit_stack_counters(void (*visit)(const char* name, std::uint64_t value));

}  // namespace millrace::apps
