#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

#include "posix/calls.h"
#include "posix/error.h"
#include "posix/library.h"
#include "posix/tcp_info.h"

namespace millrace::posix {

namespace {

struct IntegerOption {
  int level, option;
  SocketOption socket_option;
  bool boolean;  ///< any number but 0 means 1
};

constexpr IntegerOption kIntegerOptions[] = {
    {SOL_SOCKET, SO_REUSEADDR, SocketOption::kReuseAddress, true},
    {SOL_SOCKET, SO_REUSEPORT, SocketOption::kReusePort, true},
    {SOL_SOCKET, SO_BROADCAST, SocketOption::kBroadcast, true},
    {SOL_SOCKET, SO_KEEPALIVE, SocketOption::kKeepalive, true},
    {SOL_SOCKET, SO_SNDBUF, SocketOption::kSendBuffer, false},
    {SOL_SOCKET, SO_RCVBUF, SocketOption::kReceiveBuffer, false},
    {SOL_SOCKET, SO_OOBINLINE, SocketOption::kOutOfBandInline, true},
    {IPPROTO_IP, IP_TOS, SocketOption::kTypeOfService, false},
    {IPPROTO_IP, IP_TTL, SocketOption::kTimeToLive, false},
    {IPPROTO_IP, IP_MTU_DISCOVER, SocketOption::kMtuDiscover, false},
    {IPPROTO_IP, IP_MTU, SocketOption::kPathMtu, false},
    {IPPROTO_IP, IP_RECVERR, SocketOption::kReceiveErrors, true},
    {IPPROTO_TCP, TCP_NODELAY, SocketOption::kNoDelay, true},
    {IPPROTO_TCP, TCP_CORK, SocketOption::kCork, true},
    {IPPROTO_TCP, TCP_QUICKACK, SocketOption::kQuickAck, true},
    {IPPROTO_TCP, TCP_MAXSEG, SocketOption::kMaxSegment, false},
    {IPPROTO_TCP, TCP_KEEPIDLE, SocketOption::kKeepaliveIdle, false},
    {IPPROTO_TCP, TCP_KEEPINTVL, SocketOption::kKeepaliveInterval, false},
    {IPPROTO_TCP, TCP_KEEPCNT, SocketOption::kKeepaliveCount, false},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, SocketOption::kUserTimeout, false},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, SocketOption::kDeferAccept, false},
    {IPPROTO_TCP, TCP_LINGER2, SocketOption::kLinger2, false},
    {IPPROTO_TCP, TCP_SYNCNT, SocketOption::kSynCount, false},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, SocketOption::kWindowClamp, false},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, SocketOption::kNotSentLowWater, false},
};

const IntegerOption* find_option(int level, int option) {
  for (const IntegerOption& known : kIntegerOptions) {
    if (known.level == level && known.option == option) return &known;
  }
  return nullptr;
}

template <typename T>
T load(const void* value) {
  T loaded;
  std::memcpy(&loaded, value, sizeof loaded);
  return loaded;
}

/// Copies as much as the caller has room for, and says how much that was.
long store(void* value, socklen_t* length, const void* data, std::size_t size) {
  const std::size_t stored = std::min<std::size_t>(*length, size);
  if (stored != 0) {
    if (value == nullptr) return -EFAULT;
    std::memcpy(value, data, stored);
  }
  *length = static_cast<socklen_t>(stored);
  return 0;
}

long store_int(void* value, socklen_t* length, int number) {
  return store(value, length, &number, sizeof number);
}

long set_timeout(Duration& timeout, const void* value, socklen_t length) {
  if (length < sizeof(timeval)) return -EINVAL;
  const auto given = load<timeval>(value);
  if (given.tv_usec < 0 || given.tv_usec >= 1000000) return -EDOM;
  if (given.tv_sec < 0) {  // Linux: at once
    timeout = Duration::zero();
  } else if ((given.tv_sec == 0 && given.tv_usec == 0) || given.tv_sec >= INT64_MAX / 1000000000 - 1) {
    timeout = Duration::max();
  } else {
    timeout = std::chrono::seconds(given.tv_sec) + std::chrono::microseconds(given.tv_usec);
  }
  return 0;
}

long get_timeout(Duration timeout, void* value, socklen_t* length) {
  timeval out{};
  if (timeout != Duration::max()) {
    out.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(timeout).count();
    out.tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(timeout).count() % 1000000;
  }
  return store(value, length, &out, sizeof out);
}

/// Options of SOL_SOCKET that the stack's Socket does not know as an integer. 1: not one of these.
long set_socket_level(SocketFile& file, int option, const void* value, socklen_t length, Instant now) {
  switch (option) {
    case SO_LINGER: {
      if (length < sizeof(linger)) return -EINVAL;
      const auto given = load<linger>(value);
      // Linux takes l_linger for unsigned: a negative one is for ever.
      const std::int64_t seconds =
          given.l_onoff == 0 ? -1 : static_cast<std::int64_t>(static_cast<unsigned>(given.l_linger));
      if (!file.is_stream()) {
        file.inert.linger = seconds;
        return 0;
      }
      return failure(file.socket().set_option(SocketOption::kLinger, seconds, now).error());
    }
    case SO_RCVTIMEO:
      return set_timeout(file.receive_timeout, value, length);
    case SO_SNDTIMEO:
      return set_timeout(file.send_timeout, value, length);
    case SO_RCVLOWAT: {
      const int given = load<int>(value);
      const int number = given < 0 ? INT32_MAX : std::max(given, 1);
      if (file.is_stream()) {
        const Error error = file.socket().set_option(SocketOption::kReceiveLowWater, number, now).error();
        if (error != Error::kNone) return failure(error);
      }
      file.receive_low_water = static_cast<std::size_t>(number);
      return 0;
    }
    case SO_KEEPALIVE:
    case SO_OOBINLINE:
      if (file.is_stream()) return 1;
      (option == SO_KEEPALIVE ? file.inert.keepalive : file.inert.out_of_band_inline) = load<int>(value) != 0;
      return 0;
    // Read only: socket(7).
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_ERROR:
    case SO_ACCEPTCONN:
      return -ENOPROTOOPT;
    default:
      return 1;
  }
}

/// 1: not one of these.
long get_socket_level(SocketFile& file, int option, void* value, socklen_t* length) {
  switch (option) {
    case SO_LINGER: {
      const Result<std::int64_t> seconds = file.is_stream() ? file.socket().option(SocketOption::kLinger)
                                                            : Result<std::int64_t>(file.inert.linger);
      if (!seconds) return failure(seconds.error());
      linger out{};
      out.l_onoff = *seconds >= 0 ? 1 : 0;
      out.l_linger = *seconds >= 0 ? static_cast<int>(*seconds) : 0;
      return store(value, length, &out, sizeof out);
    }
    case SO_RCVTIMEO:
      return get_timeout(file.receive_timeout, value, length);
    case SO_SNDTIMEO:
      return get_timeout(file.send_timeout, value, length);
    case SO_RCVLOWAT:
      return store_int(value, length, static_cast<int>(file.receive_low_water));
    case SO_KEEPALIVE:
      return file.is_stream() ? 1 : store_int(value, length, file.inert.keepalive);
    case SO_OOBINLINE:
      return file.is_stream() ? 1 : store_int(value, length, file.inert.out_of_band_inline);
    case SO_TYPE:
      return store_int(value, length, file.is_stream() ? SOCK_STREAM : SOCK_DGRAM);
    case SO_DOMAIN:
      return store_int(value, length, AF_INET);
    case SO_PROTOCOL:
      return store_int(value, length, file.is_stream() ? IPPROTO_TCP : IPPROTO_UDP);
    case SO_ERROR:
      return store_int(value, length, to_errno(file.socket().take_error()));
    case SO_ACCEPTCONN:
      return store_int(value, length, file.socket().is_listening() ? 1 : 0);
    default:
      return 1;
  }
}

/// The integer of an option argument, by the level's own rules about short ones.
long load_integer(int level, const void* value, socklen_t length, int& number) {
  if (length >= sizeof(int)) {
    if (value == nullptr) return -EFAULT;
    number = load<int>(value);
    return 0;
  }
  // ip(7): one byte will do.
  if (level != IPPROTO_IP) return -EINVAL;
  if (length != 0 && value == nullptr) return -EFAULT;
  number = length == 0 ? 0 : static_cast<const unsigned char*>(value)[0];
  return 0;
}

}  // namespace

long set_option(int fd, int level, int option, const void* value, socklen_t length) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (static_cast<int>(length) < 0) return -EINVAL;
  SocketFile& file = locked.socket_file();
  Context& context = locked.context();
  const Instant now = clock_now();
  if (level == SOL_SOCKET) {
    if (length < sizeof(int)) return -EINVAL;
    if (value == nullptr) return -EFAULT;
    if (const long result = set_socket_level(file, option, value, length, now); result != 1) return result;
  }
  const IntegerOption* known = find_option(level, option);
  if (known == nullptr) return -ENOPROTOOPT;
  if (level == IPPROTO_TCP && !file.is_stream()) return -ENOPROTOOPT;
  int number = 0;
  if (const long wrong = load_integer(level, value, length, number); wrong != 0) return wrong;
  if (known->boolean) number = number != 0 ? 1 : 0;
  const long result = failure(file.socket().set_option(known->socket_option, number, now).error());
  context.settle(now);  // uncorking sends
  return result;
}

long get_option(int fd, int level, int option, void* value, socklen_t* length) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (length == nullptr) return -EFAULT;
  if (static_cast<int>(*length) < 0) return -EINVAL;
  SocketFile& file = locked.socket_file();
  if (level == SOL_SOCKET) {
    if (const long result = get_socket_level(file, option, value, length); result != 1) return result;
  }
  const bool tcp = level == IPPROTO_TCP && file.is_stream();
  if (tcp && option == TCP_INFO) {
    TcpInfo info;
    if (!file.socket().tcp_info(info, clock_now())) return -ENOPROTOOPT;
    const tcp_info out = to_linux(info);
    return store(value, length, &out, sizeof out);
  }
  // Linux asks the next lower protocol about a level it does not know, and IP has another errno for reading.
  if (level != SOL_SOCKET && level != IPPROTO_IP && !tcp) return -EOPNOTSUPP;
  const IntegerOption* known = find_option(level, option);
  if (known == nullptr) return -ENOPROTOOPT;
  const Result<std::int64_t> number = file.socket().option(known->socket_option);
  if (!number) return failure(number.error());
  const int out = static_cast<int>(std::clamp<std::int64_t>(*number, INT32_MIN, INT32_MAX));
  if (level == IPPROTO_IP && *length<sizeof out&& * length> 0 && out >= 0 && out <= 255) {
    const auto byte = static_cast<unsigned char>(out);
    *length = 1;
    return store(value, length, &byte, sizeof byte);
  }
  return store_int(value, length, out);
}

}  // namespace millrace::posix
