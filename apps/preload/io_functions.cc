// Reading and writing.
#include <fcntl.h>
#include <unistd.h>

#include "calls.h"

namespace millrace::preload {

int decide_by_destination(int fd, int stack_fd, const void* address, socklen_t length);

extern "C" {

ssize_t millrace_read(int fd, void* data, size_t size) asm("read");
ssize_t millrace_read(int fd, void* data, size_t size) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd == 0) return pass(next.read, SYS_read, fd, data, size);
  return stack_fd < 0 ? -1 : mr_read(stack_fd, data, size);
}

ssize_t millrace_write(int fd, const void* data, size_t size) asm("write");
ssize_t millrace_write(int fd, const void* data, size_t size) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd == 0) return pass(next.write, SYS_write, fd, data, size);
  return stack_fd < 0 ? -1 : mr_write(stack_fd, data, size);
}

ssize_t millrace_readv(int fd, const iovec* slices, int count) asm("readv");
ssize_t millrace_readv(int fd, const iovec* slices, int count) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd == 0) return pass(next.readv, SYS_readv, fd, slices, count);
  return stack_fd < 0 ? -1 : mr_readv(stack_fd, slices, count);
}

ssize_t millrace_writev(int fd, const iovec* slices, int count) asm("writev");
ssize_t millrace_writev(int fd, const iovec* slices, int count) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd == 0) return pass(next.writev, SYS_writev, fd, slices, count);
  return stack_fd < 0 ? -1 : mr_writev(stack_fd, slices, count);
}

ssize_t millrace_sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
                        socklen_t length) asm("sendto");
ssize_t millrace_sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
                        socklen_t length) {
  int stack_fd = stack_fd_of(fd);
  if (stack_fd > 0) stack_fd = decide_by_destination(fd, stack_fd, to, length);
  if (stack_fd == 0) return pass(next.sendto, SYS_sendto, fd, data, size, flags, to, length);
  return stack_fd < 0 ? -1 : mr_sendto(stack_fd, data, size, flags, to, length);
}

ssize_t millrace_send(int fd, const void* data, size_t size, int flags) asm("send");
ssize_t millrace_send(int fd, const void* data, size_t size, int flags) {
  return millrace_sendto(fd, data, size, flags, nullptr, 0);
}

ssize_t millrace_sendmsg(int fd, const msghdr* message, int flags) asm("sendmsg");
ssize_t millrace_sendmsg(int fd, const msghdr* message, int flags) {
  int stack_fd = stack_fd_of(fd);
  if (stack_fd > 0 && message != nullptr)
    stack_fd = decide_by_destination(fd, stack_fd, message->msg_name, message->msg_namelen);
  if (stack_fd == 0) return pass(next.sendmsg, SYS_sendmsg, fd, message, flags);
  return stack_fd < 0 ? -1 : mr_sendmsg(stack_fd, message, flags);
}

int millrace_sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) asm("sendmmsg");
int millrace_sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  int stack_fd = stack_fd_of(fd);
  if (stack_fd > 0 && messages != nullptr && count != 0)
    stack_fd = decide_by_destination(fd, stack_fd, messages->msg_hdr.msg_name, messages->msg_hdr.msg_namelen);
  if (stack_fd == 0) return pass(next.sendmmsg, SYS_sendmmsg, fd, messages, count, flags);
  return stack_fd < 0 ? -1 : mr_sendmmsg(stack_fd, messages, count, flags);
}

ssize_t millrace_recvfrom(int fd, void* data, size_t size, int flags, sockaddr* from,
                          socklen_t* length) asm("recvfrom");
ssize_t millrace_recvfrom(int fd, void* data, size_t size, int flags, sockaddr* from, socklen_t* length) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd == 0) return pass(next.recvfrom, SYS_recvfrom, fd, data, size, flags, from, length);
  return stack_fd < 0 ? -1 : mr_recvfrom(stack_fd, data, size, flags, from, length);
}

ssize_t millrace_recv(int fd, void* data, size_t size, int flags) asm("recv");
ssize_t millrace_recv(int fd, void* data, size_t size, int flags) {
  return millrace_recvfrom(fd, data, size, flags, nullptr, nullptr);
}

ssize_t millrace_recvmsg(int fd, msghdr* message, int flags) asm("recvmsg");
ssize_t millrace_recvmsg(int fd, msghdr* message, int flags) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd == 0) return pass(next.recvmsg, SYS_recvmsg, fd, message, flags);
  return stack_fd < 0 ? -1 : mr_recvmsg(stack_fd, message, flags);
}

int millrace_recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags,
                      timespec* timeout) asm("recvmmsg");
int millrace_recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd == 0) return pass(next.recvmmsg, SYS_recvmmsg, fd, messages, count, flags, timeout);
  return stack_fd < 0 ? -1 : mr_recvmmsg(stack_fd, messages, count, flags, timeout);
}

// What the compiler puts in their place with _FORTIFY_SOURCE.
ssize_t millrace_read_chk(int fd, void* data, size_t size, size_t room) asm("__read_chk");
ssize_t millrace_read_chk(int fd, void* data, size_t size, size_t room) {
  if (size > room) __builtin_trap();
  return millrace_read(fd, data, size);
}
ssize_t millrace_recv_chk(int fd, void* data, size_t size, size_t room, int flags) asm("__recv_chk");
ssize_t millrace_recv_chk(int fd, void* data, size_t size, size_t room, int flags) {
  if (size > room) __builtin_trap();
  return millrace_recv(fd, data, size, flags);
}
ssize_t millrace_recvfrom_chk(int fd, void* data, size_t size, size_t room, int flags, sockaddr* from,
                              socklen_t* length) asm("__recvfrom_chk");
ssize_t millrace_recvfrom_chk(int fd, void* data, size_t size, size_t room, int flags, sockaddr* from,
                              socklen_t* length) {
  if (size > room) __builtin_trap();
  return millrace_recvfrom(fd, data, size, flags, from, length);
}

}  // extern "C"

}  // namespace millrace::preload
