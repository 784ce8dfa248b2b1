// close(2), dup(2), fcntl(2), ioctl(2) and what else works on any descriptor.
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include <climits>

#include "calls.h"

namespace millrace::preload {

void release(int stack_fd) {
  if (!descriptors.drop(stack_fd) || is_heir()) return;  // an heir's copy goes away without a word
  mr_close(stack_fd);
}

void let_go(int fd) {
  if (const int stack_fd = descriptors.take(fd); stack_fd != 0) release(stack_fd);
}

namespace {

/// `made` is a new number for what `fd` stands for.
long also(int fd, long made) {
  if (made < 0) return made;
  const int copy = static_cast<int>(made);
  const int stack_fd = descriptors.find(fd);
  if (stack_fd != 0) {
    if (!Descriptors::fits(copy)) {
      sys::close(copy);
      return -EMFILE;
    }
    descriptors.share(copy, stack_fd);
  }
  descriptors.set_epoll(copy, descriptors.is_epoll(fd));
  return made;
}

long replace(int from, int to, int flags) {
  if (sys::is_own(to) && !Shim::inside()) return -EBADF;
  const long made = sys::call(SYS_dup3, from, to, flags);
  if (made < 0) return made;
  // The kernel has closed what was there.
  let_go(to);
  return also(from, made);
}

long duplicate_with(int fd, int command, long argument) {
  return also(fd, sys::fcntl(fd, command, argument));
}

}  // namespace

extern "C" {

int millrace_close(int fd) asm("close");
int millrace_close(int fd) {
  if (sys::is_own(fd)) [[unlikely]] {
    if (!Shim::inside()) return give<int>(-EBADF);
    sys::close_own(fd);
    return 0;
  }
  if (descriptors.is_epoll(fd)) descriptors.set_epoll(fd, false);
  const int stack_fd = descriptors.take(fd);
  if (stack_fd == 0) return pass(next.close, SYS_close, fd);
  // Before the number is free for others.
  release(stack_fd);
  return give<int>(sys::close(fd));
}

int millrace_dup(int fd) asm("dup");
int millrace_dup(int fd) {
  return give<int>(also(fd, sys::call(SYS_dup, fd)));
}
int millrace_dup2(int from, int to) asm("dup2");
int millrace_dup2(int from, int to) {
  if (from == to) return give<int>(sys::fcntl(from, F_GETFD) < 0 ? -EBADF : to);
  return give<int>(replace(from, to, 0));
}
int millrace_dup3(int from, int to, int flags) asm("dup3");
int millrace_dup3(int from, int to, int flags) {
  if (from == to) return give<int>(-EINVAL);
  return give<int>(replace(from, to, flags));
}

int millrace_fcntl64(int fd, int command, ...) asm("fcntl64");
int millrace_fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
    return give<int>(duplicate_with(fd, command, argument));
  const int stack_fd = command == F_GETFL || command == F_SETFL ? stack_fd_of(fd, Use::kQuiet) : 0;
  if (stack_fd < 0) return -1;
  if (stack_fd == 0) return give<int>(sys::fcntl(fd, command, argument));
  if (command == F_SETFL) {
    if ((argument & O_ASYNC) != 0) return give<int>(-EINVAL);  // there is no SIGIO
    if (descriptors.undecided(stack_fd)) sys::fcntl(fd, command, argument);
  }
  return mr_fcntl(stack_fd, command, argument);
}
int millrace_fcntl(int fd, int command, ...) asm("fcntl");
int millrace_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  return millrace_fcntl64(fd, command, argument);
}

int millrace_ioctl(int fd, unsigned long request, ...) asm("ioctl");
int millrace_ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto kernel = [&] {
    return give<int>(sys::call(SYS_ioctl, fd, static_cast<long>(request), sys::word(argument)));
  };
  // Close-on-exec is the number's; interfaces are asked of any socket.
  const bool numbers = request == FIOCLEX || request == FIONCLEX;
  const int stack_fd = numbers ? 0 : stack_fd_of(fd, Use::kQuiet);
  if (stack_fd < 0) return -1;
  if (stack_fd == 0) return kernel();
  if (request == FIOASYNC) return give<int>(-EINVAL);
  if (request == FIONBIO && descriptors.undecided(stack_fd)) static_cast<void>(kernel());
  const int result = mr_ioctl(stack_fd, request, argument);
  return result < 0 && errno == ENOTTY ? kernel() : result;
}

int millrace_close_range(unsigned first, unsigned last, int flags) asm("close_range");
int millrace_close_range(unsigned first, unsigned last, int flags) {
  if (first > last) return give<int>(-EINVAL);
  if ((static_cast<unsigned>(flags) & CLOSE_RANGE_CLOEXEC) == 0) {
    descriptors.for_each(first, last, [](int fd) { let_go(fd); });
    const unsigned end = std::min<unsigned>(last, Descriptors::kMost - 1);
    // Kernel epoll sets that no stack stands on are few; their marks go when the numbers are used again.
    for (unsigned fd = first; fd <= std::min(end, 4096U); ++fd)
      descriptors.set_epoll(static_cast<int>(fd), false);
  }
  // Around the stack's own descriptors.
  unsigned from = first;
  while (from <= last) {
    const int own = from <= INT_MAX ? sys::next_own(static_cast<int>(from)) : -1;
    const bool inside = own >= 0 && static_cast<unsigned>(own) <= last;
    const unsigned to = inside ? static_cast<unsigned>(own) : last;
    if (!inside || to > from) {
      const long result = sys::call(SYS_close_range, from, inside ? to - 1 : to, flags);
      if (result < 0) return give<int>(result);
    }
    if (!inside || to == UINT_MAX) break;
    from = to + 1;
  }
  return 0;
}
void millrace_closefrom(int first) asm("closefrom");
void millrace_closefrom(int first) {
  millrace_close_range(static_cast<unsigned>(std::max(first, 0)), UINT_MAX, 0);
}

}  // extern "C"

}  // namespace millrace::preload
