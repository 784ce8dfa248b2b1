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
  while (!window.over()) {
    exchange.ask(options, flags);
    for (auto read = Exchange::Read::kNothing; read != Exchange::Read::kAll;) {
      read = exchange.read(options, flags);
      window.look(read != Exchange::Read::kNothing);
    }
    window.note(exchange.sent_at, Clock::now());
    if (!exchange.intact()) return false;
  }
  return true;
}

/// Many connections, each with one request out.
bool many_connections(const Options& options, Window& window) {
  std::vector<Exchange> exchanges;
  for (std::size_t i = 0; i < options.connections; ++i) exchanges.emplace_back(options.size);
  return exchange_all(options, window, exchanges);
}

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
  const apps::SocketApi& api = *options.api;
  const Descriptor fd(api, api.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) fail_with_errno("socket");
  if (api.connect(fd.get(), reinterpret_cast<const sockaddr*>(&options.server), sizeof options.server) != 0) {
    fail_with_errno("connect");
  }
  Window window(options);
  std::vector<unsigned char> request(options.size, 0x5a), answer(options.size + 1);
  std::uint64_t lost = 0;
  bool intact = true;
  for (std::uint64_t n = 0; !window.over() && intact; ++n) {
    number_request(request, n);
    const auto sent_at = Clock::now();
    if (api.send(fd.get(), request.data(), request.size(), 0) < 0) fail_with_errno("send");
    for (bool waiting = true; waiting;) {
      pollfd wait{.fd = fd.get(), .events = POLLIN, .revents = 0};
      if (!options.busy && api.poll(&wait, 1, 500) == 0) {
        ++lost;
        break;
      }
      const ssize_t got = api.recv(fd.get(), answer.data(), answer.size(), MSG_DONTWAIT);
      if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) fail_with_errno("recv");
        if (Clock::now() - sent_at < std::chrono::milliseconds(500)) continue;
        ++lost;
        break;
      }
      const std::size_t compared = std::min(sizeof n, request.size());
      // A late answer to an earlier request is passed over.
      if (std::memcmp(answer.data(), request.data(), compared) != 0) continue;
      intact = static_cast<std::size_t>(got) == request.size() &&
               std::equal(request.begin(), request.end(), answer.begin());
      window.note(sent_at, Clock::now());
      waiting = false;
    }
    if (lost > 20)
      throw Failure("no answers: " + std::to_string(lost) + " of " + std::to_string(n + 1) + " lost");
  }
  window.fill(report);
  report.add("lost", lost);
  return intact;
}

}  // namespace millrace::load
