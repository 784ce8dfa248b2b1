#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>

namespace millrace::packetdrill {

/// What packetdrill calls of a stack in a shared object (`--so_filename`): a C structure of function pointers
/// that `packetdrill_interface_init` fills in. Its layout is packetdrill's and must stay as it is; every call
/// but the last paragraph's is POSIX's with `self`, the first member, in front.
struct Interface {
  void* self;
  void (*free)(void* self);

  int (*socket)(void* self, int domain, int type, int protocol);
  int (*bind)(void* self, int fd, const sockaddr* address, socklen_t length);
  int (*listen)(void* self, int fd, int backlog);
  int (*accept)(void* self, int fd, sockaddr* address, socklen_t* length);
  int (*connect)(void* self, int fd, const sockaddr* address, socklen_t length);

  ssize_t (*read)(void* self, int fd, void* data, std::size_t size);
  ssize_t (*readv)(void* self, int fd, const iovec* slices, int count);
  ssize_t (*recv)(void* self, int fd, void* data, std::size_t size, int flags);
  ssize_t (*recvfrom)(void* self, int fd, void* data, std::size_t size, int flags, sockaddr* from,
                      socklen_t* length);
  ssize_t (*recvmsg)(void* self, int fd, msghdr* message, int flags);
  ssize_t (*write)(void* self, int fd, const void* data, std::size_t size);
  ssize_t (*writev)(void* self, int fd, const iovec* slices, int count);
  ssize_t (*send)(void* self, int fd, const void* data, std::size_t size, int flags);
  ssize_t (*sendto)(void* self, int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                    socklen_t length);
  ssize_t (*sendmsg)(void* self, int fd, const msghdr* message, int flags);

  int (*fcntl)(void* self, int fd, int command, ...);
  int (*ioctl)(void* self, int fd, unsigned long request, ...);
  int (*close)(void* self, int fd);
  int (*shutdown)(void* self, int fd, int how);
  int (*getsockopt)(void* self, int fd, int level, int option, void* value, socklen_t* length);
  int (*setsockopt)(void* self, int fd, int level, int option, const void* value, socklen_t length);
  int (*poll)(void* self, pollfd* fds, nfds_t count, int timeout_ms);

  /// An IP packet for the stack. 0 or -1.
  int (*netdev_send)(void* self, const void* packet, std::size_t size);
  /// The next IP packet from the stack, when it left in *time_us. *size is the room there is, then the
  /// packet's size: 0 when there will be none. 0 or -1.
  int (*netdev_receive)(void* self, void* packet, std::size_t* size, long long* time_us);
  int (*usleep)(void* self, useconds_t us);
  int (*gettimeofday)(void* self, timeval* time, struct timezone* zone);

  int (*epoll_create)(void* self, int size);
  int (*epoll_ctl)(void* self, int set, int operation, int fd, epoll_event* event);
  int (*epoll_wait)(void* self, int set, epoll_event* events, int max_events, int timeout_ms);
  int (*pipe)(void* self, int fds[2]);
  int (*splice)(void* self, int in, loff_t* in_offset, int out, loff_t* out_offset, std::size_t size,
                unsigned flags);
};

/// The one function that packetdrill looks up, under the name "packetdrill_interface_init".
using InterfaceInit = void (*)(const char* flags, Interface* interface);

}  // namespace millrace::packetdrill
