#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

/// The system calls that this room makes itself, straight to the kernel: a result or -errno. The C library's
/// functions of these names may be somebody's who looks descriptors up here first (a preloaded library), and
/// some are cancellation points, which must not be reached with the context's lock held.
namespace millrace::posix::sys {

#if defined(__x86_64__)
inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "no way to make a system call on this machine yet"
#endif

template <typename T>
long word(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

inline constexpr long kSignalSetBytes = 8;  // the kernel's sigset_t

inline long close(int fd) {
  return call(SYS_close, fd);
}
inline long read(int fd, void* data, std::size_t size) {
  return call(SYS_read, fd, word(data), static_cast<long>(size));
}
inline long write(int fd, const void* data, std::size_t size) {
  return call(SYS_write, fd, word(data), static_cast<long>(size));
}
inline long fcntl(int fd, int command, long argument = 0) {
  return call(SYS_fcntl, fd, command, argument);
}
inline long eventfd(unsigned value, int flags) {
  return call(SYS_eventfd2, value, flags);
}
inline long epoll_create1(int flags) {
  return call(SYS_epoll_create1, flags);
}
inline long epoll_ctl(int set, int operation, int fd, epoll_event* event) {
  return call(SYS_epoll_ctl, set, operation, fd, word(event));
}
/// Without waiting.
inline long epoll_look(int set, epoll_event* events, int max) {
  return call(SYS_epoll_pwait, set, word(events), max, 0, 0, kSignalSetBytes);
}
/// ppoll(2) that returns at once; with a mask, -EINTR when it lets a pending signal through.
inline long poll_now(pollfd* fds, std::size_t count, const sigset_t* mask = nullptr) {
  timespec zero{};
  return call(SYS_ppoll, word(fds), static_cast<long>(count), word(&zero), word(mask), kSignalSetBytes);
}
inline long poll_until(pollfd* fds, std::size_t count, const timespec* timeout) {
  return call(SYS_ppoll, word(fds), static_cast<long>(count), word(timeout), 0, kSignalSetBytes);
}
inline long unix_stream() {
  return call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}
inline long send(int fd, const void* data, std::size_t size, int flags) {
  return call(SYS_sendto, fd, word(data), static_cast<long>(size), flags, 0, 0);
}
inline long recv(int fd, void* data, std::size_t size, int flags) {
  return call(SYS_recvfrom, fd, word(data), static_cast<long>(size), flags, 0, 0);
}
inline long set_signal_mask(int how, const sigset_t* set, sigset_t* before) {
  return call(SYS_rt_sigprocmask, how, word(set), word(before), kSignalSetBytes);
}

// --- the room's own descriptors: out of the way of the program's numbers, and not for it to close

/// Moves a descriptor that was just opened up to high numbers and remembers it as the stack's own; returns
/// its number now. Passes errors on.
[[nodiscard]] long keep_own(long fd);
/// Remembers a descriptor where it is.
void mark_own(int fd);
[[nodiscard]] bool is_own(int fd);
/// The first own descriptor from `fd` on; -1 when there is none.
[[nodiscard]] int next_own(int fd);
/// The program's from now on.
void give_away_own(int fd);
void close_own(int fd);

/// ppoll(2) as the C library has it, a cancellation point: the only call in which a thread of the program
/// sleeps. Without the context's lock. A preloaded library, whose own ppoll comes first, sets it.
using Ppoll = int (*)(pollfd*, nfds_t, const timespec*, const sigset_t*);
extern Ppoll cancellable_ppoll;

}  // namespace millrace::posix::sys
