#pragma once

#include <linux/tcp.h>

#include "socket/socket.h"

namespace millrace::posix {

/// TCP_INFO in Linux's layout.
[[nodiscard]] ::tcp_info to_linux(const TcpInfo& info);

}  // namespace millrace::posix
