#include "server.h"

#include <netinet/tcp.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

namespace millrace::echo {

namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptBatch = 64;
constexpr int kDatagramBatch = 64;

[[noreturn]] void fail(const std::string& doing) {
  throw std::system_error(errno, std::generic_category(), doing);
}

/// Binds to the port, on the kernel to the address asked for. Throws when it cannot be had.
void bind_to(const apps::SocketApi& api, int fd, const Config& config, std::uint16_t port,
             const char* protocol) {
  // The stack has but one address; on the kernel the prefix does not matter.
  const std::string host =
      config.kernel && !config.addr.empty() ? config.addr.substr(0, config.addr.find('/')) : "0.0.0.0";
  const auto address = apps::make_address(host, port);
  if (!address) throw std::runtime_error("\"" + config.addr + "\" is not an IPv4 address");
  if (api.bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    fail(std::string("cannot serve ") + protocol + " port " + std::to_string(port));
  }
}

/// Busy polling on the kernel's sockets is for us to do; the stack does it inside its waiting calls.
bool spin(const Config& config) {
  return config.busy_poll && config.kernel;
}

/// What accepted connections are to have, set once: they inherit it from their listener.
void set_connection_options(const apps::SocketApi& api, int fd, unsigned timeout) {
  const auto set = [&](int level, int option, int value, const char* name) {
    if (apps::set_option(api, fd, level, option, value) != 0) fail(name);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (timeout == 0) return;
  const int seconds = static_cast<int>(timeout);
  constexpr int kProbes = 3;
  set(SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
  set(IPPROTO_TCP, TCP_KEEPIDLE, std::max(seconds / 2, 1), "TCP_KEEPIDLE");
  set(IPPROTO_TCP, TCP_KEEPINTVL, std::max(seconds / 2 / kProbes, 1), "TCP_KEEPINTVL");
  set(IPPROTO_TCP, TCP_KEEPCNT, kProbes, "TCP_KEEPCNT");
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, seconds * 1000, "TCP_USER_TIMEOUT");
}

}  // namespace

class Server::Listener final : public Handler {
 public:
  Listener(Server& server, std::uint16_t port, Service service) : server_(server), service_(service) {
    const apps::SocketApi& api = server_.loop_.api();
    fd_ = api.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket");
    try {
      if (apps::set_option(api, fd_, SOL_SOCKET, SO_REUSEADDR, 1) != 0) fail("SO_REUSEADDR");
      set_connection_options(api, fd_, server_.config_.timeout);
      bind_to(api, fd_, server_.config_, port, "TCP");
      if (api.listen(fd_, kBacklog) != 0) fail("cannot serve TCP port " + std::to_string(port));
      server_.loop_.add(fd_, *this, EPOLLIN);
    } catch (...) {
      api.close(fd_);
      throw;
    }
  }
  ~Listener() override { server_.loop_.api().close(fd_); }

  void accept_more(bool yes) { server_.loop_.modify(fd_, *this, yes ? std::uint32_t{EPOLLIN} : 0U); }

  void on_event(std::uint32_t /*events*/) override {
    for (int i = 0; i < kAcceptBatch; ++i) {
      const int fd = server_.loop_.api().accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        server_.adopt(fd, service_);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        server_.pause_accepting();
        return;
      } else if (errno == EAGAIN) {
        return;
      }
      // Anything else is what one connection met before we took it.
    }
  }

 private:
  Server& server_;
  Service service_;
  int fd_;
};

class Server::Datagrams final : public Handler {
 public:
  explicit Datagrams(Server& server) : server_(server) {
    const apps::SocketApi& api = server_.loop_.api();
    fd_ = api.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket");
    try {
      bind_to(api, fd_, server_.config_, server_.config_.port, "UDP");
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

/// The signals as readable events: the loop is the only place where anything happens.
class Server::Signals final : public Handler {
 public:
  explicit Signals(Server& server) : server_(server) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
    if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) fail("sigprocmask");
    fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd_ < 0) fail("signalfd");
    server_.loop_.add(fd_, *this, EPOLLIN);
  }
  ~Signals() override { close(fd_); }

  void on_event(std::uint32_t /*events*/) override {
    signalfd_siginfo info{};
    while (read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo == SIGUSR1) {
        server_.report();
      } else if (server_.shared_.draining) {
        server_.end_now();
      } else {
        server_.stop();
      }
    }
  }

 private:
  Server& server_;
  int fd_;
};

class Server::Timer final : public Handler {
 public:
  Timer(Server& server, unsigned seconds, void (*fire)(Server&)) : server_(server), fire_(fire) {
    fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd_ < 0) fail("timerfd_create");
    itimerspec when{};
    when.it_value.tv_sec = when.it_interval.tv_sec = static_cast<time_t>(seconds);
    if (timerfd_settime(fd_, 0, &when, nullptr) != 0) fail("timerfd_settime");
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

Server::Server(const apps::SocketApi& api, const Config& config, std::function<void(const Counters&)> report)
    : loop_(api, spin(config) ? 0 : -1), shared_(loop_), config_(config), report_(std::move(report)) {
  signals_ = std::make_unique<Signals>(*this);
  listen_on(config.port, Service::kEcho);
  if (config.discard_port) listen_on(*config.discard_port, Service::kDiscard);
  if (config.chargen_port) listen_on(*config.chargen_port, Service::kChargen);
  datagrams_ = std::make_unique<Datagrams>(*this);
  if (config.stats != 0) {
    reports_ = std::make_unique<Timer>(*this, config.stats, [](Server& server) { server.report(); });
  }
}

Server::~Server() {
  connections_.clear_and_dispose([](Connection* connection) { delete connection; });
}

void Server::listen_on(std::uint16_t port, Service service) {
  listeners_.push_back(std::make_unique<Listener>(*this, port, service));
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
    if (open_when_paused_ != 0 && shared_.counters.open < open_when_paused_) {
      open_when_paused_ = 0;
      for (const auto& listener : listeners_) listener->accept_more(true);
    }
  }
}

}  // namespace millrace::echo
