#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "load.h"
#include "window.h"

namespace millrace::load {

namespace {

/// One connection: plain calls that block, or spin on MSG_DONTWAIT.
bool one_connection(const Options& options, Window& window) {
  const Descriptor fd = connect_tcp(options);
  const int flags = options.busy ? MSG_DONTWAIT : 0;
  std::vector<unsigned char> request(options.size, 0x5a), answer(options.size);
  for (std::uint64_t n = 0; !window.over(); ++n) {
    number_request(request, n);
    const auto sent_at = Clock::now();
    send_all(options, fd.get(), request.data(), request.size(), flags);
    for (std::size_t have = 0; have < answer.size();) {
      const ssize_t got = options.api->recv(fd.get(), answer.data() + have, answer.size() - have, flags);
      if (got == 0) throw Failure("the server closed the connection");
      if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) fail_with_errno("recv");
        window.look(false);
        continue;
      }
      window.look(true);
      have += static_cast<std::size_t>(got);
    }
    window.note(sent_at, Clock::now());
    if (answer != request) return false;
  }
  return true;
}

struct Peer {
  Descriptor fd;
  std::vector<unsigned char> request, answer;
  std::size_t have = 0;
  std::uint64_t n = 0;
  Clock::time_point sent_at;
};

/// Many connections on one epoll set, each with one request out.
bool many_connections(const Options& options, Window& window) {
  const apps::SocketApi& api = *options.api;
  const int epoll = api.epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail_with_errno("epoll_create1");
  std::vector<Peer> peers(options.connections);
  const auto ask = [&](Peer& peer) {
    number_request(peer.request, peer.n++);
    peer.have = 0;
    peer.sent_at = Clock::now();
    send_all(options, peer.fd.get(), peer.request.data(), peer.request.size(), MSG_DONTWAIT);
  };
  for (std::size_t i = 0; i < peers.size(); ++i) {
    Peer& peer = peers[i];
    peer.fd = connect_tcp(options);
    peer.request.assign(options.size, 0x5a);
    peer.answer.resize(options.size);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    if (api.epoll_ctl(epoll, EPOLL_CTL_ADD, peer.fd.get(), &event) != 0) fail_with_errno("epoll_ctl");
  }
  for (Peer& peer : peers) ask(peer);
  std::vector<epoll_event> events(256);
  bool intact = true;
  // At the end all answers are waited for: a connection that is closed on unread data is reset.
  std::size_t waiting = peers.size();
  for (bool over = false;
       waiting > 0 && intact && !(over && Clock::now() > window.end() + Window::kLastAnswers);) {
    over = over || window.over();
    const int ready =
        api.epoll_wait(epoll, events.data(), static_cast<int>(events.size()), options.busy ? 0 : 100);
    window.look(ready > 0);
    for (int i = 0; i < ready; ++i) {
      Peer& peer = peers[events[static_cast<std::size_t>(i)].data.u64];
      const ssize_t got = api.recv(peer.fd.get(), peer.answer.data() + peer.have,
                                   peer.answer.size() - peer.have, MSG_DONTWAIT);
      if (got == 0) throw Failure("the server closed a connection");
      if (got < 0) {
        if (errno == EAGAIN) continue;
        fail_with_errno("recv");
      }
      peer.have += static_cast<std::size_t>(got);
      if (peer.have < peer.answer.size()) continue;
      if (!over) window.note(peer.sent_at, Clock::now());
      intact = intact && peer.answer == peer.request;
      if (over) {
        --waiting;
      } else {
        ask(peer);
      }
    }
  }
  peers.clear();
  api.epoll_close(epoll);
  return intact;
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
