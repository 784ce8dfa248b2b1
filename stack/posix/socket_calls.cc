#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <cstring>
#include <new>

#include "posix/address.h"
#include "posix/calls.h"
#include "posix/epoll.h"
#include "posix/epoll_spread.h"
#include "posix/error.h"
#include "posix/library.h"

namespace millrace::posix {

namespace {

/// 0, or why there is no such socket: the checks of socket(2) in Linux's order.
long check_kind(int domain, int kind, int protocol) {
  if (domain < 0) return -EAFNOSUPPORT;
  if (kind < 0 || kind > SOCK_PACKET) return -EINVAL;
  if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
  if (protocol < 0 || protocol >= IPPROTO_MAX) return -EINVAL;
  const bool any = protocol == 0;
  switch (kind) {
    case SOCK_STREAM:
      return any || protocol == IPPROTO_TCP ? 0 : -EPROTONOSUPPORT;
    case SOCK_DGRAM:
      return any || protocol == IPPROTO_UDP ? 0 : -EPROTONOSUPPORT;
    case SOCK_RAW:
      return -EPROTONOSUPPORT;
    default:
      return -ESOCKTNOSUPPORT;
  }
}

/// Makes `socket` a descriptor, under the lock; `fd` was reserved.
long install_socket(Context& context, int fd, std::unique_ptr<Socket> socket, int flags,
                    const SocketFile* listener = nullptr) {
  auto* file = new (context.stack().slabs(), std::nothrow) SocketFile(context, std::move(socket));
  if (file == nullptr) {
    Library::instance().fds().release(fd);
    return -ENOMEM;
  }
  HintValues& hints = file->settings.hints;
  if (listener != nullptr) {
    file->settings = listener->settings;
    for (const Hint own : {kPriorityHint, kIncomingCpuHint}) hints.set(own, hint_option(own).initial);
  } else if (file->socket().family() == IpAddress::Family::kV6) {
    hints.set(kMulticastAllHint, 0);  // Linux sets it for sockets of AF_INET only
  }
  file->nonblocking = (flags & SOCK_NONBLOCK) != 0;
  file->close_on_exec = (flags & SOCK_CLOEXEC) != 0;
  Library::instance().fds().install(fd, *file);
  return fd;
}

}  // namespace

long BlockingWait::until(Ready mask, bool exclusive) {
  Context& context = file_.context();
  if (deadline_ == kEpoch) deadline_ = timeout_ == Duration::max() ? kNever : after(clock_now(), timeout_);
  FileHold hold(file_);
  Waiter waiter;
  WaitLink link;
  link.waiter = &waiter;
  link.mask = mask;
  link.exclusive = exclusive;
  file_.add_waiter(link);
  WaitRequest request;
  request.deadline = deadline_;
  request.restartable = timeout_ == Duration::max();
  const WaitResult result = context.wait(waiter, request);
  if (file_.closed()) return -EBADF;
  return error_of(result);
}

long open_socket(Context& context, int domain, int type, int protocol) {
  const int flags = type & ~0xf;
  const int kind = type & 0xf;
  if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return -EINVAL;
  if (const long wrong = check_kind(domain, kind, protocol); wrong != 0) return wrong;
  const int fd = Library::instance().fds().reserve();
  if (fd < 0) return fd;
  ContextLock guard(context);
  auto socket =
      context.stack().create_socket(kind == SOCK_STREAM ? SocketType::kStream : SocketType::kDatagram,
                                    domain == AF_INET6 ? IpAddress::Family::kV6 : IpAddress::Family::kV4);
  if (!socket) {
    Library::instance().fds().release(fd);
    return failure(socket.error());
  }
  return install_socket(context, fd, std::move(*socket), flags);
}

long bind_socket(int fd, const sockaddr* address, socklen_t length) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (const long wrong = check_address(address, length); wrong != 0) return wrong;
  Socket& socket = locked.socket_file().socket();
  const Result<Endpoint> local = to_endpoint(socket, AddressUse::kBind, address, length);
  if (!local) return failure(local.error());
  if (locked.context().is_alone() || locked.socket_file().twins) return failure(socket.bind(*local).error());
  locked.release();
  return spread_socket(
      fd, [&local](Socket& own, Instant) { return own.bind(*local); },
      [](Socket&, Instant) { return Result<void>{}; });
}

long listen_socket(int fd, int backlog) {
  const auto listen = [backlog](Socket& socket, Instant now) { return socket.listen(backlog, now); };
  std::shared_ptr<Twins> twins;
  long result = 0;
  {
    LockedFile locked(fd);
    if (!locked) return -EBADF;
    if (!locked.is_socket()) return -ENOTSOCK;
    twins = locked.socket_file().twins;
    if (twins || locked.context().is_alone()) {
      result = failure(listen(locked.socket_file().socket(), clock_now()).error());
      if (!twins || result != 0) return result;
      twins->for_each_but(locked.hand_over(), [&](SocketFile& part, Context&) {
        const long listening = failure(listen(part.socket(), clock_now()).error());
        if (result == 0) result = listening;
      });
      return result;
    }
  }
  return spread_socket(fd, listen, listen);
}

namespace {

/// What accept(2) was given, and a number for the socket.
struct Acceptance {
  sockaddr* address;
  socklen_t* length;
  int flags;
  ReservedFd& number;
};

/// From one part of a listener, under its lock: the descriptor, or -errno.
long accept_from(SocketFile& file, Context& context, const Acceptance& into) {
  Result<std::unique_ptr<Socket>> accepted = file.socket().accept(clock_now());
  if (!accepted) return failure(accepted.error());
  context.took_event();
  const Endpoint peer = (*accepted)->accepted_from();
  if (file.socket().readiness() & kReadable) file.pass_on(EPOLLIN);
  // Linux drops the connection too when the address has nowhere to go.
  if (into.address != nullptr && into.length == nullptr) return -EFAULT;
  if (into.address != nullptr) {
    const long stored = store_endpoint(file.socket().family(), peer, into.address, into.length);
    if (stored < 0) return stored;
  }
  const long result = install_socket(context, into.number.use(), std::move(*accepted), into.flags, &file);
  context.settle(clock_now());
  return result;
}

/// With a listener that has parts in several contexts: the connection belongs where it came in.
long accept_anywhere(Twins& twins, bool nonblocking, Duration timeout, const Acceptance& into) {
  const Instant deadline = timeout == Duration::max() ? kNever : after(clock_now(), timeout);
  for (bool polled = false;;) {
    const long result = twins.try_each(
        [&into](SocketFile& file, Context& context) { return accept_from(file, context, into); });
    if (result != -EAGAIN) return result;
    if (nonblocking) {
      Context& home = twins.group.home();
      ContextLock guard(home);
      if (polled || !home.turn_if_stale(clock_now())) return -EAGAIN;
      polled = true;
      continue;
    }
    if (const long waited = twins.wait_for(kReadable | kError | kHangup, true, deadline); waited < 0)
      return waited;
  }
}

}  // namespace

long accept_socket(int fd, sockaddr* address, socklen_t* length, int flags) {
  if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return -EINVAL;
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  SocketFile& file = locked.socket_file();
  Context& context = locked.context();
  ReservedFd number(Library::instance().fds());
  if (number.get() < 0) return number.get();
  const Acceptance into{address, length, flags, number};
  if (file.twins) {
    const std::shared_ptr<Twins> twins = file.twins;
    const bool nonblocking = file.nonblocking;
    const Duration timeout = file.settings.receive_timeout;
    locked.release();
    return accept_anywhere(*twins, nonblocking, timeout, into);
  }
  BlockingWait wait(file, file.settings.receive_timeout);
  for (bool polled = false;;) {
    const long result = accept_from(file, context, into);
    if (result != -EAGAIN) return result;
    if (file.nonblocking) {
      if (polled || !context.turn_if_stale(clock_now())) return -EAGAIN;
      polled = true;
      continue;
    }
    const long waited = wait.until(kReadable | kError | kHangup, true);
    if (waited < 0) return waited;
  }
}

namespace {

/// In a group of contexts, before connect(2): the socket is where the answers will come in. What is wrong
/// with the call is left for connect_socket() to say.
long prepare_to_connect(int fd, const sockaddr* address, socklen_t length) {
  sa_family_t family;
  if (check_address(address, length) != 0 || length < sizeof family) return 0;
  std::memcpy(&family, address, sizeof family);
  if (family == AF_UNSPEC) return 0;
  std::optional<Result<Endpoint>> remote;
  {
    LockedFile locked(fd);
    if (!locked || !locked.is_socket()) return 0;
    remote = to_endpoint(locked.socket_file().socket(), AddressUse::kConnect, address, length);
  }
  return *remote ? come_home(fd, **remote) : 0;
}

/// A datagram socket's parts do as it did.
void follow_in_parts(int fd, const std::shared_ptr<Twins>& twins, Context& home, const SocketAction& act) {
  twins->for_each_but(home, [&](SocketFile& part, Context& context) {
    const Instant now = clock_now();
    static_cast<void>(act(part.socket(), now));
    context.settle(now);
  });
  {
    LockedFile locked(fd);
    if (!locked || !locked.is_socket() || locked.socket_file().socket().local_endpoint().port != 0) return;
  }
  drop_twins(fd);  // it has no name any more
}

}  // namespace

long connect_socket(int fd, const sockaddr* address, socklen_t length) {
  if (Library::instance().group_of(fd) != nullptr) {
    if (const long wrong = prepare_to_connect(fd, address, length); wrong != 0) return wrong;
  }
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (const long wrong = check_address(address, length); wrong != 0) return wrong;
  if (length < sizeof(sa_family_t)) return -EINVAL;
  SocketFile& file = locked.socket_file();
  Context& context = locked.context();
  Instant now = clock_now();
  sa_family_t family;
  std::memcpy(&family, address, sizeof family);
  if (family == AF_UNSPEC) {
    const long result = failure(file.socket().disconnect(now).error());
    context.settle(now);
    if (const std::shared_ptr<Twins> twins = file.twins) {
      follow_in_parts(fd, twins, locked.hand_over(),
                      [](Socket& part, Instant when) { return part.disconnect(when); });
    }
    return result;
  }
  const Result<Endpoint> remote = to_endpoint(file.socket(), AddressUse::kConnect, address, length);
  if (!remote) return failure(remote.error());
  const Error started = file.socket().connect(*remote, now).error();
  context.settle(now);
  if (const std::shared_ptr<Twins> twins = file.twins; twins && !file.is_stream()) {
    follow_in_parts(fd, twins, locked.hand_over(),
                    [&remote](Socket& part, Instant when) { return part.connect(*remote, when); });
    return failure(started);
  }
  const bool under_way = started == Error::kInProgress || started == Error::kAlready;
  if (!under_way || file.nonblocking) return failure(started);
  // Linux: SO_SNDTIMEO ends the wait with EINPROGRESS, or EALREADY the second time.
  BlockingWait wait(file, file.settings.send_timeout);
  for (;;) {
    if ((file.socket().readiness() & (kWritable | kError | kHangup)) == 0) {
      const long waited = wait.until(kWritable | kError | kHangup);
      if (waited == -EAGAIN) return failure(started);
      if (waited < 0) return waited;
    }
    now = clock_now();
    const Error outcome = file.socket().connect(*remote, now).error();
    if (outcome == Error::kIsConnected) return 0;  // another thread asked first
    if (outcome != Error::kAlready) return failure(outcome);
  }
}

long shutdown_socket(int fd, int how) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  const Shutdown which = how == SHUT_RD   ? Shutdown::kRead
                         : how == SHUT_WR ? Shutdown::kWrite
                                          : Shutdown::kBoth;
  const Instant now = clock_now();
  const long result = failure(locked.socket_file().socket().shutdown(which, now).error());
  locked.context().settle(now);
  if (const std::shared_ptr<Twins> twins = locked.socket_file().twins) {
    twins->for_each_but(locked.hand_over(), [&](SocketFile& part, Context& context) {
      static_cast<void>(part.socket().shutdown(which, now));
      context.settle(now);
    });
  }
  return result;
}

namespace {

/// With parts in other contexts, which are closed after this one.
long close_everywhere(LockedFile& locked, bool may_linger) {
  const std::size_t index = locked.context().index();
  if (locked.is_socket()) {
    SocketFile& file = locked.socket_file();
    const std::shared_ptr<Twins> twins = std::exchange(file.twins, nullptr);
    if (twins) {
      twins->unwatch(index);
      twins->files[index] = nullptr;
    }
    file.close(clock_now(), may_linger);
    if (twins) close_twins(twins, locked.hand_over());
  } else {
    auto& set = static_cast<EpollFile&>(locked.file());
    const std::shared_ptr<EpollSpread> spread = set.spread();
    spread->parts[index] = nullptr;
    set.close();
    spread->close_parts(locked.hand_over());
  }
  return 0;
}

}  // namespace

long close_file(int fd, bool may_linger) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  Library::instance().fds().remove(fd);
  if (!locked.context().is_alone()) return close_everywhere(locked, may_linger);
  if (locked.is_socket()) {
    locked.socket_file().close(clock_now(), may_linger);
  } else {
    static_cast<EpollFile&>(locked.file()).close();
  }
  return 0;
}

void SocketFile::close(Instant now, bool may_linger) {
  detach();
  may_linger = may_linger && is_stream();
  const Result<std::int64_t> linger =
      may_linger ? socket_->option(SocketOption::kLinger) : Result<std::int64_t>(-1);
  socket_->close(now);
  context().settle(now);
  if (linger && *linger > 0 && socket_->draining()) {
    // socket(7) SO_LINGER: also on a nonblocking socket. Any interruption ends the wait; the data goes on.
    const Instant deadline = after(now, std::chrono::seconds(*linger));
    while (socket_->draining() && now < deadline) {
      Waiter waiter;
      WaitRequest request;
      request.deadline = std::min(deadline, now + 1ms);
      if (context().wait(waiter, request) == WaitResult::kInterrupted) break;
      now = clock_now();
    }
  }
  release();
}

std::uint32_t SocketFile::to_poll_events(Ready ready) const {
  std::uint32_t events = ready;
  if (ready & kReadable) events |= EPOLLRDNORM;
  if (ready & kWritable) events |= is_stream() ? EPOLLWRNORM : EPOLLWRNORM | EPOLLWRBAND;
  return events;
}

std::uint32_t SocketFile::poll_events() const {
  return to_poll_events(socket_->readiness());
}

long socket_name(int fd, sockaddr* address, socklen_t* length) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  const Socket& socket = locked.socket_file().socket();
  return store_endpoint(socket.family(), socket.local_endpoint(), address, length);
}

long peer_name(int fd, sockaddr* address, socklen_t* length) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  const Socket& socket = locked.socket_file().socket();
  const Result<Endpoint> peer = socket.remote_endpoint();
  if (!peer) return failure(peer.error());
  return store_endpoint(socket.family(), *peer, address, length);
}

long control_file(int fd, int command, long argument) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  SocketFile* socket = locked.is_socket() ? &locked.socket_file() : nullptr;
  switch (command) {
    case F_GETFL:
      return O_RDWR | (socket != nullptr && socket->nonblocking ? O_NONBLOCK : 0);
    case F_SETFL:
      if (socket != nullptr) socket->nonblocking = (argument & O_NONBLOCK) != 0;
      return 0;
    case F_GETFD:
      return locked.file().close_on_exec ? FD_CLOEXEC : 0;
    case F_SETFD:
      locked.file().close_on_exec = (argument & FD_CLOEXEC) != 0;
      return 0;
    default:
      return -EINVAL;
  }
}

long control_socket(int fd, unsigned long request, void* argument) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTTY;
  SocketFile& file = locked.socket_file();
  const auto store = [argument](std::size_t value) -> long {
    if (argument == nullptr) return -EFAULT;
    const int number = static_cast<int>(std::min<std::size_t>(value, INT32_MAX));
    std::memcpy(argument, &number, sizeof number);
    return 0;
  };
  const bool listening = file.socket().is_listening();
  switch (request) {
    case FIONBIO: {
      if (argument == nullptr) return -EFAULT;
      int on;
      std::memcpy(&on, argument, sizeof on);
      file.nonblocking = on != 0;
      return 0;
    }
    case FIONREAD:  // SIOCINQ
      if (listening) return -EINVAL;
      if (const std::shared_ptr<Twins> twins = file.twins) {
        std::size_t bytes = 0;
        locked.release();
        twins->for_each([&bytes](SocketFile& part, Context& context) {
          context.turn_if_stale(clock_now());
          if (bytes == 0) bytes = part.socket().readable_bytes();
        });
        return store(bytes);
      }
      locked.context().turn_if_stale(clock_now());
      return store(file.socket().readable_bytes());
    case TIOCOUTQ:  // SIOCOUTQ
      if (listening) return -EINVAL;
      locked.context().turn_if_stale(clock_now());
      return store(file.socket().unsent_bytes());
    case SIOCATMARK:
      if (!file.is_stream()) return -ENOTTY;
      return store(file.socket().at_mark() ? 1 : 0);
    default:
      return -ENOTTY;
  }
}

}  // namespace millrace::posix
