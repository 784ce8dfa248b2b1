#include "pair.h"

#include <millrace/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "open_device.h"
#include "posix/calls.h"
#include "posix/library.h"

namespace millrace::bench {
namespace {

constexpr std::uint16_t kPort = 7;
constexpr const char* kServer = "198.18.0.2";
constexpr int kBacklog = 1024;

int check(long result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return static_cast<int>(result);
}

/// Of a call below the C interface.
int check_own(long result, const char* what) {
  errno = static_cast<int>(-result);
  return check(result, what);
}

int open_stream(posix::Context& context) {
  return check_own(posix::open_socket(context, AF_INET, SOCK_STREAM, 0), "socket");
}

sockaddr_in address_of(const char* host) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  address.sin_addr.s_addr = htonl(IpAddress::parse(host)->v4_value());
  return address;
}

void watch(int set, int fd, std::uint64_t data) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = data}};
  check(mr_epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

}  // namespace

Host::Host(const std::string& wires, unsigned queues, const char* address) {
  drivers::OpenQueuesResult opened = drivers::open_queues("pipe:" + wires, queues);
  if (!opened.ok()) throw std::runtime_error(opened.error);
  posix::ContextConfig config;
  config.interface.addresses = {*IpPrefix::parse(address)};
  config.interface.probe_addresses = false;
  config.drain = Duration::zero();
  contexts_ = std::make_unique<posix::ContextGroup>(config, std::move(opened.queues));
}

Host::~Host() {
  posix::Library::instance().shut_down(*contexts_);
}

std::uint64_t Host::handed_over() {
  std::uint64_t sum = 0;
  for (const auto& context : *contexts_) {
    posix::ContextLock guard(*context);
    for (const auto& [name, value] : context->device()->extended_stats())
      if (name == "HandedOver") sum += value;
  }
  return sum;
}

Pair::Pair(Host& server, Host& client, unsigned queue, unsigned connections, std::size_t bytes)
    : server_(server.contexts()[queue]),
      client_(client.contexts()[queue]),
      missing_(connections),
      request_(bytes, 0x5a),
      scratch_(1u << 16) {
  const int one = 1;
  listener_ = open_stream(server_);
  check(mr_setsockopt(listener_, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), "SO_REUSEPORT");
  const sockaddr_in any = address_of("0.0.0.0");
  check(mr_bind(listener_, reinterpret_cast<const sockaddr*>(&any), sizeof any), "bind");
  check(mr_listen(listener_, kBacklog), "listen");
  server_set_ = check_own(posix::create_epoll(server_, 0), "epoll_create");
  client_set_ = check_own(posix::create_epoll(client_, 0), "epoll_create");
  connect(connections);
}

Pair::~Pair() {
  for (const std::vector<int>& fds : {clients_, servers_, {listener_, server_set_, client_set_}}) {
    for (const int fd : fds) (void)mr_close(fd);
  }
}

void Pair::connect(unsigned connections) {
  const sockaddr_in server = address_of(kServer);
  const int one = 1;
  for (unsigned i = 0; i < connections; ++i) {
    const int fd = open_stream(client_);
    clients_.push_back(fd);
    check(mr_connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server), "connect");
    check(mr_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
    const int served = check(mr_accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK), "accept");
    servers_.push_back(served);
    if (posix::Library::instance().fds().slot(served)->context.load() != &server_)
      throw std::runtime_error("a connection came in by the other queue");
    check(mr_setsockopt(served, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
    watch(server_set_, served, static_cast<std::uint64_t>(served));
    watch(client_set_, fd, i);
  }
}

void Pair::exchange_all() {
  const auto bytes = static_cast<ssize_t>(request_.size());
  for (const int fd : clients_) {
    if (mr_send(fd, request_.data(), request_.size(), 0) != bytes) throw std::runtime_error("send");
  }
  missing_.assign(clients_.size(), request_.size());
  for (unsigned left = connections(); left != 0;) {
    serve();
    left -= collect();
  }
}

void Pair::serve() {
  std::array<epoll_event, 64> events;
  const int count = check(mr_epoll_wait(server_set_, events.data(), events.size(), 0), "epoll_wait");
  for (int i = 0; i < count; ++i) {
    const int fd = static_cast<int>(events[static_cast<std::size_t>(i)].data.u64);
    const ssize_t got = mr_recv(fd, scratch_.data(), scratch_.size(), MSG_DONTWAIT);
    if (got <= 0) throw std::runtime_error("a client has gone");
    if (mr_send(fd, scratch_.data(), static_cast<std::size_t>(got), 0) != got)
      throw std::runtime_error("send");
  }
}

unsigned Pair::collect() {
  std::array<epoll_event, 64> events;
  const int count = check(mr_epoll_wait(client_set_, events.data(), events.size(), 0), "epoll_wait");
  unsigned whole = 0;
  for (int i = 0; i < count; ++i) {
    const std::size_t index = events[static_cast<std::size_t>(i)].data.u64;
    const ssize_t got = mr_recv(clients_[index], scratch_.data(), scratch_.size(), MSG_DONTWAIT);
    if (got <= 0) throw std::runtime_error("the server has gone");
    missing_[index] -= static_cast<std::size_t>(got);
    whole += missing_[index] == 0;
  }
  return whole;
}

}  // namespace millrace::bench
