#include "posix/address.h"

#include <arpa/inet.h>
#include <errno.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace millrace::posix {

namespace {

/// Without sin6_scope_id, as RFC 2133 had it: Linux takes that too.
constexpr socklen_t kShortestIn6 = offsetof(sockaddr_in6, sin6_scope_id);

Result<Endpoint> from_v4(AddressUse use, const sockaddr* address, socklen_t length) {
  if (length < sizeof(sockaddr_in)) return Error::kInvalid;
  sockaddr_in in;
  std::memcpy(&in, address, sizeof in);
  // As ip(7) does not say but Linux does: AF_UNSPEC is AF_INET for sending, and for binding to INADDR_ANY.
  const bool unspecified =
      in.sin_family == AF_UNSPEC &&
      (use == AddressUse::kSend || (use == AddressUse::kBind && in.sin_addr.s_addr == htonl(INADDR_ANY)));
  if (in.sin_family != AF_INET && !unspecified) return Error::kAddressFamily;
  return Endpoint{IpAddress::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
}

/// Which link is meant must be said for these: in binding, and in connecting to all but, on a stream, groups.
bool needs_scope(const Socket& socket, AddressUse use, const in6_addr& address) {
  if (use == AddressUse::kSend) return false;
  if (IN6_IS_ADDR_LINKLOCAL(&address)) return true;
  return IN6_IS_ADDR_MC_LINKLOCAL(&address) &&
         (use == AddressUse::kBind || socket.type() == SocketType::kDatagram);
}

Result<Endpoint> from_v6(const Socket& socket, AddressUse use, const sockaddr* address, socklen_t length) {
  if (length < kShortestIn6) return Error::kInvalid;
  sockaddr_in6 in{};
  std::memcpy(&in, address, std::min<std::size_t>(length, sizeof in));
  if (in.sin6_family != AF_INET6) return use == AddressUse::kSend ? Error::kInvalid : Error::kAddressFamily;
  const Endpoint endpoint{from_in6(in.sin6_addr), ntohs(in.sin6_port)};
  if (in.sin6_scope_id == 0 && needs_scope(socket, use, in.sin6_addr)) return Error::kInvalid;
  if (use == AddressUse::kBind && endpoint.address.is_v6() && endpoint.address.is_multicast() &&
      socket.type() == SocketType::kStream)
    return Error::kInvalid;
  return endpoint;
}

}  // namespace

long check_address(const sockaddr* address, socklen_t length) {
  if (length > sizeof(sockaddr_storage)) return -EINVAL;
  if (length != 0 && address == nullptr) return -EFAULT;
  return 0;
}

in6_addr to_in6(const IpAddress& address) {
  in6_addr out{};
  if (address.is_v4()) {
    out.s6_addr[10] = out.s6_addr[11] = 0xff;
    std::copy_n(address.bytes().begin(), 4, out.s6_addr + 12);
  } else {
    std::copy(address.bytes().begin(), address.bytes().end(), out.s6_addr);
  }
  return out;
}

IpAddress from_in6(const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address))
    return IpAddress::v4(address.s6_addr[12], address.s6_addr[13], address.s6_addr[14], address.s6_addr[15]);
  std::array<std::uint8_t, 16> bytes;
  std::copy_n(address.s6_addr, bytes.size(), bytes.begin());
  return IpAddress::v6(bytes);
}

Result<Endpoint> to_endpoint(const Socket& socket, AddressUse use, const sockaddr* address,
                             socklen_t length) {
  if (socket.family() == IpAddress::Family::kV4) return from_v4(use, address, length);
  sa_family_t family = AF_UNSPEC;
  if (length >= sizeof family) std::memcpy(&family, address, sizeof family);
  const Result<std::int64_t> option = socket.option(SocketOption::kV6Only);
  const bool v6_only = option && *option != 0;
  // Linux's UDP takes sockaddr_in for a socket of AF_INET6, but for bind().
  if (family == AF_INET && use != AddressUse::kBind && socket.type() == SocketType::kDatagram) {
    if (v6_only) return use == AddressUse::kSend ? Error::kNetworkUnreachable : Error::kAddressFamily;
    return from_v4(use, address, length);
  }
  const Result<Endpoint> endpoint = from_v6(socket, use, address, length);
  if (endpoint && endpoint->address.is_v4() && v6_only)
    return use == AddressUse::kBind ? Error::kInvalid : Error::kNetworkUnreachable;
  return endpoint;
}

long store_endpoint(IpAddress::Family family, const Endpoint& endpoint, sockaddr* address,
                    socklen_t* length) {
  if (length == nullptr) return -EFAULT;
  if (static_cast<int>(*length) < 0) return -EINVAL;
  union {
    sockaddr_in in;
    sockaddr_in6 in6;
  } out{};
  std::size_t size = sizeof out.in;
  if (family == IpAddress::Family::kV6) {
    size = sizeof out.in6;
    out.in6 = sockaddr_in6{};
    out.in6.sin6_family = AF_INET6;
    out.in6.sin6_port = htons(endpoint.port);
    out.in6.sin6_addr = to_in6(endpoint.address);
  } else {
    out.in.sin_family = AF_INET;
    out.in.sin_port = htons(endpoint.port);
    out.in.sin_addr.s_addr = htonl(endpoint.address.v4_value());
  }
  const std::size_t stored = std::min<std::size_t>(*length, size);
  if (stored != 0) {
    if (address == nullptr) return -EFAULT;
    std::memcpy(address, &out, stored);
  }
  *length = static_cast<socklen_t>(size);
  return 0;
}

}  // namespace millrace::posix
