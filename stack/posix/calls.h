#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>

#include "posix/ancillary.h"
#include "posix/context.h"

struct mr_loan;

/// The socket calls, as the kernel has them: a result, or -errno. The C functions of millrace/socket.h turn
/// that into errno.
namespace millrace::posix {

class SocketFile;

// --- sockets (socket_calls.cc)
[[nodiscard]] long open_socket(Context& context, int domain, int type, int protocol);
[[nodiscard]] long bind_socket(int fd, const sockaddr* address, socklen_t length);
[[nodiscard]] long listen_socket(int fd, int backlog);
[[nodiscard]] long accept_socket(int fd, sockaddr* address, socklen_t* length, int flags);
[[nodiscard]] long connect_socket(int fd, const sockaddr* address, socklen_t length);
[[nodiscard]] long shutdown_socket(int fd, int how);
[[nodiscard]] long close_file(int fd, bool may_linger = true);
[[nodiscard]] long socket_name(int fd, sockaddr* address, socklen_t* length);
[[nodiscard]] long peer_name(int fd, sockaddr* address, socklen_t* length);
[[nodiscard]] long control_file(int fd, int command, long argument);
[[nodiscard]] long control_socket(int fd, unsigned long request, void* argument);

/// Waits until one of `mask` may have happened to the file, with its context's lock held on entry and return.
/// 0, or -EAGAIN when `timeout` from the first call on has gone, -EINTR, or -EBADF: the file is closed, and
/// gone for the caller.
class BlockingWait {
 public:
  BlockingWait(SocketFile& file, Duration timeout) : file_(file), timeout_(timeout) {}
  [[nodiscard]] long until(Ready mask, bool exclusive = false);

 private:
  SocketFile& file_;
  Duration timeout_;
  Instant deadline_ = kEpoch;
};

// --- data (transfer.cc)
/// What goes with the bytes.
struct OutgoingMessage {
  const sockaddr* to = nullptr;
  socklen_t to_length = 0;
  std::span<const unsigned char> control;  ///< msg_control
  MemoryLender* lender = nullptr;          ///< of a stream: the bytes may be shared
};
[[nodiscard]] long send_data(int fd, const iovec* slices, std::size_t count, int flags,
                             const OutgoingMessage& message);
/// Of bytes alone, as most calls are.
[[nodiscard]] long send_bytes(int fd, const void* data, std::size_t size, int flags);
/// A flag of receive_data and receive_bytes alone: read(2), which returns 0 at once for no bytes.
inline constexpr int kPlainRead = 1 << 30;
struct ReceivedMessage {
  bool wants_control = false;  ///< ancillary data goes into `control`
  ControlWriter control;
  int flags = 0;  ///< msg_flags
  bool from_set = false;
  Endpoint from;
  IpAddress::Family family = IpAddress::Family::kV4;  ///< of the socket
  Error error = Error::kNone;                         ///< the stack's, when that is why the call failed
};
[[nodiscard]] long receive_data(int fd, const iovec* slices, std::size_t count, int flags,
                                ReceivedMessage& message);
[[nodiscard]] long receive_bytes(int fd, void* data, std::size_t size, int flags);

// --- without a copy, of a stream (lent_calls.cc)
/// `done` tells once that a send which returned more than 0 needs its bytes no more.
[[nodiscard]] long send_lent(int fd, const iovec* slices, std::size_t count, int flags, ZeroCopyDone done,
                             void* argument);
/// Fills at most `count` slices, and says how many. At the end of the stream there is no loan.
[[nodiscard]] long receive_lent(int fd, iovec* slices, std::size_t& count, int flags, mr_loan*& loan);
void give_back(mr_loan* loan);

// --- messages (message_calls.cc): as the system calls, with the timeout of recvmmsg(2) written back
[[nodiscard]] long send_message(int fd, const msghdr* message, int flags);
[[nodiscard]] long receive_message(int fd, msghdr* message, int flags);
[[nodiscard]] long send_messages(int fd, mmsghdr* messages, unsigned count, int flags);
[[nodiscard]] long receive_messages(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout);
/// 0, -EINVAL for lengths as readv(2) has it, or -`too_many` for too long a vector.
[[nodiscard]] long check_vector(const iovec* slices, std::size_t count, int too_many);

// --- options (options.cc)
[[nodiscard]] long get_option(int fd, int level, int option, void* value, socklen_t* length);
[[nodiscard]] long set_option(int fd, int level, int option, const void* value, socklen_t length);

// --- waiting (poll.cc, epoll_calls.cc)
/// A timeout of ppoll(2) and its kin: 0 or -EINVAL. Null, and what is longer than time counts, is for ever.
[[nodiscard]] long read_limit(const timespec* timeout, Duration& limit);
[[nodiscard]] long poll_files(pollfd* fds, std::size_t count, Duration timeout, const sigset_t* mask);
/// `kernel_set`: see EpollFile.
[[nodiscard]] long create_epoll(Context& context, int flags, int kernel_set = -1);
/// `known_as`: the number by which the program knows `fd`, when it is another.
[[nodiscard]] long control_epoll(int epoll_fd, int operation, int fd, epoll_event* event, int known_as = -1);
/// A socket that has done nothing yet turns out to be the kernel's, open as `kernel_fd`: epoll sets watch
/// that from now on, and `fd` is closed.
[[nodiscard]] long leave_to_kernel(int fd, int kernel_fd);
[[nodiscard]] long wait_epoll(int epoll_fd, epoll_event* events, int max_events, Duration timeout,
                              const sigset_t* mask);

}  // namespace millrace::posix
