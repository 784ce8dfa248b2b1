#include <errno.h>
#include <poll.h>

#include <span>

#include "posix/calls.h"
#include "posix/epoll.h"
#include "posix/library.h"
#include "posix/poll_parts.h"
#include "posix/system.h"

namespace millrace::posix {

namespace {

/// poll(2) with at least one descriptor of the context's, locked.
class PollWait {
 public:
  PollWait(Context& context, pollfd* fds, std::size_t count)
      : context_(context), fds_(fds), count_(count), kernel_(count), links_(count), held_(count) {}
  PollWait(const PollWait&) = delete;
  PollWait& operator=(const PollWait&) = delete;
  ~PollWait() {
    for (std::size_t i = 0; i < held_count_; ++i) {
      if (links_[i].is_linked()) links_[i].unlink();
      held_[i]->release();
    }
  }

  long run(Duration timeout, const sigset_t* mask) {
    for (std::size_t i = 0; i < count_; ++i) {
      const pollfd& fd = fds_[i];
      if (fd.fd >= 0 && fd.fd < kFirstFd) {
        kernel_.add(fd.fd, fd.events, i);
      } else if (File* file = find(fd.fd); file != nullptr && file->kind() == File::Kind::kEpoll) {
        const int inner = static_cast<EpollFile*>(file)->kernel_set();
        if (inner >= 0) kernel_.add(inner, POLLIN, i);
      }
    }
    Instant now = clock_now();
    if (const long wrong = kernel_.look(); wrong != 0) return wrong;
    look();
    if (count_ready(fds_, count_) == 0) {
      context_.turn(now);
      look();
    }
    if (const int ready = count_ready(fds_, count_); ready != 0) return ready;
    if (timeout == Duration::zero()) {
      return mask != nullptr && sys::poll_now(nullptr, 0, mask) < 0 ? -EINTR : 0;
    }
    link();
    WaitRequest request;
    request.deadline = timeout == Duration::max() ? kNever : after(now, timeout);
    request.kernel_fds = kernel_.span();
    request.mask = mask;
    for (;;) {
      kernel_.clear();
      waiter_.ready = false;
      const WaitResult result = context_.wait(waiter_, request);
      look();
      if (const int ready = count_ready(fds_, count_); ready != 0) return ready;
      if (result == WaitResult::kTimedOut) return 0;
      if (result == WaitResult::kInterrupted) return -EINTR;
    }
  }

 private:
  /// Null for what is no file of this context.
  File* find(int fd) {
    FdTable::Slot* slot = Library::instance().fds().slot(fd);
    if (slot == nullptr || slot->context.load(std::memory_order_relaxed) != &context_) return nullptr;
    return slot->file;
  }

  void look() {
    for (std::size_t i = 0; i < count_; ++i) {
      pollfd& fd = fds_[i];
      fd.revents = 0;
      if (fd.fd < kFirstFd) continue;
      File* file = find(fd.fd);
      fd.revents =
          file == nullptr
              ? POLLNVAL
              : static_cast<short>(file->poll_events() & static_cast<std::uint32_t>(fd.events | kAlways));
    }
    kernel_.store(fds_);
  }

  void link() {
    for (std::size_t i = 0; i < count_; ++i) {
      if (fds_[i].fd < kFirstFd) continue;
      File* file = find(fds_[i].fd);
      file->acquire();
      held_[held_count_] = file;
      WaitLink& link = links_[held_count_++];
      link.waiter = &waiter_;
      link.mask = static_cast<std::uint32_t>(fds_[i].events | kAlways);
      file->add_waiter(link);
    }
  }

  Context& context_;
  pollfd* fds_;
  std::size_t count_;
  KernelPart kernel_;
  Waiter waiter_;
  Scratch<WaitLink, 32> links_;
  Scratch<File*, 32> held_;
  std::size_t held_count_ = 0;
};

/// The context of the first descriptor that is ours; null when there is none.
Context* home_of(const pollfd* fds, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (fds[i].fd < kFirstFd) continue;
    FdTable::Slot* slot = Library::instance().fds().slot(fds[i].fd);
    Context* context = slot == nullptr ? nullptr : slot->context.load(std::memory_order_acquire);
    if (context != nullptr) return context;
  }
  return nullptr;
}

/// None of the descriptors is ours, or those that were are closed.
long poll_kernel(pollfd* fds, std::size_t count, Duration timeout, const sigset_t* mask) {
  Scratch<pollfd, 32> copy(count);
  int bad = 0;
  for (std::size_t i = 0; i < count; ++i) {
    copy[i] = fds[i];
    if (fds[i].fd < kFirstFd) continue;
    copy[i].fd = -1;
    ++bad;
  }
  if (bad != 0) timeout = Duration::zero();
  const timespec limit = to_timespec(timeout);
  if (sys::cancellable_ppoll(copy.data(), count, timeout == Duration::max() ? nullptr : &limit, mask) < 0)
    return -errno;
  for (std::size_t i = 0; i < count; ++i)
    fds[i].revents = fds[i].fd < kFirstFd ? copy[i].revents : short{POLLNVAL};
  return count_ready(fds, count);
}

}  // namespace

long read_limit(const timespec* timeout, Duration& limit) {
  limit = Duration::max();
  if (timeout == nullptr) return 0;
  if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000) return -EINVAL;
  if (timeout->tv_sec < INT64_MAX / 1000000000 - 1)
    limit = std::chrono::seconds(timeout->tv_sec) + std::chrono::nanoseconds(timeout->tv_nsec);
  return 0;
}

long poll_files(pollfd* fds, std::size_t count, Duration timeout, const sigset_t* mask) {
  if (count != 0) {
    // poll(2) has RLIMIT_NOFILE here, which says nothing about descriptors of ours.
    if (count > FdTable::kMaxLimit) return -EINVAL;
    if (fds == nullptr) return -EFAULT;
  }
  Context* context = home_of(fds, count);
  if (context == nullptr) return poll_kernel(fds, count, timeout, mask);
  if (!context->is_alone()) return poll_spread(*context->group(), {fds, count}, timeout, mask);
  ContextLock guard(*context);
  return PollWait(*context, fds, count).run(timeout, mask);
}

}  // namespace millrace::posix
