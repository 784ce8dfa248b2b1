#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "load.h"

namespace millrace::load {

using apps::set_option;

void fail_with_errno(std::string_view doing) {
  const int code = errno;
  throw Failure(std::string(doing) + ": " + std::strerror(code));
}

void Report::add(std::string key, double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3f", value);
  entries_.emplace_back(std::move(key), text);
}

void Report::add(std::string key, std::uint64_t value) {
  entries_.emplace_back(std::move(key), std::to_string(value));
}

void Report::add(std::string key, std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  entries_.emplace_back(std::move(key), quoted + '"');
}

void Report::print(bool json) const {
  std::string line;
  for (const auto& [key, value] : entries_) {
    if (!line.empty()) line += json ? ", " : " ";
    if (json) line += '"';
    line += key;
    line += json ? "\": " : "=";
    line += value;
  }
  if (json) line = '{' + line + '}';
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

namespace {

/// The port is left to connect(): it can be one that is in use with other servers.
void bind_source(const Options& options, int fd, const sockaddr_in& source) {
  if (set_option(*options.api, fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1) != 0 ||
      options.api->bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
    fail_with_errno("bind to " + apps::to_text(source));
  }
}

Descriptor open_tcp(const Options& options, std::size_t number, int flags) {
  Descriptor fd(*options.api, options.api->socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (fd.get() < 0) fail_with_errno("socket");
  if (set_option(*options.api, fd.get(), IPPROTO_TCP, TCP_NODELAY, 1) != 0) fail_with_errno("TCP_NODELAY");
  if (!options.sources.empty())
    bind_source(options, fd.get(), options.sources[number % options.sources.size()]);
  const std::string& congestion = options.congestion;
  if (!congestion.empty() && options.api->setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                                                     static_cast<socklen_t>(congestion.size())) != 0) {
    fail_with_errno("TCP_CONGESTION " + congestion);
  }
  return fd;
}

int connect(const Options& options, int fd) {
  // sockaddr_in is passed as sockaddr: that is how the call is made.
  return options.api->connect(fd, reinterpret_cast<const sockaddr*>(&options.server), sizeof options.server);
}

}  // namespace

Descriptor connect_tcp(const Options& options, std::size_t number) {
  Descriptor fd = open_tcp(options, number, 0);
  if (connect(options, fd.get()) != 0) fail_with_errno("connect to " + apps::to_text(options.server));
  return fd;
}

Descriptor start_connect_tcp(const Options& options, std::size_t number) {
  Descriptor fd = open_tcp(options, number, SOCK_NONBLOCK);
  if (connect(options, fd.get()) != 0 && errno != EINPROGRESS) {
    fail_with_errno("connect to " + apps::to_text(options.server));
  }
  return fd;
}

void expect_connected(const Options& options, int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (options.api->getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) fail_with_errno("SO_ERROR");
  if (error != 0) throw Failure(std::string("connect: ") + std::strerror(error));
}

void send_all(const Options& options, int fd, const void* data, std::size_t length, int flags) {
  const auto* next = static_cast<const unsigned char*>(data);
  while (length > 0) {
    const ssize_t sent = options.api->send(fd, next, length, MSG_NOSIGNAL | flags);
    if (sent < 0) {
      if (errno == EINTR || ((flags & MSG_DONTWAIT) != 0 && errno == EAGAIN)) continue;
      fail_with_errno("send");
    }
    next += sent;
    length -= static_cast<std::size_t>(sent);
  }
}

}  // namespace millrace::load
