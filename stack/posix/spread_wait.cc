#include "posix/spread_wait.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "posix/adoption.h"

namespace millrace::posix {

SpreadWait::SpreadWait(ContextGroup& group)
    : group_(group), waiters_(std::make_unique<Waiter[]>(group.size())), used_(group.size(), false) {}

SpreadWait::~SpreadWait() {
  for (std::size_t i = 0; i < group_.size(); ++i) {
    if (!used_[i]) continue;
    ContextLock guard(group_[i]);
    for (Point& point : points_) {
      if (point.file == nullptr || &point.file->context() != &group_[i]) continue;
      if (point.link.is_linked()) point.link.unlink();
      std::exchange(point.file, nullptr)->release();
    }
  }
}

void SpreadWait::watch(File& file, Ready mask, bool exclusive) {
  const std::size_t index = file.context().index();
  file.acquire();
  Point& point = points_.emplace_back();
  point.file = &file;
  point.link.waiter = &waiters_[index];
  point.link.mask = mask;
  point.link.exclusive = exclusive;
  file.add_waiter(point.link);
  used_[index] = true;
}

std::size_t SpreadWait::home() const {
  const std::size_t own = group_.home().index();
  if (used_[own]) return own;
  return static_cast<std::size_t>(std::find(used_.begin(), used_.end(), true) - used_.begin());
}

/// The sleep as the contexts see it in which the thread does not sleep itself.
class SpreadWait::Elsewhere {
 public:
  Elsewhere(SpreadWait& wait, std::size_t home) : wait_(wait), home_(home) {
    fd_ = Waiter::second_event_fd();
    for_each([&](Waiter& waiter) {
      waiter.ring_on(fd_);
      woken_ |= waiter.ready;
      waiter.announce(Waiter::Bed::kEventFd);
    });
  }
  Elsewhere(const Elsewhere&) = delete;
  Elsewhere& operator=(const Elsewhere&) = delete;
  ~Elsewhere() {
    for_each([](Waiter& waiter) { waiter.settle(); });
  }

  [[nodiscard]] bool woken() const { return woken_; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  template <typename Action>
  void for_each(Action&& action) {
    for (std::size_t i = 0; i < wait_.group_.size(); ++i) {
      if (i == home_ || !wait_.used_[i]) continue;
      ContextLock guard(wait_.group_[i]);
      action(wait_.waiters_[i]);
    }
  }

  SpreadWait& wait_;
  std::size_t home_;
  int fd_ = -1;
  bool woken_ = false;
};

WaitResult SpreadWait::wait(const WaitRequest& request) {
  constexpr Duration kBlindSleep = 1ms;  // out of descriptors: looks by itself
  const std::size_t home = this->home();
  std::vector<pollfd> fds(request.kernel_fds.begin(), request.kernel_fds.end());
  WaitResult result = WaitResult::kReady;
  bool early = false;
  {
    Adoption adoption(group_);
    bool came = false;
    for (std::size_t i = 0; i < group_.size(); ++i)
      came |= i != home && used_[i] && !adoption.take(i, clock_now());
    Elsewhere elsewhere(*this, home);
    if (!elsewhere.woken() && !came) {
      fds.push_back({elsewhere.fd(), POLLIN, 0});
      fds.insert(fds.end(), adoption.fds().begin(), adoption.fds().end());
      WaitRequest own = request;
      own.kernel_fds = fds;
      own.deadline = std::min(own.deadline, adoption.deadline());
      if (elsewhere.fd() < 0) own.deadline = std::min(own.deadline, after(clock_now(), kBlindSleep));
      early = own.deadline < request.deadline;
      ContextLock guard(group_[home]);
      result = group_[home].wait(waiters_[home], own);
    }
  }
  for (std::size_t i = 0; i < group_.size(); ++i) waiters_[i].ready = false;
  if (result == WaitResult::kTimedOut && early) return WaitResult::kReady;
  if (result != WaitResult::kKernelReady) return result;
  std::copy_n(fds.begin(), request.kernel_fds.size(), request.kernel_fds.begin());
  const bool program = std::any_of(request.kernel_fds.begin(), request.kernel_fds.end(),
                                   [](const pollfd& fd) { return fd.revents != 0; });
  return program ? WaitResult::kKernelReady : WaitResult::kReady;
}

}  // namespace millrace::posix
