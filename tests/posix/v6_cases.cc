#include <netinet/in.h>

#include "differential_cases.h"

namespace millrace::posix::test {

namespace {

void v6_only(Script& s, int fd) {
  s.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
}

sockaddr_in6 v6(const char* host, in_port_t port = 0) {
  return v6_address_of(host, port);
}
sockaddr_in v4(const char* host, in_port_t port = 0) {
  return address_of(host, port);
}

void set_port(sockaddr_in& address, in_port_t port) {
  address.sin_port = htons(port);
}
void set_port(sockaddr_in6& address, in_port_t port) {
  address.sin6_port = htons(port);
}

/// A socket of one family bound, and perhaps listening, and another one beside it: who gets the port?
template <typename First, typename Second>
void side_by_side(Script& s, const First& first, const Second& second, bool first_only, bool second_only) {
  for (const bool stream : {true, false}) {
    const auto socket = [&](bool of_v6) {
      return stream ? of_v6 ? s.v6_stream() : s.stream() : of_v6 ? s.v6_datagram() : s.datagram();
    };
    const int a = socket(sizeof first == sizeof(sockaddr_in6));
    const int b = socket(sizeof second == sizeof(sockaddr_in6));
    if (first_only) v6_only(s, a);
    if (second_only) v6_only(s, b);
    s.bind(a, first);
    if (stream) s.listen(a, 1);
    Second there = second;
    set_port(there, s.port_of(a));
    s.bind(b, there);
    if (stream) s.listen(b, 1);
  }
}

}  // namespace

std::vector<Case> v6_cases() {
  return {
      {"V6SocketOfEachKind",
       [](Script& s) {
         s.socket(AF_INET6, SOCK_STREAM, 0);
         s.socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP);
         s.socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
         s.socket(AF_INET6, SOCK_DGRAM, IPPROTO_TCP);
         s.socket(AF_INET6, SOCK_SEQPACKET, 0);
         for (const int fd : {s.v6_stream(), s.v6_datagram()}) {
           s.getsockopt(fd, SOL_SOCKET, SO_DOMAIN);
           s.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL);
           s.names(fd);
         }
       }},
      {"V6BindToEachAddress",
       [](Script& s) {
         for (const char* host : {"::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:198.51.100.1",
                                  "2001:db8::1", "fe80::1", "ff02::1", "::127.0.0.1"}) {
           for (const int fd : {s.v6_stream(), s.v6_datagram()}) {
             s.bind(fd, v6(host));
             s.names(fd);
             s.getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY);
           }
         }
       }},
      {"V6BindWithAnotherLengthOrFamily",
       [](Script& s) {
         for (const socklen_t length : {0u, 2u, 16u, 23u, 24u, 27u, 28u, 128u, 129u})
           s.bind(s.v6_stream(), v6("::1"), length);
         s.bind(s.v6_stream(), v4("127.0.0.1"));
         s.bind(s.v6_datagram(), v4("127.0.0.1"));
         sockaddr_in6 wrong = v6("::1");
         wrong.sin6_family = AF_INET;
         s.bind(s.v6_stream(), wrong);
         wrong.sin6_family = AF_UNSPEC;
         s.bind(s.v6_datagram(), wrong);
         s.bind(s.stream(), v6("::1"));
         s.bind(s.datagram(), v6("::ffff:127.0.0.1"));
       }},
      {"V6OnlyOption",
       [](Script& s) {
         for (const int fd : {s.v6_stream(), s.v6_datagram()}) {
           s.getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY);
           s.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 7);
           s.getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY);
           s.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
           s.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, 3);
           s.bind(fd, v6("::"));
           s.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
           s.getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY);
         }
         for (const int fd : {s.stream(), s.datagram()}) {
           s.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
           s.getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY);
         }
       }},
      {"V6OnlySocketsRefuseMappedAddresses",
       [](Script& s) {
         const int v4_listener = s.listener(), v4_datagram = s.bound_datagram();
         for (const int fd : {s.v6_stream(), s.v6_datagram()}) {
           v6_only(s, fd);
           s.bind(fd, v6("::ffff:127.0.0.1"));
         }
         const int stream = s.v6_stream(), datagram = s.v6_datagram();
         v6_only(s, stream);
         v6_only(s, datagram);
         s.connect(stream, mapped(s.name_of(v4_listener)));
         s.connect(datagram, mapped(s.name_of(v4_datagram)));
         s.connect(datagram, s.name_of(v4_datagram));
         s.sendto(datagram, "x", mapped(s.name_of(v4_datagram)));
         s.sendto(datagram, "x", s.name_of(v4_datagram));
       }},
      // --- who may be bound beside whom
      {"DualWildcardBesideV4Wildcard",
       [](Script& s) {
         side_by_side(s, v6("::"), v4("0.0.0.0"), false, false);
         side_by_side(s, v4("0.0.0.0"), v6("::"), false, false);
       }},
      {"DualWildcardBesideV4Address",
       [](Script& s) {
         side_by_side(s, v6("::"), v4("127.0.0.1"), false, false);
         side_by_side(s, v4("127.0.0.1"), v6("::"), false, false);
       }},
      {"V6OnlyWildcardBesideV4",
       [](Script& s) {
         side_by_side(s, v6("::"), v4("0.0.0.0"), true, false);
         side_by_side(s, v4("0.0.0.0"), v6("::"), false, true);
         side_by_side(s, v4("127.0.0.1"), v6("::"), false, true);
         side_by_side(s, v6("::"), v4("127.0.0.1"), true, false);
       }},
      {"WildcardsOfV6BesideEachOther",
       [](Script& s) {
         side_by_side(s, v6("::"), v6("::"), false, false);
         side_by_side(s, v6("::"), v6("::"), true, true);
         side_by_side(s, v6("::"), v6("::"), true, false);
         side_by_side(s, v6("::"), v6("::1"), false, false);
         side_by_side(s, v6("::1"), v6("::"), false, true);
       }},
      {"V6LoopbackBesideV4",
       [](Script& s) {
         side_by_side(s, v6("::1"), v4("127.0.0.1"), false, false);
         side_by_side(s, v6("::1"), v4("0.0.0.0"), false, false);
         side_by_side(s, v4("0.0.0.0"), v6("::1"), false, false);
         side_by_side(s, v6("::1"), v6("::ffff:127.0.0.1"), false, false);
       }},
      {"MappedAddressIsTheV4Address",
       [](Script& s) {
         side_by_side(s, v6("::ffff:127.0.0.1"), v4("127.0.0.1"), false, false);
         side_by_side(s, v4("127.0.0.1"), v6("::ffff:127.0.0.1"), false, false);
         side_by_side(s, v6("::ffff:127.0.0.1"), v4("0.0.0.0"), false, false);
         side_by_side(s, v6("::ffff:127.0.0.1"), v4("127.0.0.2"), false, false);
         side_by_side(s, v6("::ffff:0.0.0.0"), v6("::"), false, true);
       }},

      // --- connections
      {"V4ConnectsToADualListener",
       [](Script& s) {
         const int listening = s.v6_listener();
         const int client = s.stream();
         s.connect(client, v4("127.0.0.1", s.port_of(listening)));
         s.names(client);
         const int server = s.accept(listening);
         s.names(server);
         s.getsockopt(server, SOL_SOCKET, SO_DOMAIN);
         s.getsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY);
         s.send(client, "hello");
         s.recv(server, 10);
         s.bind(server, v6("::"));
       }},
      {"V6ConnectsToEachMeaningOfThisHost",
       [](Script& s) {
         const int listening = s.v6_listener();
         for (const char* host : {"::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:127.1.2.3"}) {
           const int client = s.v6_stream();
           s.connect(client, v6(host, s.port_of(listening)));
           s.names(client);
           s.accept(listening);
         }
       }},
      {"V6ConnectsToAV4Listener",
       [](Script& s) {
         const int listening = s.listener();
         const int client = s.v6_stream();
         s.connect(client, mapped(s.name_of(listening)));
         s.names(client);
         s.accept(listening);
         s.connect(s.v6_stream(), v6("::1", s.port_of(listening)));
       }},
      {"V6OnlyListenerRefusesV4",
       [](Script& s) {
         const int listening = s.v6_stream();
         v6_only(s, listening);
         s.bind(listening, v6("::"));
         s.listen(listening, 1);
         s.connect(s.stream(), v4("127.0.0.1", s.port_of(listening)));
         s.connect(s.v6_stream(), v6("::ffff:127.0.0.1", s.port_of(listening)));
         s.connect(s.v6_stream(), v6("::1", s.port_of(listening)));
         s.accept(listening);
       }},
      {"V6ListenerWithoutBindTakesBoth",
       [](Script& s) {
         const int listening = s.v6_stream();
         s.listen(listening, 4);
         s.names(listening);
         s.connect(s.stream(), v4("127.0.0.1", s.port_of(listening)));
         s.connect(s.v6_stream(), v6("::1", s.port_of(listening)));
         s.accept(listening);
         s.accept(listening);
       }},
      {"V4AndV6OnlyListenersShareAPort",
       [](Script& s) {
         const int of_v6 = s.v6_stream(), of_v4 = s.stream();
         v6_only(s, of_v6);
         s.bind(of_v6, v6("::"));
         s.listen(of_v6, 4);
         const in_port_t port = s.port_of(of_v6);
         s.bind(of_v4, v4("0.0.0.0", port));
         s.listen(of_v4, 4);
         s.connect(s.v6_stream(), v6("::1", port));
         s.connect(s.stream(), v4("127.0.0.1", port));
         s.accept(of_v6);
         s.accept(of_v4);
       }},
      {"V6ConnectToNobody",
       [](Script& s) {
         const int victim = s.v6_listener();
         const in_port_t port = s.port_of(victim);
         s.drop(victim);
         s.connect(s.v6_stream(), v6("::1", port));
         s.connect(s.v6_stream(), v6("::ffff:127.0.0.1", port));
       }},
      {"V6ConnectElsewhere",
       [](Script& s) {
         for (const char* host : {"2001:db8::1", "::ffff:198.51.100.1", "fe80::1", "ff02::1"}) {
           s.connect(s.v6_stream(), v6(host, 9));
           s.connect(s.v6_datagram(), v6(host, 9));
           s.sendto(s.v6_datagram(), "x", v6(host, 9));
         }
       }},
      {"V6ConnectWithAnotherLengthOrFamily",
       [](Script& s) {
         const int listening = s.v6_listener();
         const sockaddr_in6 there = v6("::1", s.port_of(listening));
         for (const socklen_t length : {0u, 1u, 16u, 23u, 24u, 129u}) {
           s.connect(s.v6_stream(), there, length);
           s.connect(s.v6_datagram(), there, length);
         }
         s.connect(s.v6_stream(), v4("127.0.0.1", s.port_of(listening)));
         s.connect(s.stream(), v6("::1", s.port_of(listening)));
         s.connect(s.datagram(), v6("::1", s.port_of(listening)));
         const int datagram = s.v6_datagram();
         s.connect(datagram, v4("127.0.0.1", 9));
         s.names(datagram);
         sockaddr_in6 wrong = there;
         wrong.sin6_family = AF_UNIX;
         s.connect(s.v6_stream(), wrong);
         s.connect(s.v6_datagram(), wrong);
         wrong.sin6_family = AF_UNSPEC;
         s.connect(datagram, wrong);
         s.names(datagram);
       }},
      {"V6BoundToOneFamilyCannotReachTheOther",
       [](Script& s) {
         const int listening = s.v6_listener();
         const in_port_t port = s.port_of(listening);
         const int loopback = s.v6_stream();
         s.bind(loopback, v6("::1"));
         s.connect(loopback, v6("::ffff:127.0.0.1", port));
         const int bound = s.v6_stream();
         s.bind(bound, v6("::1"));
         s.connect(bound, v6("::1", port));
         s.names(bound);
       }},
      {"V6NamesCutToTheirRoom",
       [](Script& s) {
         const int fd = s.v6_listener();
         s.getsockname(fd, 0);
         s.getsockname(fd, 4);
         s.getsockname(fd, 16);
         s.getsockname(fd, 28);
       }},

      // --- datagrams
      {"V6DatagramsOfBothFamilies",
       [](Script& s) {
         const int to = s.v6_bound_datagram();
         const in_port_t port = s.port_of(to);
         s.sendto(s.datagram(), "v4", v4("127.0.0.1", port));
         s.recvmsg(to, 10);
         s.sendto(s.v6_datagram(), "mapped", v6("::ffff:127.0.0.1", port));
         s.recvmsg(to, 10);
         s.sendto(s.v6_datagram(), "loopback", v6("::1", port));
         s.recvmsg(to, 10);
         s.sendto(s.v6_datagram(), "any", v6("::", port));
         s.recvmsg(to, 10);
         s.sendto(s.v6_datagram(), "sockaddr_in", v4("127.0.0.1", port));
         s.recvmsg(to, 20);
       }},
      {"V6DatagramAnswers",
       [](Script& s) {
         const int server = s.v6_bound_datagram(), client = s.bound_datagram();
         s.sendto(client, "question", v4("127.0.0.1", s.port_of(server)));
         s.recvmsg(server, 20);
         s.sendto(server, "answer", mapped(s.name_of(client)));
         s.recvmsg(client, 20);
         s.names(server);
       }},
      {"V6DatagramNames",
       [](Script& s) {
         const int to = s.v6_bound_datagram();
         const in_port_t port = s.port_of(to);
         for (const char* host : {"::1", "::ffff:127.0.0.1", "::"}) {
           const int fd = s.v6_datagram();
           s.connect(fd, v6(host, port));
           s.names(fd);
           s.send(fd, "x");
           s.recvmsg(to, 10);
         }
         const int unbound = s.v6_datagram();
         s.sendto(unbound, "x", v6("::1", port));
         s.getsockname(unbound, 28);
         s.recvmsg(to, 10);
       }},
      {"V6DatagramBoundToOneFamily",
       [](Script& s) {
         const int loopback = s.v6_bound_datagram("::1"), v4_only = s.v6_bound_datagram("::ffff:127.0.0.1");
         const int v4_socket = s.bound_datagram();
         s.sendto(loopback, "x", mapped(s.name_of(v4_socket)));
         s.sendto(v4_only, "x", mapped(s.name_of(v4_socket)));
         s.recvmsg(v4_socket, 10);
         s.sendto(loopback, "x", v6("::1", s.port_of(loopback)));
         s.recvmsg(loopback, 10);
         s.sendto(v4_only, "x", v6("::", s.port_of(v4_only)));
         s.recvmsg(v4_only, 10);
       }},
      {"V6OnlyDatagramSocketHearsNoV4",
       [](Script& s) {
         const int to = s.v6_datagram();
         v6_only(s, to);
         s.bind(to, v6("::"));
         const int from = s.datagram();
         s.connect(from, v4("127.0.0.1", s.port_of(to)));
         s.send(from, "x");
         s.await(from, POLLIN);
         s.recv(from, 1, MSG_DONTWAIT);
         s.recv(to, 1, MSG_DONTWAIT);
       }},
      {"V6DatagramToNobody",
       [](Script& s) {
         const int victim = s.v6_bound_datagram("::1");
         const in_port_t port = s.port_of(victim);
         s.drop(victim);
         const int fd = s.v6_datagram();
         s.connect(fd, v6("::1", port));
         s.send(fd, "x");
         s.await(fd, POLLIN);
         s.recv(fd, 1, MSG_DONTWAIT);
       }},
      {"V6SendWithAnotherLengthOrFamily",
       [](Script& s) {
         const int to = s.v6_bound_datagram();
         const sockaddr_in6 there = v6("::1", s.port_of(to));
         for (const socklen_t length : {0u, 1u, 2u, 16u, 23u, 24u, 129u})
           s.sendto(s.v6_datagram(), "x", there, 0, length);
         sockaddr_in6 wrong = there;
         wrong.sin6_family = AF_UNIX;
         s.sendto(s.v6_datagram(), "x", wrong);
         wrong.sin6_family = AF_UNSPEC;
         s.sendto(s.v6_datagram(), "x", wrong);
         s.sendto(s.datagram(), "x", there);
         s.sendto(s.datagram(), "x", v4("127.0.0.1", 9), 0, 0);
         s.sendto(s.v6_datagram(), "x", v6("::1", 0));
         sockaddr_in unspecified = v4("127.0.0.1", s.port_of(to));
         unspecified.sin_family = AF_UNSPEC;
         s.sendto(s.datagram(), "x", unspecified);
       }},
      {"V4DatagramSocketComesBeforeTheDualOne",
       [](Script& s) {
         const int dual = s.v6_datagram(), of_v4 = s.datagram();
         for (const int fd : {dual, of_v4}) s.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
         s.bind(dual, v6("::"));
         const in_port_t port = s.port_of(dual);
         s.bind(of_v4, v4("0.0.0.0", port));
         s.sendto(s.datagram(), "x", v4("127.0.0.1", port));
         s.recv(dual, 1, MSG_DONTWAIT);
         s.recv(of_v4, 1, MSG_DONTWAIT);
       }},
  };
}

}  // namespace millrace::posix::test
