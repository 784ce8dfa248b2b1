#pragma once

#include <sys/socket.h>

#include "base/ip_address.h"
#include "base/result.h"

namespace millrace::posix {

/// An address argument, checked as Linux checks it before the protocol sees it: 0, -EINVAL or -EFAULT.
[[nodiscard]] long check_address(const sockaddr* address, socklen_t length);

/// AF_INET, long enough: kInvalid, kAddressFamily otherwise.
[[nodiscard]] Result<Endpoint> to_endpoint(const sockaddr* address, socklen_t length);

/// Stores an address as getsockname(2) does: cut to *length, which becomes the full size. 0, -EFAULT or
/// -EINVAL.
[[nodiscard]] long store_endpoint(const Endpoint& endpoint, sockaddr* address, socklen_t* length);

}  // namespace millrace::posix
