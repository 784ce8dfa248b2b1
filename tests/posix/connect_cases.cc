#include <fcntl.h>

#include "differential_cases.h"

namespace millrace::posix::test {

namespace {

constexpr short kAll = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLWRBAND;

}  // namespace

std::vector<Case> connect_cases() {
  return {
      {"ConnectionRefused",
       [](Script& s) {
         const int fd = s.stream();
         s.connect(fd, s.dead_end());
         s.getsockopt(fd, SOL_SOCKET, SO_ERROR);
         s.poll(fd, kAll);
       }},
      {"ConnectAgainAfterRefusal",
       [](Script& s) {
         const int fd = s.stream();
         s.connect(fd, s.dead_end());
         const int listening = s.listener();
         s.connect(fd, s.name_of(listening));
         s.poll(fd, kAll);
       }},
      {"NonblockingConnectionRefused",
       [](Script& s) {
         const int fd = s.stream(SOCK_NONBLOCK);
         s.connect(fd, s.dead_end());
         s.await(fd, POLLOUT);
         s.poll(fd, kAll);
         s.getsockopt(fd, SOL_SOCKET, SO_ERROR);
         s.getsockopt(fd, SOL_SOCKET, SO_ERROR);
         s.poll(fd, kAll);
       }},
      {"RefusalTakenByASecondConnect",
       [](Script& s) {
         const int fd = s.stream(SOCK_NONBLOCK);
         const sockaddr_in nobody = s.dead_end();
         s.connect(fd, nobody);
         s.await(fd, POLLOUT);
         s.connect(fd, nobody);
         s.connect(fd, nobody);
       }},
      {"RefusalTakenByASend",
       [](Script& s) {
         const int fd = s.stream(SOCK_NONBLOCK);
         s.connect(fd, s.dead_end());
         s.await(fd, POLLOUT);
         s.send(fd, "x");
         s.send(fd, "x");
       }},
      {"RefusalTakenByARecv",
       [](Script& s) {
         const int fd = s.stream(SOCK_NONBLOCK);
         s.connect(fd, s.dead_end());
         s.await(fd, POLLOUT);
         s.recv(fd, 1);
         s.recv(fd, 1);
       }},
      {"NonblockingConnectSucceeds",
       [](Script& s) {
         const int listening = s.listener();
         const int fd = s.stream(SOCK_NONBLOCK);
         s.connect(fd, s.name_of(listening));
         s.await(fd, POLLOUT);
         s.poll(fd, kAll);
         s.getsockopt(fd, SOL_SOCKET, SO_ERROR);
         s.connect(fd, s.name_of(listening));
         s.connect(fd, s.name_of(listening));
       }},
      {"ConnectTwice",
       [](Script& s) {
         const int listening = s.listener();
         const auto [client, server] = s.connection(listening);
         s.connect(client, s.name_of(listening));
         s.connect(server, s.name_of(listening));
       }},
      {"ConnectAListener",
       [](Script& s) {
         const int listening = s.listener();
         s.connect(listening, s.name_of(listening));
       }},
      {"ConnectWithAShortAddress",
       [](Script& s) {
         s.connect(s.stream(), address_of("127.0.0.1", 1), 8);
         s.connect(s.stream(), address_of("127.0.0.1", 1), 1);
         s.connect(s.datagram(), address_of("127.0.0.1", 1), 8);
       }},
      {"ConnectWithTheWrongFamily",
       [](Script& s) {
         sockaddr_in address = address_of("127.0.0.1", 1);
         address.sin_family = AF_UNIX;
         s.connect(s.stream(), address);
         s.connect(s.datagram(), address);
       }},
      {"ConnectToNowhere",
       [](Script& s) {
         s.connect(s.stream(), address_of("198.51.100.1", 80));
         s.connect(s.datagram(), address_of("198.51.100.1", 80));
       }},
      {"ConnectToBroadcast",
       [](Script& s) {
         s.connect(s.stream(), address_of("255.255.255.255", 80));
         s.connect(s.stream(), address_of("224.0.0.1", 80));
       }},
      {"ConnectToTheWildcardMeansThisHost",
       [](Script& s) {
         const int listening = s.listener();
         sockaddr_in address = s.name_of(listening);
         address.sin_addr.s_addr = 0;
         const int fd = s.stream();
         s.connect(fd, address);
         s.getpeername(fd);
       }},
      {"DisconnectAStream",
       [](Script& s) {
         const int listening = s.listener();
         const auto [client, server] = s.connection(listening);
         sockaddr_in none{};
         s.connect(client, none);
         s.await(server, POLLIN);
         s.poll(server, kAll);
         s.connect(client, s.name_of(listening));
       }},
      {"DisconnectADatagramSocket",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         sockaddr_in none{};
         s.connect(a, none);
         s.getpeername(a);
         s.getsockname(a);
         s.send(a, "x");
         s.sendto(a, "x", s.name_of(b));
       }},
      {"DatagramConnectAgain",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         const int c = s.bound_datagram();
         s.connect(a, s.name_of(c));
         s.send(a, "x");
         s.await(c, POLLIN);
         s.poll(b, POLLIN);
       }},
      {"DatagramConnectPicksASource",
       [](Script& s) {
         const int to = s.bound_datagram();
         const int fd = s.datagram();
         s.connect(fd, s.name_of(to));
         s.getsockname(fd);
         s.getpeername(fd);
       }},

      // --- accept(2)
      {"AcceptWithoutListen",
       [](Script& s) {
         s.accept(s.stream());
         s.accept(s.datagram());
         const auto [client, server] = s.connection();
         s.accept(client);
       }},
      {"AcceptWouldBlock", [](Script& s) { s.accept(s.listener(SOCK_NONBLOCK)); }},
      {"AcceptWithUnknownFlags", [](Script& s) { s.accept(s.listener(SOCK_NONBLOCK), 0x10); }},
      {"AcceptInOrder",
       [](Script& s) {
         const int listening = s.listener();
         const int first = s.stream(), second = s.stream();
         s.connect(first, s.name_of(listening));
         s.connect(second, s.name_of(listening));
         s.poll(listening, kAll);
         const int a = s.accept(listening, SOCK_NONBLOCK);
         const int b = s.accept(listening);
         s.poll(listening, kAll);
         s.send(first, "first");
         s.await(a, POLLIN);
         s.recv(a, 10);
         s.send(second, "second");
         s.recv(b, 10);
         s.fcntl(a, F_GETFL);
         s.fcntl(b, F_GETFL);
       }},
      {"AcceptTimesOut",
       [](Script& s) {
         const int listening = s.listener();
         const timeval timeout{0, 20000};
         s.setsockopt(listening, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
         s.accept(listening);
       }},
      {"AcceptOfAConnectionThatWasReset",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.reset(client);
         const int server = s.accept(listening);
         s.poll(server, kAll);
         s.recv(server, 1);
         s.recv(server, 1);
       }},
      {"AcceptOfAConnectionThatWasClosed",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.send(client, "bye");
         s.drop(client);
         const int server = s.accept(listening);
         s.await(server, POLLRDHUP);
         s.poll(server, kAll);
         s.recv(server, 10);
         s.recv(server, 10);
       }},
      {"ClosingAListenerResetsWhatWaits",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.drop(listening);
         s.await(client, POLLHUP);
         s.poll(client, kAll);
         s.recv(client, 1);
       }},

      // --- poll(2) in every state
      {"PollOfAFreshStream", [](Script& s) { s.poll(s.stream(), kAll); }},
      {"PollOfAFreshDatagramSocket", [](Script& s) { s.poll(s.datagram(), kAll); }},
      {"PollOfABoundStream",
       [](Script& s) {
         const int fd = s.stream();
         s.bind(fd, address_of("127.0.0.1", 0));
         s.poll(fd, kAll);
       }},
      {"PollOfAListener", [](Script& s) { s.poll(s.listener(), kAll); }},
      {"PollOfABadDescriptor", [](Script& s) { s.poll(s.bad_fd(), kAll); }},
      {"PollOfAConnection",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.poll(client, kAll);
         s.send(server, "x");
         s.await(client, POLLIN);
         s.poll(client, kAll);
         s.poll(client, POLLOUT);
         s.poll(client, 0);
       }},
      {"PollTimesOut",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.poll(client, POLLIN, 20);
       }},

      // --- shutdown(2)
      {"ShutdownOfAFreshSocket",
       [](Script& s) {
         s.shutdown(s.stream(), SHUT_RDWR);
         s.shutdown(s.stream(), SHUT_WR);
         s.shutdown(s.datagram(), SHUT_RDWR);
       }},
      {"ShutdownOfAnUnknownHalf",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.shutdown(client, 3);
         s.shutdown(client, -1);
       }},
      {"ShutdownWrite",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.shutdown(client, SHUT_WR);
         s.poll(client, kAll);
         s.send(client, "x");
         s.await(server, POLLRDHUP);
         s.poll(server, kAll);
         s.recv(server, 1);
         s.send(server, "still");
         s.await(client, POLLIN);
         s.recv(client, 10);
         s.shutdown(client, SHUT_WR);
       }},
      {"ShutdownRead",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.shutdown(client, SHUT_RD);
         s.poll(client, kAll);
         s.recv(client, 1);
         s.send(client, "x");
         s.await(server, POLLIN);
         s.poll(server, kAll);
       }},
      {"ShutdownReadKeepsWhatCame",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "before");
         s.await(client, POLLIN);
         s.shutdown(client, SHUT_RD);
         s.recv(client, 10);
         s.recv(client, 10);
       }},
      {"ShutdownBoth",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.shutdown(client, SHUT_RDWR);
         s.poll(client, kAll);
         s.recv(client, 1);
         s.send(client, "x");
         s.await(server, POLLIN);
         s.poll(server, kAll);
       }},
      {"ShutdownOnBothSides",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.shutdown(client, SHUT_WR);
         s.await(server, POLLRDHUP);
         s.shutdown(server, SHUT_WR);
         s.await(client, POLLHUP);
         s.poll(client, kAll);
         s.await(server, POLLHUP);
         s.poll(server, kAll);
         s.getpeername(server);
         s.shutdown(server, SHUT_WR);
       }},
      {"ShutdownOfAListener",
       [](Script& s) {
         const int listening = s.listener();
         s.shutdown(listening, SHUT_RD);
         s.poll(listening, kAll);
         s.accept(listening);
       }},
      {"ShutdownWriteOfAListener",
       [](Script& s) {
         const int listening = s.listener(SOCK_NONBLOCK);
         s.shutdown(listening, SHUT_WR);
         s.poll(listening, kAll);
         s.accept(listening);
       }},
      {"ShutdownOfAConnectedDatagramSocket",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.shutdown(a, SHUT_WR);
         s.send(a, "x");
         s.poll(a, kAll);
         s.shutdown(b, SHUT_RD);
         s.recv(b, 10);
         s.poll(b, kAll);
       }},
      {"PeerCloses",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.drop(server);
         s.await(client, POLLRDHUP);
         s.poll(client, kAll);
         s.recv(client, 1);
         s.send(client, "first is taken");
         s.await(client, POLLHUP);
         s.poll(client, kAll);
         s.send(client, "second meets the reset");
       }},
      {"PeerClosesWithUnreadData",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(client, "unread");
         s.await(server, POLLIN);
         s.drop(server);
         s.await(client, POLLHUP);
         s.poll(client, kAll);
         s.recv(client, 1);
         s.recv(client, 1);
       }},
      {"PeerResets",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.reset(server);
         s.await(client, POLLHUP);
         s.poll(client, kAll);
         s.getsockopt(client, SOL_SOCKET, SO_ERROR);
         s.poll(client, kAll);
         s.recv(client, 1);
         s.send(client, "x");
         s.shutdown(client, SHUT_WR);
       }},
      {"ResetDiscardsWhatWasNotRead",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "data");
         s.await(client, POLLIN);
         s.reset(server);
         s.await(client, POLLHUP);
         s.recv(client, 10);
         s.recv(client, 10);
       }},
      {"ResetThenSend",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.reset(server);
         s.await(client, POLLHUP);
         s.send(client, "x");
         s.send(client, "x");
       }},
  };
}

}  // namespace millrace::posix::test
