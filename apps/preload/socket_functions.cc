// socket(2), bind(2), ... : which sockets are the stack's, and their calls.
#include <fcntl.h>
#include <netinet/in.h>

#include <cstring>
#include <optional>
#include <string>

#include "calls.h"
#include "posix/address.h"

namespace millrace::preload {

namespace {

bool of_the_stack(int domain, int type, int protocol) {
  const int kind = type & 0xf;
  if (domain != AF_INET && domain != AF_INET6) return false;
  if (kind == SOCK_STREAM) return protocol == 0 || protocol == IPPROTO_TCP;
  return kind == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP);
}

/// An IPv4 endpoint, also one that is written as IPv6. Empty for others, and for what is too short.
std::optional<Endpoint> v4_endpoint(const sockaddr* address, socklen_t length) {
  if (address == nullptr || length < sizeof(sa_family_t)) return std::nullopt;
  sa_family_t family;
  std::memcpy(&family, address, sizeof family);
  if (length >= sizeof(sockaddr_in) && (family == AF_INET || family == AF_UNSPEC)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    return Endpoint{IpAddress::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
  }
  constexpr std::size_t kWithoutScope = 24;
  if (family != AF_INET6 || length < kWithoutScope) return std::nullopt;
  sockaddr_in6 in{};
  std::memcpy(&in, address, std::min<std::size_t>(length, sizeof in));
  const std::uint16_t port = ntohs(in.sin6_port);
  if (IN6_IS_ADDR_UNSPECIFIED(&in.sin6_addr)) return Endpoint{IpAddress::v4(0), port};
  if (IN6_IS_ADDR_LOOPBACK(&in.sin6_addr)) return Endpoint{IpAddress::v4(127, 0, 0, 1), port};
  if (!IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) return std::nullopt;
  std::uint32_t word;
  std::memcpy(&word, &in.sin6_addr.s6_addr[12], sizeof word);
  return Endpoint{IpAddress::v4(ntohl(word)), port};
}

bool is_stream(int stack_fd) {
  int type = 0;
  socklen_t length = sizeof type;
  return mr_getsockopt(stack_fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

/// The socket is the kernel's after all: `fd` is one of its own already, with the options set on it.
void leave_to_kernel(int fd, int stack_fd) {
  if (descriptors.take(fd) == 0) return;
  static_cast<void>(posix::leave_to_kernel(stack_fd, fd));
  static_cast<void>(descriptors.drop(stack_fd));
}

/// Takes an undecided socket's decision. Returns the stack's descriptor, or 0 for the kernel.
int decide(int fd, int stack_fd, Fate fate) {
  if (!descriptors.decide(stack_fd)) return stack_fd;
  if (fate == Fate::kStack) return stack_fd;
  leave_to_kernel(fd, stack_fd);
  return 0;
}

int decide_by_local(int fd, int stack_fd, const sockaddr* address, socklen_t length) {
  if (!descriptors.undecided(stack_fd)) return stack_fd;
  const std::optional<Endpoint> local = v4_endpoint(address, length);
  posix::Context* context = Shim::running();
  // What is no IPv4 address the kernel knows, or has the right error for.
  if (!local || context == nullptr) return decide(fd, stack_fd, Fate::kKernel);
  return decide(fd, stack_fd, Shim::instance().fate_of_bind(*context, *local));
}

int decide_by_peer(int fd, int stack_fd, const sockaddr* address, socklen_t length) {
  if (!descriptors.undecided(stack_fd)) return stack_fd;
  const std::optional<Endpoint> remote = v4_endpoint(address, length);
  posix::Context* context = Shim::running();
  if (!remote || context == nullptr) return decide(fd, stack_fd, Fate::kKernel);
  return decide(fd, stack_fd, Shim::instance().fate_of_peer(*context, *remote, is_stream(stack_fd)));
}

/// A number for a socket that is yet to be accepted, not for the program to close: it does not have it yet,
/// and would have two sockets with this number. Free again at the end of the scope, also when the thread is
/// cancelled, unless it was used.
class Placeholder {
 public:
  Placeholder() {
    const long made = Shim::instance().placeholder();
    fd_ = static_cast<int>(made);
    if (fd_ >= 0 && !Descriptors::fits(fd_)) {
      sys::close(fd_);
      fd_ = -EMFILE;
    }
    if (fd_ >= 0) sys::mark_own(fd_);
  }
  Placeholder(const Placeholder&) = delete;
  Placeholder& operator=(const Placeholder&) = delete;
  ~Placeholder() {
    if (fd_ >= 0) sys::close_own(fd_);
  }
  /// Or -errno.
  [[nodiscard]] int get() const { return fd_; }
  /// It stands for this socket now.
  [[nodiscard]] int use(int stack_fd, bool close_on_exec) {
    if (!close_on_exec) sys::fcntl(fd_, F_SETFD, 0);
    descriptors.install(fd_, stack_fd, false);
    sys::give_away_own(fd_);
    return std::exchange(fd_, -1);
  }

 private:
  int fd_;
};

/// A kernel socket of a process that may not use the stack: true, with errno, when it would end up where the
/// stack is.
bool refuses_heir(int fd, const sockaddr* address, socklen_t length, bool local) {
  if (!is_heir()) [[likely]]
    return false;
  const std::optional<Endpoint> endpoint = v4_endpoint(address, length);
  if (!endpoint || !Shim::instance().covers(*endpoint, local)) return false;
  int domain = 0;
  socklen_t size = sizeof domain;
  sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, sys::word(&domain), sys::word(&size));
  if (domain != AF_INET && domain != AF_INET6) return false;
  static std::atomic<bool> said{false};
  if (!said.exchange(true)) {
    complain("process " + std::to_string(sys::call(SYS_getpid)) +
             " cannot use the stack, which a relative of it has: in this mode one process can");
  }
  errno = local ? EADDRNOTAVAIL : ENETUNREACH;
  return true;
}

/// The placeholder of a wildcard listener becomes a listener of the kernel's on 127.0.0.1.
void listen_in_kernel(int fd, int stack_fd, int backlog) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  auto* address = reinterpret_cast<sockaddr*>(&name);
  if (mr_getsockname(stack_fd, address, &length) != 0) return;
  const std::optional<Endpoint> local = v4_endpoint(address, length);
  if (!local || !local->address.is_unspecified()) return;
  if (name.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    auto& bytes = reinterpret_cast<sockaddr_in6*>(&name)->sin6_addr.s6_addr;
    constexpr std::uint8_t kMapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    std::memcpy(bytes, kMapped, sizeof kMapped);
  }
  long error = sys::call(SYS_bind, fd, sys::word(address), length);
  if (error == 0) error = sys::call(SYS_listen, fd, backlog);
  if (error == 0) {
    descriptors.set_twin(stack_fd);
  } else {
    complain("port " + std::to_string(local->port) +
             " of the kernel's loopback: " + std::string(std::strerror(static_cast<int>(-error))));
  }
}

constexpr int kFromStack = -2;

/// For a listener with a twin: waits, if it may, until one of the two has a connection. The kernel's, -1 with
/// errno, or kFromStack.
int accept_from_kernel(int fd, int stack_fd, sockaddr* address, socklen_t* length, int flags) {
  const bool nonblocking = (mr_fcntl(stack_fd, F_GETFL) & O_NONBLOCK) != 0;
  pollfd both[] = {{stack_fd, POLLIN, 0}, {fd, POLLIN, 0}};
  if (mr_poll(both, 2, nonblocking ? 0 : -1) < 0) return -1;
  if (both[1].revents == 0) return kFromStack;
  return give<int>(sys::call(SYS_accept4, fd, sys::word(address), sys::word(length), flags));
}

bool is_unspec(const sockaddr* address, socklen_t length) {
  return address != nullptr && length >= sizeof(sa_family_t) && address->sa_family == AF_UNSPEC;
}

}  // namespace

extern "C" {

int millrace_socket(int domain, int type, int protocol) asm("socket");
int millrace_socket(int domain, int type, int protocol) {
  const long made = sys::call(SYS_socket, domain, type, protocol);
  if (made < 0) return give<int>(made);
  const int fd = static_cast<int>(made);
  if (Shim::inside()) return static_cast<int>(sys::keep_own(fd));
  if (!of_the_stack(domain, type, protocol) || !Descriptors::fits(fd)) return fd;
  posix::Context* context = is_heir() ? nullptr : Shim::instance().context();
  if (context == nullptr) {
    // An heir's sockets are the kernel's, and may lead where the stack is not.
    if (is_heir() || !Shim::instance().configured()) return fd;
    sys::close(fd);
    errno = ENETDOWN;
    return -1;
  }
  const long stack_fd = posix::open_socket(*context, domain, type, protocol);
  if (stack_fd == -EAFNOSUPPORT) return fd;
  if (stack_fd < 0) {
    sys::close(fd);
    return give<int>(stack_fd);
  }
  descriptors.install(fd, static_cast<int>(stack_fd), true);
  return fd;
}

int millrace_bind(int fd, const sockaddr* address, socklen_t length) asm("bind");
int millrace_bind(int fd, const sockaddr* address, socklen_t length) {
  int stack_fd = stack_fd_of(fd, Use::kQuiet);
  if (stack_fd < 0) return -1;
  if (stack_fd != 0) stack_fd = decide_by_local(fd, stack_fd, address, length);
  if (stack_fd == 0) {
    if (refuses_heir(fd, address, length, true)) return -1;
    return give<int>(sys::call(SYS_bind, fd, sys::word(address), length));
  }
  return mr_bind(stack_fd, address, length);
}

int millrace_listen(int fd, int backlog) asm("listen");
int millrace_listen(int fd, int backlog) {
  const int stack_fd = stack_fd_of(fd, Use::kQuiet);
  if (stack_fd < 0) return -1;
  if (stack_fd == 0) return give<int>(sys::call(SYS_listen, fd, backlog));
  static_cast<void>(descriptors.decide(stack_fd));
  const int result = mr_listen(stack_fd, backlog);
  if (result == 0 && Shim::kernel_loopback() && !descriptors.has_twin(stack_fd))
    listen_in_kernel(fd, stack_fd, backlog);
  return result;
}

int millrace_accept4(int fd, sockaddr* address, socklen_t* length, int flags) asm("accept4");
int millrace_accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd < 0) return -1;
  if (stack_fd == 0) return pass(next.accept4, SYS_accept4, fd, address, length, flags);
  if (descriptors.has_twin(stack_fd)) {
    const int accepted = accept_from_kernel(fd, stack_fd, address, length, flags);
    if (accepted != kFromStack) return accepted;
  }
  // First the number: without one the connection stays where it is, as with the kernel.
  Placeholder number;
  if (number.get() < 0) return give<int>(number.get());
  const int accepted = mr_accept4(stack_fd, address, length, flags);
  if (accepted < 0) return -1;
  return number.use(accepted, (flags & SOCK_CLOEXEC) != 0);
}

int millrace_accept(int fd, sockaddr* address, socklen_t* length) asm("accept");
int millrace_accept(int fd, sockaddr* address, socklen_t* length) {
  return millrace_accept4(fd, address, length, 0);
}

int millrace_connect(int fd, const sockaddr* address, socklen_t length) asm("connect");
int millrace_connect(int fd, const sockaddr* address, socklen_t length) {
  int stack_fd = stack_fd_of(fd);
  if (stack_fd < 0) return -1;
  // AF_UNSPEC takes back a connection, and with it the decision: a resolver tries addresses with one socket.
  if (stack_fd != 0 && !is_unspec(address, length)) stack_fd = decide_by_peer(fd, stack_fd, address, length);
  if (stack_fd == 0) {
    if (refuses_heir(fd, address, length, false)) return -1;
    return pass(next.connect, SYS_connect, fd, address, length);
  }
  return mr_connect(stack_fd, address, length);
}

int millrace_shutdown(int fd, int how) asm("shutdown");
int millrace_shutdown(int fd, int how) {
  const int stack_fd = stack_fd_of(fd);
  if (stack_fd < 0) return -1;
  return stack_fd != 0 ? mr_shutdown(stack_fd, how) : give<int>(sys::call(SYS_shutdown, fd, how));
}

int millrace_getsockname(int fd, sockaddr* address, socklen_t* length) asm("getsockname");
int millrace_getsockname(int fd, sockaddr* address, socklen_t* length) {
  const int stack_fd = stack_fd_of(fd, Use::kQuiet);
  if (stack_fd < 0) return -1;
  if (stack_fd != 0) return mr_getsockname(stack_fd, address, length);
  return give<int>(sys::call(SYS_getsockname, fd, sys::word(address), sys::word(length)));
}

int millrace_getpeername(int fd, sockaddr* address, socklen_t* length) asm("getpeername");
int millrace_getpeername(int fd, sockaddr* address, socklen_t* length) {
  const int stack_fd = stack_fd_of(fd, Use::kQuiet);
  if (stack_fd < 0) return -1;
  if (stack_fd != 0) return mr_getpeername(stack_fd, address, length);
  return give<int>(sys::call(SYS_getpeername, fd, sys::word(address), sys::word(length)));
}

int millrace_getsockopt(int fd, int level, int option, void* value, socklen_t* length) asm("getsockopt");
int millrace_getsockopt(int fd, int level, int option, void* value, socklen_t* length) {
  const int stack_fd = stack_fd_of(fd, Use::kQuiet);
  if (stack_fd < 0) return -1;
  if (stack_fd != 0) return mr_getsockopt(stack_fd, level, option, value, length);
  return give<int>(sys::call(SYS_getsockopt, fd, level, option, sys::word(value), sys::word(length)));
}

int millrace_setsockopt(int fd, int level, int option, const void* value, socklen_t length) asm("setsockopt");
int millrace_setsockopt(int fd, int level, int option, const void* value, socklen_t length) {
  const int stack_fd = stack_fd_of(fd, Use::kQuiet);
  if (stack_fd < 0) return -1;
  // An undecided socket has it on both sides, so that nothing is to be repeated when it is the kernel's.
  long kernel = 0;
  if (stack_fd == 0 || descriptors.undecided(stack_fd))
    kernel = sys::call(SYS_setsockopt, fd, level, option, sys::word(value), length);
  return stack_fd != 0 ? mr_setsockopt(stack_fd, level, option, value, length) : give<int>(kernel);
}

}  // extern "C"

/// For sendto() and sendmsg() with an address: an unbound socket is decided by it.
int decide_by_destination(int fd, int stack_fd, const void* address, socklen_t length) {
  if (address == nullptr || length == 0) return stack_fd;
  return decide_by_peer(fd, stack_fd, static_cast<const sockaddr*>(address), length);
}

}  // namespace millrace::preload
