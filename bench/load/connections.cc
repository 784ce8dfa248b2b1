#include "event_set.h"
#include "exchange.h"
#include "load.h"
#include "window.h"

namespace millrace::load {

namespace {

/// Connections that live for one request: connect, ask, read the answer, close, and the next one at once, in
/// --connections places at a time.
class ShortLives {
 public:
  ShortLives(const Options& options, Window& window)
      : options_(options), window_(window), set_(*options.api) {}

  bool run() {
    for (std::size_t i = 0; i < options_.connections; ++i) places_.emplace_back(options_.size);
    while (intact_ && window_.next()) {
      for (std::size_t i = 0; i < places_.size(); ++i) open(i);
      while (open_ > 0 && intact_ && !(window_.over() && window_.give_up())) {
        const auto events = set_.wait(options_.busy ? 0 : 100);
        window_.look(!events.empty());
        for (const epoll_event& event : events) on_event(event.data.u64);
      }
    }
    return intact_;
  }

 private:
  struct Place {
    explicit Place(std::size_t size) : exchange(size) {}
    Exchange exchange;
    bool asked = false;
    Clock::time_point began;
  };

  void open(std::size_t index) {
    Place& place = places_[index];
    place.began = Clock::now();
    place.exchange.connect(start_connect_tcp(options_, opened_++));
    place.asked = false;
    ++open_;
    set_.add(place.exchange.fd(), index, EPOLLOUT);
  }

  void ask(std::size_t index) {
    Place& place = places_[index];
    expect_connected(options_, place.exchange.fd());
    place.asked = true;
    place.exchange.ask(options_, MSG_DONTWAIT);
    set_.control(EPOLL_CTL_MOD, place.exchange.fd(), index, EPOLLIN);
  }

  void on_event(std::size_t index) {
    Place& place = places_[index];
    if (!place.asked) return ask(index);
    if (place.exchange.read(options_, MSG_DONTWAIT) != Exchange::Read::kAll) return;
    intact_ = intact_ && place.exchange.intact();
    place.exchange.close();
    --open_;
    window_.note(place.began, Clock::now());
    if (!window_.over()) open(index);
  }

  const Options& options_;
  Window& window_;
  EventSet set_;
  std::vector<Place> places_;
  std::size_t opened_ = 0, open_ = 0;
  bool intact_ = true;
};

}  // namespace

bool run_connections(const Options& options, Report& report) {
  Window window(options);
  ShortLives lives(options, window);
  const bool intact = lives.run();
  window.fill(report);
  return intact;
}

}  // namespace millrace::load
