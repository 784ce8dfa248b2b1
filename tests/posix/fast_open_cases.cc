// TCP Fast Open as programs see it. Where the kernel serves none (net.ipv4.tcp_fastopen is 1), cookies are
// never given: what is compared is everything but the data in the SYN.
#include <netinet/tcp.h>

#include "differential_cases.h"

#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif

namespace millrace::posix::test {

std::vector<Case> fast_open_cases() {
  return {
      {"FastOpenOfAListener",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN);
         for (const int value : {0, 5, 4096, 100'000, -1}) {
           s.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, value);
           s.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN);
         }
         const int listening = s.listener();
         s.setsockopt(listening, IPPROTO_TCP, TCP_FASTOPEN, 7);
         s.getsockopt(listening, IPPROTO_TCP, TCP_FASTOPEN);
         const auto [client, server] = s.connection();
         s.setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN, 7);
       }},
      {"FastOpenConnectOption",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT);
         for (const int value : {1, 2, -1, 0}) {
           s.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, value);
           s.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT);
         }
         s.setsockopt(s.listener(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
         const auto [client, server] = s.connection();
         s.setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
       }},
      {"FastOpenNoCookieOption",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE);
         for (const int value : {1, 2, -1, 0}) {
           s.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, value);
           s.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE);
         }
         s.setsockopt(s.listener(), IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
         const auto [client, server] = s.connection();
         s.setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
       }},
      {"FastOpenSendConnectsAndSends",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.stream();
         s.sendto(client, "hello", s.name_of(listening), MSG_FASTOPEN | MSG_NOSIGNAL);
         const int server = s.accept(listening);
         s.recv(server, 16);
         s.send(server, "answer");
         s.recv(client, 16);
       }},
      {"FastOpenSendWithoutBlocking",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.stream(SOCK_NONBLOCK);
         s.sendto(client, "hello", s.name_of(listening), MSG_FASTOPEN | MSG_NOSIGNAL);
         s.await(client, POLLOUT);
         s.send(client, "hello");
         const int server = s.accept(listening);
         s.recv(server, 16);
       }},
      {"FastOpenSendRefused",
       [](Script& s) {
         const int fd = s.stream();
         s.sendto(fd, "hello", s.dead_end(), MSG_FASTOPEN | MSG_NOSIGNAL);
         s.getsockopt(fd, SOL_SOCKET, SO_ERROR);
       }},
      {"FastOpenSendOnAConnection",
       [](Script& s) {
         const int listening = s.listener();
         const auto [client, server] = s.connection(listening);
         s.sendto(client, "hello", s.name_of(listening), MSG_FASTOPEN | MSG_NOSIGNAL);
       }},
      {"FastOpenSendToNobody",
       [](Script& s) {
         s.send(s.stream(), "hello", MSG_FASTOPEN | MSG_NOSIGNAL);
         sockaddr_in unspecified{};
         s.sendto(s.stream(), "hello", unspecified, MSG_FASTOPEN | MSG_NOSIGNAL);
         s.sendto(s.listener(), "hello", s.dead_end(), MSG_FASTOPEN | MSG_NOSIGNAL);
       }},
      {"FastOpenSendOfADatagram",
       [](Script& s) {
         const int fd = s.datagram();
         s.sendto(fd, "hello", s.dead_end(), MSG_FASTOPEN | MSG_NOSIGNAL);
       }},
      {"FastOpenConnectWithoutACookie",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.stream();
         s.setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
         s.connect(client, s.name_of(listening));
         s.send(client, "hello");
         const int server = s.accept(listening);
         s.recv(server, 16);
       }},
      {"FastOpenConnectWaitsForTheFirstWrite",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.stream(SOCK_NONBLOCK);
         s.setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
         s.setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
         s.connect(client, s.name_of(listening));
         s.poll(client, POLLIN | POLLOUT);
         s.poll(listening, POLLIN);
         s.connect(client, s.name_of(listening));  // blocking, Linux would wait for ever here
         s.send(client, "hello");
         const int server = s.accept(listening);
         s.recv(server, 16);
       }},
  };
}

}  // namespace millrace::posix::test
