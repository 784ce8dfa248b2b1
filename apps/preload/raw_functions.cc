// syscall(2): programs that make socket calls by their numbers (libuv closes and sends that way) mean the
// same as by their names.
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <bit>

#include "calls.h"

extern "C" int close_range(unsigned first, unsigned last, int flags) noexcept;

namespace millrace::preload {

namespace {

using Words = std::array<long, 6>;

template <typename T>
T as(long word) {
  if constexpr (std::is_pointer_v<T>) {
    return std::bit_cast<T>(word);
  } else {
    return static_cast<T>(word);
  }
}

/// Calls the function of that name, which is this library's, with the words as its parameters.
template <typename T, typename... Parameters, std::size_t... kIndex>
long call_with(T (*function)(Parameters...), const Words& words, std::index_sequence<kIndex...>) {
  return static_cast<long>(function(as<Parameters>(words[kIndex])...));
}
template <typename T, typename... Parameters>
long call(T (*function)(Parameters...), const Words& words) {
  return call_with(function, words, std::index_sequence_for<Parameters...>{});
}

/// By number; false when it is none of a socket's.
bool data_call(long number, const Words& words, long& result) {
  switch (number) {
    case SYS_read:
      result = call(&::read, words);
      return true;
    case SYS_write:
      result = call(&::write, words);
      return true;
    case SYS_readv:
      result = call(&::readv, words);
      return true;
    case SYS_writev:
      result = call(&::writev, words);
      return true;
    case SYS_sendto:
      result = call(&::sendto, words);
      return true;
    case SYS_recvfrom:
      result = call(&::recvfrom, words);
      return true;
    case SYS_sendmsg:
      result = call(&::sendmsg, words);
      return true;
    case SYS_recvmsg:
      result = call(&::recvmsg, words);
      return true;
    case SYS_sendmmsg:
      result = call(&::sendmmsg, words);
      return true;
    case SYS_recvmmsg:
      result = call(&::recvmmsg, words);
      return true;
    case SYS_sendfile:
      result = call(&::sendfile, words);
      return true;
    case SYS_splice:
      result = call(&::splice, words);
      return true;
    default:
      return false;
  }
}

bool socket_call(long number, const Words& words, long& result) {
  switch (number) {
    case SYS_socket:
      result = call(&::socket, words);
      return true;
    case SYS_bind:
      result = call(&::bind, words);
      return true;
    case SYS_listen:
      result = call(&::listen, words);
      return true;
#ifdef SYS_accept
    case SYS_accept:
      result = call(&::accept, words);
      return true;
#endif
    case SYS_accept4:
      result = call(&::accept4, words);
      return true;
    case SYS_connect:
      result = call(&::connect, words);
      return true;
    case SYS_shutdown:
      result = call(&::shutdown, words);
      return true;
    case SYS_getsockname:
      result = call(&::getsockname, words);
      return true;
    case SYS_getpeername:
      result = call(&::getpeername, words);
      return true;
    case SYS_getsockopt:
      result = call(&::getsockopt, words);
      return true;
    case SYS_setsockopt:
      result = call(&::setsockopt, words);
      return true;
    default:
      return false;
  }
}

bool descriptor_call(long number, const Words& words, long& result) {
  switch (number) {
    case SYS_close:
      result = call(&::close, words);
      return true;
    case SYS_dup:
      result = call(&::dup, words);
      return true;
#ifdef SYS_dup2
    case SYS_dup2:
      result = call(&::dup2, words);
      return true;
#endif
    case SYS_dup3:
      result = call(&::dup3, words);
      return true;
    case SYS_fcntl:
      result = ::fcntl(as<int>(words[0]), as<int>(words[1]), words[2]);
      return true;
    case SYS_ioctl:
      result = ::ioctl(as<int>(words[0]), as<unsigned long>(words[1]), words[2]);
      return true;
    case SYS_close_range:
      result = call(&::close_range, words);
      return true;
    default:
      return false;
  }
}

bool wait_call(long number, const Words& words, long& result) {
  switch (number) {
#ifdef SYS_poll
    case SYS_poll:
      result = call(&::poll, words);
      return true;
    case SYS_epoll_wait:
      result = call(&::epoll_wait, words);
      return true;
    case SYS_epoll_create:
      result = call(&::epoll_create, words);
      return true;
    case SYS_select:
      result = call(&::select, words);
      return true;
#endif
    case SYS_ppoll:
      result = call(&::ppoll, words);
      return true;
    case SYS_epoll_create1:
      result = call(&::epoll_create1, words);
      return true;
    case SYS_epoll_ctl:
      result = call(&::epoll_ctl, words);
      return true;
    case SYS_epoll_pwait:
      result = call(&::epoll_pwait, words);
      return true;
    case SYS_epoll_pwait2:
      result = call(&::epoll_pwait2, words);
      return true;
    default:
      return false;
  }
}

}  // namespace

extern "C" {

long millrace_syscall(long number, ...) asm("syscall");
long millrace_syscall(long number, ...) {
  Words words;
  va_list arguments;
  va_start(arguments, number);
  for (long& word : words) word = va_arg(arguments, long);
  va_end(arguments);
  // A ring would reach sockets past every name; programs that find none use the calls.
  if (number == SYS_io_uring_setup) return give<long>(-ENOSYS);
  long result = 0;
  if (data_call(number, words, result) || socket_call(number, words, result) ||
      descriptor_call(number, words, result) || wait_call(number, words, result))
    return result;
  result = sys::call(number, words[0], words[1], words[2], words[3], words[4], words[5]);
  // The stack's own, of a driver.
  if (number == SYS_bpf && result > 0 && Shim::inside()) result = sys::keep_own(result);
  return give<long>(result);
}

}  // extern "C"

}  // namespace millrace::preload
