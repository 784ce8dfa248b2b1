#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <new>
#include <span>

#include <climits>

#include "posix/calls.h"
#include "posix/epoll.h"
#include "posix/epoll_spread.h"
#include "posix/epoll_wait.h"
#include "posix/library.h"
#include "posix/system.h"

namespace millrace::posix {

namespace {

/// epoll_pwait with a set of the context's, locked.
class EpollWait {
 public:
  EpollWait(LockedFile& locked, epoll_event* events, int max)
      : context_(locked.context()),
        set_(static_cast<EpollFile&>(locked.file())),
        events_(events),
        max_(max) {}

  /// What is ready now. `poll`, `kernel`: when no socket is, poll the device, and look at kernel descriptors
  /// in any case. The device is polled, too, when that was long ago: a set in which something is always ready
  /// must not keep frames out.
  int look(Instant now, bool poll, bool kernel) {
    context_.turn_for_look(now);
    int count = 0;
    const bool due = set_.kernel_look_due(now);
    // Half of the places, so that neither kind shuts the other out.
    if (due) count = look_at_kernel(std::max(1, max_ / 2), now);
    count += set_.harvest(events_ + count, max_ - count);
    if (count == 0 && poll) {
      context_.turn(now);
      count = set_.harvest(events_, max_);
    }
    if (count == 0 && kernel && !due) {
      count = look_at_kernel(max_, now);
      if (count < max_) count += set_.harvest(events_ + count, max_ - count);  // nested sets
    }
    if (count != 0) {
      set_.pass_on_rest();
      context_.tell_events(count);
    }
    return count;
  }

  long sleep(Instant now, Instant deadline, const sigset_t* mask, WaitResult& result) {
    FileHold hold(set_);
    Waiter waiter;
    WaitLink link;
    link.waiter = &waiter;
    link.mask = EPOLLIN;
    link.exclusive = true;
    set_.add_waiter(link);
    pollfd kernel{set_.kernel_set(), POLLIN, 0};
    WaitRequest request;
    request.now = now;
    request.deadline = deadline;
    request.mask = mask;
    if (kernel.fd >= 0) request.kernel_fds = std::span(&kernel, 1);
    result = context_.wait(waiter, request);
    return set_.closed() ? -EBADF : 0;
  }

  [[nodiscard]] Instant now_after_turn() const { return context_.now_after_turn(); }

 private:
  int look_at_kernel(int max, Instant now) {
    set_.kernel_looked(now);
    return set_.harvest_kernel(events_, max);
  }

  Context& context_;
  EpollFile& set_;
  epoll_event* events_;
  int max_;
};

/// The set's part in `context`; the others are there, too. Null: no memory, or `error` says why.
EpollFile* make_spread(Context& context, int kernel_set, long& error) {
  const auto spread = std::make_shared<EpollSpread>(*context.group(), kernel_set);
  error = spread->open();
  if (error != 0) return nullptr;
  for (std::size_t i = 0; i < spread->group.size(); ++i)
    spread->parts[i] = new EpollFile(spread->group[i], spread);
  return spread->parts[context.index()];
}

/// A set that is spread over several contexts; null: it is not.
std::shared_ptr<EpollSpread> spread_of(const LockedFile& locked) {
  if (locked.is_socket()) return nullptr;
  return static_cast<EpollFile&>(locked.file()).spread();
}

}  // namespace

long create_epoll(Context& context, int flags, int kernel_set) {
  if ((flags & ~EPOLL_CLOEXEC) != 0) return -EINVAL;
  FdTable& fds = Library::instance().fds();
  const int fd = fds.reserve();
  if (fd < 0) return fd;
  ContextLock guard(context);
  long error = -ENOMEM;
  EpollFile* set = context.is_alone() ? new (std::nothrow) EpollFile(context, kernel_set)
                                      : make_spread(context, kernel_set, error);
  if (set == nullptr) {
    fds.release(fd);
    return error;
  }
  set->close_on_exec = (flags & EPOLL_CLOEXEC) != 0;
  fds.install(fd, *set);
  return fd;
}

namespace {

long control_locked(LockedFile& locked, int epoll_fd, int operation, int fd, epoll_event* event,
                    int known_as) {
  if (fd < kFirstFd) {
    if (locked.is_socket()) return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EINVAL;
    return static_cast<EpollFile&>(locked.file()).control_kernel(operation, fd, event);
  }
  FdTable::Slot* slot = Library::instance().fds().slot(fd);
  Context* home = slot == nullptr ? nullptr : slot->context.load(std::memory_order_acquire);
  if (home == nullptr) return -EBADF;
  if (locked.is_socket() || fd == epoll_fd) return -EINVAL;
  // A set and its sockets belong to one context, whose lock this thread has.
  if (home != &locked.context() || slot->file == nullptr) return -EINVAL;
  auto& set = static_cast<EpollFile&>(locked.file());
  switch (operation) {
    case EPOLL_CTL_ADD:
      return set.add(known_as, *slot->file, *event);
    case EPOLL_CTL_MOD:
      return set.modify(known_as, *slot->file, *event);
    case EPOLL_CTL_DEL:
      return set.remove(known_as, *slot->file);
    default:
      return -EINVAL;
  }
}

}  // namespace

long control_epoll(int epoll_fd, int operation, int fd, epoll_event* event, int known_as) {
  if (known_as < 0) known_as = fd;
  std::shared_ptr<EpollSpread> spread;
  {
    LockedFile locked(epoll_fd);
    if (!locked) return -EBADF;
    if (operation != EPOLL_CTL_DEL && event == nullptr) return -EFAULT;
    spread = spread_of(locked);
    if (!spread) return control_locked(locked, epoll_fd, operation, fd, event, known_as);
  }
  if (fd == epoll_fd) return -EINVAL;
  return fd < kFirstFd ? spread->control_kernel(operation, fd, event)
                       : spread->control(operation, fd, known_as, event);
}

long leave_to_kernel(int fd, int kernel_fd) {
  {
    LockedFile locked(fd);
    if (!locked) return -EBADF;
    AutoList<EpollItem>& items = locked.file().epoll_items();
    while (!items.empty()) items.front().set->move_to_kernel(items.front(), kernel_fd);
  }
  return close_file(fd, false);
}

long wait_epoll(int epoll_fd, epoll_event* events, int max_events, Duration timeout, const sigset_t* mask) {
  if (max_events <= 0 || max_events > static_cast<int>(INT_MAX / sizeof(epoll_event))) return -EINVAL;
  if (events == nullptr) return -EFAULT;
  LockedFile locked(epoll_fd);
  if (!locked) return -EBADF;
  if (locked.is_socket()) return -EINVAL;
  if (!locked.context().is_alone()) [[unlikely]] {
    const std::shared_ptr<EpollSpread> spread = spread_of(locked);
    locked.release();
    return wait_spread_epoll(spread, {events, static_cast<std::size_t>(max_events)}, timeout, mask);
  }
  EpollWait wait(locked, events, max_events);
  return run_epoll_wait(wait, timeout, mask);
}

}  // namespace millrace::posix
