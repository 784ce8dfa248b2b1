#include "common/socket_api.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <cstdint>

namespace millrace::apps {

const SocketApi& kernel_sockets() {
  static constexpr SocketApi kApi{
      .socket = ::socket,
      .bind = ::bind,
      .listen = ::listen,
      .accept4 = ::accept4,
      .connect = ::connect,
      .send = ::send,
      .recv = ::recv,
      .sendto = ::sendto,
      .recvfrom = ::recvfrom,
      .sendmsg = ::sendmsg,
      .shutdown = ::shutdown,
      .close = ::close,
      .getsockname = ::getsockname,
      .getpeername = ::getpeername,
      .getsockopt = ::getsockopt,
      .setsockopt = ::setsockopt,
      .poll = ::poll,
      .epoll_create1 = ::epoll_create1,
      .epoll_ctl = ::epoll_ctl,
      .epoll_wait = ::epoll_wait,
      .epoll_close = ::close,
      .send_zc = nullptr,
      .recv_zc = nullptr,
      .give_back = nullptr,
  };
  return kApi;
}

std::optional<sockaddr_in> make_address(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return std::nullopt;
  return address;
}

std::string to_text(const sockaddr_in& address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(ntohs(address.sin_port));
}

int set_option(const SocketApi& api, int fd, int level, int option, int value) {
  return api.setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace millrace::apps
