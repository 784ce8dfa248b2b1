#include "socket_calls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace millrace::posix::test {

const SocketCalls& kernel_calls() {
  static const SocketCalls calls{
      0,          ::socket,   ::bind,        ::listen,        ::accept4,    ::connect,
      ::send,     ::sendto,   ::sendmsg,     ::recv,          ::recvfrom,   ::recvmsg,
      ::sendmmsg, ::recvmmsg, ::read,        ::write,         ::readv,      ::writev,
      ::shutdown, ::close,    ::getsockname, ::getpeername,   ::getsockopt, ::setsockopt,
      ::fcntl,    ::ioctl,    ::poll,        ::epoll_create1, ::epoll_ctl,  ::epoll_wait,
  };
  return calls;
}

sockaddr_in address_of(std::string_view host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, std::string(host).c_str(), &address.sin_addr);
  return address;
}

sockaddr_in6 v6_address_of(std::string_view host, std::uint16_t port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  inet_pton(AF_INET6, std::string(host).c_str(), &address.sin6_addr);
  return address;
}

sockaddr_in6 mapped(const sockaddr_in& address) {
  sockaddr_in6 result = v6_address_of("::ffff:0.0.0.0", ntohs(address.sin_port));
  memcpy(result.sin6_addr.s6_addr + 12, &address.sin_addr, 4);
  return result;
}

}  // namespace millrace::posix::test
