#pragma once

#include <sys/socket.h>

namespace millrace::packetdrill {

/// close(2) and getsockopt(2), of the stack for its descriptors and of the kernel for others.
int close_any(int fd);
int getsockopt_any(int fd, int level, int option, void* value, socklen_t* length);

}  // namespace millrace::packetdrill
