#include "server.h"

#include <fcntl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/system_error.h"

namespace millrace::echo {

namespace {

constexpr int kDatagramBatch = 64;

/// Busy polling on the kernel's sockets is for us to do; the stack does it inside its waiting calls.
bool spin(const Config& config) {
  return config.stack.busy_poll && config.kernel;
}

}  // namespace

class Server::Datagrams final : public apps::Handler {
 public:
  explicit Datagrams(Server& server) : server_(server) {
    const apps::SocketApi& api = server_.loop_.api();
    fd_ = api.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) apps::throw_errno("socket");
    try {
      const Config& config = server_.config_;
      if (config.stack.queues > 1 && apps::set_option(api, fd_, SOL_SOCKET, SO_REUSEPORT, 1) != 0)
        apps::throw_errno("SO_REUSEPORT");
      apps::bind_to(api, fd_, apps::listen_address(config.kernel, config.stack.address, config.port), "UDP");
      server_.loop_.add(fd_, *this, EPOLLIN);
    } catch (...) {
      api.close(fd_);
      throw;
    }
  }
  ~Datagrams() override { server_.loop_.api().close(fd_); }

  void on_event(std::uint32_t /*events*/) override {
    const apps::SocketApi& api = server_.loop_.api();
    auto& scratch = server_.shared_.scratch;
    Counters& counters = server_.shared_.counters;
    for (int i = 0; i < kDatagramBatch; ++i) {
      sockaddr_storage from{};
      socklen_t length = sizeof from;
      auto* address = reinterpret_cast<sockaddr*>(&from);
      const ssize_t got = api.recvfrom(fd_, scratch.data(), scratch.size(), MSG_DONTWAIT, address, &length);
      if (got < 0) {
        // An error other than "nothing there" is news of an earlier datagram; reading it has cleared it.
        if (errno == EAGAIN || errno == EINTR) return;
        continue;
      }
      ++counters.datagrams_in;
      const ssize_t sent = api.sendto(fd_, scratch.data(), static_cast<std::size_t>(got),
                                      MSG_DONTWAIT | MSG_NOSIGNAL, address, length);
      ++(sent < 0 ? counters.datagrams_dropped : counters.datagrams_out);
    }
  }

 private:
  Server& server_;
  int fd_;
};

class Server::Timer final : public apps::Handler {
 public:
  Timer(Server& server, unsigned seconds, void (*fire)(Server&)) : server_(server), fire_(fire) {
    fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd_ < 0) apps::throw_errno("timerfd_create");
    itimerspec when{};
    when.it_value.tv_sec = when.it_interval.tv_sec = static_cast<time_t>(seconds);
    if (timerfd_settime(fd_, 0, &when, nullptr) != 0) apps::throw_errno("timerfd_settime");
    server_.loop_.add(fd_, *this, EPOLLIN);
  }
  ~Timer() override { close(fd_); }

  void on_event(std::uint32_t /*events*/) override {
    std::uint64_t expirations = 0;
    if (read(fd_, &expirations, sizeof expirations) > 0) fire_(server_);
  }

 private:
  Server& server_;
  void (*fire_)(Server&);
  int fd_;
};

/// What other threads tell this one: signals, one after the other.
class Server::Postbox final : public apps::Handler {
 public:
  explicit Postbox(Server& server) : server_(server) {
    if (pipe2(ends_, O_NONBLOCK | O_CLOEXEC) != 0) apps::throw_errno("pipe2");
    server_.loop_.add(ends_[0], *this, EPOLLIN);
  }
  ~Postbox() override {
    for (const int end : ends_) close(end);
  }

  void post(int number) const {
    const auto letter = static_cast<unsigned char>(number);
    [[maybe_unused]] const ssize_t written = write(ends_[1], &letter, 1);
  }
  void on_event(std::uint32_t /*events*/) override {
    unsigned char letter = 0;
    if (read(ends_[0], &letter, 1) == 1) server_.on_signal(letter);
  }

 private:
  Server& server_;
  int ends_[2]{};
};

Server::Server(const apps::SocketApi& api, const Config& config, const Events* events)
    : loop_(api, spin(config) ? 0 : -1), shared_(loop_, config.zero_copy), config_(config), events_(events) {
  if (events_ != nullptr) {
    signals_ = std::make_unique<apps::Signals>(loop_, std::array{SIGTERM, SIGINT, SIGUSR1},
                                               [this](int number) { on_signal(number); });
  } else {
    postbox_ = std::make_unique<Postbox>(*this);
  }
  listen_on(config.port, Service::kEcho);
  if (config.discard_port) listen_on(*config.discard_port, Service::kDiscard);
  if (config.chargen_port) listen_on(*config.chargen_port, Service::kChargen);
  datagrams_ = std::make_unique<Datagrams>(*this);
  if (config.stats != 0 && events_ != nullptr) {
    reports_ = std::make_unique<Timer>(*this, config.stats, [](Server& server) { server.events_->report(); });
  }
}

Server::~Server() {
  connections_.clear_and_dispose([](Connection* connection) { delete connection; });
}

void Server::listen_on(std::uint16_t port, Service service) {
  listeners_.push_back(std::make_unique<apps::Listener>(
      loop_, apps::listen_address(config_.kernel, config_.stack.address, port), config_.timeout,
      config_.stack.queues > 1,
      apps::Listener::Events{.accepted = [this, service](int fd) { adopt(fd, service); },
                             .out_of_descriptors = [this] { pause_accepting(); }}));
}

void Server::on_signal(int number) {
  if (number == SIGUSR1) {
    events_->report();
    return;
  }
  if (events_ != nullptr) events_->pass_on(number);
  if (shared_.draining || stop_asked_) {
    end_now();
  } else {
    stop_asked_ = true;  // after this turn: others that it has yet to call are still there until then
  }
}

void Server::post(int number) {
  postbox_->post(number);
}

void Server::adopt(int fd, Service service) {
  auto connection = std::make_unique<Connection>(shared_, fd, service);
  connections_.push_back(*connection.release());
  ++shared_.counters.accepted;
}

void Server::pause_accepting() {
  ++shared_.counters.refused;
  open_when_paused_ = std::max<std::uint64_t>(shared_.counters.open, 1);
  for (const auto& listener : listeners_) listener->accept_more(false);
}

void Server::stop() {
  shared_.draining = true;
  listeners_.clear();
  datagrams_.reset();
  for (auto next = connections_.begin(); next != connections_.end();) (next++)->drain();
  if (config_.drain == 0) {
    ended_ = true;
  } else {
    deadline_ = std::make_unique<Timer>(*this, config_.drain, [](Server& server) { server.end_now(); });
  }
}

void Server::run() {
  while (!ended_ && !(shared_.draining && connections_.empty())) {
    loop_.run_once();
    if (std::exchange(stop_asked_, false)) stop();
    if (open_when_paused_ != 0 && shared_.counters.open < open_when_paused_) {
      open_when_paused_ = 0;
      for (const auto& listener : listeners_) listener->accept_more(true);
    }
  }
}

}  // namespace millrace::echo
