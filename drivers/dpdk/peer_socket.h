#pragma once

#include <string>

namespace millrace::drivers::dpdk {

/// Removes a socket's file on which nobody listens: a process that was killed leaves it behind, where no
/// other can listen then. Nothing for an empty path.
void remove_dead_socket(const std::string& path);

}  // namespace millrace::drivers::dpdk
