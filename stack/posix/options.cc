#include "posix/options.h"

#include <linux/tcp.h>
#include <netinet/in.h>

#include "posix/calls.h"
#include "posix/error.h"
#include "posix/library.h"
#include "posix/privilege.h"

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
    {IPPROTO_IP, IP_FREEBIND, SocketOption::kFreeBind, true},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, SocketOption::kBindWithoutPort, true},
    {IPPROTO_IP, IP_TOS, SocketOption::kTypeOfService, false},
    {IPPROTO_IP, IP_TTL, SocketOption::kTimeToLive, false},
    {IPPROTO_IP, IP_MTU_DISCOVER, SocketOption::kMtuDiscover, false},
    {IPPROTO_IP, IP_MTU, SocketOption::kPathMtu, false},
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
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, SocketOption::kNotSentLowWater, false},
    {IPPROTO_TCP, TCP_FASTOPEN, SocketOption::kFastOpen, false},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, SocketOption::kFastOpenConnect, false},
    {IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, SocketOption::kFastOpenNoCookie, false},
};

const IntegerOption* find_option(int level, int option) {
  for (const IntegerOption& known : kIntegerOptions) {
    if (known.level == level && known.option == option) return &known;
  }
  return nullptr;
}

/// Read only: socket(7), ip(7).
bool is_read_only(int level, int option) {
  if (level != SOL_SOCKET) return false;
  switch (option) {
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_SNDLOWAT:
    case SO_COOKIE:
    case SO_PEERCRED:
      return true;
    default:
      return false;
  }
}

/// 0, or why a hint may not be set to this: what Linux asks a privilege for.
long check_hint_privilege(const SocketFile& file, Hint hint, int number) {
  switch (hint) {
    case kPriorityHint:
      return may_set_priority(number) ? 0 : -EPERM;
    case kMarkHint:
      return has_privilege(Privilege::kNetAdmin) || has_privilege(Privilege::kNetRaw) ? 0 : -EPERM;
    case kBusyPollHint:
      if (number <= file.settings.hints.get(kBusyPollHint)) return 0;
      return has_privilege(Privilege::kNetAdmin) ? 0 : -EPERM;
    default:
      return 0;
  }
}

bool is_of_kind(const SocketFile& file, HintOption::Kind kind) {
  using Kind = HintOption::Kind;
  return kind == Kind::kAny || kind == Kind::kV6 || !file.is_stream();
}

long set_hint(SocketFile& file, Hint hint, int number) {
  const HintOption& known = hint_option(hint);
  if (const long wrong = check_hint_privilege(file, hint, number); wrong != 0) return wrong;
  if (number < known.low || number > known.high) return -EINVAL;
  if (known.boolean) number = number != 0 ? 1 : 0;
  // -1 asks for the default, which only IPV6_UNICAST_HOPS keeps apart from its number.
  if (number == -1 && known.low == -1 && known.initial != -1) number = known.initial;
  if (hint == kV6ClassHint && file.is_stream()) number &= 0xfc;  // the ECN bits are the protocol's
  file.settings.hints.set(hint, number);
  return 0;
}

bool needs_a_byte(int option) {
  return option == IP_FREEBIND || option == IP_MULTICAST_TTL || option == IP_MULTICAST_LOOP ||
         option == IP_MULTICAST_ALL;
}

/// The integer of an option argument, by the level's own rules about short ones.
long load_integer(int level, int option, OptionInput input, int& number) {
  if (input.length >= sizeof(int)) {
    if (input.value == nullptr) return -EFAULT;
    number = input.load<int>();
    return 0;
  }
  // ip(7): one byte will do, and for some none.
  if (level != IPPROTO_IP || (input.length == 0 && needs_a_byte(option))) return -EINVAL;
  if (input.length != 0 && input.value == nullptr) return -EFAULT;
  number = input.length == 0 ? 0 : input.load<unsigned char>();
  return 0;
}

long set_number(SocketFile& file, int level, int option, int number, Instant now) {
  const IntegerOption* known = find_option(level, option);
  if (known == nullptr) return -ENOPROTOOPT;
  if (known->boolean) number = number != 0 ? 1 : 0;
  return failure(file.socket().set_option(known->socket_option, number, now).error());
}

bool has_level(const SocketFile& file, int level) {
  switch (level) {
    case SOL_SOCKET:
    case IPPROTO_IP:
      return true;
    case IPPROTO_IPV6:
      return file.socket().family() == IpAddress::Family::kV6;
    case IPPROTO_TCP:
      return file.is_stream();
    case IPPROTO_UDP:
      return !file.is_stream();
    default:
      return false;
  }
}

long set_locked(SocketFile& file, int level, int option, OptionInput input, Instant now) {
  if (!has_level(file, level) || is_read_only(level, option)) {
    return level == SOL_SOCKET && input.length < sizeof(int) ? -EINVAL : -ENOPROTOOPT;
  }
  long result = kNotThere;
  if (level == SOL_SOCKET) result = set_socket_level(file, option, input, now);
  if (level == IPPROTO_TCP) result = set_tcp_level(file, option, input, now);
  if (result != kNotThere) return result;
  const Hint hint = find_hint(level, option);
  if (hint != kHintCount && !is_of_kind(file, hint_option(hint).kind)) return -hint_option(hint).wrong_kind;
  int number = 0;
  if (const long wrong = load_integer(level, option, input, number); wrong != 0) return wrong;
  if (hint != kHintCount) return set_hint(file, hint, number);
  if (level == IPPROTO_IP) result = set_ip_level(file, option, input, number, now);
  if (level == IPPROTO_IPV6) result = set_v6_level(file, option, number, now);
  return result != kNotThere ? result : set_number(file, level, option, number, now);
}

long get_locked(SocketFile& file, int level, int option, OptionOutput output) {
  // Linux asks the next lower protocol about a level it does not know, and IPv4 has another errno for
  // reading.
  if (!has_level(file, level))
    return file.socket().family() == IpAddress::Family::kV6 ? -ENOPROTOOPT : -EOPNOTSUPP;
  long result = kNotThere;
  if (level == SOL_SOCKET) result = get_socket_level(file, option, output);
  if (level == IPPROTO_TCP) result = get_tcp_level(file, option, output);
  if (level == IPPROTO_IP) result = get_ip_level(file, option, output);
  if (level == IPPROTO_IPV6) result = get_v6_level(file, option, output);
  if (result != kNotThere) return result;
  int out;
  if (const Hint hint = find_hint(level, option); hint != kHintCount) {
    out = file.settings.hints.get(hint);
  } else {
    const IntegerOption* known = find_option(level, option);
    if (known == nullptr) return -ENOPROTOOPT;
    const Result<std::int64_t> number = file.socket().option(known->socket_option);
    if (!number) return failure(number.error());
    out = static_cast<int>(std::clamp<std::int64_t>(*number, INT32_MIN, INT32_MAX));
  }
  if (level == IPPROTO_IP && *output.length > 0 && *output.length < sizeof out && out >= 0 && out <= 255)
    return output.store(static_cast<unsigned char>(out));
  return output.store(out);
}

/// SO_ERROR of a socket with parts in several contexts: of the first that has one.
long get_error(Twins& twins, OptionOutput output) {
  int error = 0;
  twins.for_each([&error](SocketFile& part, Context&) {
    if (error == 0) error = static_cast<int>(-failure(part.socket().take_error()));
  });
  return output.store(error);
}

}  // namespace

long set_option(int fd, int level, int option, const void* value, socklen_t length) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (static_cast<int>(length) < 0) return -EINVAL;
  const Instant now = clock_now();
  const long result = set_locked(locked.socket_file(), level, option, {value, length}, now);
  locked.context().settle(now);  // uncorking sends
  if (const std::shared_ptr<Twins> twins = locked.socket_file().twins; twins && result == 0) {
    twins->for_each_but(locked.hand_over(), [&](SocketFile& part, Context&) {
      static_cast<void>(set_locked(part, level, option, {value, length}, now));
    });
  }
  return result;
}

long get_option(int fd, int level, int option, void* value, socklen_t* length) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  if (length == nullptr) return -EFAULT;
  if (static_cast<int>(*length) < 0) return -EINVAL;
  const std::shared_ptr<Twins> twins = locked.socket_file().twins;
  if (twins && level == SOL_SOCKET && option == SO_ERROR) {
    locked.release();
    return get_error(*twins, {value, length});
  }
  return get_locked(locked.socket_file(), level, option, {value, length});
}

}  // namespace millrace::posix
