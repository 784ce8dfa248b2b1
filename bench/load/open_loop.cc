#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "load.h"
#include "window.h"

namespace millrace::load {

namespace {

/// Requests that come as from many users who know nothing of each other: at random moments, so many a second,
/// whether the server keeps up or not. A request that finds no idle connection waits for one, and that wait
/// counts: what is measured is the time from the moment at which it came (no coordinated omission).
class Arrivals {
 public:
  Arrivals(double rate, std::uint64_t seed, Clock::time_point begin)
      : random_(seed), gap_(rate), next_(begin) {}

  [[nodiscard]] Clock::time_point next() const { return next_; }
  Clock::time_point take() {
    const auto taken = next_;
    next_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(gap_(random_)));
    return taken;
  }

 private:
  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_;
  Clock::time_point next_;
};

struct Peer {
  Descriptor fd;
  std::vector<unsigned char> request, answer;
  std::size_t have = 0;
  std::uint64_t n = 0;
  Clock::time_point came_at;
};

class OpenLoop {
 public:
  OpenLoop(const Options& options, Window& window)
      : options_(options),
        api_(*options.api),
        window_(window),
        arrivals_(options.rate, options.seed, Clock::now()),
        peers_(options.connections) {
    epoll_ = api_.epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail_with_errno("epoll_create1");
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      Peer& peer = peers_[i];
      peer.fd = connect_tcp(options);
      peer.request.assign(options.size, 0x5a);
      peer.answer.resize(options.size);
      watch(peer.fd.get(), i);
      idle_.push_back(peers_.size() - 1 - i);
    }
    if (options.busy) return;
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer_ < 0) fail_with_errno("timerfd_create");
    watch(timer_, peers_.size());
  }
  OpenLoop(const OpenLoop&) = delete;
  OpenLoop& operator=(const OpenLoop&) = delete;
  ~OpenLoop() {
    peers_.clear();
    if (timer_ >= 0) close(timer_);
    api_.epoll_close(epoll_);
  }

  /// What has not been answered at the window's end counts as unanswered.
  bool run() {
    std::vector<epoll_event> events(256);
    while (!window_.over() && intact_) {
      const auto now = Clock::now();
      ask_all_due(now);
      if (!options_.busy) set_timer(now);
      take_answers(events);
    }
    count_unanswered();
    // A connection that is closed on unread data is reset.
    const auto end = Clock::now() + Window::kLastAnswers;
    while (intact_ && idle_.size() < peers_.size() && Clock::now() < end) take_answers(events);
    return intact_;
  }
  [[nodiscard]] std::uint64_t unanswered() const { return unanswered_; }

 private:
  void take_answers(std::vector<epoll_event>& events) {
    const int ready =
        api_.epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), options_.busy ? 0 : 100);
    window_.look(ready > 0);
    for (int i = 0; i < ready; ++i) {
      const std::size_t index = events[static_cast<std::size_t>(i)].data.u64;
      if (index < peers_.size()) take_answer(index);
    }
  }

  void count_unanswered() {
    unanswered_ = peers_.size() - idle_.size();
    while (arrivals_.next() < window_.end()) {
      ++unanswered_;
      arrivals_.take();
    }
  }

  void watch(int fd, std::size_t index) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    if (api_.epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail_with_errno("epoll_ctl");
  }

  void ask_all_due(Clock::time_point now) {
    while (!idle_.empty() && arrivals_.next() <= now) {
      Peer& peer = peers_[idle_.back()];
      idle_.pop_back();
      peer.came_at = arrivals_.take();
      peer.have = 0;
      number_request(peer.request, peer.n++);
      send_all(options_, peer.fd.get(), peer.request.data(), peer.request.size(), MSG_DONTWAIT);
    }
  }

  /// Wakes the wait when the next request is due; not where that waits for a connection.
  void set_timer(Clock::time_point now) {
    itimerspec when{};
    if (!idle_.empty()) {
      const auto left = std::max<Clock::duration>(arrivals_.next() - now, std::chrono::nanoseconds(1));
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
      when.it_value = {.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
    }
    if (timerfd_settime(timer_, 0, &when, nullptr) != 0) fail_with_errno("timerfd_settime");
  }

  void take_answer(std::size_t index) {
    Peer& peer = peers_[index];
    const ssize_t got = api_.recv(peer.fd.get(), peer.answer.data() + peer.have,
                                  peer.answer.size() - peer.have, MSG_DONTWAIT);
    if (got == 0) throw Failure("the server closed a connection");
    if (got < 0) {
      if (errno == EAGAIN) return;
      fail_with_errno("recv");
    }
    peer.have += static_cast<std::size_t>(got);
    if (peer.have < peer.answer.size()) return;
    if (const auto now = Clock::now(); now < window_.end()) window_.note(peer.came_at, now);
    intact_ = intact_ && peer.answer == peer.request;
    idle_.push_back(index);
  }

  const Options& options_;
  const apps::SocketApi& api_;
  Window& window_;
  Arrivals arrivals_;
  std::vector<Peer> peers_;
  std::vector<std::size_t> idle_;
  int epoll_ = -1, timer_ = -1;
  std::uint64_t unanswered_ = 0;
  bool intact_ = true;
};

}  // namespace

bool run_open_loop(const Options& options, Report& report) {
  Window window(options);
  OpenLoop loop(options, window);
  const bool intact = loop.run();
  window.fill(report);
  report.add("asked_rate", options.rate);
  report.add("unanswered", loop.unanswered());
  return intact;
}

}  // namespace millrace::load
