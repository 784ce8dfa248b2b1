#include "differential_cases.h"

namespace millrace::posix::test {

// Epoll sets in epoll sets.
std::vector<Case> nested_cases() {
  return {
      {"NestedSetIsReadyWithItsSocket",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int inner = s.epoll(), outer = s.epoll();
         s.epoll_ctl(inner, EPOLL_CTL_ADD, server, EPOLLIN);
         s.epoll_ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN);
         s.epoll_wait(outer);
         s.send(client, "abc");
         s.epoll_wait(outer, 8, 2000);
         s.epoll_wait(inner, 8, 2000);
         s.epoll_wait(outer);
         s.recv(server, 10);
         s.epoll_wait(outer);
       }},
      {"NestedSetIsAddedWhenReady",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int inner = s.epoll(), outer = s.epoll();
         s.epoll_ctl(inner, EPOLL_CTL_ADD, server, EPOLLOUT);
         s.epoll_ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN);
         s.epoll_wait(outer, 8, 2000);
         s.poll(outer, POLLIN);
         s.epoll_ctl(outer, EPOLL_CTL_DEL, inner, 0);
         s.epoll_wait(outer);
         s.send(client, "x");
       }},
      {"NestedThreeDeep",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const int bottom = s.epoll(), middle = s.epoll(), top = s.epoll();
         s.epoll_ctl(bottom, EPOLL_CTL_ADD, server, EPOLLIN);
         s.epoll_ctl(middle, EPOLL_CTL_ADD, bottom, EPOLLIN);
         s.epoll_ctl(top, EPOLL_CTL_ADD, middle, EPOLLIN);
         s.epoll_wait(top);
         s.send(client, "abc");
         s.epoll_wait(top, 8, 2000);
         s.close(bottom);
         s.epoll_wait(top);
       }},
      {"NestedCircleIsRefused",
       [](Script& s) {
         const int a = s.epoll(), b = s.epoll();
         s.epoll_ctl(a, EPOLL_CTL_ADD, b, EPOLLIN);
         s.epoll_ctl(b, EPOLL_CTL_ADD, a, EPOLLIN);
         s.epoll_ctl(a, EPOLL_CTL_ADD, b, EPOLLIN);
         s.epoll_ctl(a, EPOLL_CTL_DEL, b, 0);
         s.epoll_ctl(b, EPOLL_CTL_ADD, a, EPOLLIN);
       }},
      {"NestedSetsMayNotBeExclusive",
       [](Script& s) { s.epoll_ctl(s.epoll(), EPOLL_CTL_ADD, s.epoll(), EPOLLIN | EPOLLEXCLUSIVE); }},
  };
}

}  // namespace millrace::posix::test
