#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cstddef>

#include "differential_cases.h"

namespace millrace::posix::test {

std::vector<Case> transfer_cases() {
  return {
      // --- streams
      {"SendWithoutConnection", [](Script& s) { s.send(s.stream(), "x"); }},
      {"RecvWithoutConnection", [](Script& s) { s.recv(s.stream(), 1); }},
      {"TransferOnAListener",
       [](Script& s) {
         const int listening = s.listener();
         s.send(listening, "x");
         s.recv(listening, 1);
         s.read(listening, 0);
         s.recv(listening, 0);
       }},
      {"RecvOfNothing",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.recv(client, 0, MSG_DONTWAIT);
         s.read(client, 0);
         s.send(client, "");
         s.recv(server, 1, MSG_DONTWAIT);
         s.send(client, "a");
         s.recv(server, 0);
         s.recv(server, 1);
       }},
      {"RecvWouldBlock",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.recv(client, 1, MSG_DONTWAIT);
         s.nonblocking(client);
         s.recv(client, 1);
         s.read(client, 1);
       }},
      {"RecvTimesOut",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const timeval timeout{0, 20000};
         s.setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
         s.recv(client, 1);
       }},
      {"WaitAllTimesOutWithWhatCame",
       [](Script& s) {
         const auto [client, server] = s.connection();
         const timeval timeout{0, 20000};
         s.setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
         s.send(server, "abc");
         s.recv(client, 10, MSG_WAITALL);
       }},
      {"WaitAllEndsWithTheStream",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "abc");
         s.drop(server);
         s.recv(client, 10, MSG_WAITALL);
         s.recv(client, 10, MSG_WAITALL);
       }},
      {"WaitAllGathersPieces",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "abc");
         s.send(server, "def");
         s.recv(client, 6, MSG_WAITALL);
       }},
      {"WaitAllWithoutWaiting",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "abc");
         s.await(client, POLLIN);
         s.recv(client, 10, MSG_WAITALL | MSG_DONTWAIT);
       }},
      {"PeekLeavesTheData",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "abcdef");
         s.await(client, POLLIN);
         s.recv(client, 3, MSG_PEEK);
         s.recv(client, 10, MSG_PEEK);
         s.recv(client, 4);
         s.recv(client, 10, MSG_PEEK);
         s.recv(client, 10);
       }},
      {"PeekAtTheEnd",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.drop(server);
         s.await(client, POLLIN);
         s.recv(client, 3, MSG_PEEK);
         s.recv(client, 3);
       }},
      {"PeekWaitAllAtTheEnd",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "ab");
         s.drop(server);
         s.await(client, POLLRDHUP);
         s.recv(client, 5, MSG_PEEK | MSG_WAITALL);
         s.recv(client, 5);
       }},
      {"TruncOnAStreamDiscards",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(server, "abcdef");
         s.await(client, POLLIN);
         s.calls().recv(client, nullptr, 4, MSG_TRUNC);
         s.recv(client, 10);
       }},
      {"ReadAndWrite",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.write(client, "abc");
         s.await(server, POLLIN);
         s.read(server, 10);
       }},
      {"LowWaterMark",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.setsockopt(client, SOL_SOCKET, SO_RCVLOWAT, 5);
         s.send(server, "abc");
         s.poll(client, POLLIN, 20);
         s.send(server, "def");
         s.poll(client, POLLIN, 2000);
         s.recv(client, 10);
       }},
      {"LowWaterMarkOfACallThatMustNotBlock",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.setsockopt(client, SOL_SOCKET, SO_RCVLOWAT, 5);
         s.send(server, "abc");
         s.poll(client, POLLIN, 20);
         s.recv(client, 10, MSG_DONTWAIT);
         s.recv(client, 10, MSG_DONTWAIT);
       }},
      {"SmallPiecesOfAllSizes",
       [](Script& s) {
         const auto [client, server] = s.connection();
         for (const std::size_t size : {1u, 383u, 384u, 385u, 512u, 513u}) {
           s.send(client, std::string(size, 'x'));
           s.await(server, POLLIN);
           s.recv(server, 1000);
           s.send(client, std::string(size, 'y'));
           s.await(server, POLLIN);
           s.recv(server, size);
           s.recv(server, 1, MSG_DONTWAIT);
         }
       }},
      {"NothingFromNowhere",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.note_result("send", s.calls().send(client, nullptr, 0, MSG_NOSIGNAL));
         s.note_result("send", s.calls().send(client, nullptr, 5, MSG_NOSIGNAL));
         s.note_result("write", s.calls().write(client, nullptr, 5));
         s.send(server, "abc");
         s.await(client, POLLIN);
         s.note_result("recv", s.calls().recv(client, nullptr, 0, 0));
         s.note_result("recv", s.calls().recv(client, nullptr, 5, 0));
         s.note_result("read", s.calls().read(client, nullptr, 5));
         s.recv(client, 10);
       }},
      {"UrgentData",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(client, "ab");
         s.send(client, "!", MSG_OOB | MSG_NOSIGNAL);
         s.send(client, "cd");
         s.await(server, POLLPRI);
         s.poll(server, POLLIN | POLLPRI);
         s.ioctl(server, SIOCATMARK);
         s.recv(server, 10);
         s.ioctl(server, SIOCATMARK);
         s.recv(server, 1, MSG_OOB);
         s.recv(server, 1, MSG_OOB);
         s.recv(server, 10);
       }},
      {"NoUrgentData",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.recv(client, 1, MSG_OOB);
         s.recv(client, 1, MSG_OOB | MSG_DONTWAIT);
       }},
      {"UrgentDataInline",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.setsockopt(server, SOL_SOCKET, SO_OOBINLINE, 1);
         s.send(client, "ab");
         s.send(client, "!", MSG_OOB | MSG_NOSIGNAL);
         s.await(server, POLLPRI);
         s.recv(server, 1, MSG_OOB);
         s.recv(server, 10);
         s.ioctl(server, SIOCATMARK);
         s.recv(server, 10);
       }},
      {"BytesToReadAndToSend",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(client, "abcdef");
         s.await(server, POLLIN);
         s.ioctl(server, FIONREAD);
         s.recv(server, 2);
         s.ioctl(server, FIONREAD);
         s.ioctl(client, SIOCOUTQ);
         s.ioctl(s.listener(), FIONREAD);
       }},
      {"StreamIgnoresAnAddress",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.sendto(client, "abc", address_of("198.51.100.1", 9));
         s.await(server, POLLIN);
         s.recvmsg(server, 10);
       }},
      {"UnknownSendFlag",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(client, "abc", MSG_MORE | MSG_NOSIGNAL);
         s.send(client, "def", MSG_EOR | MSG_NOSIGNAL);
         s.await(server, POLLIN);
         s.recv(server, 6, MSG_WAITALL);
       }},
      {"ErrorQueueIsEmpty",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.recv(client, 1, MSG_ERRQUEUE);
         s.recv(s.datagram(), 1, MSG_ERRQUEUE);
       }},
      {"TooManySlices",
       [](Script& s) {
         const auto [client, server] = s.connection();
         std::vector<iovec> slices(1025);
         s.note_result("readv", s.calls().readv(client, slices.data(), 1025));
         s.note_result("writev", s.calls().writev(client, slices.data(), 1025));
         s.note_result("readv", s.calls().readv(client, slices.data(), -1));
         msghdr message{};
         message.msg_iov = slices.data();
         message.msg_iovlen = 1025;
         s.note_result("sendmsg", s.calls().sendmsg(client, &message, 0));
         s.note_result("recvmsg", s.calls().recvmsg(client, &message, MSG_DONTWAIT));
       }},
      {"ScatterAndGather",
       [](Script& s) {
         const auto [client, server] = s.connection();
         char a[] = "hello ", b[] = "world", c[4], d[10];
         const iovec out[] = {{a, 6}, {nullptr, 0}, {b, 5}};
         s.note_result("writev", s.calls().writev(client, out, 3));
         s.await(server, POLLIN);
         const iovec in[] = {{c, sizeof c}, {d, sizeof d}};
         s.note_result("readv", s.calls().readv(server, in, 2));
         s.note(std::string(c, 4) + "/" + std::string(d, 7));
       }},

      // --- datagrams
      {"DatagramWithoutDestination", [](Script& s) { s.send(s.datagram(), "x"); }},
      {"DatagramToPortZero", [](Script& s) { s.sendto(s.datagram(), "x", address_of("127.0.0.1", 0)); }},
      {"DatagramToAShortAddress",
       [](Script& s) {
         s.sendto(s.datagram(), "x", address_of("127.0.0.1", 9), 0, 8);
         s.sendto(s.datagram(), "x", address_of("127.0.0.1", 9), 0, 300);
       }},
      {"DatagramToTheWrongFamily",
       [](Script& s) {
         sockaddr_in address = address_of("127.0.0.1", 9);
         address.sin_family = AF_UNIX;
         s.sendto(s.datagram(), "x", address);
       }},
      {"DatagramTooLarge",
       [](Script& s) {
         const int to = s.bound_datagram();
         s.sendto(s.datagram(), std::string(65508, 'x'), s.name_of(to));
         s.sendto(s.datagram(), std::string(70000, 'x'), s.name_of(to));
         s.sendto(s.datagram(), std::string(65507, 'x'), s.name_of(to));
       }},
      {"DatagramToNowhere", [](Script& s) { s.sendto(s.datagram(), "x", address_of("198.51.100.1", 9)); }},
      {"DatagramToBroadcastNeedsAnOption",
       [](Script& s) { s.sendto(s.datagram(), "x", address_of("255.255.255.255", 9)); }},
      {"DatagramsKeepTheirBounds",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "one");
         s.send(a, "");
         s.send(a, "three");
         s.await(b, POLLIN);
         s.recvmsg(b, 10);
         s.recvmsg(b, 10);
         s.recvmsg(b, 10);
         s.recvmsg(b, 10, MSG_DONTWAIT);
       }},
      {"DatagramIsCut",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         for (int i = 0; i < 4; ++i) s.send(a, "abcdef");
         s.await(b, POLLIN);
         s.recv(b, 3);
         s.recvmsg(b, 3);
         s.recv(b, 3, MSG_TRUNC);
         s.recv(b, 3, MSG_PEEK | MSG_TRUNC);
         s.recv(b, 0);
         s.recv(b, 3, MSG_DONTWAIT);
       }},
      {"DatagramPeek",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "abc");
         s.await(b, POLLIN);
         s.recv(b, 10, MSG_PEEK);
         s.ioctl(b, FIONREAD);
         s.recv(b, 10);
         s.ioctl(b, FIONREAD);
       }},
      {"DatagramReadOfNoBytesTakesNone",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "abc");
         s.await(b, POLLIN);
         s.read(b, 0);
         s.recv(b, 10);
       }},
      {"DatagramWaitAllIsOneDatagram",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "abc");
         s.recv(b, 10, MSG_WAITALL);
       }},
      {"DatagramRecvWouldBlock",
       [](Script& s) {
         const int fd = s.bound_datagram();
         s.recv(fd, 1, MSG_DONTWAIT);
         s.nonblocking(fd);
         s.recv(fd, 1);
       }},
      {"DatagramRecvTimesOut",
       [](Script& s) {
         const int fd = s.bound_datagram();
         const timeval timeout{0, 20000};
         s.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
         s.recv(fd, 1);
       }},
      {"DatagramPortUnreachable",
       [](Script& s) {
         const int victim = s.bound_datagram();
         const sockaddr_in nobody = s.name_of(victim);
         s.drop(victim);
         const int fd = s.datagram();
         s.connect(fd, nobody);
         s.send(fd, "x");
         s.await(fd, POLLIN);
         s.poll(fd, POLLIN | POLLOUT);
         s.recv(fd, 10, MSG_DONTWAIT);
         s.recv(fd, 10, MSG_DONTWAIT);
         s.send(fd, "x");
         s.await(fd, POLLIN);
         s.getsockopt(fd, SOL_SOCKET, SO_ERROR);
         s.getsockopt(fd, SOL_SOCKET, SO_ERROR);
         s.send(fd, "x");
         s.await(fd, POLLIN);
         s.send(fd, "x");
       }},
      {"DatagramUnconnectedIgnoresUnreachable",
       [](Script& s) {
         const int victim = s.bound_datagram();
         const sockaddr_in nobody = s.name_of(victim);
         s.drop(victim);
         const int fd = s.datagram();
         s.sendto(fd, "x", nobody);
         s.poll(fd, POLLIN | POLLOUT, 20);
         s.recv(fd, 1, MSG_DONTWAIT);
       }},
      {"DatagramFromAStrangerIsNotForAConnectedSocket",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.sendto(s.datagram(), "stranger", s.name_of(b));
         s.send(a, "friend");
         s.await(b, POLLIN);
         s.recv(b, 20);
         s.recv(b, 20, MSG_DONTWAIT);
       }},
      {"DatagramHasNoUrgentData",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "x", MSG_OOB);
         s.recv(a, 1, MSG_OOB | MSG_DONTWAIT);
         s.ioctl(a, SIOCATMARK);
       }},
      {"DatagramConnectedMaySendElsewhere",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         const int c = s.bound_datagram();
         s.sendto(a, "elsewhere", s.name_of(c));
         s.await(c, POLLIN);
         s.recvmsg(c, 20);
       }},
  };
}

}  // namespace millrace::posix::test
