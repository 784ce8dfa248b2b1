#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "exchange.h"
#include "exchange_all.h"
#include "load.h"
#include "window.h"

namespace millrace::load {

namespace {

/// One connection: plain calls that block, or spin on MSG_DONTWAIT.
bool one_connection(const Options& options, Window& window) {
  Exchange exchange(options.size);
  exchange.connect(connect_tcp(options));
  const int flags = options.busy ? MSG_DONTWAIT : 0;
  while (window.next()) {
    while (!window.over()) {
      exchange.ask(options, flags);
      for (auto read = Exchange::Read::kNothing; read != Exchange::Read::kAll;) {
        read = exchange.read(options, flags);
        window.look(read != Exchange::Read::kNothing);
      }
      window.note(exchange.sent_at, Clock::now());
      if (!exchange.intact()) return false;
    }
  }
  return true;
}

/// Many connections, each with one request out.
bool many_connections(const Options& options, Window& window) {
  std::vector<Exchange> exchanges;
  for (std::size_t i = 0; i < options.connections; ++i) exchanges.emplace_back(options.size);
  return exchange_all(options, window, exchanges);
}

/// A datagram and its echo at a time.
class Datagrams {
 public:
  explicit Datagrams(const Options& options)
      : options_(options),
        fd_(*options.api, options.api->socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
        request_(options.size, 0x5a),
        answer_(options.size + 1) {
    if (fd_.get() < 0) fail_with_errno("socket");
    if (options.api->connect(fd_.get(), reinterpret_cast<const sockaddr*>(&options.server),
                             sizeof options.server) != 0) {
      fail_with_errno("connect");
    }
  }

  bool run(Window& window) {
    while (window.next()) {
      while (!window.over() && intact_) {
        ask(window);
        if (lost_ > kMostLost)
          throw Failure("no answers: " + std::to_string(lost_) + " of " + std::to_string(sent_) + " lost");
      }
    }
    return intact_;
  }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

 private:
  static constexpr auto kPatience = std::chrono::milliseconds(500);
  static constexpr std::uint64_t kMostLost = 20;

  void ask(Window& window) {
    const apps::SocketApi& api = *options_.api;
    number_request(request_, sent_++);
    const auto sent_at = Clock::now();
    if (api.send(fd_.get(), request_.data(), request_.size(), 0) < 0) fail_with_errno("send");
    const std::size_t compared = std::min(sizeof sent_, request_.size());
    for (;;) {
      pollfd wait{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (!options_.busy && api.poll(&wait, 1, static_cast<int>(kPatience.count())) == 0) break;
      const ssize_t got = api.recv(fd_.get(), answer_.data(), answer_.size(), MSG_DONTWAIT);
      if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) fail_with_errno("recv");
        if (Clock::now() - sent_at < kPatience) continue;
        break;
      }
      // A late answer to an earlier request is passed over.
      if (std::memcmp(answer_.data(), request_.data(), compared) != 0) continue;
      intact_ = static_cast<std::size_t>(got) == request_.size() &&
                std::equal(request_.begin(), request_.end(), answer_.begin());
      window.note(sent_at, Clock::now());
      return;
    }
    ++lost_;
  }

  const Options& options_;
  Descriptor fd_;
  std::vector<unsigned char> request_, answer_;
  std::uint64_t sent_ = 0, lost_ = 0;
  bool intact_ = true;
};

}  // namespace

bool run_round_trips(const Options& options, Report& report) {
  if (options.rate > 0) return run_open_loop(options, report);
  Window window(options);
  const bool intact =
      options.connections == 1 ? one_connection(options, window) : many_connections(options, window);
  window.fill(report);
  return intact;
}

bool run_udp(const Options& options, Report& report) {
  Window window(options);
  Datagrams datagrams(options);
  const bool intact = datagrams.run(window);
  window.fill(report);
  report.add("lost", datagrams.lost());
  return intact;
}

}  // namespace millrace::load
