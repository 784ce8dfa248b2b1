#include "script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>
#include <stdexcept>

namespace millrace::posix::test {

namespace {

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}
sockaddr* generic(sockaddr_in& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

int must(const char* what, int result) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + strerrorname_np(errno));
  return result;
}

std::string host_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "none";
  in_port_t port = 0;
  if (address.ss_family == AF_INET) {
    sockaddr_in in;
    memcpy(&in, &address, sizeof in);
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    port = in.sin_port;
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 in;
    memcpy(&in, &address, sizeof in);
    inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
    port = in.sin6_port;
  }
  return std::string(text) + (port != 0 ? ":p" : ":0");
}

sockaddr* generic(sockaddr_storage& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

}  // namespace

std::string event_names(std::uint32_t events) {
  static constexpr std::pair<std::uint32_t, const char*> kNames[] = {
      {EPOLLIN, "IN"},         {EPOLLPRI, "PRI"},       {EPOLLOUT, "OUT"},       {EPOLLERR, "ERR"},
      {EPOLLHUP, "HUP"},       {EPOLLRDHUP, "RDHUP"},   {EPOLLRDNORM, "RDNORM"}, {EPOLLRDBAND, "RDBAND"},
      {EPOLLWRNORM, "WRNORM"}, {EPOLLWRBAND, "WRBAND"}, {POLLNVAL, "NVAL"},
  };
  std::string text;
  for (const auto& [bit, name] : kNames) {
    if ((events & bit) == 0) continue;
    if (!text.empty()) text += '|';
    text += name;
    events &= ~bit;
  }
  if (events != 0) text += "|" + std::to_string(events);
  return text.empty() ? "none" : text;
}

Script::~Script() {
  for (const int fd : open_) calls_.close(fd);
}

int Script::keep(int fd) {
  if (fd >= 0) open_.push_back(fd);
  return fd;
}

int Script::stream(int flags) {
  return keep(must("socket", calls_.socket(AF_INET, SOCK_STREAM | flags, 0)));
}
int Script::datagram(int flags) {
  return keep(must("socket", calls_.socket(AF_INET, SOCK_DGRAM | flags, 0)));
}
int Script::v6_stream(int flags) {
  return keep(must("socket", calls_.socket(AF_INET6, SOCK_STREAM | flags, 0)));
}
int Script::v6_datagram(int flags) {
  return keep(must("socket", calls_.socket(AF_INET6, SOCK_DGRAM | flags, 0)));
}
int Script::v6_listener() {
  const int fd = v6_stream();
  const sockaddr_in6 any = v6_address_of("::", 0);
  must("bind", calls_.bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any));
  must("listen", calls_.listen(fd, 8));
  return fd;
}
int Script::v6_bound_datagram(const char* host) {
  const int fd = v6_datagram();
  const sockaddr_in6 address = v6_address_of(host, 0);
  must("bind", calls_.bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
  return fd;
}
int Script::epoll() {
  return keep(must("epoll_create1", calls_.epoll_create1(0)));
}

int Script::listener(int flags, int backlog) {
  const int fd = stream(flags);
  const sockaddr_in address = address_of("127.0.0.1", 0);
  must("bind", calls_.bind(fd, generic(address), sizeof address));
  must("listen", calls_.listen(fd, backlog));
  return fd;
}

std::pair<int, int> Script::connection(int listening) {
  const int client = stream();
  const sockaddr_in address = name_of(listening);
  must("connect", calls_.connect(client, generic(address), sizeof address));
  return {client, keep(must("accept", calls_.accept4(listening, nullptr, nullptr, 0)))};
}

std::pair<int, int> Script::connection() {
  const int listening = listener();
  const auto pair = connection(listening);
  drop(listening);
  return pair;
}

int Script::bound_datagram() {
  const int fd = datagram();
  const sockaddr_in address = address_of("127.0.0.1", 0);
  must("bind", calls_.bind(fd, generic(address), sizeof address));
  return fd;
}

std::pair<int, int> Script::datagram_pair() {
  const int a = bound_datagram(), b = bound_datagram();
  const sockaddr_in of_a = name_of(a), of_b = name_of(b);
  must("connect", calls_.connect(a, generic(of_b), sizeof of_b));
  must("connect", calls_.connect(b, generic(of_a), sizeof of_a));
  return {a, b};
}

sockaddr_in Script::name_of(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  must("getsockname", calls_.getsockname(fd, generic(address), &length));
  return address;
}

in_port_t Script::port_of(int fd) {
  sockaddr_in6 address{};  // the port is at the same place in both families
  socklen_t length = sizeof address;
  must("getsockname", calls_.getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length));
  return ntohs(address.sin6_port);
}

void Script::drop(int fd) {
  open_.erase(std::remove(open_.begin(), open_.end(), fd), open_.end());
  must("close", calls_.close(fd));
}

sockaddr_in Script::dead_end() {
  const int fd = stream();
  const sockaddr_in any = address_of("127.0.0.1", 0);
  must("bind", calls_.bind(fd, generic(any), sizeof any));
  const sockaddr_in address = name_of(fd);
  drop(fd);
  return address;
}

void Script::reset(int fd) {
  const linger hard{1, 0};
  must("SO_LINGER", calls_.setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
  drop(fd);
}

void Script::await(int fd, short events) {
  pollfd entry{fd, events, 0};
  if (calls_.poll(&entry, 1, 2000) <= 0)
    note("await " + event_names(static_cast<std::uint32_t>(events)) + ": timed out");
}

void Script::nonblocking(int fd) {
  must("fcntl", calls_.fcntl(fd, F_SETFL, O_NONBLOCK));
}

void Script::note_result(std::string_view call, long result, bool as_fd) {
  std::string text(call);
  if (result < 0) {
    text += std::string(" = -1 ") + strerrorname_np(errno);
  } else {
    text += as_fd ? " = fd" : " = " + std::to_string(result);
  }
  notes_.push_back(std::move(text));
}

int Script::socket(int domain, int type, int protocol) {
  const int fd = keep(calls_.socket(domain, type, protocol));
  note_result("socket", fd, true);
  return fd;
}

int Script::bind_generic(int fd, const void* address, socklen_t length) {
  const int result = calls_.bind(fd, static_cast<const sockaddr*>(address), length);
  note_result("bind", result);
  return result;
}
int Script::bind(int fd, const sockaddr_in& address, socklen_t length) {
  return bind_generic(fd, &address, length);
}
int Script::bind(int fd, const sockaddr_in6& address, socklen_t length) {
  return bind_generic(fd, &address, length);
}

int Script::listen(int fd, int backlog) {
  const int result = calls_.listen(fd, backlog);
  note_result("listen", result);
  return result;
}

int Script::accept(int fd, int flags) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  const int result = keep(calls_.accept4(fd, generic(address), &length, flags));
  note_result("accept4", result, true);
  if (result >= 0) note("  from " + host_of(address) + ", length " + std::to_string(length));
  return result;
}

int Script::connect_generic(int fd, const void* address, socklen_t length) {
  const int result = calls_.connect(fd, static_cast<const sockaddr*>(address), length);
  note_result("connect", result);
  return result;
}
int Script::connect(int fd, const sockaddr_in& address, socklen_t length) {
  return connect_generic(fd, &address, length);
}
int Script::connect(int fd, const sockaddr_in6& address, socklen_t length) {
  return connect_generic(fd, &address, length);
}

ssize_t Script::send(int fd, std::string_view data, int flags) {
  const ssize_t result = calls_.send(fd, data.data(), data.size(), flags);
  note_result("send", result);
  return result;
}

ssize_t Script::sendto_generic(int fd, std::string_view data, const void* to, int flags, socklen_t length) {
  const ssize_t result =
      calls_.sendto(fd, data.data(), data.size(), flags, static_cast<const sockaddr*>(to), length);
  note_result("sendto", result);
  return result;
}
ssize_t Script::sendto(int fd, std::string_view data, const sockaddr_in& to, int flags, socklen_t length) {
  return sendto_generic(fd, data, &to, flags, length);
}
ssize_t Script::sendto(int fd, std::string_view data, const sockaddr_in6& to, int flags, socklen_t length) {
  return sendto_generic(fd, data, &to, flags, length);
}

ssize_t Script::recv(int fd, size_t size, int flags) {
  std::string data(size, '\0');
  const ssize_t result = calls_.recv(fd, data.data(), size, flags);
  note_result("recv", result);
  if (result > 0) note("  \"" + data.substr(0, std::min(static_cast<size_t>(result), size)) + "\"");
  return result;
}

ssize_t Script::recvmsg(int fd, size_t size, int flags) {
  std::string data(size, '\0');
  iovec slice{data.data(), size};
  sockaddr_storage from{};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  const ssize_t result = calls_.recvmsg(fd, &message, flags);
  note_result("recvmsg", result);
  if (result >= 0) {
    note("  flags " + std::to_string(message.msg_flags) + ", name of " + std::to_string(message.msg_namelen) +
         ", from " + host_of(from));
  }
  return result;
}

ssize_t Script::read(int fd, size_t size) {
  std::string data(size, '\0');
  const ssize_t result = calls_.read(fd, data.data(), size);
  note_result("read", result);
  return result;
}

ssize_t Script::write(int fd, std::string_view data) {
  const ssize_t result = calls_.write(fd, data.data(), data.size());
  note_result("write", result);
  return result;
}

int Script::shutdown(int fd, int how) {
  const int result = calls_.shutdown(fd, how);
  note_result("shutdown", result);
  return result;
}

int Script::close(int fd) {
  open_.erase(std::remove(open_.begin(), open_.end(), fd), open_.end());
  const int result = calls_.close(fd);
  note_result("close", result);
  return result;
}

int Script::getsockname(int fd, std::optional<socklen_t> length) {
  sockaddr_storage address{};
  const int result = calls_.getsockname(fd, generic(address), length ? &*length : nullptr);
  note_result("getsockname", result);
  if (result >= 0) note("  " + host_of(address) + ", length " + std::to_string(*length));
  return result;
}

int Script::getpeername(int fd, std::optional<socklen_t> length) {
  sockaddr_storage address{};
  const int result = calls_.getpeername(fd, generic(address), length ? &*length : nullptr);
  note_result("getpeername", result);
  if (result >= 0) note("  " + host_of(address) + ", length " + std::to_string(*length));
  return result;
}

void Script::names(int fd) {
  getsockname(fd, sizeof(sockaddr_storage));
  getpeername(fd, sizeof(sockaddr_storage));
}

int Script::getsockopt(int fd, int level, int option, std::optional<socklen_t> length) {
  int values[64] = {};
  const int result = calls_.getsockopt(fd, level, option, values, length ? &*length : nullptr);
  note_result("getsockopt", result);
  if (result >= 0) {
    std::string text = "  length " + std::to_string(*length) + ":";
    for (socklen_t i = 0; i < (*length + 3) / 4; ++i) text += " " + std::to_string(values[i]);
    note(std::move(text));
  }
  return result;
}

int Script::setsockopt(int fd, int level, int option, int value, socklen_t length) {
  return setsockopt(fd, level, option, &value, length);
}

int Script::setsockopt(int fd, int level, int option, const void* value, socklen_t length) {
  const int result = calls_.setsockopt(fd, level, option, value, length);
  note_result("setsockopt", result);
  return result;
}

int Script::fcntl(int fd, int command, long argument) {
  const int result = calls_.fcntl(fd, command, argument);
  note_result("fcntl", result);
  return result;
}

int Script::ioctl(int fd, unsigned long request, int argument) {
  const int result = calls_.ioctl(fd, request, &argument);
  note_result("ioctl", result);
  if (result >= 0) note("  " + std::to_string(argument));
  return result;
}

int Script::poll(int fd, short events, int timeout) {
  pollfd entry{fd, events, 0};
  const int result = calls_.poll(&entry, 1, timeout);
  note_result("poll", result);
  note("  " + event_names(static_cast<std::uint16_t>(entry.revents)));
  return result;
}

int Script::epoll_ctl(int epoll, int operation, int fd, std::uint32_t events) {
  auto at = std::find(watched_.begin(), watched_.end(), fd);
  if (at == watched_.end()) at = watched_.insert(at, fd);
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<std::uint64_t>(at - watched_.begin());
  const int result = calls_.epoll_ctl(epoll, operation, fd, &event);
  note_result("epoll_ctl", result);
  return result;
}

int Script::epoll_wait(int epoll, int max, int timeout) {
  std::vector<epoll_event> events(static_cast<size_t>(std::max(max, 1)));
  const int result = calls_.epoll_wait(epoll, events.data(), max, timeout);
  note_result("epoll_wait", result);
  for (int i = 0; i < result; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    note("  " + std::to_string(event.data.u64) + ": " + event_names(event.events));
  }
  return result;
}

}  // namespace millrace::posix::test
