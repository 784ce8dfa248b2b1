// The C functions of millrace/socket.h: errno, and the plain calls in terms of the general ones.
#include <errno.h>
#include <millrace/socket.h>
#include <stdarg.h>

#include <string>
#include <utility>
#include <vector>

#include "posix/address.h"
#include "posix/calls.h"
#include "posix/library.h"
#include "posix/stats.h"

namespace px = millrace::posix;
using millrace::Duration;

namespace {

template <typename T>
T finish(long result) {
  if (result >= 0) [[likely]]
    return static_cast<T>(result);
  errno = static_cast<int>(-result);
  return T{-1};
}

int to_int(long result) {
  return finish<int>(result);
}

Duration from_ms(int timeout_ms) {
  return timeout_ms < 0 ? Duration::max() : Duration{std::chrono::milliseconds(timeout_ms)};
}

/// read(2) and its kin say EINVAL of a descriptor that cannot be read, such as an epoll set.
long as_file_call(long result) {
  return result == -ENOTSOCK ? -EINVAL : result;
}

}  // namespace

extern "C" {

int mr_init(const struct mr_config* config) {
  return to_int(px::Library::instance().init(config));
}

const char* mr_last_error(void) {
  return px::Library::last_error().c_str();
}

void mr_finish(void) {
  px::Library::instance().finish();
}

int mr_stats(void (*visit)(void* arg, const char* name, uint64_t value), void* arg) {
  px::ContextGroup* group = px::Library::instance().contexts_if_any();
  if (group == nullptr) return to_int(-ENETDOWN);
  if (visit == nullptr) return to_int(-EFAULT);
  std::vector<px::Context*> contexts;
  for (const auto& context : *group) contexts.push_back(context.get());
  const std::vector<std::pair<std::string, std::uint64_t>> counters = px::snapshot(contexts);
  for (const auto& [name, value] : counters) visit(arg, name.c_str(), value);
  return static_cast<int>(counters.size());
}

const char* mr_version(void) {
  return MILLRACE_VERSION;
}

int mr_socket(int domain, int type, int protocol) {
  px::Context* context = px::Library::instance().context();
  if (context == nullptr) return to_int(-ENETDOWN);
  return to_int(px::open_socket(*context, domain, type, protocol));
}

int mr_bind(int fd, const struct sockaddr* address, socklen_t length) {
  return to_int(px::bind_socket(fd, address, length));
}

int mr_listen(int fd, int backlog) {
  return to_int(px::listen_socket(fd, backlog));
}

int mr_accept(int fd, struct sockaddr* address, socklen_t* length) {
  return to_int(px::accept_socket(fd, address, length, 0));
}

int mr_accept4(int fd, struct sockaddr* address, socklen_t* length, int flags) {
  return to_int(px::accept_socket(fd, address, length, flags));
}

int mr_connect(int fd, const struct sockaddr* address, socklen_t length) {
  return to_int(px::connect_socket(fd, address, length));
}

int mr_shutdown(int fd, int how) {
  return to_int(px::shutdown_socket(fd, how));
}

int mr_close(int fd) {
  return to_int(px::close_file(fd));
}

ssize_t mr_send(int fd, const void* data, size_t size, int flags) {
  return finish<ssize_t>(px::send_bytes(fd, data, size, flags));
}

ssize_t mr_sendto(int fd, const void* data, size_t size, int flags, const struct sockaddr* to,
                  socklen_t length) {
  if (to == nullptr) return mr_send(fd, data, size, flags);
  const iovec slice{const_cast<void*>(data), size};
  return finish<ssize_t>(px::send_data(fd, &slice, 1, flags, {to, length, {}}));
}

ssize_t mr_sendmsg(int fd, const struct msghdr* message, int flags) {
  return finish<ssize_t>(px::send_message(fd, message, flags));
}

int mr_sendmmsg(int fd, struct mmsghdr* messages, unsigned int count, int flags) {
  return to_int(px::send_messages(fd, messages, count, flags));
}

ssize_t mr_write(int fd, const void* data, size_t size) {
  return finish<ssize_t>(as_file_call(px::send_bytes(fd, data, size, 0)));
}

ssize_t mr_writev(int fd, const struct iovec* slices, int count) {
  const auto size = static_cast<std::size_t>(count);
  if (count < 0) return finish<ssize_t>(-EINVAL);
  if (const long wrong = px::check_vector(slices, size, EINVAL); wrong != 0) return finish<ssize_t>(wrong);
  return finish<ssize_t>(as_file_call(px::send_data(fd, slices, size, 0, {})));
}

ssize_t mr_recv(int fd, void* data, size_t size, int flags) {
  return finish<ssize_t>(px::receive_bytes(fd, data, size, flags));
}

ssize_t mr_recvfrom(int fd, void* data, size_t size, int flags, struct sockaddr* from, socklen_t* length) {
  if (from == nullptr) return mr_recv(fd, data, size, flags);
  px::ReceivedMessage message;
  const iovec slice{data, size};
  const long received = px::receive_data(fd, &slice, 1, flags, message);
  if (received < 0) return finish<ssize_t>(received);
  if (!message.from_set) {
    if (length == nullptr) return finish<ssize_t>(-EFAULT);
    *length = 0;
  } else if (const long stored = px::store_endpoint(message.family, message.from, from, length); stored < 0) {
    return finish<ssize_t>(stored);
  }
  return finish<ssize_t>(received);
}

ssize_t mr_recvmsg(int fd, struct msghdr* message, int flags) {
  return finish<ssize_t>(px::receive_message(fd, message, flags));
}

int mr_recvmmsg(int fd, struct mmsghdr* messages, unsigned int count, int flags, struct timespec* timeout) {
  return to_int(px::receive_messages(fd, messages, count, flags, timeout));
}

ssize_t mr_read(int fd, void* data, size_t size) {
  return finish<ssize_t>(as_file_call(px::receive_bytes(fd, data, size, px::kPlainRead)));
}

ssize_t mr_readv(int fd, const struct iovec* slices, int count) {
  const auto size = static_cast<std::size_t>(count);
  if (count < 0) return finish<ssize_t>(-EINVAL);
  if (const long wrong = px::check_vector(slices, size, EINVAL); wrong != 0) return finish<ssize_t>(wrong);
  px::ReceivedMessage message;
  return finish<ssize_t>(as_file_call(px::receive_data(fd, slices, size, px::kPlainRead, message)));
}

ssize_t mr_send_zc(int fd, const struct iovec* slices, int count, int flags, void (*done)(void* argument),
                   void* argument) {
  const auto size = static_cast<std::size_t>(count);
  if (count < 0) return finish<ssize_t>(-EINVAL);
  if (done == nullptr) return finish<ssize_t>(-EFAULT);
  if (const long wrong = px::check_vector(slices, size, EINVAL); wrong != 0) return finish<ssize_t>(wrong);
  return finish<ssize_t>(px::send_lent(fd, slices, size, flags, done, argument));
}

ssize_t mr_recv_zc(int fd, struct iovec* slices, int* count, int flags, struct mr_loan** loan) {
  if (slices == nullptr || count == nullptr || loan == nullptr) return finish<ssize_t>(-EFAULT);
  if (*count <= 0) return finish<ssize_t>(-EINVAL);
  *loan = nullptr;
  auto room = static_cast<std::size_t>(*count);
  const long received = px::receive_lent(fd, slices, room, flags, *loan);
  if (received >= 0) *count = static_cast<int>(room);
  return finish<ssize_t>(received);
}

void mr_give_back(struct mr_loan* loan) {
  px::give_back(loan);
}

int mr_getsockname(int fd, struct sockaddr* address, socklen_t* length) {
  return to_int(px::socket_name(fd, address, length));
}

int mr_getpeername(int fd, struct sockaddr* address, socklen_t* length) {
  return to_int(px::peer_name(fd, address, length));
}

int mr_getsockopt(int fd, int level, int option, void* value, socklen_t* length) {
  return to_int(px::get_option(fd, level, option, value, length));
}

int mr_setsockopt(int fd, int level, int option, const void* value, socklen_t length) {
  return to_int(px::set_option(fd, level, option, value, length));
}

int mr_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  return to_int(px::control_file(fd, command, argument));
}

int mr_ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return to_int(px::control_socket(fd, request, argument));
}

int mr_poll(struct pollfd* fds, nfds_t count, int timeout_ms) {
  return to_int(px::poll_files(fds, count, from_ms(timeout_ms), nullptr));
}

int mr_ppoll(struct pollfd* fds, nfds_t count, const struct timespec* timeout, const sigset_t* mask) {
  Duration limit;
  if (const long wrong = px::read_limit(timeout, limit); wrong != 0) return to_int(wrong);
  return to_int(px::poll_files(fds, count, limit, mask));
}

int mr_epoll_create1(int flags) {
  px::Context* context = px::Library::instance().context();
  if (context == nullptr) return to_int(-ENETDOWN);
  return to_int(px::create_epoll(*context, flags));
}

int mr_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event* event) {
  return to_int(px::control_epoll(epoll_fd, operation, fd, event));
}

int mr_epoll_wait(int epoll_fd, struct epoll_event* events, int max_events, int timeout_ms) {
  return to_int(px::wait_epoll(epoll_fd, events, max_events, from_ms(timeout_ms), nullptr));
}

int mr_epoll_pwait(int epoll_fd, struct epoll_event* events, int max_events, int timeout_ms,
                   const sigset_t* mask) {
  return to_int(px::wait_epoll(epoll_fd, events, max_events, from_ms(timeout_ms), mask));
}

}  // extern "C"
