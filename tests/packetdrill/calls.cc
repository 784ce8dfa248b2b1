// The functions that packetdrill calls: the stack's own for its descriptors, the kernel's for others.
#include "posix/calls.h"

#include <errno.h>
#include <millrace/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "packetdrill/adapter.h"
#include "packetdrill/interface.h"
#include "packetdrill/kernel_calls.h"
#include "packetdrill/preload.h"

namespace millrace::packetdrill {

namespace {

using Call = VirtualTime::Call;

Adapter& the(void* self) {
  return *static_cast<Adapter*>(self);
}
int own_fd(void* self, int fd) {
  return the(self).descriptors().find(fd);
}

template <typename T>
T finish(long result) {
  if (result >= 0) return static_cast<T>(result);
  errno = static_cast<int>(-result);
  return T{-1};
}

// --- sockets

int do_socket(void* self, int domain, int type, int protocol) {
  const Call call;
  const int own = finish<int>(posix::open_socket(the(self).context(), domain, type, protocol));
  const std::string& congestion = the(self).congestion();
  // One that the stack does not know stays its default: what the script says of it will tell.
  if (own >= 0 && !congestion.empty()) {
    static_cast<void>(mr_setsockopt(own, IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                                    static_cast<socklen_t>(congestion.size())));
  }
  return the(self).descriptors().adopt(own);
}

int do_bind(void* self, int fd, const sockaddr* address, socklen_t length) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<int>(SYS_bind, fd, address, length) : mr_bind(own, address, length);
}

int do_listen(void* self, int fd, int backlog) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<int>(SYS_listen, fd, backlog) : mr_listen(own, backlog);
}

int do_accept(void* self, int fd, sockaddr* address, socklen_t* length) {
  const Call call;
  const int own = own_fd(self, fd);
  if (own < 0) return kernel<int>(SYS_accept, fd, address, length);
  return the(self).descriptors().adopt(mr_accept(own, address, length));
}

int do_connect(void* self, int fd, const sockaddr* address, socklen_t length) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<int>(SYS_connect, fd, address, length) : mr_connect(own, address, length);
}

int do_shutdown(void* self, int fd, int how) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<int>(SYS_shutdown, fd, how) : mr_shutdown(own, how);
}

int do_close(void* self, int fd) {
  const Call call;
  static_cast<void>(self);
  return close_any(fd);
}

// --- data

ssize_t do_read(void* self, int fd, void* data, std::size_t size) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_read, fd, data, size) : mr_read(own, data, size);
}

ssize_t do_readv(void* self, int fd, const iovec* slices, int count) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_readv, fd, slices, count) : mr_readv(own, slices, count);
}

ssize_t do_recv(void* self, int fd, void* data, std::size_t size, int flags) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_recvfrom, fd, data, size, flags, nullptr, nullptr)
                 : mr_recv(own, data, size, flags);
}

ssize_t do_recvfrom(void* self, int fd, void* data, std::size_t size, int flags, sockaddr* from,
                    socklen_t* length) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_recvfrom, fd, data, size, flags, from, length)
                 : mr_recvfrom(own, data, size, flags, from, length);
}

ssize_t do_recvmsg(void* self, int fd, msghdr* message, int flags) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_recvmsg, fd, message, flags) : mr_recvmsg(own, message, flags);
}

ssize_t do_write(void* self, int fd, const void* data, std::size_t size) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_write, fd, data, size) : mr_write(own, data, size);
}

ssize_t do_writev(void* self, int fd, const iovec* slices, int count) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_writev, fd, slices, count) : mr_writev(own, slices, count);
}

ssize_t do_send(void* self, int fd, const void* data, std::size_t size, int flags) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_sendto, fd, data, size, flags, nullptr, 0)
                 : mr_send(own, data, size, flags);
}

ssize_t do_sendto(void* self, int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                  socklen_t length) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_sendto, fd, data, size, flags, to, length)
                 : mr_sendto(own, data, size, flags, to, length);
}

ssize_t do_sendmsg(void* self, int fd, const msghdr* message, int flags) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<ssize_t>(SYS_sendmsg, fd, message, flags) : mr_sendmsg(own, message, flags);
}

int do_pipe(void* /*self*/, int fds[2]) {
  return kernel<int>(SYS_pipe2, fds, 0);
}

/// splice(2) between a pipe and a stream, by a copy: what a script sees of it is how many bytes went.
ssize_t copy_across(int own_in, int in, int own_out, int out, std::size_t size, unsigned flags) {
  constexpr unsigned kDontWait = 2, kMore = 4;  // SPLICE_F_NONBLOCK, SPLICE_F_MORE
  std::vector<char> bytes(std::min<std::size_t>(size, 65536));
  const ssize_t got =
      own_in >= 0 ? mr_recv(own_in, bytes.data(), bytes.size(), (flags & kDontWait) != 0 ? MSG_DONTWAIT : 0)
                  : kernel<ssize_t>(SYS_read, in, bytes.data(), bytes.size());
  if (got <= 0) return got;
  const auto count = static_cast<std::size_t>(got);
  return own_out >= 0 ? mr_send(own_out, bytes.data(), count, (flags & kMore) != 0 ? MSG_MORE : 0)
                      : kernel<ssize_t>(SYS_write, out, bytes.data(), count);
}

int do_splice(void* self, int in, loff_t* in_offset, int out, loff_t* out_offset, std::size_t size,
              unsigned flags) {
  const Call call;
  // packetdrill has a place for an offset even where the script has none, which is 0.
  if (in_offset != nullptr && *in_offset == 0) in_offset = nullptr;
  if (out_offset != nullptr && *out_offset == 0) out_offset = nullptr;
  const int own_in = own_fd(self, in), own_out = own_fd(self, out);
  if (own_in < 0 && own_out < 0) return kernel<int>(SYS_splice, in, in_offset, out, out_offset, size, flags);
  if (in_offset != nullptr || out_offset != nullptr) return finish<int>(-ESPIPE);
  return static_cast<int>(copy_across(own_in, in, own_out, out, size, flags));
}

// --- options and the like

int do_fcntl(void* self, int fd, int command, ...) {
  const Call call;
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<int>(SYS_fcntl, fd, command, argument) : mr_fcntl(own, command, argument);
}

int do_ioctl(void* self, int fd, unsigned long request, ...) {
  const Call call;
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<int>(SYS_ioctl, fd, request, argument) : mr_ioctl(own, request, argument);
}

int do_getsockopt(void* /*self*/, int fd, int level, int option, void* value, socklen_t* length) {
  const Call call;
  return getsockopt_any(fd, level, option, value, length);
}

int do_setsockopt(void* self, int fd, int level, int option, const void* value, socklen_t length) {
  const Call call;
  const int own = own_fd(self, fd);
  return own < 0 ? kernel<int>(SYS_setsockopt, fd, level, option, value, length)
                 : mr_setsockopt(own, level, option, value, length);
}

// --- waiting

int do_poll(void* self, pollfd* fds, nfds_t count, int timeout_ms) {
  const Call call;
  if (fds == nullptr) return mr_poll(fds, count, timeout_ms);
  std::vector<pollfd> translated(fds, fds + count);
  for (pollfd& fd : translated) {
    if (const int own = own_fd(self, fd.fd); own >= 0) fd.fd = own;
  }
  const int result = mr_poll(translated.data(), count, timeout_ms);
  for (std::size_t i = 0; i < count; ++i) fds[i].revents = translated[i].revents;
  return result;
}

int do_epoll_create(void* self, int size) {
  const Call call;
  if (size <= 0) return finish<int>(-EINVAL);
  const int own = finish<int>(posix::create_epoll(the(self).context(), 0));
  return the(self).descriptors().adopt(own);
}

int do_epoll_ctl(void* self, int set, int operation, int fd, epoll_event* event) {
  const Call call;
  const int own_set = own_fd(self, set);
  if (own_set < 0) return kernel<int>(SYS_epoll_ctl, set, operation, fd, event);
  const int own = own_fd(self, fd);
  return finish<int>(posix::control_epoll(own_set, operation, own < 0 ? fd : own, event, fd));
}

int do_epoll_wait(void* self, int set, epoll_event* events, int max_events, int timeout_ms) {
  const Call call;
  const int own = own_fd(self, set);
  return own < 0 ? kernel<int>(SYS_epoll_pwait, set, events, max_events, timeout_ms, nullptr, 8)
                 : mr_epoll_wait(own, events, max_events, timeout_ms);
}

// --- packets and time

int do_netdev_send(void* self, const void* packet, std::size_t size) {
  the(self).inject({static_cast<const std::uint8_t*>(packet), size});
  return 0;
}

int do_netdev_receive(void* self, void* packet, std::size_t* size, long long* time_us) {
  SentPacket sent;
  if (!the(self).next_packet(sent)) {
    *size = 0;
    return 0;
  }
  if (sent.bytes.size() > *size) return finish<int>(-EMSGSIZE);
  std::copy(sent.bytes.begin(), sent.bytes.end(), static_cast<std::uint8_t*>(packet));
  *size = sent.bytes.size();
  *time_us = std::chrono::duration_cast<std::chrono::microseconds>(sent.at - kEpoch).count();
  return 0;
}

int do_usleep(void* self, useconds_t us) {
  VirtualTime::instance().wait_until_told();
  the(self).run_until(VirtualTime::instance().now() + std::chrono::microseconds(us));
  return 0;
}

int do_gettimeofday(void* self, timeval* time, struct timezone* /*zone*/) {
  // The host looks at the clock between a command of the script and whatever comes next.
  the(self).follow_commands();
  VirtualTime& clock = VirtualTime::instance();
  const Duration since = clock.now() - kEpoch;
  time->tv_sec = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  time->tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(since).count() % 1000000;
  // Who waits for a moment by looking at the clock must see it come.
  if (!clock.time_read()) clock.advance_to(clock.now() + 1us);
  return 0;
}

Adapter* current = nullptr;

void do_free(void* /*self*/) {
  delete std::exchange(current, nullptr);
}

}  // namespace

Adapter* adapter() {
  return current;
}

}  // namespace millrace::packetdrill

extern "C" __attribute__((visibility("default"))) void packetdrill_interface_init(
    const char* flags, millrace::packetdrill::Interface* interface) {
  namespace pd = millrace::packetdrill;
  pd::Profile profile;
  const std::string error = pd::read_flags(flags != nullptr ? flags : "", profile);
  if (!error.empty()) {
    static_cast<void>(fprintf(stderr, "millrace: --so_flags: %s\n", error.c_str()));
    exit(1);
  }
  const auto file_named_by = [](const char* variable) {
    const char* path = getenv(variable);
    return std::string(path != nullptr ? path : "");
  };
  pd::current = new pd::Adapter(std::move(profile), {file_named_by("MILLRACE_PACKETDRILL_SYSCTLS"),
                                                     file_named_by("MILLRACE_PACKETDRILL_DISCIPLINE")});
  *interface = pd::Interface{
      .self = pd::current,
      .free = pd::do_free,
      .socket = pd::do_socket,
      .bind = pd::do_bind,
      .listen = pd::do_listen,
      .accept = pd::do_accept,
      .connect = pd::do_connect,
      .read = pd::do_read,
      .readv = pd::do_readv,
      .recv = pd::do_recv,
      .recvfrom = pd::do_recvfrom,
      .recvmsg = pd::do_recvmsg,
      .write = pd::do_write,
      .writev = pd::do_writev,
      .send = pd::do_send,
      .sendto = pd::do_sendto,
      .sendmsg = pd::do_sendmsg,
      .fcntl = pd::do_fcntl,
      .ioctl = pd::do_ioctl,
      .close = pd::do_close,
      .shutdown = pd::do_shutdown,
      .getsockopt = pd::do_getsockopt,
      .setsockopt = pd::do_setsockopt,
      .poll = pd::do_poll,
      .netdev_send = pd::do_netdev_send,
      .netdev_receive = pd::do_netdev_receive,
      .usleep = pd::do_usleep,
      .gettimeofday = pd::do_gettimeofday,
      .epoll_create = pd::do_epoll_create,
      .epoll_ctl = pd::do_epoll_ctl,
      .epoll_wait = pd::do_epoll_wait,
      .pipe = pd::do_pipe,
      .splice = pd::do_splice,
  };
}
