#include <cerrno>
#include <cstring>
#include <memory>

#include "load.h"
#include "window.h"

namespace millrace::load {

namespace {

/// Connections that live for one request: connect, ask, read the answer, close, and the next one at once, in
/// --connections places at a time.
class ShortLives {
 public:
  ShortLives(const Options& options, Window& window)
      : options_(options), api_(*options.api), window_(window), places_(options.connections) {
    epoll_ = api_.epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail_with_errno("epoll_create1");
  }
  ShortLives(const ShortLives&) = delete;
  ShortLives& operator=(const ShortLives&) = delete;
  ~ShortLives() {
    places_.clear();
    api_.epoll_close(epoll_);
  }

  bool run() {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      places_[i].request.assign(options_.size, 0x5a);
      places_[i].answer.resize(options_.size);
      open(i);
    }
    std::vector<epoll_event> events(256);
    while (!window_.over() && intact_) {
      const int ready =
          api_.epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), options_.busy ? 0 : 1000);
      window_.look(ready > 0);
      for (int i = 0; i < ready; ++i) on_event(events[static_cast<std::size_t>(i)].data.u64);
    }
    return intact_;
  }

 private:
  struct Place {
    Descriptor fd;
    std::vector<unsigned char> request, answer;
    std::size_t have = 0;
    bool asked = false;
    Clock::time_point began;
  };

  void control(int operation, std::size_t index, std::uint32_t interest) {
    epoll_event event{.events = interest, .data = {.u64 = index}};
    if (api_.epoll_ctl(epoll_, operation, places_[index].fd.get(), &event) != 0) fail_with_errno("epoll_ctl");
  }

  void open(std::size_t index) {
    Place& place = places_[index];
    place.began = Clock::now();
    place.fd = start_connect_tcp(options_);
    place.have = 0;
    place.asked = false;
    control(EPOLL_CTL_ADD, index, EPOLLOUT);
  }

  void ask(std::size_t index) {
    Place& place = places_[index];
    int error = 0;
    socklen_t length = sizeof error;
    if (api_.getsockopt(place.fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0)
      fail_with_errno("SO_ERROR");
    if (error != 0) throw Failure(std::string("connect: ") + std::strerror(error));
    place.asked = true;
    number_request(place.request, n_++);
    send_all(options_, place.fd.get(), place.request.data(), place.request.size(), MSG_DONTWAIT);
    control(EPOLL_CTL_MOD, index, EPOLLIN);
  }

  void on_event(std::size_t index) {
    Place& place = places_[index];
    if (!place.asked) return ask(index);
    const ssize_t got = api_.recv(place.fd.get(), place.answer.data() + place.have,
                                  place.answer.size() - place.have, MSG_DONTWAIT);
    if (got == 0) throw Failure("the server closed a connection");
    if (got < 0) {
      if (errno == EAGAIN) return;
      fail_with_errno("recv");
    }
    place.have += static_cast<std::size_t>(got);
    if (place.have < place.answer.size()) return;
    intact_ = intact_ && place.answer == place.request;
    place.fd.reset();
    window_.note(place.began, Clock::now());
    open(index);
  }

  const Options& options_;
  const apps::SocketApi& api_;
  Window& window_;
  std::vector<Place> places_;
  int epoll_ = -1;
  std::uint64_t n_ = 0;
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
