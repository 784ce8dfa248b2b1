#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

struct mr_loan;

namespace millrace::apps {

/// The socket calls the programs here use, over the kernel's sockets or over the stack's: the same arguments,
/// results and errno. A program written against it runs on either, which is what makes the two comparable.
struct SocketApi {
  int (*socket)(int domain, int type, int protocol);
  int (*bind)(int fd, const sockaddr* address, socklen_t length);
  int (*listen)(int fd, int backlog);
  int (*accept4)(int fd, sockaddr* address, socklen_t* length, int flags);
  int (*connect)(int fd, const sockaddr* address, socklen_t length);
  ssize_t (*send)(int fd, const void* data, std::size_t length, int flags);
  ssize_t (*recv)(int fd, void* data, std::size_t length, int flags);
  ssize_t (*sendto)(int fd, const void* data, std::size_t length, int flags, const sockaddr* address,
                    socklen_t address_length);
  ssize_t (*recvfrom)(int fd, void* data, std::size_t length, int flags, sockaddr* address,
                      socklen_t* address_length);
  ssize_t (*sendmsg)(int fd, const msghdr* message, int flags);
  int (*shutdown)(int fd, int how);
  int (*close)(int fd);
  int (*getsockname)(int fd, sockaddr* address, socklen_t* length);
  int (*getpeername)(int fd, sockaddr* address, socklen_t* length);
  int (*getsockopt)(int fd, int level, int option, void* value, socklen_t* length);
  int (*setsockopt)(int fd, int level, int option, const void* value, socklen_t length);
  int (*poll)(pollfd* fds, nfds_t count, int timeout);
  int (*epoll_create1)(int flags);
  int (*epoll_ctl)(int epoll, int operation, int fd, epoll_event* event);
  int (*epoll_wait)(int epoll, epoll_event* events, int capacity, int timeout);
  int (*epoll_close)(int epoll);
  // Of the stack alone: null over the kernel's sockets.
  ssize_t (*send_zc)(int fd, const iovec* slices, int count, int flags, void (*done)(void*), void* argument);
  ssize_t (*recv_zc)(int fd, iovec* slices, int* count, int flags, mr_loan** loan);
  void (*give_back)(mr_loan* loan);
};

const SocketApi& kernel_sockets();

/// "198.18.0.2" as a socket address; nothing when it is not an IPv4 address.
std::optional<sockaddr_in> make_address(const std::string& host, std::uint16_t port);
std::string to_text(const sockaddr_in& address);

/// A socket option that is an int. Returns what setsockopt does.
int set_option(const SocketApi& api, int fd, int level, int option, int value);

}  // namespace millrace::apps
