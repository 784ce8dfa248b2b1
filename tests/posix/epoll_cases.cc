#include "differential_cases.h"

namespace millrace::posix::test {

std::vector<Case> epoll_cases() {
  return {
      {"EpollAddTwice",
       [](Script& s) {
         const int epoll = s.epoll(), fd = s.stream();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
       }},
      {"EpollChangeOfWhatIsNotThere",
       [](Script& s) {
         const int epoll = s.epoll(), fd = s.stream();
         s.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, EPOLLIN);
       }},
      {"EpollBadArguments",
       [](Script& s) {
         const int epoll = s.epoll(), fd = s.stream();
         s.epoll_ctl(epoll, 77, fd, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, s.bad_fd(), EPOLLIN);
         s.epoll_ctl(s.bad_fd(), EPOLL_CTL_ADD, fd, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN);
         s.epoll_ctl(fd, EPOLL_CTL_ADD, epoll, EPOLLIN);
         s.epoll_wait(epoll, 0);
         s.epoll_wait(epoll, -1);
         s.epoll_wait(fd);
         s.epoll_wait(s.bad_fd());
         s.note_result("epoll_create1", s.calls().epoll_create1(12345));
       }},
      {"EpollSetIsNoSocket",
       [](Script& s) {
         const int epoll = s.epoll();
         s.send(epoll, "x");
         s.read(epoll, 1);
         s.write(epoll, "x");
         s.bind(epoll, address_of("127.0.0.1", 0));
         s.listen(epoll, 1);
         s.accept(epoll);
         s.getsockname(epoll);
         s.getsockopt(epoll, SOL_SOCKET, SO_TYPE);
         s.shutdown(epoll, SHUT_RD);
       }},
      {"EpollOfAFreshStream",
       [](Script& s) {
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, s.stream(), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
         s.epoll_wait(epoll);
       }},
      {"EpollLevelTriggered",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
         s.epoll_wait(epoll);
         s.send(client, "abc");
         s.epoll_wait(epoll, 8, 2000);
         s.epoll_wait(epoll);
         s.recv(server, 1);
         s.epoll_wait(epoll);
         s.recv(server, 10);
         s.epoll_wait(epoll);
       }},
      {"EpollEdgeTriggered",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLIN | EPOLLOUT | EPOLLET);
         s.epoll_wait(epoll);
         s.epoll_wait(epoll);
         s.send(client, "abc");
         s.epoll_wait(epoll, 8, 2000);
         s.epoll_wait(epoll);
         s.recv(server, 1);
         s.epoll_wait(epoll);
         s.send(client, "def");
         s.epoll_wait(epoll, 8, 2000);
         s.recv(server, 10);
         s.epoll_wait(epoll);
       }},
      {"EpollEdgeIsGivenAgainByAChange",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.send(client, "abc");
         s.await(server, POLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLIN | EPOLLET);
         s.epoll_wait(epoll);
         s.epoll_wait(epoll);
         s.epoll_ctl(epoll, EPOLL_CTL_MOD, server, EPOLLIN | EPOLLET);
         s.epoll_wait(epoll);
         s.epoll_wait(epoll);
       }},
      {"EpollOneShot",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLIN | EPOLLONESHOT);
         s.send(client, "abc");
         s.epoll_wait(epoll, 8, 2000);
         s.epoll_wait(epoll);
         s.send(client, "def");
         s.await(server, POLLIN);
         s.epoll_wait(epoll);
         s.epoll_ctl(epoll, EPOLL_CTL_MOD, server, EPOLLIN | EPOLLONESHOT);
         s.epoll_wait(epoll);
         s.epoll_wait(epoll);
       }},
      {"EpollOneShotHidesEvenAHangup",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLIN | EPOLLONESHOT);
         s.send(client, "abc");
         s.epoll_wait(epoll, 8, 2000);
         s.reset(client);
         s.await(server, POLLHUP);
         s.epoll_wait(epoll);
       }},
      {"EpollExclusive",
       [](Script& s) {
         const int epoll = s.epoll(), listening = s.listener();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, listening, EPOLLIN | EPOLLEXCLUSIVE);
         s.epoll_ctl(epoll, EPOLL_CTL_MOD, listening, EPOLLIN);
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, s.listener(), EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT);
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.epoll_wait(epoll, 8, 2000);
       }},
      {"EpollReadHangup",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLRDHUP);
         s.epoll_wait(epoll);
         s.shutdown(client, SHUT_WR);
         s.epoll_wait(epoll, 8, 2000);
         s.epoll_ctl(epoll, EPOLL_CTL_MOD, server, EPOLLIN);
         s.epoll_wait(epoll);
       }},
      {"EpollHangupAndErrorNeedNoAsking",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, 0);
         s.reset(client);
         s.epoll_wait(epoll, 8, 2000);
       }},
      {"EpollTwoSetsOneSocket",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int one = s.epoll(), two = s.epoll();
         s.epoll_ctl(one, EPOLL_CTL_ADD, server, EPOLLIN | EPOLLET);
         s.epoll_ctl(two, EPOLL_CTL_ADD, server, EPOLLIN);
         s.send(client, "abc");
         s.epoll_wait(one, 8, 2000);
         s.epoll_wait(one);
         s.epoll_wait(two);
         s.epoll_wait(two);
       }},
      {"EpollForgetsAClosedSocket",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
         s.send(client, "abc");
         s.await(server, POLLIN);
         s.close(server);
         s.epoll_wait(epoll);
         s.epoll_ctl(epoll, EPOLL_CTL_DEL, server, 0);
       }},
      {"EpollTakesTurns",
       [](Script& s) {
         const int epoll = s.epoll();
         for (int i = 0; i < 3; ++i) {
           const auto [a, b] = s.datagram_pair();
           s.epoll_ctl(epoll, EPOLL_CTL_ADD, b, EPOLLIN);
           s.send(a, "x");
         }
         for (int i = 0; i < 6; ++i) s.epoll_wait(epoll, 1, 2000);
       }},
      {"EpollOutWhenConnected",
       [](Script& s) {
         const int listening = s.listener();
         const int fd = s.stream(SOCK_NONBLOCK);
         const int epoll = s.epoll();
         s.connect(fd, s.name_of(listening));
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT | EPOLLIN | EPOLLET);
         s.epoll_wait(epoll, 8, 2000);
         s.epoll_wait(epoll);
       }},
      {"EpollSetCanBePolled",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int epoll = s.epoll();
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
         s.poll(epoll, POLLIN | POLLOUT);
         s.send(client, "abc");
         s.poll(epoll, POLLIN | POLLOUT, 2000);
       }},
      {"EpollTimesOut",
       [](Script& s) {
         const int epoll = s.epoll();
         s.epoll_wait(epoll, 8, 20);
         s.epoll_ctl(epoll, EPOLL_CTL_ADD, s.listener(), EPOLLIN);
         s.epoll_wait(epoll, 8, 20);
       }},
  };
}

}  // namespace millrace::posix::test
