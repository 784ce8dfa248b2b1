#include <errno.h>
#include <string.h>

#include "differential_cases.h"

namespace millrace::posix::test {

std::vector<Case> naming_cases() {
  return {
      // --- descriptors that are none
      {"BindOnABadDescriptor", [](Script& s) { s.bind(s.bad_fd(), address_of("127.0.0.1", 0)); }},
      {"ListenOnABadDescriptor", [](Script& s) { s.listen(s.bad_fd(), 1); }},
      {"AcceptOnABadDescriptor", [](Script& s) { s.accept(s.bad_fd()); }},
      {"ConnectOnABadDescriptor", [](Script& s) { s.connect(s.bad_fd(), address_of("127.0.0.1", 1)); }},
      {"SendOnABadDescriptor", [](Script& s) { s.send(s.bad_fd(), "x"); }},
      {"RecvOnABadDescriptor", [](Script& s) { s.recv(s.bad_fd(), 1); }},
      {"ReadOnABadDescriptor", [](Script& s) { s.read(s.bad_fd(), 1); }},
      {"WriteOnABadDescriptor", [](Script& s) { s.write(s.bad_fd(), "x"); }},
      {"ShutdownOnABadDescriptor", [](Script& s) { s.shutdown(s.bad_fd(), SHUT_RD); }},
      {"CloseOfABadDescriptor", [](Script& s) { s.close(s.bad_fd()); }},
      {"CloseTwice",
       [](Script& s) {
         const int fd = s.stream();
         s.close(fd);
         s.close(fd);
         s.bind(fd, address_of("127.0.0.1", 0));
       }},
      {"NamesOfABadDescriptor",
       [](Script& s) {
         s.getsockname(s.bad_fd());
         s.getpeername(s.bad_fd());
       }},
      {"OptionsOfABadDescriptor",
       [](Script& s) {
         s.getsockopt(s.bad_fd(), SOL_SOCKET, SO_TYPE);
         s.setsockopt(s.bad_fd(), SOL_SOCKET, SO_REUSEADDR, 1);
       }},
      {"ANegativeDescriptor",
       [](Script& s) {
         s.close(-1);
         s.send(-1, "x");
         s.poll(-1, POLLIN);
       }},

      // --- socket(2)
      {"SocketOfEachKind",
       [](Script& s) {
         s.socket(AF_INET, SOCK_STREAM, 0);
         s.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
         s.socket(AF_INET, SOCK_DGRAM, 0);
         s.socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
         s.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
       }},
      {"SocketWithTheOtherProtocol",
       [](Script& s) {
         s.socket(AF_INET, SOCK_STREAM, IPPROTO_UDP);
         s.socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP);
       }},
      {"SocketOfUnknownDomain",
       [](Script& s) {
         s.socket(-1, SOCK_STREAM, 0);
         s.socket(99, SOCK_STREAM, 0);
       }},
      {"SocketOfUnknownType",
       [](Script& s) {
         s.socket(AF_INET, 0, 0);
         s.socket(AF_INET, 9, 0);
         s.socket(AF_INET, 15, 0);
         s.socket(AF_INET, SOCK_SEQPACKET, 0);
         s.socket(AF_INET, SOCK_RDM, 0);
       }},
      {"SocketWithUnknownFlags", [](Script& s) { s.socket(AF_INET, SOCK_STREAM | 0x100, 0); }},
      {"SocketOfUnknownProtocol",
       [](Script& s) {
         s.socket(AF_INET, SOCK_STREAM, -1);
         s.socket(AF_INET, SOCK_STREAM, 100000);
         s.socket(AF_INET, SOCK_STREAM, 77);
       }},

      // --- bind(2)
      {"BindTwice",
       [](Script& s) {
         const int fd = s.stream();
         s.bind(fd, address_of("127.0.0.1", 0));
         s.bind(fd, address_of("127.0.0.1", 0));
       }},
      {"BindDatagramTwice",
       [](Script& s) {
         const int fd = s.datagram();
         s.bind(fd, address_of("127.0.0.1", 0));
         s.bind(fd, address_of("127.0.0.1", 0));
       }},
      {"BindToAPortInUse",
       [](Script& s) {
         const int first = s.listener();
         s.bind(s.stream(), s.name_of(first));
       }},
      {"BindDatagramToAPortInUse",
       [](Script& s) {
         const int first = s.bound_datagram();
         s.bind(s.datagram(), s.name_of(first));
       }},
      {"WildcardConflictsWithAnAddress",
       [](Script& s) {
         const int first = s.listener();
         sockaddr_in address = s.name_of(first);
         address.sin_addr.s_addr = 0;
         s.bind(s.stream(), address);
       }},
      {"StreamAndDatagramShareAPort",
       [](Script& s) {
         const int first = s.listener();
         s.bind(s.datagram(), s.name_of(first));
       }},
      {"ReuseAddressBesideAListener",
       [](Script& s) {
         const int first = s.listener();
         const int second = s.stream();
         s.setsockopt(second, SOL_SOCKET, SO_REUSEADDR, 1);
         s.bind(second, s.name_of(first));
       }},
      {"ReuseAddressOnBothBeforeListen",
       [](Script& s) {
         const int first = s.stream(), second = s.stream();
         s.setsockopt(first, SOL_SOCKET, SO_REUSEADDR, 1);
         s.setsockopt(second, SOL_SOCKET, SO_REUSEADDR, 1);
         s.bind(first, address_of("127.0.0.1", 0));
         s.bind(second, s.name_of(first));
         s.listen(first, 1);
         s.listen(second, 1);
       }},
      {"ReusePortListeners",
       [](Script& s) {
         const int first = s.stream(), second = s.stream();
         s.setsockopt(first, SOL_SOCKET, SO_REUSEPORT, 1);
         s.setsockopt(second, SOL_SOCKET, SO_REUSEPORT, 1);
         s.bind(first, address_of("127.0.0.1", 0));
         s.listen(first, 1);
         s.bind(second, s.name_of(first));
         s.listen(second, 1);
       }},
      {"ReusePortOnOneOnly",
       [](Script& s) {
         const int first = s.stream(), second = s.stream();
         s.setsockopt(second, SOL_SOCKET, SO_REUSEPORT, 1);
         s.bind(first, address_of("127.0.0.1", 0));
         s.bind(second, s.name_of(first));
       }},
      {"ReuseAddressDatagrams",
       [](Script& s) {
         const int first = s.datagram(), second = s.datagram();
         s.setsockopt(first, SOL_SOCKET, SO_REUSEADDR, 1);
         s.setsockopt(second, SOL_SOCKET, SO_REUSEADDR, 1);
         s.bind(first, address_of("127.0.0.1", 0));
         s.bind(second, s.name_of(first));
       }},
      {"BindToAnotherHostsAddress",
       [](Script& s) {
         s.bind(s.stream(), address_of("198.51.100.1", 0));
         s.bind(s.datagram(), address_of("198.51.100.1", 0));
       }},
      {"BindDatagramToAMulticastAddress",
       [](Script& s) { s.bind(s.datagram(), address_of("224.0.0.1", 0)); }},
      {"BindDatagramToBroadcast", [](Script& s) { s.bind(s.datagram(), address_of("255.255.255.255", 0)); }},
      {"BindToAnyLoopbackAddress",
       [](Script& s) {
         const int fd = s.stream();
         s.bind(fd, address_of("127.9.8.7", 0));
         s.getsockname(fd);
       }},
      {"BindWithAShortAddress",
       [](Script& s) {
         s.bind(s.stream(), address_of("127.0.0.1", 0), 4);
         s.bind(s.datagram(), address_of("127.0.0.1", 0), 15);
         s.bind(s.datagram(), address_of("127.0.0.1", 0), 0);
       }},
      {"BindWithALongAddress", [](Script& s) { s.bind(s.stream(), address_of("127.0.0.1", 0), 4096); }},
      {"BindWithTheWrongFamily",
       [](Script& s) {
         sockaddr_in address = address_of("127.0.0.1", 0);
         address.sin_family = AF_UNIX;
         s.bind(s.stream(), address);
       }},
      {"BindWithNoFamily",
       [](Script& s) {
         sockaddr_in address = address_of("127.0.0.1", 0);
         address.sin_family = AF_UNSPEC;
         s.bind(s.stream(), address);
         address.sin_addr.s_addr = 0;
         s.bind(s.stream(), address);
       }},
      {"BindOfAConnectedSocket",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.bind(client, address_of("127.0.0.1", 0));
         s.bind(server, address_of("127.0.0.1", 0));
       }},

      // --- listen(2)
      {"ListenWithoutBind",
       [](Script& s) {
         const int fd = s.stream();
         s.listen(fd, 1);
         s.getsockname(fd);
       }},
      {"ListenTwice",
       [](Script& s) {
         const int fd = s.listener();
         s.listen(fd, 5);
       }},
      {"ListenOnADatagramSocket", [](Script& s) { s.listen(s.bound_datagram(), 1); }},
      {"ListenOnAConnection",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.listen(client, 1);
         s.listen(server, 1);
       }},
      {"ListenWithNegativeBacklog", [](Script& s) { s.listen(s.stream(), -5); }},

      // --- names
      {"NameOfAFreshSocket",
       [](Script& s) {
         s.getsockname(s.stream());
         s.getsockname(s.datagram());
       }},
      {"PeerOfAFreshSocket",
       [](Script& s) {
         s.getpeername(s.stream());
         s.getpeername(s.datagram());
         s.getpeername(s.listener());
       }},
      {"NamesOfAConnection",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.getsockname(client);
         s.getpeername(client);
         s.getsockname(server);
         s.getpeername(server);
       }},
      {"NamesCutToTheirRoom",
       [](Script& s) {
         const int fd = s.bound_datagram();
         s.getsockname(fd, 0);
         s.getsockname(fd, 4);
         s.getsockname(fd, static_cast<socklen_t>(-1));
         s.getsockname(fd, std::nullopt);
       }},
      {"PeerAfterTheOtherSideClosed",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.drop(server);
         s.await(client, POLLIN);
         s.getpeername(client);
       }},
      {"PeerAfterAReset",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.reset(server);
         s.await(client, POLLIN);
         s.getpeername(client);
       }},
  };
}

}  // namespace millrace::posix::test
