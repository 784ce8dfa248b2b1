#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "differential_cases.h"

namespace millrace::posix::test {

namespace {

template <int kLevel, int kOption>
void toggle(Script& s) {
  for (const int fd : {s.stream(), s.datagram()}) {
    s.getsockopt(fd, kLevel, kOption);
    s.setsockopt(fd, kLevel, kOption, 7);
    s.getsockopt(fd, kLevel, kOption);
    s.setsockopt(fd, kLevel, kOption, 0);
    s.getsockopt(fd, kLevel, kOption);
  }
}

template <int kOption>
void tcp_number(Script& s) {
  const int fd = s.stream();
  s.getsockopt(fd, IPPROTO_TCP, kOption);
  for (const int value : {-1, 0, 1, 5, 33, 127, 128, 40000}) {
    s.setsockopt(fd, IPPROTO_TCP, kOption, value);
    s.getsockopt(fd, IPPROTO_TCP, kOption);
  }
}

}  // namespace

std::vector<Case> option_cases() {
  return {
      {"KindOfASocket",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.getsockopt(fd, SOL_SOCKET, SO_TYPE);
           s.getsockopt(fd, SOL_SOCKET, SO_DOMAIN);
           s.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL);
           s.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN);
           s.setsockopt(fd, SOL_SOCKET, SO_TYPE, 1);
           s.setsockopt(fd, SOL_SOCKET, SO_ERROR, 1);
         }
         s.getsockopt(s.listener(), SOL_SOCKET, SO_ACCEPTCONN);
       }},
      {"ReuseAddress", toggle<SOL_SOCKET, SO_REUSEADDR>},
      {"ReusePort", toggle<SOL_SOCKET, SO_REUSEPORT>},
      {"Broadcast", toggle<SOL_SOCKET, SO_BROADCAST>},
      {"Keepalive", toggle<SOL_SOCKET, SO_KEEPALIVE>},
      {"OutOfBandInline", toggle<SOL_SOCKET, SO_OOBINLINE>},
      {"NoDelay", toggle<IPPROTO_TCP, TCP_NODELAY>},
      {"Cork", toggle<IPPROTO_TCP, TCP_CORK>},
      {"KeepaliveIdle", tcp_number<TCP_KEEPIDLE>},
      {"KeepaliveInterval", tcp_number<TCP_KEEPINTVL>},
      {"KeepaliveCount", tcp_number<TCP_KEEPCNT>},
      {"SynCount", tcp_number<TCP_SYNCNT>},
      {"UserTimeout", tcp_number<TCP_USER_TIMEOUT>},
      {"MaxSegment",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG);
         for (const int value : {-1, 40, 87, 88, 1000, 32767, 32768})
           s.setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, value);
       }},
      {"TypeOfService",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.getsockopt(fd, IPPROTO_IP, IP_TOS);
           s.setsockopt(fd, IPPROTO_IP, IP_TOS, 0x10);
           s.getsockopt(fd, IPPROTO_IP, IP_TOS);
           s.getsockopt(fd, IPPROTO_IP, IP_TOS, 1);
         }
       }},
      {"TimeToLive",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.getsockopt(fd, IPPROTO_IP, IP_TTL);
           for (const int value : {-1, 0, 1, 255, 256, 30}) s.setsockopt(fd, IPPROTO_IP, IP_TTL, value);
           s.getsockopt(fd, IPPROTO_IP, IP_TTL);
         }
       }},
      {"TimeToLiveInOneByte",
       [](Script& s) {
         const int fd = s.datagram();
         const unsigned char ttl = 9;
         s.setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, 1);
         s.getsockopt(fd, IPPROTO_IP, IP_TTL);
         s.getsockopt(fd, IPPROTO_IP, IP_TTL, 1);
       }},
      {"PathMtuDiscovery",
       [](Script& s) {
         const int fd = s.datagram();
         s.getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER);
         for (const int value : {-1, 0, 1, 2, 3, 9}) s.setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, value);
         s.getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER);
       }},
      {"PathMtuOfAnUnconnectedSocket",
       [](Script& s) {
         s.getsockopt(s.stream(), IPPROTO_IP, IP_MTU);
         s.getsockopt(s.datagram(), IPPROTO_IP, IP_MTU);
         s.setsockopt(s.datagram(), IPPROTO_IP, IP_MTU, 1500);
       }},
      {"Linger",
       [](Script& s) {
         const int fd = s.stream();
         s.getsockopt(fd, SOL_SOCKET, SO_LINGER, sizeof(linger));
         const linger five{1, 5}, off{0, 9};
         s.setsockopt(fd, SOL_SOCKET, SO_LINGER, &five, sizeof five);
         s.getsockopt(fd, SOL_SOCKET, SO_LINGER, sizeof(linger));
         s.getsockopt(fd, SOL_SOCKET, SO_LINGER, 4);
         s.setsockopt(fd, SOL_SOCKET, SO_LINGER, &five, 4);
         s.setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
       }},
      {"Timeouts",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
             s.getsockopt(fd, SOL_SOCKET, option, sizeof(timeval));
             const timeval good{3, 240000}, bad{1, 1000000}, worse{1, -1}, zero{0, 0};
             s.setsockopt(fd, SOL_SOCKET, option, &good, sizeof good);
             s.getsockopt(fd, SOL_SOCKET, option, sizeof(timeval));
             s.getsockopt(fd, SOL_SOCKET, option, 8);
             s.setsockopt(fd, SOL_SOCKET, option, &bad, sizeof bad);
             s.setsockopt(fd, SOL_SOCKET, option, &worse, sizeof worse);
             s.setsockopt(fd, SOL_SOCKET, option, &good, 8);
             s.setsockopt(fd, SOL_SOCKET, option, &zero, sizeof zero);
             s.getsockopt(fd, SOL_SOCKET, option, sizeof(timeval));
           }
         }
       }},
      {"LowWaterMarkOption",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT);
           s.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, 100);
           s.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT);
           s.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, 0);
           s.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT);
         }
       }},
      {"BufferSizesReadBackDoubled",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 50000);
           s.getsockopt(fd, SOL_SOCKET, SO_RCVBUF);
         }
         const int fd = s.stream();
         s.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, 50000);
         s.getsockopt(fd, SOL_SOCKET, SO_SNDBUF);
       }},
      {"ErrorOfAFreshSocket",
       [](Script& s) {
         s.getsockopt(s.stream(), SOL_SOCKET, SO_ERROR);
         s.getsockopt(s.datagram(), SOL_SOCKET, SO_ERROR);
       }},
      {"OptionsThatNobodyKnows",
       [](Script& s) {
         for (const int fd : {s.stream(), s.datagram()}) {
           s.getsockopt(fd, SOL_SOCKET, 9999);
           s.setsockopt(fd, SOL_SOCKET, 9999, 1);
           s.getsockopt(fd, IPPROTO_IP, 9999);
           s.setsockopt(fd, IPPROTO_IP, 9999, 1);
           s.getsockopt(fd, IPPROTO_TCP, 9999);
           s.setsockopt(fd, IPPROTO_TCP, 9999, 1);
           s.getsockopt(fd, 9999, 1);
           s.setsockopt(fd, 9999, 1, 1);
         }
       }},
      {"OptionLengths",
       [](Script& s) {
         const int fd = s.stream();
         s.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1, 3);
         s.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1, 0);
         s.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1, static_cast<socklen_t>(-1));
         s.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, nullptr, 4);
         s.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1, 3);
         s.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, nullptr, 4);
         s.setsockopt(fd, IPPROTO_IP, IP_TOS, 4, 0);
         s.getsockopt(fd, SOL_SOCKET, SO_TYPE, 2);
         s.getsockopt(fd, SOL_SOCKET, SO_TYPE, 0);
         s.getsockopt(fd, SOL_SOCKET, SO_TYPE, 100);
         s.getsockopt(fd, SOL_SOCKET, SO_TYPE, static_cast<socklen_t>(-1));
         s.getsockopt(fd, SOL_SOCKET, SO_TYPE, std::nullopt);
         s.getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 2);
         s.getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 100);
       }},
      {"TcpStateInTcpInfo",
       [](Script& s) {
         const auto state = [&s](int fd) {
           struct tcp_info info {};
           socklen_t length = sizeof info.tcpi_state;
           s.note_result("getsockopt", s.calls().getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
           s.note("  state " + std::to_string(info.tcpi_state) + ", length " + std::to_string(length));
         };
         state(s.stream());
         const int listening = s.listener();
         state(listening);
         const auto [client, server] = s.connection(listening);
         state(client);
         state(server);
         s.shutdown(client, SHUT_WR);
         s.await(server, POLLRDHUP);
         state(server);
       }},
      {"NonblockingFlag",
       [](Script& s) {
         const int fd = s.stream();
         s.fcntl(fd, F_GETFL);
         s.fcntl(fd, F_SETFL, O_NONBLOCK);
         s.fcntl(fd, F_GETFL);
         s.ioctl(fd, FIONBIO, 0);
         s.fcntl(fd, F_GETFL);
         s.ioctl(fd, FIONBIO, 1);
         s.fcntl(fd, F_GETFL);
         s.fcntl(s.stream(SOCK_NONBLOCK), F_GETFL);
         s.fcntl(s.bad_fd(), F_GETFL);
       }},
      {"CloseOnExecFlag",
       [](Script& s) {
         const int fd = s.stream();
         s.fcntl(fd, F_GETFD);
         s.fcntl(fd, F_SETFD, FD_CLOEXEC);
         s.fcntl(fd, F_GETFD);
         s.fcntl(s.stream(SOCK_CLOEXEC), F_GETFD);
       }},
      {"UnknownControls",
       [](Script& s) {
         const int fd = s.stream();
         s.fcntl(fd, 9999);
         s.ioctl(s.bad_fd(), FIONREAD);
         s.ioctl(fd, TIOCSTI);
       }},
  };
}

}  // namespace millrace::posix::test
