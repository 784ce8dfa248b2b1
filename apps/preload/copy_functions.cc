// sendfile(2) and splice(2) with a socket of the stack's at one end, and stdio on such a socket.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>

#include "calls.h"

namespace millrace::preload {

namespace {

constexpr std::size_t kBlock = std::size_t{128} * 1024;
using Block = std::array<char, kBlock>;

/// One to copy through for this thread, kept: servers send files all day.
char* block() {
  thread_local std::unique_ptr<Block> kept = std::make_unique<Block>();
  return kept->data();
}

long send_some(int stack_fd, const char* data, std::size_t size, int flags) {
  const ssize_t sent = mr_send(stack_fd, data, size, MSG_NOSIGNAL | flags);
  return sent < 0 ? -errno : sent;
}

/// Sends from `in` at *offset on, which it moves; stops where the socket does.
long send_file(int stack_fd, int in, off_t& offset, std::size_t count) {
  constexpr std::size_t kMost = 0x7ffff000;
  count = std::min(count, kMost);
  std::size_t total = 0;
  while (total < count) {
    const long got = sys::call(SYS_pread64, in, sys::word(block()),
                               static_cast<long>(std::min(count - total, kBlock)), offset);
    if (got < 0 && total == 0) return got == -ESPIPE ? -EINVAL : got;
    if (got <= 0) break;
    const auto size = static_cast<std::size_t>(got);
    const long sent = send_some(stack_fd, block(), size, total + size < count ? MSG_MORE : 0);
    if (sent < 0) return total != 0 ? static_cast<long>(total) : sent;
    total += static_cast<std::size_t>(sent);
    offset += sent;
    if (static_cast<std::size_t>(sent) < size) break;
  }
  return static_cast<long>(total);
}

long no_wait(unsigned flags) {
  return (flags & SPLICE_F_NONBLOCK) != 0 ? RWF_NOWAIT : 0;
}

/// From the socket into a pipe: what the pipe did not take stays in the socket.
long splice_in(int stack_fd, int pipe, std::size_t size, unsigned flags) {
  const int wait = (flags & SPLICE_F_NONBLOCK) != 0 ? MSG_DONTWAIT : 0;
  const ssize_t there = mr_recv(stack_fd, block(), std::min(size, kBlock), MSG_PEEK | wait);
  if (there <= 0) return there < 0 ? -errno : 0;
  const iovec slice{block(), static_cast<std::size_t>(there)};
  const long taken = sys::call(SYS_pwritev2, pipe, sys::word(&slice), 1, -1, -1, no_wait(flags));
  if (taken <= 0) return taken;
  const ssize_t dropped = mr_recv(stack_fd, nullptr, static_cast<std::size_t>(taken), MSG_TRUNC);
  return dropped < 0 ? -errno : dropped;
}

/// From a pipe into the socket. What was read from the pipe must be sent; so only when the socket has room,
/// and no more than any socket with room takes at once.
long splice_out(int pipe, int stack_fd, std::size_t size, unsigned flags) {
  constexpr std::size_t kPiece = std::size_t{16} * 1024;
  pollfd room{stack_fd, POLLOUT, 0};
  const bool nonblocking =
      (flags & SPLICE_F_NONBLOCK) != 0 || (mr_fcntl(stack_fd, F_GETFL) & O_NONBLOCK) != 0;
  const int ready = mr_poll(&room, 1, nonblocking ? 0 : -1);
  if (ready <= 0) return ready < 0 ? -errno : -EAGAIN;
  const iovec slice{block(), std::min(size, kPiece)};
  const long got = sys::call(SYS_preadv2, pipe, sys::word(&slice), 1, -1, -1, no_wait(flags));
  if (got <= 0) return got;
  const int more = (flags & SPLICE_F_MORE) != 0 ? MSG_MORE : 0;
  for (long done = 0; done < got;) {
    const long sent = send_some(stack_fd, block() + done, static_cast<std::size_t>(got - done), more);
    if (sent == -EAGAIN) {
      static_cast<void>(mr_poll(&room, 1, -1));
    } else if (sent < 0) {
      return sent;
    } else {
      done += sent;
    }
  }
  return got;
}

// --- stdio, which calls the kernel past the names of this library

ssize_t read_stream(void* cookie, char* data, size_t size) {
  return read(static_cast<int>(reinterpret_cast<std::intptr_t>(cookie)), data, size);
}
ssize_t write_stream(void* cookie, const char* data, size_t size) {
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(cookie));
  size_t done = 0;
  while (done < size) {
    const ssize_t written = write(fd, data + done, size - done);
    if (written < 0) return static_cast<ssize_t>(done);
    done += static_cast<size_t>(written);
  }
  return static_cast<ssize_t>(done);
}
int close_stream(void* cookie) {
  return close(static_cast<int>(reinterpret_cast<std::intptr_t>(cookie)));
}

}  // namespace

extern "C" {

ssize_t millrace_sendfile(int out, int in, off_t* offset, size_t count) asm("sendfile64");
ssize_t millrace_sendfile(int out, int in, off_t* offset, size_t count) {
  const int stack_fd = stack_fd_of(out);
  if (stack_fd == 0) return pass(next.sendfile, SYS_sendfile, out, in, offset, count);
  if (stack_fd < 0) return -1;
  if (descriptors.find(in) != 0) return give<ssize_t>(-EINVAL);
  if (offset != nullptr) return give<ssize_t>(send_file(stack_fd, in, *offset, count));
  off_t at = sys::call(SYS_lseek, in, 0, SEEK_CUR);
  if (at < 0) return give<ssize_t>(-EINVAL);
  const long sent = send_file(stack_fd, in, at, count);
  if (sent > 0) sys::call(SYS_lseek, in, at, SEEK_SET);
  return give<ssize_t>(sent);
}
ssize_t millrace_sendfile_plain(int out, int in, off_t* offset, size_t count) asm("sendfile");
ssize_t millrace_sendfile_plain(int out, int in, off_t* offset, size_t count) {
  return millrace_sendfile(out, in, offset, count);
}

ssize_t millrace_splice(int in, off_t* in_offset, int out, off_t* out_offset, size_t size,
                        unsigned flags) asm("splice");
ssize_t millrace_splice(int in, off_t* in_offset, int out, off_t* out_offset, size_t size, unsigned flags) {
  const int from = stack_fd_of(in);
  const int to = from == 0 ? stack_fd_of(out) : descriptors.find(out);
  if (from < 0 || to < 0) return -1;
  if (from == 0 && to == 0) return pass(next.splice, SYS_splice, in, in_offset, out, out_offset, size, flags);
  // splice(2): one end is a pipe, and a socket has no offset.
  if (from != 0 && to != 0) return give<ssize_t>(-EINVAL);
  if ((from != 0 ? in_offset : out_offset) != nullptr) return give<ssize_t>(-ESPIPE);
  if (size == 0) return 0;
  const long moved = from != 0 ? splice_in(from, out, size, flags) : splice_out(in, to, size, flags);
  return give<ssize_t>(moved);
}

FILE* millrace_fdopen(int fd, const char* mode) asm("fdopen");
FILE* millrace_fdopen(int fd, const char* mode) {
  if (descriptors.find(fd) == 0) return next.fdopen(fd, mode);
  const cookie_io_functions_t functions{read_stream, write_stream, nullptr, close_stream};
  FILE* stream = fopencookie(std::bit_cast<void*>(std::intptr_t{fd}), mode, functions);
  if (stream != nullptr) stream->_fileno = fd;  // for fileno(3)
  return stream;
}

}  // extern "C"

}  // namespace millrace::preload
