// Options that Linux has and the stack has not, or not wholly: never a false success.
#include <linux/tcp.h>
#include <sys/time.h>

#include <cstddef>

#include "stack_fixture.h"

namespace millrace::posix::test {

namespace {

class OptionLimits : public StackFixture {
 protected:
  static int set(int fd, int level, int option, int value = 1) {
    return mr_setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : errno;
  }
};

struct Refused {
  int level, option, value;
};

TEST_F(OptionLimits, WhatIsNotThereIsNotGranted) {
  constexpr Refused kRefused[] = {
      {SOL_SOCKET, SO_MAX_PACING_RATE, 1000000},
      {SOL_SOCKET, SO_DONTROUTE, 1},
      {SOL_SOCKET, SO_TIMESTAMPING, 1},
      {SOL_SOCKET, SO_RXQ_OVFL, 1},
      {IPPROTO_IP, IP_RECVERR, 1},
      {IPPROTO_IP, IP_TRANSPARENT, 1},
      {IPPROTO_IP, IP_RECVOPTS, 1},
      {IPPROTO_IP, IP_OPTIONS, 1},
      {IPPROTO_IP, IP_MULTICAST_IF, 1},
      {IPPROTO_IP, IP_ADD_MEMBERSHIP, 1},
      {IPPROTO_IPV6, IPV6_RECVERR, 1},
      {IPPROTO_IPV6, IPV6_TRANSPARENT, 1},
      {IPPROTO_IPV6, IPV6_JOIN_GROUP, 1},
      {IPPROTO_TCP, TCP_WINDOW_CLAMP, 5000},
      {IPPROTO_TCP, TCP_ULP, 1},
  };
  const int fd = mr_socket(AF_INET6, SOCK_STREAM, 0);
  for (const Refused& one : kRefused)
    EXPECT_EQ(set(fd, one.level, one.option, one.value), ENOPROTOOPT) << one.level << "/" << one.option;
  const int datagram = mr_socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT_EQ(set(datagram, IPPROTO_IP, IP_RECVERR), ENOPROTOOPT);
  EXPECT_EQ(set(datagram, IPPROTO_UDP, 103), ENOPROTOOPT);  // UDP_SEGMENT
}

TEST_F(OptionLimits, ZeroCopyIsRefusedAsLinuxRefusesIt) {
  constexpr int kNotSupported = 524;  // ENOTSUPP, which libc does not name
  EXPECT_EQ(set(stream(), SOL_SOCKET, SO_ZEROCOPY), kNotSupported);
}

TEST_F(OptionLimits, AnInterfaceCannotBeBoundTo) {
  EXPECT_EQ(mr_setsockopt(stream(), SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), -1);
  EXPECT_EQ(errno, ENOPROTOOPT);
}

TEST_F(OptionLimits, TheStandInForTheV6LoopbackHasNoNameOfItsOwn) {
  sockaddr_in address = address_of("127.255.255.6", 0);
  EXPECT_EQ(mr_bind(stream(), generic(address), sizeof address), -1);
  EXPECT_EQ(errno, EADDRNOTAVAIL);
  address.sin_port = htons(9);
  EXPECT_EQ(mr_connect(stream(), generic(address), sizeof address), -1);
  EXPECT_EQ(errno, ENETUNREACH);
}

TEST_F(OptionLimits, NotSentLowWaterBlocksASenderUntilWhatWaitsIsSent) {
  const auto [client, server] = connection();
  ASSERT_EQ(set(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096), 0);
  constexpr std::size_t kTotal = 4 << 20;
  std::thread writer([fd = client] {
    const std::string data(kTotal, 'x');
    EXPECT_EQ(mr_send(fd, data.data(), data.size(), 0), static_cast<ssize_t>(kTotal));
  });
  std::size_t received = 0, most = 0;
  std::string buffer(65536, '\0');
  while (received < kTotal) {
    struct tcp_info info {};
    socklen_t length = sizeof info;
    ASSERT_EQ(mr_getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    most = std::max<std::size_t>(most, info.tcpi_notsent_bytes);
    const ssize_t n = mr_recv(server, buffer.data(), buffer.size(), 0);
    if (n <= 0) break;
    received += static_cast<std::size_t>(n);
  }
  writer.join();
  EXPECT_EQ(received, kTotal);
  EXPECT_LE(most, 4096u + 65536u);  // and a segment of the loopback's size
}

}  // namespace

}  // namespace millrace::posix::test
