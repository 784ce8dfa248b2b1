#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include "differential_cases.h"

namespace millrace::posix::test {

namespace {

/// Reads, sets each value, and reads again, on sockets of both kinds and families.
void each_value(Script& s, int level, int option, std::initializer_list<int> values) {
  for (const int fd : {s.stream(), s.datagram(), s.v6_stream(), s.v6_datagram()}) {
    s.getsockopt(fd, level, option);
    for (const int value : values) {
      s.setsockopt(fd, level, option, value);
      s.getsockopt(fd, level, option);
    }
    s.getsockopt(fd, level, option, 1);
    s.setsockopt(fd, level, option, 1, 2);
    s.setsockopt(fd, level, option, 1, 0);
  }
}

template <int kLevel, int kOption>
void on_and_off(Script& s) {
  each_value(s, kLevel, kOption, {1, 5, 0, -1, 0});
}
/// What the stack cannot switch on is off, and may be told so.
template <int kLevel, int kOption>
void off(Script& s) {
  for (const int fd : {s.stream(), s.datagram(), s.v6_stream(), s.v6_datagram()}) {
    s.getsockopt(fd, kLevel, kOption);
    s.setsockopt(fd, kLevel, kOption, 0);
    s.getsockopt(fd, kLevel, kOption);
  }
}
template <int kLevel, int kOption>
void range(Script& s) {
  each_value(s, kLevel, kOption, {-2, -1, 0, 1, 2, 3, 5, 6, 7, 64, 255, 256});
}

void congestion(Script& s, int fd, const char* name, socklen_t length) {
  s.setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, length);
}

}  // namespace

std::vector<Case> ip_option_cases() {
  return {
      // --- SOL_SOCKET
      {"PriorityOption",
       [](Script& s) {
         each_value(s, SOL_SOCKET, SO_PRIORITY, {0, 6, 7, 3});
       }},
      {"PriorityFollowsTos",
       [](Script& s) {
         const int fd = s.datagram();
         for (const int tos : {0x10, 0x08, 0x04, 0x18, 0xb8, 0x02, 0}) {
           s.setsockopt(fd, IPPROTO_IP, IP_TOS, tos);
           s.getsockopt(fd, SOL_SOCKET, SO_PRIORITY);
         }
       }},
      {"MarkOption",
       [](Script& s) {
         each_value(s, SOL_SOCKET, SO_MARK, {0, 7, -1});
       }},
      {"BusyPollOption",
       [](Script& s) {
         each_value(s, SOL_SOCKET, SO_BUSY_POLL, {50, 0, -1});
       }},
      {"IncomingCpuOption",
       [](Script& s) {
         each_value(s, SOL_SOCKET, SO_INCOMING_CPU, {1, 0});
       }},
      {"TimestampOption", on_and_off<SOL_SOCKET, SO_TIMESTAMP>},
      {"TimestampNanosecondsOption", on_and_off<SOL_SOCKET, SO_TIMESTAMPNS>},
      {"DontRouteOption", off<SOL_SOCKET, SO_DONTROUTE>},
      {"ZeroCopyOption",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.getsockopt(fd, SOL_SOCKET, SO_ZEROCOPY);
           s.setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, 0);
           s.setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, 2);
           s.setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, -1);
         }
       }},
      {"PacingRateOption",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE);
           s.getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 8);
           s.setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, -1);
           s.getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 8);
         }
       }},
      {"DeviceOption",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 1);
           s.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0);
           s.getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, IFNAMSIZ);
         }
       }},
      {"PeerCredentialsOfAnInetSocket",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.getsockopt(server, SOL_SOCKET, SO_PEERCRED, 12);
         s.getsockopt(server, SOL_SOCKET, SO_PEERCRED, 4);
         s.setsockopt(server, SOL_SOCKET, SO_PEERCRED, 1);
       }},
      {"WhatToolsAskOfAConnection",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
         char info[64];
         socklen_t length = sizeof info;
         s.note_result("getsockopt", s.calls().getsockopt(client, IPPROTO_TCP, TCP_CC_INFO, info, &length));
         s.note(std::to_string(length));
         length = sizeof info;
         s.note_result("getsockopt", s.calls().getsockopt(client, SOL_SOCKET, SO_MEMINFO, info, &length));
         s.note(std::to_string(length));
         s.setsockopt(client, SOL_SOCKET, SO_MEMINFO, 1);
       }},
      {"QueueOfAListener",
       [](Script& s) {
         const int listening = s.listener(0, 7);
         const auto look = [&] {
           tcp_info info{};
           socklen_t length = sizeof info;
           s.calls().getsockopt(listening, IPPROTO_TCP, TCP_INFO, &info, &length);
           s.note("state " + std::to_string(info.tcpi_state) + ", " + std::to_string(info.tcpi_unacked) +
                  " of " + std::to_string(info.tcpi_sacked));
         };
         look();
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.await(listening, POLLIN);
         look();
       }},
      {"CookieTellsSocketsApart",
       [](Script& s) {
         const auto cookie = [&s](int fd, socklen_t length) {
           unsigned long long value = 0;
           s.note_result("getsockopt", s.calls().getsockopt(fd, SOL_SOCKET, SO_COOKIE, &value, &length));
           s.note(std::to_string(length));
           return value;
         };
         const int a = s.stream(), b = s.stream();
         s.note(cookie(a, 8) == cookie(a, 8) ? "same" : "different");
         s.note(cookie(a, 8) == cookie(b, 16) ? "same" : "different");
         cookie(a, 4);
         s.setsockopt(a, SOL_SOCKET, SO_COOKIE, 1);
       }},
      {"SmallBuffersAreRaised",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           for (const int option : {SO_RCVBUF, SO_SNDBUF, SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
             for (const int value : {0, 1, 2000, 10000}) {
               s.setsockopt(fd, SOL_SOCKET, option, value);
               const bool receive = option == SO_RCVBUF || option == SO_RCVBUFFORCE;
               s.getsockopt(fd, SOL_SOCKET, receive ? SO_RCVBUF : SO_SNDBUF);
             }
             s.getsockopt(fd, SOL_SOCKET, option == SO_RCVBUFFORCE ? SO_RCVBUFFORCE : SO_SNDBUFFORCE);
           }
           s.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, -1);
           s.getsockopt(fd, SOL_SOCKET, SO_RCVBUF);
         }
       }},
      {"HugeBuffersAreClampedSilently",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           for (const int option : {SO_RCVBUF, SO_SNDBUF}) {
             for (const int value : {-1, INT32_MAX}) {
               s.setsockopt(fd, SOL_SOCKET, option, value);
               int size = 0;
               socklen_t length = sizeof size;
               s.calls().getsockopt(fd, SOL_SOCKET, option, &size, &length);
               s.note(size >= 2 * 212992 && size < INT32_MAX ? "clamped" : std::to_string(size));
             }
           }
         }
       }},
      {"ForcedDatagramBuffer",
       [](Script& s) {
         const int fd = s.datagram();
         s.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, 100 << 20);
         s.getsockopt(fd, SOL_SOCKET, SO_RCVBUF);
         s.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, 100 << 20);
         s.getsockopt(fd, SOL_SOCKET, SO_SNDBUF);
       }},
      {"SendLowWaterOption",
       [](Script& s) {
         s.getsockopt(s.stream(), SOL_SOCKET, SO_SNDLOWAT);
         s.setsockopt(s.stream(), SOL_SOCKET, SO_SNDLOWAT, 5);
       }},

      // --- IPPROTO_IP
      {"PacketInfoOption", on_and_off<IPPROTO_IP, IP_PKTINFO>},
      {"ReceiveTosOption", on_and_off<IPPROTO_IP, IP_RECVTOS>},
      {"ReceiveTtlOption", on_and_off<IPPROTO_IP, IP_RECVTTL>},
      {"OriginalDestinationOption", on_and_off<IPPROTO_IP, IP_RECVORIGDSTADDR>},
      {"FreeBindOption", on_and_off<IPPROTO_IP, IP_FREEBIND>},
      {"BindWithoutPortOption", on_and_off<IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT>},
      {"ReceiveErrorsIsOff", off<IPPROTO_IP, IP_RECVERR>},
      {"TransparentIsOff", off<IPPROTO_IP, IP_TRANSPARENT>},
      {"MtuDiscoverOption",
       [](Script& s) {
         each_value(s, IPPROTO_IP, IP_MTU_DISCOVER, {-1, 0, 1, 2, 3, 4, 5, 6});
       }},
      {"MulticastTtlOption", range<IPPROTO_IP, IP_MULTICAST_TTL>},
      {"MulticastLoopOption", on_and_off<IPPROTO_IP, IP_MULTICAST_LOOP>},
      {"MulticastAllOption", on_and_off<IPPROTO_IP, IP_MULTICAST_ALL>},
      {"IpOptionsAreNone",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, IPPROTO_IP, IP_OPTIONS, 40);
         s.setsockopt(fd, IPPROTO_IP, IP_OPTIONS, nullptr, 0);
       }},
      {"FreeBindToAnAddressOfNobody",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.setsockopt(fd, IPPROTO_IP, IP_FREEBIND, 1);
           s.bind(fd, address_of("198.51.100.1", 0));
           s.names(fd);
         }
         const int listening = s.stream();
         s.setsockopt(listening, IPPROTO_IP, IP_FREEBIND, 1);
         s.bind(listening, address_of("198.51.100.1", 0));
         s.listen(listening, 1);
       }},
      {"FreeBoundCannotSpeak",
       [](Script& s) {
         const int listening = s.listener(), to = s.bound_datagram();
         const int client = s.stream(), datagram = s.datagram();
         for (const int fd : {client, datagram}) {
           s.setsockopt(fd, IPPROTO_IP, IP_FREEBIND, 1);
           s.bind(fd, address_of("198.51.100.1", 0));
         }
         s.connect(client, s.name_of(listening));
         s.sendto(datagram, "x", s.name_of(to));
       }},
      {"BindWithoutPort",
       [](Script& s) {
         const int listening = s.listener(), to = s.bound_datagram();
         for (const int fd : {s.stream(), s.datagram()}) {
           s.setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
           s.bind(fd, address_of("127.0.0.9", 0));
           s.names(fd);
         }
         const int client = s.stream();
         s.setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
         s.bind(client, address_of("127.0.0.9", 0));
         s.connect(client, s.name_of(listening));
         s.names(client);
         const int datagram = s.datagram();
         s.setsockopt(datagram, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
         s.bind(datagram, address_of("127.0.0.9", 0));
         s.connect(datagram, s.name_of(to));
         s.names(datagram);
         const int later = s.stream();
         s.setsockopt(later, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
         s.bind(later, address_of("127.0.0.9", 0));
         s.listen(later, 1);
         s.names(later);
       }},

      // --- IPPROTO_IPV6
      {"V6ClassOption", range<IPPROTO_IPV6, IPV6_TCLASS>},
      {"V6HopsOption", range<IPPROTO_IPV6, IPV6_UNICAST_HOPS>},
      {"V6MulticastHopsOption", range<IPPROTO_IPV6, IPV6_MULTICAST_HOPS>},
      {"V6MulticastLoopOption", on_and_off<IPPROTO_IPV6, IPV6_MULTICAST_LOOP>},
      {"V6MtuDiscoverOption", range<IPPROTO_IPV6, IPV6_MTU_DISCOVER>},
      {"V6DontFragmentOption",
       [](Script& s) {
         for (const int fd : {s.v6_stream(), s.v6_datagram()}) {
           for (const int value : {1, 0, 7, -1}) {
             s.setsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG, value);
             s.getsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG);
           }
         }
       }},
      {"V6PacketInfoOption", on_and_off<IPPROTO_IPV6, IPV6_RECVPKTINFO>},
      {"V6ReceiveClassOption", on_and_off<IPPROTO_IPV6, IPV6_RECVTCLASS>},
      {"V6ReceiveHopsOption", on_and_off<IPPROTO_IPV6, IPV6_RECVHOPLIMIT>},
      {"V6FreeBindOption", on_and_off<IPPROTO_IPV6, IPV6_FREEBIND>},
      {"V6ReceiveErrorsIsOff", off<IPPROTO_IPV6, IPV6_RECVERR>},
      {"V6TransparentIsOff", off<IPPROTO_IPV6, IPV6_TRANSPARENT>},
      {"LevelsThatSocketsDoNotHave",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram(), s.v6_stream(), s.v6_datagram()}) {
           for (const int level : std::initializer_list<int>{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP,
                                                             IPPROTO_UDP, IPPROTO_ICMP, 9999}) {
             s.getsockopt(fd, level, 9999);
             s.setsockopt(fd, level, 9999, 1);
           }
         }
       }},

      // --- IPPROTO_TCP
      {"CongestionByName",
       [](Script& s) {
         const int fd = s.stream();
         congestion(s, fd, "reno", 4);
         s.getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, 16);
         s.getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, 4);
         s.getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, 64);
         congestion(s, fd, "reno\0garbage", 12);
         congestion(s, fd, "no_such_thing", 13);
         congestion(s, fd, "", 0);
         congestion(s, fd, "ren", 3);
         congestion(s, fd, "", 1);
         const int listening = s.listener();
         congestion(s, listening, "reno", 5);
         const auto [client, server] = s.connection(listening);
         s.getsockopt(server, IPPROTO_TCP, TCP_CONGESTION, 16);
         congestion(s, server, "reno", 4);
         congestion(s, s.datagram(), "reno", 4);
       }},
      {"DeferAcceptOption",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
         for (const int value : {-1, 0, 1, 2, 3, 4, 7, 8, 30, 200, 1000, 100000}) {
           s.setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, value);
           s.getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
         }
       }},
      {"DeferAcceptWaitsForData",
       [](Script& s) {
         const int listening = s.listener(SOCK_NONBLOCK);
         s.setsockopt(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.poll(listening, POLLIN, 50);
         s.accept(listening);
         s.send(client, "x");
         s.poll(listening, POLLIN, 1000);
         s.recv(s.accept(listening), 5, MSG_DONTWAIT);
       }},
      {"DeferAcceptEndsWithTheTime",
       [](Script& s) {
         const int listening = s.listener(SOCK_NONBLOCK);
         s.setsockopt(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.poll(listening, POLLIN, 100);  // far from the second, also on a slow machine
         s.poll(listening, POLLIN, 60'000);
         s.accept(listening);
       }},
      {"DeferAcceptTakesAFinForData",
       [](Script& s) {
         const int listening = s.listener(SOCK_NONBLOCK);
         s.setsockopt(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
         const int client = s.stream();
         s.connect(client, s.name_of(listening));
         s.shutdown(client, SHUT_WR);
         s.poll(listening, POLLIN, 1000);
         s.recv(s.accept(listening), 5, MSG_DONTWAIT);
       }},
      {"NotSentLowWaterOption",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
         for (const int value : {1, 16384, 0, -1}) {
           s.setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, value);
           s.getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
         }
       }},
      {"NotSentLowWaterEndsWritability",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.nonblocking(client);
         const std::string chunk(256 * 1024, 'x');
         const auto fill = [&, fd = client] {
           while (s.calls().send(fd, chunk.data(), chunk.size(), MSG_NOSIGNAL) > 0) {
           }
         };
         s.setsockopt(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1000);
         fill();
         s.poll(client, POLLOUT);
         struct tcp_info info {};
         socklen_t length = sizeof info;
         s.calls().getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length);
         s.note(info.tcpi_notsent_bytes >= 1000 && info.tcpi_notsent_bytes <= 256 * 1024 ? "some wait"
                                                                                         : "wrong");
         s.setsockopt(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1 << 30);
         s.poll(client, POLLOUT);
       }},
      {"SegmentSizeOfAListener",
       [](Script& s) {
         const int listening = s.listener();
         s.setsockopt(listening, IPPROTO_TCP, TCP_MAXSEG, 1000);
         const auto [client, server] = s.connection(listening);
         s.getsockopt(client, IPPROTO_TCP, TCP_MAXSEG);
         s.getsockopt(server, IPPROTO_TCP, TCP_MAXSEG);
       }},
  };
}

}  // namespace millrace::posix::test
