#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "socket_calls.h"

namespace millrace::posix::test {

/// Makes socket calls and notes what each returned, in words that are the same for the kernel and the stack
/// when they behave the same: descriptors are noted as "fd", errno by name, events by name, never a port.
/// Calls in lower case are noted; helpers that only set the scene are not.
class Script {
 public:
  explicit Script(const SocketCalls& calls) : calls_(calls) {}
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;
  ~Script();

  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  [[nodiscard]] const SocketCalls& calls() const { return calls_; }

  // --- the scene (not noted; fails the test when it cannot be set)
  int stream(int flags = 0);
  int datagram(int flags = 0);
  /// The same of AF_INET6.
  int v6_stream(int flags = 0);
  int v6_datagram(int flags = 0);
  /// Bound to ::, listening.
  int v6_listener();
  /// Bound to :: or another address of IPv6.
  int v6_bound_datagram(const char* host = "::");
  /// A descriptor that is not open.
  [[nodiscard]] int bad_fd() const { return calls_.first_fd + 9999; }
  /// Bound to 127.0.0.1 and a free port, listening.
  int listener(int flags = 0, int backlog = 8);
  /// A connection through `listener`: client, server.
  std::pair<int, int> connection();
  std::pair<int, int> connection(int listening);
  /// Two datagram sockets on 127.0.0.1, connected to each other.
  std::pair<int, int> datagram_pair();
  int bound_datagram();
  [[nodiscard]] sockaddr_in name_of(int fd);
  [[nodiscard]] in_port_t port_of(int fd);  ///< host order
  void drop(int fd);
  /// 127.0.0.1 and a port on which nobody listens.
  [[nodiscard]] sockaddr_in dead_end();
  /// Closes with a reset.
  void reset(int fd);
  /// Waits until poll would report one of `events`, at most two seconds.
  void await(int fd, short events);
  int epoll();
  void nonblocking(int fd);

  // --- calls
  int socket(int domain, int type, int protocol);
  int bind(int fd, const sockaddr_in& address, socklen_t length = sizeof(sockaddr_in));
  int bind(int fd, const sockaddr_in6& address, socklen_t length = sizeof(sockaddr_in6));
  int listen(int fd, int backlog);
  int accept(int fd, int flags = 0);
  int connect(int fd, const sockaddr_in& address, socklen_t length = sizeof(sockaddr_in));
  int connect(int fd, const sockaddr_in6& address, socklen_t length = sizeof(sockaddr_in6));
  ssize_t send(int fd, std::string_view data, int flags = MSG_NOSIGNAL);
  ssize_t sendto(int fd, std::string_view data, const sockaddr_in& to, int flags = MSG_NOSIGNAL,
                 socklen_t length = sizeof(sockaddr_in));
  ssize_t sendto(int fd, std::string_view data, const sockaddr_in6& to, int flags = MSG_NOSIGNAL,
                 socklen_t length = sizeof(sockaddr_in6));
  /// Notes what was received, too.
  ssize_t recv(int fd, size_t size, int flags = 0);
  ssize_t recvmsg(int fd, size_t size, int flags = 0);
  ssize_t read(int fd, size_t size);
  ssize_t write(int fd, std::string_view data);
  int shutdown(int fd, int how);
  int close(int fd);
  int getsockname(int fd, std::optional<socklen_t> length = sizeof(sockaddr_in));
  /// Both, with room for either family.
  void names(int fd);
  int getpeername(int fd, std::optional<socklen_t> length = sizeof(sockaddr_in));
  /// Notes an int option's value and the length.
  int getsockopt(int fd, int level, int option, std::optional<socklen_t> length = sizeof(int));
  int setsockopt(int fd, int level, int option, int value, socklen_t length = sizeof(int));
  int setsockopt(int fd, int level, int option, const void* value, socklen_t length);
  int fcntl(int fd, int command, long argument = 0);
  int ioctl(int fd, unsigned long request, int argument = 0);
  /// poll(2) with one descriptor; notes the events.
  int poll(int fd, short events, int timeout = 0);
  int epoll_ctl(int epoll, int operation, int fd, std::uint32_t events);
  /// Notes each event with its descriptor's place in the order of epoll_ctl calls.
  int epoll_wait(int epoll, int max = 8, int timeout = 0);

  void note(std::string text) { notes_.push_back(std::move(text)); }
  /// Notes result and errno; `as_fd`: a success is just "fd".
  void note_result(std::string_view call, long result, bool as_fd = false);

 private:
  int keep(int fd);
  int bind_generic(int fd, const void* address, socklen_t length);
  int connect_generic(int fd, const void* address, socklen_t length);
  ssize_t sendto_generic(int fd, std::string_view data, const void* to, int flags, socklen_t length);

  const SocketCalls& calls_;
  std::vector<std::string> notes_;
  std::vector<int> open_;
  std::vector<int> watched_;
};

[[nodiscard]] std::string event_names(std::uint32_t events);

}  // namespace millrace::posix::test
