#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

#include "base/ip_address.h"
#include "base/result.h"
#include "socket/socket.h"

namespace millrace::posix {

/// An address argument, checked as Linux checks it before the protocol sees it: 0, -EINVAL or -EFAULT.
[[nodiscard]] long check_address(const sockaddr* address, socklen_t length);

/// The call an address is given to: Linux's protocols differ in which families and lengths they take.
enum class AddressUse : std::uint8_t { kBind, kConnect, kSend };

/// What an address means to this socket. The stack's sockets of AF_INET6 know IPv4 addresses, and ::, and
/// ::1; ::ffff:a.b.c.d is a.b.c.d to them. kInvalid: too short, or not for this call; kAddressFamily: of
/// another family; kNetworkUnreachable: IPv4, and the socket is for IPv6 only.
[[nodiscard]] Result<Endpoint> to_endpoint(const Socket& socket, AddressUse use, const sockaddr* address,
                                           socklen_t length);

/// Stores an address as getsockname(2) does: as sockaddr_in or, for a socket of AF_INET6, as sockaddr_in6
/// with IPv4 mapped; cut to *length, which becomes the full size. 0, -EFAULT or -EINVAL.
[[nodiscard]] long store_endpoint(IpAddress::Family family, const Endpoint& endpoint, sockaddr* address,
                                  socklen_t* length);

/// ::ffff:a.b.c.d for IPv4.
[[nodiscard]] in6_addr to_in6(const IpAddress& address);
/// And back.
[[nodiscard]] IpAddress from_in6(const in6_addr& address);

}  // namespace millrace::posix
