#pragma once

#include <algorithm>
#include <cerrno>
#include <span>
#include <vector>

#include "load.h"

namespace millrace::load {

/// An epoll set of the API that a run uses, whose descriptors are known by an index.
class EventSet {
 public:
  explicit EventSet(const apps::SocketApi& api) : api_(api), epoll_(api.epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail_with_errno("epoll_create1");
  }
  EventSet(const EventSet&) = delete;
  EventSet& operator=(const EventSet&) = delete;
  ~EventSet() { api_.epoll_close(epoll_); }

  /// `operation`: EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL.
  void control(int operation, int fd, std::size_t index, std::uint32_t interest) {
    epoll_event event{.events = interest, .data = {.u64 = index}};
    if (api_.epoll_ctl(epoll_, operation, fd, &event) != 0) fail_with_errno("epoll_ctl");
  }
  void add(int fd, std::size_t index, std::uint32_t interest) { control(EPOLL_CTL_ADD, fd, index, interest); }

  /// What happened, until the next call; nothing after so many milliseconds, or when a signal came.
  [[nodiscard]] std::span<const epoll_event> wait(int milliseconds) {
    const int ready = api_.epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), milliseconds);
    if (ready < 0 && errno != EINTR) fail_with_errno("epoll_wait");
    return {events_.data(), static_cast<std::size_t>(std::max(ready, 0))};
  }

 private:
  const apps::SocketApi& api_;
  int epoll_;
  std::vector<epoll_event> events_ = std::vector<epoll_event>(256);
};

}  // namespace millrace::load
