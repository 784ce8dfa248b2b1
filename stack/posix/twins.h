#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/ip_address.h"
#include "base/result.h"
#include "posix/context_group.h"
#include "posix/waiter.h"

namespace millrace {
class Socket;
}

namespace millrace::posix {

class SocketFile;

/// The parts of one socket of the application's that must be there in every context of its group: a listener,
/// a UDP socket that more than one peer may send to, or a name that nobody else shall have.
///
///     fd ──> SocketFile, the first ──┐
///            SocketFile, hidden  ────┼── Twins: files[0 ... n-1], each place under its context's lock
///            SocketFile, hidden  ────┘
///
/// Lives as long as one of the files, or a call that found it.
class Twins {
 public:
  explicit Twins(ContextGroup& contexts)
      : group(contexts), number(contexts.next_number()), flags_(std::make_unique<Flag[]>(contexts.size())) {}

  ContextGroup& group;
  const std::uint64_t number;  ///< what tools know them by
  /// Null: closed.
  std::array<SocketFile*, ContextGroup::kMaxQueues> files{};
  std::atomic<int> fd{-1};

  /// Under the context's lock: from now on news() tells of the file.
  void watch(std::size_t index);
  void unwatch(std::size_t index);
  /// Without the lock: something may be there. Under it, to be cleared before a look.
  [[nodiscard]] RelaxedFlag& news(std::size_t index) { return flags_[index].waiter.ready; }

  /// Calls visit(file, context) for each that is not closed, under its lock.
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (std::size_t i = 0; i < group.size(); ++i) {
      ContextLock guard(group[i]);
      if (files[i] != nullptr) visit(*files[i], group[i]);
    }
  }
  template <typename Visit>
  void for_each_but(const Context& one, Visit&& visit) {
    for_each([&](SocketFile& file, Context& context) {
      if (&context != &one) visit(file, context);
    });
  }

  /// Calls attempt(file, context), under the lock, for the parts that may have something, the calling
  /// thread's first, until one does not say -EAGAIN; -EBADF when they are closed.
  template <typename Attempt>
  long try_each(Attempt&& attempt);
  /// Blocks until one of `mask` may have happened to a part. 0, or as BlockingWait::until().
  [[nodiscard]] long wait_for(Ready mask, bool exclusive, Instant deadline);

 private:
  struct Flag {
    Waiter waiter;  ///< never asleep
    WaitLink link;
  };
  std::unique_ptr<Flag[]> flags_;
};

template <typename Attempt>
long Twins::try_each(Attempt&& attempt) {
  const std::size_t home = group.home().index();
  for (std::size_t step = 0; step < group.size(); ++step) {
    const std::size_t index = (home + step) % group.size();
    if (step != 0 && !news(index)) continue;
    ContextLock guard(group[index]);
    if (files[index] == nullptr) return -EBADF;
    news(index) = false;
    const long result = attempt(*files[index], group[index]);
    if (result == -EAGAIN) continue;
    if (files[index] != nullptr) news(index) = true;  // there may be more
    return result;
  }
  return -EAGAIN;
}

// --- with no context's lock held (twins.cc)

/// Does `act` with the socket, which gives it a name, and gives a part in every other context the same name
/// and then `then`; 0 or -errno, and then nothing was done. Nothing to do for one that has its parts.
using SocketAction = std::function<Result<void>(Socket& socket, Instant now)>;
[[nodiscard]] long spread_socket(int fd, const SocketAction& act, const SocketAction& then);
/// Closes all parts but the one that is `fd`'s.
void drop_twins(int fd);
void close_twins(const std::shared_ptr<Twins>& twins, const Context& but);
/// Before a connect to `remote`: a stream that has a port is moved to the context where the answers will come
/// in; a datagram socket that will hear in several gets its parts. 0 or -errno.
[[nodiscard]] long come_home(int fd, const Endpoint& remote);

}  // namespace millrace::posix
