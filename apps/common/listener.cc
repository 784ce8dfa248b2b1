#include "common/listener.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "common/system_error.h"

namespace millrace::apps {

namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptBatch = 64;

/// What accepted connections are to have, set once: they inherit it from their listener.
void set_connection_options(const SocketApi& api, int fd, unsigned timeout) {
  const auto set = [&](int level, int option, int value, const char* name) {
    if (set_option(api, fd, level, option, value) != 0) throw_errno(name);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (timeout == 0) return;
  const int seconds = static_cast<int>(timeout);
  constexpr int kProbes = 3;
  set(SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
  set(IPPROTO_TCP, TCP_KEEPIDLE, std::max(seconds / 2, 1), "TCP_KEEPIDLE");
  set(IPPROTO_TCP, TCP_KEEPINTVL, std::max(seconds / 2 / kProbes, 1), "TCP_KEEPINTVL");
  set(IPPROTO_TCP, TCP_KEEPCNT, kProbes, "TCP_KEEPCNT");
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, seconds * 1000, "TCP_USER_TIMEOUT");
}

}  // namespace

ListenAddress listen_address(bool kernel, const std::string& addr, std::uint16_t port) {
  if (!kernel || addr.empty()) return {.port = port};
  return {.host = addr.substr(0, addr.find('/')), .port = port};
}

void bind_to(const SocketApi& api, int fd, const ListenAddress& address, const char* protocol) {
  const auto socket_address = make_address(address.host, address.port);
  if (!socket_address) throw std::runtime_error("\"" + address.host + "\" is not an IPv4 address");
  if (api.bind(fd, reinterpret_cast<const sockaddr*>(&*socket_address), sizeof *socket_address) != 0) {
    throw_errno(std::string("cannot serve ") + protocol + " port " + std::to_string(address.port));
  }
}

Listener::Listener(EventLoop& loop, const ListenAddress& address, unsigned timeout, bool shared,
                   Events events)
    : loop_(loop),
      events_(std::move(events)),
      fd_(loop.api().socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  const SocketApi& api = loop_.api();
  if (fd_ < 0) throw_errno("socket");
  try {
    if (set_option(api, fd_, SOL_SOCKET, SO_REUSEADDR, 1) != 0) throw_errno("SO_REUSEADDR");
    if (shared && set_option(api, fd_, SOL_SOCKET, SO_REUSEPORT, 1) != 0) throw_errno("SO_REUSEPORT");
    set_connection_options(api, fd_, timeout);
    bind_to(api, fd_, address, "TCP");
    if (api.listen(fd_, kBacklog) != 0) throw_errno("cannot serve TCP port " + std::to_string(address.port));
    loop_.add(fd_, *this, EPOLLIN);
  } catch (...) {
    api.close(fd_);
    throw;
  }
}

Listener::~Listener() {
  loop_.api().close(fd_);
}

void Listener::accept_more(bool yes) {
  loop_.modify(fd_, *this, yes ? std::uint32_t{EPOLLIN} : 0U);
}

void Listener::on_event(std::uint32_t /*events*/) {
  for (int i = 0; i < kAcceptBatch; ++i) {
    const int fd = loop_.api().accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      events_.accepted(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      events_.out_of_descriptors();
      return;
    } else if (errno == EAGAIN) {
      return;
    }
    // Anything else is what one connection met before we took it.
  }
}

}  // namespace millrace::apps
