#include "common/event_loop.h"

#include <cerrno>

#include "common/system_error.h"

namespace millrace::apps {

namespace {
constexpr std::size_t kBatch = 256;
}  // namespace

EventLoop::EventLoop(const SocketApi& api, int timeout_ms)
    : api_(api), epoll_(api.epoll_create1(EPOLL_CLOEXEC)), timeout_(timeout_ms), events_(kBatch) {
  if (epoll_ < 0) throw_errno("epoll_create1");
}

EventLoop::~EventLoop() {
  api_.epoll_close(epoll_);
}

void EventLoop::control(int operation, int fd, Handler* handler, std::uint32_t interest) {
  epoll_event event{.events = interest, .data = {.ptr = handler}};
  if (api_.epoll_ctl(epoll_, operation, fd, &event) != 0) throw_errno("epoll_ctl");
}

void EventLoop::add(int fd, Handler& handler, std::uint32_t interest) {
  control(EPOLL_CTL_ADD, fd, &handler, interest);
}

void EventLoop::modify(int fd, Handler& handler, std::uint32_t interest) {
  control(EPOLL_CTL_MOD, fd, &handler, interest);
}

void EventLoop::remove(int fd) {
  control(EPOLL_CTL_DEL, fd, nullptr, 0);
}

int EventLoop::wait(int timeout_ms) {
  const int ready = api_.epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), timeout_ms);
  if (ready < 0 && errno != EINTR) throw_errno("epoll_wait");
  return ready < 0 ? 0 : ready;
}

void EventLoop::dispatch(int ready) {
  for (int i = 0; i < ready; ++i) {
    const epoll_event& event = events_[static_cast<std::size_t>(i)];
    static_cast<Handler*>(event.data.ptr)->on_event(event.events);
  }
}

}  // namespace millrace::apps
