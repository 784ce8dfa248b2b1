#pragma once

#include <millrace/socket.h>

#include "next.h"
#include "posix/calls.h"
#include "posix/system.h"
#include "shim.h"

/// The functions that stand before the C library's. Each carries the library's name as its symbol, and one of
/// ours in the source, so that the C library's declarations (its nothrow, its redirections to 64-bit
/// variants) do not get in the way.
namespace millrace::preload {

namespace sys = posix::sys;

/// What a call needs of the stack.
enum class Use : std::uint8_t {
  kActive,  ///< it sends, receives or waits: the process claims the stack with it
  kQuiet,   ///< it only looks at the socket or prepares it
};

/// True in the process that has claimed the stack.
[[nodiscard]] bool owns_stack();
/// In others: claims it, or says why not. True when the call may go on.
[[nodiscard]] bool may_use(int fd, Use use);
/// Another process has the stack for good, as far as this one knows.
[[nodiscard]] bool is_heir();
void become_heir();

/// For a call on several descriptors of which one is the stack's.
[[nodiscard]] inline bool may_wait(int fd) {
  return owns_stack() || may_use(fd, Use::kActive);
}

/// The stack's descriptor behind `fd`, or 0; where another process has the stack, -1 with errno.
[[nodiscard]] inline int stack_fd_of(int fd, Use use = Use::kActive) {
  const int stack_fd = descriptors.find(fd);
  if (stack_fd == 0) [[likely]]
    return 0;
  if (owns_stack() || may_use(fd, use)) [[likely]]
    return stack_fd;
  errno = EBADF;
  return -1;
}

/// The kernel's function when it is known, else the bare system call.
template <typename T, typename... Parameters, typename... Arguments>
[[nodiscard]] T pass(T (*function)(Parameters...), long number, Arguments... arguments) {
  if (function != nullptr) [[likely]]
    return function(arguments...);
  const auto as_word = [](auto argument) {
    if constexpr (std::is_pointer_v<decltype(argument)>) {
      return sys::word(argument);
    } else {
      return static_cast<long>(argument);
    }
  };
  return give<T>(sys::call(number, as_word(arguments)...));
}

/// A number of the program's goes away: whatever the stack had there, too.
void let_go(int fd);
/// After the number was taken out of the table.
void release(int stack_fd);

/// The stack's set that stands on this kernel epoll descriptor, made when there is none. 0: no stack.
[[nodiscard]] int adopt_epoll(int epoll_fd);

}  // namespace millrace::preload
