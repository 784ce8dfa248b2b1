#pragma once

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace millrace::preload {

/// The C library's own functions, which stand behind ours: found once when the library is loaded. Those that
/// may block are cancellation points and stay so by being called. Before that (other libraries' constructors
/// run first) they are null, and callers make the system call themselves.
struct Next {
  int (*accept4)(int, sockaddr*, socklen_t*, int);
  int (*close)(int);
  int (*connect)(int, const sockaddr*, socklen_t);
  int (*epoll_pwait)(int, epoll_event*, int, int, const sigset_t*);
  int (*execve)(const char*, char* const*, char* const*);
  int (*execvpe)(const char*, char* const*, char* const*);
  int (*fexecve)(int, char* const*, char* const*);
  FILE* (*fdopen)(int, const char*);
  int (*getaddrinfo)(const char*, const char*, const addrinfo*, addrinfo**);
  int (*getnameinfo)(const sockaddr*, socklen_t, char*, socklen_t, char*, socklen_t, int);
  int (*ppoll)(pollfd*, nfds_t, const timespec*, const sigset_t*);
  int (*pselect)(int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*);
  int (*posix_spawn)(pid_t*, const char*, const void*, const void*, char* const*, char* const*);
  int (*posix_spawnp)(pid_t*, const char*, const void*, const void*, char* const*, char* const*);
  int (*pthread_create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  ssize_t (*read)(int, void*, size_t);
  ssize_t (*readv)(int, const iovec*, int);
  ssize_t (*recvfrom)(int, void*, size_t, int, sockaddr*, socklen_t*);
  ssize_t (*recvmsg)(int, msghdr*, int);
  int (*recvmmsg)(int, mmsghdr*, unsigned, int, timespec*);
  ssize_t (*sendfile)(int, int, off_t*, size_t);
  ssize_t (*sendmsg)(int, const msghdr*, int);
  int (*sendmmsg)(int, mmsghdr*, unsigned, int);
  ssize_t (*sendto)(int, const void*, size_t, int, const sockaddr*, socklen_t);
  int (*sigaction)(int, const struct sigaction*, struct sigaction*);
  ssize_t (*splice)(int, off_t*, int, off_t*, size_t, unsigned);
  ssize_t (*write)(int, const void*, size_t);
  ssize_t (*writev)(int, const iovec*, int);
};

extern Next next;
void find_next();

}  // namespace millrace::preload
