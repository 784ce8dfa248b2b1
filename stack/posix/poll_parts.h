#pragma once

#include <errno.h>
#include <poll.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "posix/context_group.h"
#include "posix/system.h"

/// What poll(2) in one context (poll.cc) and in several (poll_spread.cc) have in common.
namespace millrace::posix {

inline constexpr short kAlways = POLLERR | POLLHUP | POLLNVAL;

/// A small array on the stack, or a large one on the heap.
template <typename T, std::size_t kInline>
class Scratch {
 public:
  explicit Scratch(std::size_t size) : size_(size) {
    if (size > kInline) large_ = std::make_unique<T[]>(size);
  }
  [[nodiscard]] T* data() { return large_ ? large_.get() : inline_.data(); }
  T& operator[](std::size_t i) { return data()[i]; }
  [[nodiscard]] std::span<T> first(std::size_t count) { return {data(), count}; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::array<T, kInline> inline_{};
  std::unique_ptr<T[]> large_;
};

/// Kernel descriptors (and the kernel sets inside of our epoll sets) of a poll call.
class KernelPart {
 public:
  explicit KernelPart(std::size_t most) : fds_(most), index_(most) {}
  void add(int fd, short events, std::size_t index) {
    fds_[count_] = pollfd{fd, events, 0};
    index_[count_++] = index;
  }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::span<pollfd> span() { return fds_.first(count_); }
  /// Looks without waiting. 0 or -errno.
  long look() {
    if (count_ == 0) return 0;
    const long result = sys::poll_now(fds_.data(), count_);
    return result >= 0 || result == -EINTR ? 0 : result;
  }
  /// Stores what is reported into the caller's array; the kernel set of an epoll set counts as readable.
  void store(pollfd* fds) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (fds_[i].revents == 0) continue;
      pollfd& out = fds[index_[i]];
      out.revents = static_cast<short>(
          out.revents | (out.fd == fds_[i].fd ? fds_[i].revents : out.events & (POLLIN | POLLRDNORM)));
    }
  }
  void clear() {
    for (pollfd& fd : span()) fd.revents = 0;
  }

 private:
  Scratch<pollfd, 32> fds_;
  Scratch<std::size_t, 32> index_;
  std::size_t count_ = 0;
};

inline int count_ready(const pollfd* fds, std::size_t count) {
  int ready = 0;
  for (std::size_t i = 0; i < count; ++i) ready += fds[i].revents != 0 ? 1 : 0;
  return ready;
}

/// poll(2) with at least one descriptor of the group's; no lock held.
[[nodiscard]] long poll_spread(ContextGroup& group, std::span<pollfd> fds, Duration timeout,
                               const sigset_t* mask);

}  // namespace millrace::posix
