#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <vector>

#include "posix/calls.h"
#include "posix/epoll.h"
#include "posix/epoll_spread.h"
#include "posix/library.h"
#include "posix/poll_parts.h"
#include "posix/spread_wait.h"

namespace millrace::posix {

namespace {

/// poll(2) over files of several contexts.
class SpreadPoll {
 public:
  SpreadPoll(ContextGroup& group, std::span<pollfd> fds)
      : group_(group), fds_(fds), kernel_(fds.size()), wait_(group) {}

  long run(Duration timeout, const sigset_t* mask) {
    const Instant began = clock_now();
    for (std::size_t i = 0; i < fds_.size(); ++i) add(i);
    if (const long wrong = kernel_.look(); wrong != 0) return wrong;
    turn(began);
    if (const int ready = look(); ready != 0) return ready;
    if (timeout == Duration::zero()) {
      return mask != nullptr && sys::poll_now(nullptr, 0, mask) < 0 ? -EINTR : 0;
    }
    WaitRequest request;
    request.deadline = timeout == Duration::max() ? kNever : after(began, timeout);
    request.kernel_fds = kernel_.span();
    request.mask = mask;
    for (;;) {
      kernel_.clear();
      const WaitResult result = wait_.wait(request);
      if (const int ready = look(); ready != 0) return ready;
      if (result == WaitResult::kTimedOut) return 0;
      if (result == WaitResult::kInterrupted) return -EINTR;
    }
  }

 private:
  /// One file of an entry; held by wait_.
  struct Point {
    File* file;
    std::size_t entry;
  };

  void add(std::size_t entry) {
    pollfd& fd = fds_[entry];
    if (fd.fd < 0) return;
    if (fd.fd < kFirstFd) return kernel_.add(fd.fd, fd.events, entry);
    std::shared_ptr<Twins> twins;
    Context* home = nullptr;
    {
      LockedFile locked(fd.fd);
      if (!locked || locked.context().group() != &group_) {
        bad_.push_back(entry);
        return;
      }
      home = &locked.context();
      watch(locked.file(), entry);
      if (locked.is_socket()) {
        twins = locked.socket_file().twins;
      } else {
        const auto& set = static_cast<EpollFile&>(locked.file()).spread();
        set->always_ring = true;
        kernel_.add(set->kernel_set(), POLLIN, entry);
      }
    }
    if (!twins) return;
    twins->for_each_but(*home, [&](SocketFile& part, Context&) { watch(part, entry); });
  }

  void watch(File& file, std::size_t entry) {
    wait_.watch(file, static_cast<std::uint32_t>(fds_[entry].events | kAlways), false);
    points_.push_back({&file, entry});
  }

  /// The devices are polled where the calling thread lives; the others have threads of their own.
  void turn(Instant now) {
    Context& home = group_.home();
    ContextLock guard(home);
    home.turn(now);
  }

  int look() {
    for (pollfd& fd : fds_) fd.revents = 0;
    for (const std::size_t entry : bad_) fds_[entry].revents = POLLNVAL;
    for (const auto& context : group_) {
      const bool any = std::any_of(points_.begin(), points_.end(), [&](const Point& point) {
        return &point.file->context() == context.get();
      });
      if (!any) continue;
      ContextLock guard(*context);
      for (const Point& point : points_) {
        if (&point.file->context() == context.get()) look_at(point);
      }
    }
    kernel_.store(fds_.data());
    return count_ready(fds_.data(), fds_.size());
  }

  void look_at(const Point& point) {
    pollfd& fd = fds_[point.entry];
    const std::uint32_t ready =
        point.file->closed() ? POLLNVAL
                             : point.file->poll_events() & static_cast<std::uint32_t>(fd.events | kAlways);
    fd.revents = static_cast<short>(fd.revents | static_cast<short>(ready));
  }

  ContextGroup& group_;
  std::span<pollfd> fds_;
  KernelPart kernel_;
  SpreadWait wait_;
  std::vector<Point> points_;
  std::vector<std::size_t> bad_;
};

}  // namespace

long poll_spread(ContextGroup& group, std::span<pollfd> fds, Duration timeout, const sigset_t* mask) {
  return SpreadPoll(group, fds).run(timeout, mask);
}

}  // namespace millrace::posix
