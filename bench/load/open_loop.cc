#include <sys/timerfd.h>
#include <unistd.h>

#include <random>

#include "event_set.h"
#include "exchange.h"
#include "load.h"
#include "window.h"

namespace millrace::load {

namespace {

/// Requests that come as from many users who know nothing of each other: at random moments, so many a second,
/// whether the server keeps up or not. A request that finds no idle connection waits for one, and that wait
/// counts: what is measured is the time from the moment at which it came (no coordinated omission).
class Arrivals {
 public:
  explicit Arrivals(std::uint64_t seed) : random_(seed) {}

  /// The next comes then, and so many a second from then on; those before it never do.
  void begin(Clock::time_point when, double rate) {
    next_ = when;
    gap_ = std::exponential_distribution(rate);
  }

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

class OpenLoop {
 public:
  OpenLoop(const Options& options, Window& window)
      : options_(options),
        window_(window),
        arrivals_(options.seed),
        set_(*options.api),
        came_at_(options.connections) {
    for (std::size_t i = 0; i < options.connections; ++i) {
      Exchange& exchange = exchanges_.emplace_back(options.size);
      exchange.connect(connect_tcp(options));
      set_.add(exchange.fd(), i, EPOLLIN);
      idle_.push_back(options.connections - 1 - i);
    }
    if (options.busy) return;
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer_ < 0) fail_with_errno("timerfd_create");
    set_.add(timer_, exchanges_.size(), EPOLLIN);
  }
  OpenLoop(const OpenLoop&) = delete;
  OpenLoop& operator=(const OpenLoop&) = delete;
  ~OpenLoop() {
    if (timer_ >= 0) close(timer_);
  }

  /// What came in a turn and is not answered some time after its end counts as unanswered.
  bool run() {
    while (intact_ && window_.next()) {
      arrivals_.begin(Clock::now(), window_.rate());
      while (!window_.over() && intact_) {
        const auto now = Clock::now();
        ask_all_due(now);
        if (!options_.busy) set_timer(now);
        take_answers();
      }
      if (!options_.busy) stop_timer();
      // What is slow would be left out, if the turn ended without it.
      while (intact_ && !all_answered() && !window_.give_up()) {
        ask_all_due(window_.end());
        take_answers();
      }
      count_unanswered();
    }
    return intact_;
  }
  [[nodiscard]] std::uint64_t unanswered() const { return unanswered_; }

 private:
  void take_answers() {
    const auto events = set_.wait(options_.busy ? 0 : 100);
    window_.look(!events.empty());
    for (const epoll_event& event : events) {
      if (event.data.u64 < exchanges_.size()) take_answer(event.data.u64);
    }
  }

  [[nodiscard]] bool all_answered() const {
    return idle_.size() == exchanges_.size() && arrivals_.next() > window_.end();
  }

  void count_unanswered() {
    unanswered_ += exchanges_.size() - idle_.size();
    while (arrivals_.next() <= window_.end()) {
      ++unanswered_;
      arrivals_.take();
    }
  }

  void ask_all_due(Clock::time_point now) {
    while (!idle_.empty() && arrivals_.next() <= now) {
      const std::size_t index = idle_.back();
      idle_.pop_back();
      came_at_[index] = arrivals_.take();
      exchanges_[index].ask(options_, MSG_DONTWAIT);
    }
  }

  void stop_timer() {
    const itimerspec never{};
    if (timerfd_settime(timer_, 0, &never, nullptr) != 0) fail_with_errno("timerfd_settime");
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
    Exchange& exchange = exchanges_[index];
    if (exchange.read(options_, MSG_DONTWAIT) != Exchange::Read::kAll) return;
    window_.note(came_at_[index], Clock::now());
    intact_ = intact_ && exchange.intact();
    idle_.push_back(index);
  }

  const Options& options_;
  Window& window_;
  Arrivals arrivals_;
  EventSet set_;
  std::vector<Exchange> exchanges_;
  std::vector<Clock::time_point> came_at_;  ///< their requests; sent when there was a connection
  std::vector<std::size_t> idle_;
  int timer_ = -1;
  std::uint64_t unanswered_ = 0;
  bool intact_ = true;
};

}  // namespace

bool run_open_loop(const Options& options, Report& report) {
  Window window(options);
  OpenLoop loop(options, window);
  const bool intact = loop.run();
  window.fill(report);
  report.add("unanswered", loop.unanswered());
  return intact;
}

}  // namespace millrace::load
