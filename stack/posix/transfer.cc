#include "posix/transfer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "posix/address.h"
#include "posix/calls.h"
#include "posix/error.h"
#include "posix/library.h"

namespace millrace::posix {

namespace {

/// The caller's buffers as the stack takes them, and how far they are used up.
template <typename Slice, typename Byte>
class Slices {
 public:
  Slices(const iovec* vector, std::size_t count) : slices_(reinterpret_cast<Slice*>(inline_)) {
    if (count > kInline) {
      large_.resize(count);
      slices_ = large_.data();
    }
    for (std::size_t i = 0; i < count && total_ < kMaxTransfer; ++i) {
      const std::size_t size = std::min(vector[i].iov_len, kMaxTransfer - total_);
      if (size == 0) continue;
      new (slices_ + count_++) Slice{static_cast<Byte*>(vector[i].iov_base), size};
      total_ += size;
    }
  }
  [[nodiscard]] std::size_t total() const { return total_; }
  [[nodiscard]] std::span<const Slice> rest() const { return {slices_ + first_, count_ - first_}; }
  void advance(std::size_t bytes) {
    while (bytes != 0) {
      Slice& slice = slices_[first_];
      const std::size_t taken = std::min(bytes, slice.size);
      if (slice.data != nullptr) slice.data += taken;  // null: MSG_TRUNC discards
      slice.size -= taken;
      bytes -= taken;
      if (slice.size == 0) ++first_;
    }
  }

 private:
  static constexpr std::size_t kInline = 8;
  alignas(Slice) std::byte inline_[kInline * sizeof(Slice)];  ///< what is not used is not cleared
  std::vector<Slice> large_;
  Slice* slices_;
  std::size_t first_ = 0, count_ = 0, total_ = 0;
};
using SendSlices = Slices<ConstIoSlice, const std::uint8_t>;
using ReceiveSlices = Slices<IoSlice, std::uint8_t>;

/// MSG_ZEROCOPY means nothing without SO_ZEROCOPY, as in Linux.
constexpr int kSendFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB | MSG_MORE | MSG_EOR | MSG_DONTROUTE |
                           MSG_CONFIRM | MSG_ZEROCOPY | MSG_FASTOPEN;

/// Flags that do not matter where there is room, or something to take.
constexpr int kWholeFlags = MSG_DONTWAIT | MSG_NOSIGNAL;

bool any_null(const iovec* slices, std::size_t count) {
  for (const iovec& slice : std::span(slices, count)) {
    if (slice.iov_base == nullptr && slice.iov_len != 0) return true;
  }
  return false;
}

/// The connection's error, which comes once: kept for the next call when this one has bytes to report.
void keep_for_later(Socket& socket, Error error) {
  switch (error) {
    case Error::kConnectionReset:
    case Error::kTimedOut:
    case Error::kHostUnreachable:
    case Error::kNetworkUnreachable:
    case Error::kConnectionRefused:
      socket.set_error(error);
      break;
    default:
      break;  // comes again by itself
  }
}

/// Whom a datagram is for: the address given, or (null) the peer. A stream ignores an address: tcp(7).
long destination_of(const Socket& socket, const OutgoingMessage& message, Endpoint& remote, bool& given) {
  given = false;
  if (message.to == nullptr) return 0;
  sa_family_t family = AF_UNSPEC;
  if (message.to_length >= sizeof family) std::memcpy(&family, message.to, sizeof family);
  // Linux: on a socket of AF_INET6, as if there were no address.
  if (family == AF_UNSPEC && message.to_length >= sizeof family && socket.family() == IpAddress::Family::kV6)
    return 0;
  const Result<Endpoint> endpoint = to_endpoint(socket, AddressUse::kSend, message.to, message.to_length);
  if (!endpoint) return failure(endpoint.error());
  remote = *endpoint;
  given = true;
  return 0;
}

/// What the options of this room say about a datagram to `destination`.
void apply_hints(const HintValues& hints, const IpAddress& destination, SendFlags& flags) {
  if (destination.is_v6()) {
    flags.tos = static_cast<std::uint8_t>(hints.get(kV6ClassHint));
    if (const int hops = hints.get(kV6HopsHint); hops >= 0) flags.ttl = static_cast<std::uint8_t>(hops);
  } else if (destination.is_multicast()) {
    flags.ttl = static_cast<std::uint8_t>(hints.get(kMulticastTtlHint));
  }
}

/// Whom MSG_FASTOPEN connects a stream to.
long fast_open_destination(const Socket& socket, const OutgoingMessage& message, Endpoint& remote,
                           bool& given) {
  if (message.to == nullptr) return 0;
  if (message.to_length < sizeof(sa_family_t)) return -EINVAL;
  sa_family_t family;
  std::memcpy(&family, message.to, sizeof family);
  if (family == AF_UNSPEC) return -EOPNOTSUPP;
  const Result<Endpoint> endpoint = to_endpoint(socket, AddressUse::kConnect, message.to, message.to_length);
  if (!endpoint) return failure(endpoint.error());
  remote = *endpoint;
  given = true;
  return 0;
}

long prepare_send(SocketFile& file, const OutgoingMessage& message, int flags, Endpoint& remote, bool& given,
                  SendFlags& send_flags) {
  send_flags.more = (flags & MSG_MORE) != 0;
  send_flags.out_of_band = (flags & MSG_OOB) != 0;
  send_flags.end_of_record = (flags & MSG_EOR) != 0;
  send_flags.lender = message.lender;
  given = false;
  if (file.is_stream()) {
    send_flags.fast_open = (flags & MSG_FASTOPEN) != 0;
    if (send_flags.fast_open) {
      if (const long wrong = fast_open_destination(file.socket(), message, remote, given); wrong != 0)
        return wrong;
    }
    return read_ancillary(file, message.control, nullptr, send_flags);
  }
  if (const long wrong = destination_of(file.socket(), message, remote, given); wrong != 0) return wrong;
  const bool v6_socket = file.socket().family() == IpAddress::Family::kV6;
  const bool own_hints = v6_socket || file.settings.hints.get(kMulticastTtlHint) != 1;
  if (message.control.empty() && !own_hints) return 0;
  const Result<Endpoint> peer = given ? Result<Endpoint>(remote) : file.socket().remote_endpoint();
  if (!peer) return -EDESTADDRREQ;
  apply_hints(file.settings.hints, peer->address, send_flags);
  return read_ancillary(file, message.control, &peer->address, send_flags);
}

/// `now`: the clock was just read.
long send_locked(LockedFile& locked, SendSlices& slices, int flags, const OutgoingMessage& message,
                 Instant now) {
  SocketFile& file = locked.socket_file();
  Context& context = locked.context();
  Endpoint remote;
  bool remote_given;
  SendFlags send_flags;
  if (const long wrong = prepare_send(file, message, flags, remote, remote_given, send_flags); wrong != 0)
    return wrong;
  const Endpoint* remote_pointer = remote_given ? &remote : nullptr;

  const bool nonblocking = file.nonblocking || (flags & MSG_DONTWAIT) != 0;
  BlockingWait wait(file, file.settings.send_timeout);
  std::size_t done = 0;
  const auto partial = [&done](long error) { return done != 0 ? static_cast<long>(done) : error; };
  // What settle() sets in motion may make room, and nobody waits yet to be told: so after it, try again
  // before waiting.
  bool polled = false, settled = false;
  for (;; now = clock_now()) {
    const Result<std::size_t> sent = file.socket().send(slices.rest(), remote_pointer, send_flags, now);
    send_flags.fast_open = false;  // it connects once; what is left waits for that
    if (sent) {
      done += *sent;
      if (done >= slices.total()) {
        context.settle_send(now);
        return static_cast<long>(done);
      }
      context.settle(now);
      slices.advance(*sent);
      settled = true;
      if (*sent != 0) continue;
    } else if (sent.error() == Error::kInProgress && !nonblocking) {
      continue;  // without a cookie: a SYN is under way, and the data follows it
    } else if (sent.error() != Error::kAgain) {
      if (done != 0) keep_for_later(file.socket(), sent.error());
      context.settle(now);
      return partial(failure(sent.error()));
    }
    if (!std::exchange(settled, true)) {
      context.settle(now);
      continue;
    }
    if (nonblocking) {
      if (done != 0 || polled || !context.turn_if_stale(now)) return partial(-EAGAIN);
      polled = true;
      continue;
    }
    const long waited = wait.until(kWritable | kError | kHangup);
    if (waited < 0) return partial(waited);
    settled = false;
  }
}

/// Ancillary data is written while the file is known to be there: a wait may end with it gone.
long finish_receive(SocketFile& file, const Received& received, long bytes, ReceivedMessage& message) {
  if (message.wants_control) write_ancillary(file, received, message.control);
  return bytes;
}

long receive_datagram(SocketFile& file, ReceiveSlices& slices, int flags, ReceivedMessage& message) {
  ReceiveFlags receive_flags;
  receive_flags.peek = (flags & MSG_PEEK) != 0;
  Received received;
  if (const long wrong = receive_once(file, slices.rest(), receive_flags, flags, message, received);
      wrong != 0)
    return wrong;
  message.from = received.from;
  message.from_set = true;
  if (received.datagram_bytes > received.bytes) message.flags |= MSG_TRUNC;
  const std::size_t bytes = (flags & MSG_TRUNC) != 0 ? received.datagram_bytes : received.bytes;
  return finish_receive(file, received, static_cast<long>(bytes), message);
}

/// From a socket with parts in several contexts, the thread's own first.
long receive_anywhere(LockedFile& locked, ReceiveSlices& slices, int flags, ReceivedMessage& message) {
  const std::shared_ptr<Twins> twins = locked.socket_file().twins;
  const bool nonblocking = locked.socket_file().nonblocking || (flags & MSG_DONTWAIT) != 0;
  const Duration timeout = locked.socket_file().settings.receive_timeout;
  locked.release();
  const Instant deadline = timeout == Duration::max() ? kNever : after(clock_now(), timeout);
  for (;;) {
    const long result = twins->try_each([&](SocketFile& file, Context&) {
      return receive_datagram(file, slices, flags | MSG_DONTWAIT, message);
    });
    if (result != -EAGAIN || nonblocking) return result;
    const long waited = twins->wait_for(kReadable | kReadHangup | kError | kHangup, false, deadline);
    if (waited < 0) return waited;
  }
}

long receive_stream(LockedFile& locked, ReceiveSlices& slices, int flags, ReceivedMessage& message) {
  SocketFile& file = locked.socket_file();
  Context& context = locked.context();
  Socket& socket = file.socket();
  ReceiveFlags receive_flags;
  receive_flags.peek = (flags & MSG_PEEK) != 0;
  receive_flags.out_of_band = (flags & MSG_OOB) != 0;
  receive_flags.discard = (flags & MSG_TRUNC) != 0;
  const bool nonblocking = file.nonblocking || (flags & MSG_DONTWAIT) != 0;
  const std::size_t target = (flags & MSG_WAITALL) != 0
                                 ? slices.total()
                                 : std::min<std::size_t>(file.settings.receive_low_water, slices.total());
  BlockingWait wait(file, file.settings.receive_timeout);
  std::size_t done = 0, settled = 0;  // `settled`: of the bytes done, those that settle() knows of
  Received last;
  const auto partial = [&](long error) {
    // A file that was closed meanwhile is gone.
    if (done == 0 || error == -EBADF) return done != 0 ? static_cast<long>(done) : error;
    return finish_receive(file, last, static_cast<long>(done), message);
  };
  for (bool polled = false;;) {
    const Result<Received> received = socket.receive(slices.rest(), receive_flags, context.last_turn());
    if (received) {
      if (receive_flags.out_of_band) message.flags |= MSG_OOB;
      const bool ended = received->bytes == 0;
      if (receive_flags.peek) {
        done = received->bytes;
      } else {
        done += received->bytes;
        slices.advance(received->bytes);
      }
      if (done >= target || receive_flags.out_of_band || ended) {
        context.settle_receive(done);
        return finish_receive(file, *received, static_cast<long>(done), message);
      }
      last = *received;
      // A stream that has ended has no more to peek at.
      if (!receive_flags.peek) continue;
      if ((socket.readiness() & (kReadHangup | kHangup | kError)) != 0) return partial(0);
    } else if (received.error() != Error::kAgain) {
      message.error = received.error();
      if (done != 0) keep_for_later(socket, received.error());
      context.settle(clock_now());
      return partial(failure(received.error()));
    }
    const Instant now = clock_now();
    if (nonblocking) {
      if (done != 0) context.settle(now);
      if (done != 0 || polled || !context.turn_if_stale(now)) return partial(-EAGAIN);
      polled = true;
      continue;
    }
    if (receive_flags.out_of_band) return failure(received.error());
    // Reading opens the window, and settle() may bring in what that lets go, or poll. Nobody waits yet to be
    // told: look again.
    if (std::exchange(settled, done) != done) {
      context.settle(now);
      continue;
    }
    const long waited = wait.until(kReadable | kReadHangup | kError | kHangup);
    if (waited < 0) return partial(waited);
  }
}

long receive_locked(LockedFile& locked, ReceiveSlices& slices, int flags, ReceivedMessage& message) {
  const bool stream = locked.socket_file().is_stream();
  if (slices.total() == 0 && (flags & kPlainRead) != 0) return 0;
  if (slices.total() == 0 && stream) {
    // Linux waits for a byte even when none is wanted, and leaves it.
    std::uint8_t byte;
    const iovec one{&byte, 1};
    ReceiveSlices slice(&one, 1);
    return std::min(receive_stream(locked, slice, flags | MSG_PEEK, message), 0L);
  }
  if ((flags & MSG_ERRQUEUE) != 0) return -EAGAIN;
  if (stream) return receive_stream(locked, slices, flags, message);
  SocketFile& file = locked.socket_file();
  if (file.twins) return receive_anywhere(locked, slices, flags, message);
  return receive_datagram(file, slices, flags, message);
}

}  // namespace

namespace {

/// In a group of contexts, before a call with an address: the socket has its parts, or is where the answers
/// will come in. What is wrong with the call is left for send_data() to say.
long prepare_to_send(int fd, int flags, const OutgoingMessage& message) {
  std::optional<Endpoint> remote;
  {
    LockedFile locked(fd);
    if (!locked || !locked.is_socket()) return 0;
    SocketFile& file = locked.socket_file();
    const bool stream = file.is_stream();
    if (check_address(message.to, message.to_length) != 0 || file.twins ||
        (stream ? (flags & MSG_FASTOPEN) == 0 : bool(file.socket().remote_endpoint())))
      return 0;
    if (stream) {
      Endpoint to;
      bool given = false;
      if (fast_open_destination(file.socket(), message, to, given) != 0 || !given) return 0;
      remote = to;
    }
  }
  if (remote) return come_home(fd, *remote);
  return spread_socket(
      fd,
      [](Socket& socket, Instant) {
        const Endpoint local = socket.local_endpoint();
        return local.port != 0 ? Result<void>{} : socket.bind({local.address, 0});
      },
      [](Socket&, Instant) { return Result<void>{}; });
}

}  // namespace

long receive_once(SocketFile& file, std::span<const IoSlice> out, ReceiveFlags receive_flags, int flags,
                  ReceivedMessage& message, Received& result) {
  Context& context = file.context();
  const bool nonblocking = file.nonblocking || (flags & MSG_DONTWAIT) != 0;
  BlockingWait wait(file, file.settings.receive_timeout);
  for (bool polled = false;;) {
    const Instant now = clock_now();
    const Result<Received> received = file.socket().receive(out, receive_flags, now);
    if (received) {
      result = *received;
      context.took_event();
      context.settle(now);
      return 0;
    }
    if (received.error() != Error::kAgain) {
      message.error = received.error();
      context.settle(now);
      return failure(received.error());
    }
    if (nonblocking) {
      if (polled || !context.turn_if_stale(now)) return -EAGAIN;
      polled = true;
      continue;
    }
    const long waited = wait.until(kReadable | kReadHangup | kError | kHangup);
    if (waited < 0) return waited;
  }
}

long send_to_file(LockedFile& locked, const iovec* slices, std::size_t count, int flags,
                  const OutgoingMessage& message, Instant now) {
  if (message.to != nullptr) {
    if (const long wrong = check_address(message.to, message.to_length); wrong != 0) return wrong;
  }
  if ((flags & ~kSendFlags) != 0) return -EOPNOTSUPP;
  if (any_null(slices, count)) return -EFAULT;
  SendSlices data(slices, count);
  return send_locked(locked, data, flags, message, now);
}

long with_signal(long result, bool stream, int flags) {
  if (result == -EPIPE && stream && (flags & MSG_NOSIGNAL) == 0) pthread_kill(pthread_self(), SIGPIPE);
  return result;
}

long send_data(int fd, const iovec* slices, std::size_t count, int flags, const OutgoingMessage& message) {
  if (message.to != nullptr && Library::instance().group_of(fd) != nullptr) [[unlikely]] {
    if (const long wrong = prepare_to_send(fd, flags, message); wrong != 0) return wrong;
  }
  long result;
  bool stream;
  {
    LockedFile locked(fd);
    if (!locked) return -EBADF;
    if (!locked.is_socket()) return -ENOTSOCK;
    stream = locked.socket_file().is_stream();
    result = send_to_file(locked, slices, count, flags, message);
  }
  return with_signal(result, stream, flags);
}

long send_bytes(int fd, const void* data, std::size_t size, int flags) {
  long result;
  bool stream;
  {
    LockedFile locked(fd);
    if (!locked) return -EBADF;
    if (!locked.is_socket()) return -ENOTSOCK;
    SocketFile& file = locked.socket_file();
    stream = file.is_stream();
    const Instant now = clock_now();
    if (data != nullptr && size <= Socket::kMostWhole && (flags & ~kWholeFlags) == 0 &&
        file.socket().send_whole({static_cast<const std::uint8_t*>(data), size}, now) != 0) [[likely]] {
      locked.context().settle_send(now);
      return static_cast<long>(size);
    }
    const iovec slice{const_cast<void*>(data), size};
    result = send_to_file(locked, &slice, 1, flags, {}, now);
  }
  return with_signal(result, stream, flags);
}

namespace {

long receive_from_file(LockedFile& locked, const iovec* slices, std::size_t count, int flags,
                       ReceivedMessage& message) {
  // tcp(7): MSG_TRUNC discards, and needs no memory for it.
  const bool discards = (flags & MSG_TRUNC) != 0 && locked.socket_file().is_stream();
  if (!discards && any_null(slices, count)) return -EFAULT;
  message.family = locked.socket_file().socket().family();
  ReceiveSlices data(slices, count);
  return receive_locked(locked, data, flags, message);
}

}  // namespace

long receive_data(int fd, const iovec* slices, std::size_t count, int flags, ReceivedMessage& message) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  return receive_from_file(locked, slices, count, flags, message);
}

long receive_bytes(int fd, void* data, std::size_t size, int flags) {
  LockedFile locked(fd);
  if (!locked) return -EBADF;
  if (!locked.is_socket()) return -ENOTSOCK;
  SocketFile& file = locked.socket_file();
  if (data != nullptr && (flags & ~(kWholeFlags | kPlainRead)) == 0 && file.settings.receive_low_water <= 1)
      [[likely]] {
    Context& context = locked.context();
    const std::size_t taken =
        file.socket().receive_whole({static_cast<std::uint8_t*>(data), size}, context.last_turn());
    if (taken != 0) {
      context.settle_receive(taken);
      return static_cast<long>(taken);
    }
  }
  const iovec slice{data, size};
  ReceivedMessage message;
  return receive_from_file(locked, &slice, 1, flags, message);
}

}  // namespace millrace::posix
