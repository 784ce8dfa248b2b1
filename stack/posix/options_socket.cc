// SOL_SOCKET.
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/time.h>

#include "posix/error.h"
#include "posix/options.h"
#include "posix/privilege.h"

namespace millrace::posix {

namespace {

/// Linux's ENOTSUPP, which libc has no name for: what SO_ZEROCOPY says of sockets that cannot.
constexpr long kNotSupportedByKernel = 524;
constexpr std::uint64_t kNoPacingLimit = ~std::uint64_t{0};

long set_timeout(Duration& timeout, OptionInput input) {
  if (input.length < sizeof(timeval)) return -EINVAL;
  const auto given = input.load<timeval>();
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

long get_timeout(Duration timeout, OptionOutput output) {
  timeval out{};
  if (timeout != Duration::max()) {
    out.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(timeout).count();
    out.tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(timeout).count() % 1000000;
  }
  return output.store(out);
}

long set_linger(SocketFile& file, OptionInput input, Instant now) {
  if (input.length < sizeof(linger)) return -EINVAL;
  const auto given = input.load<linger>();
  // Linux takes l_linger for unsigned: a negative one is for ever.
  const std::int64_t seconds =
      given.l_onoff == 0 ? -1 : static_cast<std::int64_t>(static_cast<unsigned>(given.l_linger));
  if (!file.is_stream()) {
    file.settings.inert.linger.reset();
    if (seconds >= 0) file.settings.inert.linger = static_cast<std::uint32_t>(seconds);
    return 0;
  }
  return failure(file.socket().set_option(SocketOption::kLinger, seconds, now).error());
}

long get_linger(SocketFile& file, OptionOutput output) {
  const auto& inert = file.settings.inert.linger;
  const Result<std::int64_t> seconds = file.is_stream()
                                           ? file.socket().option(SocketOption::kLinger)
                                           : Result<std::int64_t>(inert ? *inert : std::int64_t{-1});
  if (!seconds) return failure(seconds.error());
  linger out{};
  out.l_onoff = *seconds >= 0 ? 1 : 0;
  out.l_linger = *seconds >= 0 ? static_cast<int>(*seconds) : 0;
  return output.store(out);
}

long set_receive_low_water(SocketFile& file, int given, Instant now) {
  const int number = given < 0 ? INT32_MAX : std::max(given, 1);
  if (file.is_stream()) {
    const Error error = file.socket().set_option(SocketOption::kReceiveLowWater, number, now).error();
    if (error != Error::kNone) return failure(error);
  }
  file.settings.receive_low_water = static_cast<std::uint32_t>(number);
  return 0;
}

long force_buffer(SocketFile& file, int option, int given, Instant now) {
  if (!has_privilege(Privilege::kNetAdmin)) return -EPERM;
  const SocketOption which =
      option == SO_RCVBUFFORCE ? SocketOption::kReceiveBufferForce : SocketOption::kSendBufferForce;
  return failure(file.socket().set_option(which, std::max(given, 0), now).error());
}

/// Only "no limit" is true here: nothing is paced.
long set_pacing_rate(OptionInput input) {
  const bool wide = input.length >= sizeof(std::uint64_t);
  const bool none = wide ? input.load<std::uint64_t>() == kNoPacingLimit : input.load<unsigned>() == ~0u;
  return none ? 0 : -ENOPROTOOPT;
}

/// "" unbinds. Sockets are not bound to the stack's interfaces one by one.
long set_device(OptionInput input) {
  if (input.length == 0) return 0;
  if (input.value == nullptr) return -EFAULT;
  return input.load<char>() == '\0' ? 0 : -ENOPROTOOPT;
}

void set_timestamp(AncillaryOptions& ancillary, AncillaryOptions::Timestamp format, bool on) {
  ancillary.timestamp = on ? format : AncillaryOptions::Timestamp::kNone;
}

long get_cookie(SocketFile& file, OptionOutput output) {
  if (*output.length < sizeof file.cookie) return -EINVAL;
  while (file.cookie == 0) {
    if (getrandom(&file.cookie, sizeof file.cookie, 0) < 0 && errno != EINTR) return -errno;
  }
  return output.store(file.cookie);
}

}  // namespace

long set_socket_level(SocketFile& file, int option, OptionInput input, Instant now) {
  using Timestamp = AncillaryOptions::Timestamp;
  if (option == SO_BINDTODEVICE) return set_device(input);
  if (input.length < sizeof(int)) return -EINVAL;
  if (input.value == nullptr) return -EFAULT;
  const int number = input.load<int>();
  switch (option) {
    case SO_LINGER:
      return set_linger(file, input, now);
    case SO_RCVTIMEO:
      return set_timeout(file.settings.receive_timeout, input);
    case SO_SNDTIMEO:
      return set_timeout(file.settings.send_timeout, input);
    case SO_RCVLOWAT:
      return set_receive_low_water(file, number, now);
    case SO_KEEPALIVE:
    case SO_OOBINLINE: {
      if (file.is_stream()) return kNotThere;
      SocketFile::Settings::Inert& inert = file.settings.inert;
      (option == SO_KEEPALIVE ? inert.keepalive : inert.out_of_band_inline) = number != 0;
      return 0;
    }
    case SO_RCVBUFFORCE:
    case SO_SNDBUFFORCE:
      return force_buffer(file, option, number, now);
    case SO_TIMESTAMP:
      set_timestamp(file.settings.ancillary, Timestamp::kMicroseconds, number != 0);
      return 0;
    case SO_TIMESTAMPNS:
      set_timestamp(file.settings.ancillary, Timestamp::kNanoseconds, number != 0);
      return 0;
    case SO_ZEROCOPY:
      if (number != 0 && number != 1) return -EINVAL;
      return number == 0 ? 0 : -kNotSupportedByKernel;
    case SO_MAX_PACING_RATE:
      return set_pacing_rate(input);
    case SO_DONTROUTE:
      return number == 0 ? 0 : -ENOPROTOOPT;
    default:
      return kNotThere;
  }
}

/// sock_diag(7) SK_MEMINFO_*. What has no counterpart here is 0.
long get_memory_info(SocketFile& file, OptionOutput output) {
  std::uint32_t values[SK_MEMINFO_VARS] = {};
  const Socket& socket = file.socket();
  const auto limit = [&socket](SocketOption option) {
    const Result<std::int64_t> bytes = socket.option(option);
    return bytes ? static_cast<std::uint32_t>(*bytes) : 0;
  };
  values[SK_MEMINFO_RMEM_ALLOC] = static_cast<std::uint32_t>(socket.readable_bytes());
  values[SK_MEMINFO_RCVBUF] = limit(SocketOption::kReceiveBuffer);
  values[SK_MEMINFO_WMEM_QUEUED] = static_cast<std::uint32_t>(socket.unsent_bytes());
  values[SK_MEMINFO_SNDBUF] = limit(SocketOption::kSendBuffer);
  return output.store(values);
}

long get_socket_level(SocketFile& file, int option, OptionOutput output) {
  using Timestamp = AncillaryOptions::Timestamp;
  const SocketFile::Settings& settings = file.settings;
  switch (option) {
    case SO_LINGER:
      return get_linger(file, output);
    case SO_RCVTIMEO:
      return get_timeout(settings.receive_timeout, output);
    case SO_SNDTIMEO:
      return get_timeout(settings.send_timeout, output);
    case SO_RCVLOWAT:
      return output.store(static_cast<int>(settings.receive_low_water));
    case SO_SNDLOWAT:
      return output.store(1);  // socket(7)
    case SO_KEEPALIVE:
      return file.is_stream() ? kNotThere : output.store<int>(settings.inert.keepalive);
    case SO_OOBINLINE:
      return file.is_stream() ? kNotThere : output.store<int>(settings.inert.out_of_band_inline);
    case SO_TYPE:
      return output.store(static_cast<int>(file.is_stream() ? SOCK_STREAM : SOCK_DGRAM));
    case SO_DOMAIN:
      return output.store(file.socket().family() == IpAddress::Family::kV6 ? AF_INET6 : AF_INET);
    case SO_PROTOCOL:
      return output.store(static_cast<int>(file.is_stream() ? IPPROTO_TCP : IPPROTO_UDP));
    case SO_ERROR:
      return output.store(to_errno(file.socket().take_error()));
    case SO_ACCEPTCONN:
      return output.store(file.socket().is_listening() ? 1 : 0);
    case SO_TIMESTAMP:
      return output.store(settings.ancillary.timestamp == Timestamp::kMicroseconds ? 1 : 0);
    case SO_TIMESTAMPNS:
      return output.store(settings.ancillary.timestamp == Timestamp::kNanoseconds ? 1 : 0);
    case SO_ZEROCOPY:
    case SO_DONTROUTE:
      return output.store(0);
    case SO_MAX_PACING_RATE:
      return output.store(&kNoPacingLimit,
                          *output.length < sizeof kNoPacingLimit ? sizeof(unsigned) : sizeof kNoPacingLimit);
    case SO_BINDTODEVICE:
      *output.length = 0;
      return 0;
    case SO_MEMINFO:
      return get_memory_info(file, output);
    case SO_COOKIE:
      return get_cookie(file, output);
    case SO_PEERCRED:  // of a process on the same host, which an inet socket cannot tell: as Linux
      return output.store(ucred{0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)});
    default:
      return kNotThere;
  }
}

}  // namespace millrace::posix
