#include "posix/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace millrace::posix {

long check_address(const sockaddr* address, socklen_t length) {
  if (length > sizeof(sockaddr_storage)) return -EINVAL;
  if (length != 0 && address == nullptr) return -EFAULT;
  return 0;
}

Result<Endpoint> to_endpoint(const sockaddr* address, socklen_t length) {
  if (length < sizeof(sockaddr_in)) return Error::kInvalid;
  sockaddr_in in;
  std::memcpy(&in, address, sizeof in);
  if (in.sin_family != AF_INET) return Error::kAddressFamily;
  return Endpoint{IpAddress::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
}

long store_endpoint(const Endpoint& endpoint, sockaddr* address, socklen_t* length) {
  if (length == nullptr) return -EFAULT;
  if (static_cast<int>(*length) < 0) return -EINVAL;
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(endpoint.port);
  in.sin_addr.s_addr = htonl(endpoint.address.v4_value());
  const std::size_t stored = std::min<std::size_t>(*length, sizeof in);
  if (stored != 0) {
    if (address == nullptr) return -EFAULT;
    std::memcpy(address, &in, stored);
  }
  *length = sizeof in;
  return 0;
}

}  // namespace millrace::posix
