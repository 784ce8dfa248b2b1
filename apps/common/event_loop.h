#pragma once

#include <cstdint>
#include <vector>

#include "common/socket_api.h"

namespace millrace::apps {

/// Something that waits for its descriptor in an EventLoop.
class Handler {
 public:
  Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  virtual ~Handler() = default;
  /// `events` as of epoll_wait. May destroy itself, and no other handler.
  virtual void on_event(std::uint32_t events) = 0;
};

/// One epoll set and its turn. Level-triggered. A handler stays registered until its descriptor is removed or
/// closed.
class EventLoop {
 public:
  /// A turn waits `timeout_ms` at most; -1: until something happens. Throws std::system_error.
  EventLoop(const SocketApi& api, int timeout_ms);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// Throws std::system_error.
  void add(int fd, Handler& handler, std::uint32_t interest);
  void modify(int fd, Handler& handler, std::uint32_t interest);
  void remove(int fd);

  void run_once() { dispatch(wait()); }
  /// The two halves of a turn. Returns how many handlers dispatch() will call.
  int wait() { return wait(timeout_); }
  /// `timeout_ms`: of this turn.
  int wait(int timeout_ms);
  void dispatch(int ready);
  [[nodiscard]] const SocketApi& api() const { return api_; }

 private:
  void control(int operation, int fd, Handler* handler, std::uint32_t interest);

  const SocketApi& api_;
  int epoll_;
  int timeout_;
  std::vector<epoll_event> events_;
};

}  // namespace millrace::apps
