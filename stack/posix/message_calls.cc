#include <errno.h>
#include <limits.h>

#include "posix/address.h"
#include "posix/calls.h"
#include "posix/library.h"

namespace millrace::posix {

namespace {

constexpr std::size_t kMaxSlices = 1024;     // UIO_MAXIOV
constexpr unsigned kMaxMessages = 1024;      // the same, for sendmmsg(2)
constexpr std::size_t kMaxControl = 131072;  // net.core.optmem_max

/// The moment at which recvmmsg(2) stops looking for more.
long read_timeout(const timespec* timeout, Instant& deadline) {
  Duration limit;
  const long wrong = read_limit(timeout, limit);
  deadline = limit == Duration::max() ? kNever : after(clock_now(), limit);
  return wrong;
}

/// Linux keeps the error that ended a batch for the next call.
void keep_error(int fd, Error error) {
  if (error == Error::kNone) return;
  LockedFile locked(fd);
  if (locked && locked.is_socket()) locked.socket_file().socket().set_error(error);
}

long receive_one(int fd, msghdr* message, int flags, Error& error) {
  if (message == nullptr) return -EFAULT;
  if (const long wrong = check_vector(message->msg_iov, message->msg_iovlen, EMSGSIZE); wrong != 0)
    return wrong;
  if (static_cast<int>(message->msg_namelen) < 0) return -EINVAL;
  ReceivedMessage received;
  received.wants_control = true;
  received.control = ControlWriter(message->msg_control, message->msg_controllen);
  const long result = receive_data(fd, message->msg_iov, message->msg_iovlen, flags, received);
  error = received.error;
  if (result < 0) return result;
  socklen_t length = message->msg_name != nullptr && received.from_set ? message->msg_namelen : 0;
  if (message->msg_name != nullptr && received.from_set) {
    const long stored =
        store_endpoint(received.family, received.from, static_cast<sockaddr*>(message->msg_name), &length);
    if (stored < 0) return stored;
  }
  if (message->msg_name != nullptr) message->msg_namelen = length;
  message->msg_flags =
      received.flags | (flags & MSG_CMSG_CLOEXEC) | (received.control.cut() ? MSG_CTRUNC : 0);
  message->msg_controllen = received.control.used();
  return result;
}

}  // namespace

long check_vector(const iovec* slices, std::size_t count, int too_many) {
  if (count > kMaxSlices) return -too_many;
  if (count != 0 && slices == nullptr) return -EFAULT;
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (slices[i].iov_len > SSIZE_MAX - total) return -EINVAL;
    total += slices[i].iov_len;
  }
  return 0;
}

long send_message(int fd, const msghdr* message, int flags) {
  if (message == nullptr) return -EFAULT;
  if (const long wrong = check_vector(message->msg_iov, message->msg_iovlen, EMSGSIZE); wrong != 0)
    return wrong;
  OutgoingMessage outgoing;
  if (message->msg_namelen != 0) {
    outgoing.to = static_cast<const sockaddr*>(message->msg_name);
    outgoing.to_length = message->msg_namelen;
  }
  if (message->msg_controllen != 0) {
    if (message->msg_controllen > kMaxControl) return -ENOBUFS;
    if (message->msg_control == nullptr) return -EFAULT;
    outgoing.control = {static_cast<const unsigned char*>(message->msg_control), message->msg_controllen};
  }
  return send_data(fd, message->msg_iov, message->msg_iovlen, flags, outgoing);
}

long receive_message(int fd, msghdr* message, int flags) {
  Error ignored = Error::kNone;
  return receive_one(fd, message, flags, ignored);
}

long send_messages(int fd, mmsghdr* messages, unsigned count, int flags) {
  if (!LockedFile(fd)) return -EBADF;
  if (count != 0 && messages == nullptr) return -EFAULT;
  count = std::min(count, kMaxMessages);
  unsigned done = 0;
  for (; done < count; ++done) {
    const long sent = send_message(fd, &messages[done].msg_hdr, flags);
    if (sent < 0) return done != 0 ? static_cast<long>(done) : sent;
    messages[done].msg_len = static_cast<unsigned>(sent);
  }
  return done;
}

long receive_messages(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  Instant deadline;
  if (const long wrong = read_timeout(timeout, deadline); wrong != 0) return wrong;
  if (!LockedFile(fd)) return -EBADF;
  if (count != 0 && messages == nullptr) return -EFAULT;
  unsigned done = 0;
  while (done < count) {
    mmsghdr& message = messages[done];
    Error error = Error::kNone;
    const long received = receive_one(fd, &message.msg_hdr, flags & ~MSG_WAITFORONE, error);
    if (received < 0) {
      if (done == 0) return received;
      if (received != -EAGAIN) keep_error(fd, error);
      break;
    }
    message.msg_len = static_cast<unsigned>(received);
    ++done;
    if ((flags & MSG_WAITFORONE) != 0) flags |= MSG_DONTWAIT;
    // As Linux: the time is looked at between messages only, so a wait for the next one may exceed it.
    if (deadline != kNever) {
      const Duration left = deadline - clock_now();
      *timeout = to_timespec(left);
      if (left <= Duration::zero()) break;
    }
    if ((message.msg_hdr.msg_flags & MSG_OOB) != 0) break;
  }
  return done;
}

}  // namespace millrace::posix
