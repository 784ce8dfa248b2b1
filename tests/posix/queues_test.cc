// Several contexts, one a queue of a device; threads in each, and sockets that are used from all of them.
#include <fcntl.h>
#include <netinet/tcp.h>

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "decorator.h"
#include "open_device.h"
#include "posix/calls.h"
#include "posix/library.h"
#include "queues/steered_device.h"
#include "stack_fixture.h"

namespace millrace::posix::test {

namespace {

/// What a device does with the frames of its queues.
enum class Steering { kRight, kCrossed };

/// Counts how often somebody was about to sleep on the device.
class ArmCounter final : public drivers::DecoratorDevice {
 public:
  ArmCounter(std::unique_ptr<NetDevice> inner, std::atomic<int>& arms)
      : DecoratorDevice(std::move(inner)), arms_(arms) {}
  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override {
    return inner().rx_burst(pool, out, budget, now);
  }
  std::size_t tx_burst(PacketQueue& packets, Instant now) override { return inner().tx_burst(packets, now); }
  [[nodiscard]] bool arm() override {
    ++arms_;
    return inner().arm();
  }

 private:
  std::atomic<int>& arms_;
};

/// A server with two queues, and a client with two.
class Queues : public testing::TestWithParam<Steering> {
 protected:
  static constexpr std::uint16_t kPort = 7;

  void SetUp() override {
    static int count = 0;
    const std::string wire = "pipe:queues-posix-" + std::to_string(count++);
    server_ = open({wire, wire + "/1"}, "198.18.0.2/24");
    const bool right = GetParam() == Steering::kRight;
    client_ = open({right ? wire : wire + "/1", right ? wire + "/1" : wire}, "198.18.0.1/24");
  }
  void TearDown() override {
    for (auto* group : {&client_, &server_}) {
      if (*group) Library::instance().shut_down(**group);
    }
  }

  std::unique_ptr<ContextGroup> open(const std::vector<std::string>& wires, const char* address) {
    std::vector<std::unique_ptr<NetDevice>> devices;
    for (const std::string& wire : wires)
      devices.push_back(std::make_unique<ArmCounter>(drivers::open_device(wire).device, arms_));
    ContextConfig config;
    config.interface.addresses = {*IpPrefix::parse(address)};
    config.drain = 0s;
    return std::make_unique<ContextGroup>(config, drivers::steer(std::move(devices)));
  }
  static int socket(Context& context, int type) {
    const long fd = open_socket(context, AF_INET, type, 0);
    EXPECT_GE(fd, 0);
    return static_cast<int>(fd);
  }
  static void bind_to(int fd, const char* host, std::uint16_t port) {
    const sockaddr_in address = address_of(host, port);
    ASSERT_EQ(mr_bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  }
  static int try_to_bind(int fd, std::uint16_t port) {
    const sockaddr_in address = address_of("0.0.0.0", port);
    return mr_bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  static int connect_to(int fd, std::uint16_t port = kPort, const char* host = "198.18.0.2") {
    const sockaddr_in address = address_of(host, port);
    return mr_connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  int listener(std::size_t queue = 0, bool shared = false) {
    const int fd = socket((*server_)[queue], SOCK_STREAM);
    const int one = 1;
    if (shared) {
      EXPECT_EQ(mr_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
    }
    bind_to(fd, "0.0.0.0", kPort);
    EXPECT_EQ(mr_listen(fd, 512), 0) << strerror(errno);
    return fd;
  }
  /// A client's connection whose frames belong to that queue.
  int client(std::size_t queue) {
    const int fd = socket((*client_)[queue], SOCK_STREAM);
    EXPECT_EQ(connect_to(fd), 0) << strerror(errno);
    EXPECT_EQ(queue_of(fd), queue);
    return fd;
  }
  static std::size_t queue_of(int fd) { return Library::instance().fds().slot(fd)->context.load()->index(); }
  static void expect_echo(int from, int to) {
    ASSERT_EQ(mr_send(from, "ping!", 5, 0), 5);
    char data[5];
    ASSERT_EQ(mr_recv(to, data, 5, MSG_WAITALL), 5);
    EXPECT_EQ(std::string(data, 5), "ping!");
  }
  static void set_timeout(int fd) {
    const timeval limit{5, 0};
    ASSERT_EQ(mr_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  }
  static int watch(int set, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    return mr_epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
  }
  /// What a set reports in a call; those of one descriptor once, or the test fails.
  static std::set<int> wait(int set, int timeout = 5000) {
    epoll_event events[64];
    const int count = mr_epoll_wait(set, events, 64, timeout);
    EXPECT_GE(count, 0) << strerror(errno);
    std::set<int> fds;
    for (int i = 0; i < count; ++i) EXPECT_TRUE(fds.insert(int{events[i].data.fd}).second);
    return fds;
  }

  std::atomic<int> arms_{0};
  std::unique_ptr<ContextGroup> server_, client_;
};

INSTANTIATE_TEST_SUITE_P(Device, Queues, testing::Values(Steering::kRight, Steering::kCrossed),
                         [](const auto& one) {
                           return one.param == Steering::kRight ? "SteersRight" : "SteersWrong";
                         });

TEST_P(Queues, AListenerAcceptsWhatComesInByAnyQueue) {
  const int listening = listener();
  std::map<std::size_t, int> accepted;
  for (std::size_t i = 0; i < 20; ++i) {
    const int from = client(i % 2);
    const int to = mr_accept(listening, nullptr, nullptr);
    ASSERT_GE(to, 0) << strerror(errno);
    ++accepted[queue_of(to)];
    EXPECT_EQ(queue_of(to), i % 2) << "both ends compute the same home";
    expect_echo(from, to);
    expect_echo(to, from);
    mr_close(from);
    mr_close(to);
  }
  EXPECT_EQ(accepted.size(), 2u);
}

TEST_P(Queues, ABlockedAcceptIsWokenFromAnotherQueue) {
  const int listening = listener();
  for (const std::size_t queue : {0u, 1u, 0u, 1u}) {
    std::thread acceptor([&] {
      const int to = mr_accept(listening, nullptr, nullptr);
      ASSERT_GE(to, 0) << strerror(errno);
      EXPECT_EQ(queue_of(to), queue);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    client(queue);
    acceptor.join();
  }
}

TEST_P(Queues, ClosingAListenerWakesWhoIsBlockedInIt) {
  const int listening = listener();
  std::thread acceptor([&] {
    EXPECT_EQ(mr_accept(listening, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EBADF);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(mr_close(listening), 0);
  acceptor.join();
  const int again = listener(1);
  client(0);
  EXPECT_GE(mr_accept(again, nullptr, nullptr), 0);
}

TEST_P(Queues, AcceptTimesOut) {
  const int listening = listener();
  const timeval limit{0, 20000};
  ASSERT_EQ(mr_setsockopt(listening, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  EXPECT_EQ(mr_accept(listening, nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_P(Queues, APortIsTakenInAllOfThem) {
  const int first = listener();
  EXPECT_EQ(try_to_bind(socket((*server_)[1], SOCK_STREAM), kPort), -1);
  EXPECT_EQ(errno, EADDRINUSE);
  const int datagram = socket((*server_)[1], SOCK_DGRAM);
  EXPECT_EQ(try_to_bind(datagram, kPort), 0);
  EXPECT_EQ(try_to_bind(socket((*server_)[0], SOCK_DGRAM), kPort), -1);
  mr_close(first);
  EXPECT_EQ(try_to_bind(socket((*server_)[1], SOCK_STREAM), kPort), 0);
}

TEST_P(Queues, ListenersThatShareAPortGetWhatComesInWhereTheyWereMade) {
  const int listeners[] = {listener(0, true), listener(1, true)};
  for (const int fd : listeners) set_timeout(fd);
  for (std::size_t i = 0; i < 20; ++i) {
    client(i % 2);
    const int to = mr_accept(listeners[i % 2], nullptr, nullptr);
    ASSERT_GE(to, 0) << strerror(errno);
    EXPECT_EQ(queue_of(to), i % 2);
  }
}

TEST_P(Queues, AcceptedSocketsHaveTheListenersOptions) {
  const int listening = socket((*server_)[0], SOCK_STREAM);
  const int one = 1, idle = 33;
  ASSERT_EQ(mr_setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
  bind_to(listening, "0.0.0.0", kPort);
  ASSERT_EQ(mr_listen(listening, 8), 0);
  ASSERT_EQ(mr_setsockopt(listening, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle), 0);
  for (const std::size_t queue : {0u, 1u}) {
    client(queue);
    const int to = mr_accept(listening, nullptr, nullptr);
    int value = 0;
    socklen_t length = sizeof value;
    ASSERT_EQ(mr_getsockopt(to, IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
    EXPECT_EQ(value, 1);
    ASSERT_EQ(mr_getsockopt(to, IPPROTO_TCP, TCP_KEEPIDLE, &value, &length), 0);
    EXPECT_EQ(value, 33);
  }
}

TEST_P(Queues, ASetReportsSocketsOfAllContexts) {
  const int listening = listener();
  const int set = static_cast<int>(create_epoll((*server_)[0], 0));
  ASSERT_EQ(watch(set, listening, EPOLLIN), 0) << strerror(errno);
  EXPECT_EQ(wait(set, 0), std::set<int>{});
  int from[2], to[2];
  for (const std::size_t queue : {0u, 1u}) {
    std::thread connects([&] { from[queue] = client(queue); });
    EXPECT_EQ(wait(set), std::set<int>{listening});
    to[queue] = mr_accept(listening, nullptr, nullptr);
    connects.join();
    ASSERT_GE(to[queue], 0);
    ASSERT_EQ(watch(set, to[queue], EPOLLIN), 0);
  }
  while (!wait(set, 0).empty()) {
  }
  for (const std::size_t queue : {1u, 0u, 1u, 1u}) {
    std::thread sender([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      EXPECT_EQ(mr_send(from[queue], "x", 1, 0), 1);
    });
    EXPECT_EQ(wait(set), std::set<int>{to[queue]});
    char byte;
    EXPECT_EQ(mr_recv(to[queue], &byte, 1, 0), 1);
    sender.join();
  }
  for (const int fd : from) EXPECT_EQ(mr_send(fd, "x", 1, 0), 1);
  std::set<int> seen;
  while (seen.size() < 2) seen.merge(wait(set));
  EXPECT_EQ(seen, (std::set<int>{to[0], to[1]}));
  EXPECT_EQ(mr_epoll_ctl(set, EPOLL_CTL_DEL, to[1], nullptr), 0);
  EXPECT_EQ(mr_epoll_ctl(set, EPOLL_CTL_DEL, to[1], nullptr), -1);
  EXPECT_EQ(errno, ENOENT);
  mr_close(set);
}

TEST_P(Queues, ClosingASetWakesWhoWaitsForIt) {
  const int listening = listener();
  const int set = static_cast<int>(create_epoll((*server_)[0], 0));
  ASSERT_EQ(watch(set, listening, EPOLLIN), 0);
  std::thread waiter([&] {
    epoll_event event;
    EXPECT_EQ(mr_epoll_wait(set, &event, 1, 5000), -1);
    EXPECT_EQ(errno, EBADF);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(mr_close(set), 0);
  waiter.join();
  client(1);
  EXPECT_GE(mr_accept(listening, nullptr, nullptr), 0);
}

TEST_P(Queues, AOneShotIsReportedOnceWhateverQueueItIs) {
  const int listening = listener();
  const int set = static_cast<int>(create_epoll((*server_)[1], 0));
  ASSERT_EQ(watch(set, listening, EPOLLIN | EPOLLONESHOT), 0);
  client(0);
  EXPECT_EQ(wait(set), std::set<int>{listening});
  client(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(wait(set, 0), std::set<int>{});
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.fd = listening}};
  ASSERT_EQ(mr_epoll_ctl(set, EPOLL_CTL_MOD, listening, &event), 0);
  EXPECT_EQ(wait(set), std::set<int>{listening});
  mr_close(set);
}

TEST_P(Queues, ASocketThatIsWatchedBeforeItHasANameIsWatchedEverywhere) {
  const int datagram = socket((*server_)[0], SOCK_DGRAM);
  const int set = static_cast<int>(create_epoll((*server_)[0], 0));
  ASSERT_EQ(watch(set, datagram, EPOLLIN), 0);
  bind_to(datagram, "0.0.0.0", kPort);
  for (const std::size_t queue : {0u, 1u}) {
    const int from = socket((*client_)[queue], SOCK_DGRAM);
    ASSERT_EQ(connect_to(from), 0);
    ASSERT_EQ(queue_of(from), queue);
    ASSERT_EQ(mr_send(from, "x", 1, 0), 1);
    EXPECT_EQ(wait(set), std::set<int>{datagram});
    char byte;
    EXPECT_EQ(mr_recv(datagram, &byte, 1, MSG_DONTWAIT), 1);
  }
  mr_close(set);
}

TEST_P(Queues, NestedSetsReportWhatIsReadyElsewhere) {
  const int listening = listener();
  const int inner = static_cast<int>(create_epoll((*server_)[0], 0));
  const int outer = static_cast<int>(create_epoll((*server_)[1], 0));
  ASSERT_EQ(watch(inner, listening, EPOLLIN), 0);
  ASSERT_EQ(watch(outer, inner, EPOLLIN), 0) << strerror(errno);
  for (const std::size_t queue : {0u, 1u}) {
    std::thread connects([&] { client(queue); });
    EXPECT_EQ(wait(outer), std::set<int>{inner});
    EXPECT_EQ(wait(inner), std::set<int>{listening});
    EXPECT_GE(mr_accept(listening, nullptr, nullptr), 0);
    connects.join();
    while (!wait(inner, 0).empty()) {
    }
  }
  mr_close(outer);
  mr_close(inner);
}

TEST_P(Queues, DatagramsComeInByAnyQueueAndAreAnswered) {
  const int server = socket((*server_)[0], SOCK_DGRAM);
  bind_to(server, "0.0.0.0", kPort);
  set_timeout(server);
  std::set<std::size_t> queues;
  for (int i = 0; i < 24; ++i) {
    const int from = socket((*client_)[static_cast<std::size_t>(i) % 2], SOCK_DGRAM);
    set_timeout(from);
    sockaddr_in address = address_of("198.18.0.2", kPort);
    const std::string text = "datagram " + std::to_string(i);
    // Half of them connected, and so with a port that comes home.
    if (i % 4 < 2) {
      ASSERT_EQ(connect_to(from), 0);
      ASSERT_EQ(mr_send(from, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    } else {
      ASSERT_EQ(
          mr_sendto(from, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address),
          static_cast<ssize_t>(text.size()));
    }
    char data[100];
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    const ssize_t got =
        mr_recvfrom(server, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&peer), &length);
    ASSERT_EQ(std::string(data, static_cast<std::size_t>(std::max<ssize_t>(got, 0))), text);
    ASSERT_EQ(
        mr_sendto(server, data, static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr*>(&peer), length),
        got);
    ASSERT_EQ(mr_recv(from, data, sizeof data, 0), got) << i;
    mr_close(from);
  }
}

TEST_P(Queues, ALargeDatagramComesHomeAfterItWasPutTogether) {
  const int server = socket((*server_)[0], SOCK_DGRAM);
  bind_to(server, "0.0.0.0", kPort);
  set_timeout(server);
  for (const std::size_t queue : {0u, 1u}) {
    const int from = socket((*client_)[queue], SOCK_DGRAM);
    ASSERT_EQ(connect_to(from), 0);
    std::vector<char> data(20000);
    std::mt19937 random(3);
    for (char& byte : data) byte = static_cast<char>(random());
    ASSERT_EQ(mr_send(from, data.data(), data.size(), 0), 20000);
    std::vector<char> got(30000);
    ASSERT_EQ(mr_recv(server, got.data(), got.size(), 0), 20000);
    got.resize(20000);
    EXPECT_EQ(got, data);
  }
}

TEST_P(Queues, APortThatNobodyHasIsToldToWhoAsked) {
  for (const std::size_t queue : {0u, 1u}) {
    const int from = socket((*client_)[queue], SOCK_DGRAM);
    set_timeout(from);
    ASSERT_EQ(connect_to(from, 99), 0);
    ASSERT_EQ(mr_send(from, "x", 1, 0), 1);
    char byte;
    EXPECT_EQ(mr_recv(from, &byte, 1, 0), -1);
    EXPECT_EQ(errno, ECONNREFUSED);
  }
}

TEST_P(Queues, WhatWeSendToOurselvesArrives) {
  const int listening = listener(0);
  const int server = socket((*server_)[0], SOCK_DGRAM);
  bind_to(server, "0.0.0.0", kPort);
  set_timeout(server);
  for (const std::size_t queue : {0u, 1u}) {
    const int from = socket((*server_)[queue], SOCK_STREAM);
    ASSERT_EQ(connect_to(from), 0) << strerror(errno);
    const int to = mr_accept(listening, nullptr, nullptr);
    ASSERT_GE(to, 0);
    expect_echo(from, to);
    const int datagram = socket((*server_)[queue], SOCK_DGRAM);
    set_timeout(datagram);
    ASSERT_EQ(connect_to(datagram), 0);
    ASSERT_EQ(mr_send(datagram, "x", 1, 0), 1);
    char byte;
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    ASSERT_EQ(mr_recvfrom(server, &byte, 1, 0, reinterpret_cast<sockaddr*>(&peer), &length), 1);
    ASSERT_EQ(mr_sendto(server, "y", 1, 0, reinterpret_cast<sockaddr*>(&peer), length), 1);
    EXPECT_EQ(mr_recv(datagram, &byte, 1, 0), 1) << strerror(errno);
  }
}

TEST_P(Queues, ASocketThatIsBoundToAPortMovesToWhereItsAnswersComeIn) {
  const int listening = listener();
  std::set<std::size_t> homes;
  for (std::uint16_t port = 5000; port < 5016; ++port) {
    const int from = socket((*client_)[0], SOCK_STREAM);
    const int set = static_cast<int>(create_epoll((*client_)[0], 0));
    ASSERT_EQ(watch(set, from, EPOLLIN), 0);
    bind_to(from, "198.18.0.1", port);
    ASSERT_EQ(connect_to(from), 0) << strerror(errno);
    homes.insert(queue_of(from));
    const int to = mr_accept(listening, nullptr, nullptr);
    EXPECT_EQ(queue_of(to), queue_of(from));
    expect_echo(from, to);
    while (wait(set, 0).contains(from)) {
    }
    ASSERT_EQ(mr_send(to, "x", 1, 0), 1);
    EXPECT_EQ(wait(set), std::set<int>{from}) << "the set has gone with it";
    const sockaddr_in name = [&] {
      sockaddr_in address{};
      socklen_t length = sizeof address;
      mr_getsockname(from, reinterpret_cast<sockaddr*>(&address), &length);
      return address;
    }();
    EXPECT_EQ(ntohs(name.sin_port), port);
    mr_close(set);
  }
  EXPECT_EQ(homes.size(), 2u);
}

TEST_P(Queues, PollTakesSocketsOfAllContexts) {
  const int listening = listener();
  const int from[] = {client(0), client(1)};
  int to[2];
  for (int& fd : to) fd = mr_accept(listening, nullptr, nullptr);
  if (queue_of(to[0]) != 0) std::swap(to[0], to[1]);
  pollfd entries[] = {{to[0], POLLIN, 0}, {to[1], POLLIN, 0}, {listening, POLLIN, 0}, {-1, POLLIN, 0}};
  EXPECT_EQ(mr_poll(entries, 4, 0), 0);
  for (const std::size_t queue : {0u, 1u}) {
    std::thread sender([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_EQ(mr_send(from[queue], "x", 1, 0), 1);
    });
    EXPECT_EQ(mr_poll(entries, 4, 5000), 1);
    EXPECT_EQ(entries[queue].revents, POLLIN);
    char byte;
    EXPECT_EQ(mr_recv(to[queue], &byte, 1, 0), 1);
    sender.join();
    std::thread connects([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      client(queue);
    });
    EXPECT_EQ(mr_poll(entries, 4, 5000), 1);
    EXPECT_EQ(entries[2].revents, POLLIN);
    EXPECT_GE(mr_accept(listening, nullptr, nullptr), 0);
    connects.join();
  }
  EXPECT_EQ(mr_poll(entries, 4, 10), 0);
}

/// Of a device that does not steer, frames come in where nobody looks.
class RightQueues : public Queues {};
INSTANTIATE_TEST_SUITE_P(Device, RightQueues, testing::Values(Steering::kRight),
                         [](const auto&) { return "SteersRight"; });

TEST_P(RightQueues, NobodySleepsOnADeviceThatAThreadPolls) {
  const int listening = listener();
  const int from = client(0);
  const int to = mr_accept(listening, nullptr, nullptr);
  const int served = static_cast<int>(create_epoll((*server_)[0], 0));
  const int answered = static_cast<int>(create_epoll((*client_)[0], 0));
  ASSERT_EQ(watch(served, to, EPOLLIN), 0);
  ASSERT_EQ(watch(answered, from, EPOLLIN), 0);
  const int before = arms_;
  const Instant began = clock_now();
  for (int i = 0; i < 5000; ++i) {
    char data[5];
    ASSERT_EQ(mr_send(from, "ping!", 5, 0), 5);
    while (wait(served, 0).empty()) {
    }
    ASSERT_EQ(mr_recv(to, data, 5, MSG_DONTWAIT), 5);
    ASSERT_EQ(mr_send(to, data, 5, 0), 5);
    while (wait(answered, 0).empty()) {
    }
    ASSERT_EQ(mr_recv(from, data, 5, MSG_DONTWAIT), 5);
  }
  // Four backup pollers, which look once in a millisecond at most.
  const auto milliseconds = static_cast<int>((clock_now() - began) / 1ms);
  EXPECT_LE(arms_ - before, 4 * milliseconds + 16) << "woken for each frame";
}

TEST_P(Queues, ThreadsWithASetEachServeTheirOwn) {
  constexpr int kConnections = 60, kRounds = 30;
  std::atomic<bool> over{false};
  std::vector<std::thread> servers;
  std::atomic<int> ready{0};
  for (std::size_t queue = 0; queue < 2; ++queue) {
    servers.emplace_back([&] {
      const std::size_t own = server_->home().index();
      const int listening = listener(own, true);
      mr_fcntl(listening, F_SETFL, O_NONBLOCK);
      const int set = static_cast<int>(create_epoll((*server_)[own], 0));
      ASSERT_EQ(watch(set, listening, EPOLLIN), 0);
      ++ready;
      while (!over) {
        for (const int fd : wait(set, 20)) {
          if (fd == listening) {
            const int to = mr_accept4(listening, nullptr, nullptr, SOCK_NONBLOCK);
            if (to < 0) continue;
            EXPECT_EQ(queue_of(to), own);
            ASSERT_EQ(watch(set, to, EPOLLIN), 0);
            continue;
          }
          char data[64];
          const ssize_t got = mr_recv(fd, data, sizeof data, 0);
          if (got > 0) {
            ASSERT_EQ(mr_send(fd, data, static_cast<std::size_t>(got), 0), got);
          } else if (got == 0) {
            mr_close(fd);
          }
        }
      }
      mr_close(set);
    });
  }
  while (ready != 2) std::this_thread::yield();
  std::vector<int> clients;
  for (std::size_t i = 0; i < kConnections; ++i) clients.push_back(client(i % 2));
  for (int round = 0; round < kRounds; ++round) {
    for (const int fd : clients) ASSERT_EQ(mr_send(fd, "ping!", 5, 0), 5);
    for (const int fd : clients) {
      char data[5];
      ASSERT_EQ(mr_recv(fd, data, 5, MSG_WAITALL), 5);
    }
  }
  over = true;
  for (std::thread& thread : servers) thread.join();
}

/// Threads of all contexts that open, use and close each other's descriptors without any order. What is
/// asked: no crash, no deadlock, and nothing for a race detector to find.
TEST_P(Queues, SurviveThreadsThatShareEverything) {
  constexpr int kThreads = 6, kSteps = 300, kDescriptors = 40;
  const int listening = listener();
  ASSERT_EQ(mr_fcntl(listening, F_SETFL, O_NONBLOCK), 0);
  const int set = static_cast<int>(create_epoll((*server_)[0], 0));
  const int datagram = socket((*server_)[1], SOCK_DGRAM);
  bind_to(datagram, "0.0.0.0", kPort);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  std::atomic<int> steps = 0;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      Context& own = client_->home();
      char data[3000] = {};
      for (int step = 0; step < kSteps; ++step, ++steps) {
        int fd = MR_FIRST_FD + static_cast<int>(random() % kDescriptors);
        if (fd == listening || fd == set || fd == datagram) fd = MR_FIRST_FD + kDescriptors;
        switch (random() % 12) {
          case 0: {
            const int made = socket(own, SOCK_STREAM);
            mr_fcntl(made, F_SETFL, O_NONBLOCK);
            if (random() % 4 == 0) try_to_bind(made, static_cast<std::uint16_t>(6000 + random() % 200));
            connect_to(made);
            break;
          }
          case 1:
            mr_accept4(listening, nullptr, nullptr, SOCK_NONBLOCK);
            break;
          case 2:
            mr_send(fd, data, sizeof data, MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
          case 3:
            mr_recv(fd, data, sizeof data, MSG_DONTWAIT);
            break;
          case 4: {
            // Between the two calls it may have become another socket's number, which then waits for good.
            const timeval limit{0, 2000};
            mr_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            mr_recv(fd, data, sizeof data, 0);
            break;
          }
          case 5:
            watch(set, fd, EPOLLIN | (random() % 2 != 0 ? EPOLLET : 0u));
            break;
          case 6: {
            epoll_event events[8];
            mr_epoll_wait(set, events, 8, 1);
            break;
          }
          case 7: {
            pollfd entries[] = {{fd, POLLIN, 0}, {datagram, POLLIN, 0}, {listening, POLLIN, 0}};
            mr_poll(entries, 3, 1);
            break;
          }
          case 8:
            mr_close(fd);
            break;
          case 9: {
            const int made = socket(own, SOCK_DGRAM);
            sockaddr_in address = address_of("198.18.0.2", kPort);
            // Another thread may have closed it, and its number be that of a stream by now.
            mr_sendto(made, data, random() % 1000, MSG_DONTWAIT | MSG_NOSIGNAL,
                      reinterpret_cast<sockaddr*>(&address), sizeof address);
            break;
          }
          case 10: {
            const int other = socket((*server_)[random() % 2], SOCK_STREAM);
            if (try_to_bind(other, static_cast<std::uint16_t>(7000 + random() % 20)) == 0)
              mr_listen(other, 4);
            break;
          }
          default:
            mr_recv(datagram, data, sizeof data, MSG_DONTWAIT);
            break;
        }
      }
    });
  }
  for (int before = -1; steps != kThreads * kSteps; before = steps) {
    // Nobody gets on: who waits for good is woken when the descriptor is closed.
    for (int fd = MR_FIRST_FD; before == steps && fd <= MR_FIRST_FD + kDescriptors; ++fd) {
      if (fd != listening && fd != set && fd != datagram) mr_close(fd);
    }
    std::this_thread::sleep_for(100ms);
  }
  for (std::thread& thread : threads) thread.join();
  mr_close(set);
}

}  // namespace

}  // namespace millrace::posix::test
