#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "differential_cases.h"

namespace millrace::posix::test {

namespace {

/// A msg_control buffer to send with.
class Control {
 public:
  template <typename T>
  Control& add(int level, int type, const T& value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + CMSG_SPACE(sizeof value));
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(sizeof value);
    header.cmsg_level = level;
    header.cmsg_type = type;
    memcpy(bytes_.data() + at, &header, sizeof header);
    memcpy(bytes_.data() + at + CMSG_LEN(0), &value, sizeof value);
    return *this;
  }
  /// Of the first message.
  Control& set_length(size_t length) {
    memcpy(bytes_.data(), &length, sizeof length);
    return *this;
  }
  [[nodiscard]] const std::vector<unsigned char>& bytes() const { return bytes_; }

 private:
  std::vector<unsigned char> bytes_;
};

void sendmsg(Script& s, int fd, std::string_view data, const Control& control, const void* to = nullptr,
             socklen_t length = 0) {
  iovec slice{const_cast<char*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  message.msg_name = const_cast<void*>(to);
  message.msg_namelen = length;
  message.msg_control = const_cast<unsigned char*>(control.bytes().data());
  message.msg_controllen = control.bytes().size();
  s.note_result("sendmsg", s.calls().sendmsg(fd, &message, MSG_NOSIGNAL));
}

std::string hex(const unsigned char* data, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[data[i] >> 4];
    text += kDigits[data[i] & 15];
  }
  return text;
}

/// Timestamps differ: whether they are near the present.
std::string about_now(const unsigned char* data, size_t size, bool nanoseconds) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  timespec then{};
  if (size < sizeof then) return "cut";
  memcpy(&then, data, sizeof then);
  if (!nanoseconds) then.tv_nsec *= 1000;
  const long long ago = (now.tv_sec - then.tv_sec) * 1000000000LL + (now.tv_nsec - then.tv_nsec);
  return ago >= -1000000 && ago < 2000000000 && then.tv_nsec >= 0 && then.tv_nsec < 1000000000 ? "now"
                                                                                               : "wrong";
}

/// Notes the flags and each message; `hide_port`: where IP_ORIGDSTADDR has it.
void note_control(Script& s, const msghdr& message) {
  s.note("  flags " + std::to_string(message.msg_flags) + ", control of " +
         std::to_string(message.msg_controllen));
  const auto* bytes = static_cast<const unsigned char*>(message.msg_control);
  size_t at = 0;
  while (at + sizeof(cmsghdr) <= message.msg_controllen) {
    cmsghdr header;
    memcpy(&header, bytes + at, sizeof header);
    std::vector<unsigned char> data(bytes + at + CMSG_LEN(0), bytes + at + header.cmsg_len);
    std::string text;
    if (header.cmsg_level == SOL_SOCKET &&
        (header.cmsg_type == SCM_TIMESTAMP || header.cmsg_type == SCM_TIMESTAMPNS)) {
      text = about_now(data.data(), data.size(), header.cmsg_type == SCM_TIMESTAMPNS);
    } else {
      if (header.cmsg_level == IPPROTO_IP && header.cmsg_type == IP_ORIGDSTADDR) data[2] = data[3] = 0;
      text = hex(data.data(), data.size());
    }
    s.note("  " + std::to_string(header.cmsg_level) + "/" + std::to_string(header.cmsg_type) + " " + text);
    at += CMSG_ALIGN(header.cmsg_len);
  }
}

void recvmsg(Script& s, int fd, size_t size = 20, int flags = 0, size_t room = 512) {
  std::string data(size, '\0');
  std::vector<unsigned char> control(room);
  iovec slice{data.data(), size};
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  message.msg_control = room != 0 ? control.data() : nullptr;
  message.msg_controllen = room;
  const ssize_t result = s.calls().recvmsg(fd, &message, flags);
  s.note_result("recvmsg", result);
  if (result >= 0) note_control(s, message);
}

/// The kernel starts to stamp what comes in some time after the first socket has asked for it, and goes on
/// while there is one.
void let_kernel_stamp() {
  static const int asking = [] {
    const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);  // nobody's but the kernel's
    constexpr int kOn = 1;
    if (::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &kOn, sizeof kOn) != 0) std::abort();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    return fd;
  }();
  (void)asking;
}

void request(Script& s, int fd, int level, std::initializer_list<int> options) {
  for (const int option : options) {
    if (level == SOL_SOCKET && (option == SO_TIMESTAMP || option == SO_TIMESTAMPNS)) let_kernel_stamp();
    s.setsockopt(fd, level, option, 1);
  }
}

in_pktinfo packet_info(const char* source, int index = 0) {
  in_pktinfo info{};
  info.ipi_spec_dst = address_of(source, 0).sin_addr;
  info.ipi_ifindex = index;
  return info;
}

in6_pktinfo v6_packet_info(const char* source) {
  in6_pktinfo info{};
  info.ipi6_addr = v6_address_of(source, 0).sin6_addr;
  return info;
}

}  // namespace

std::vector<Case> message_cases() {
  return {
      // --- receiving
      {"NothingIsToldUnasked",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "x");
         recvmsg(s, b);
       }},
      {"PacketInfoTosAndTtl",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         request(s, b, IPPROTO_IP, {IP_PKTINFO, IP_RECVTOS, IP_RECVTTL, IP_RECVORIGDSTADDR});
         s.setsockopt(a, IPPROTO_IP, IP_TOS, 0x28);
         s.setsockopt(a, IPPROTO_IP, IP_TTL, 33);
         s.send(a, "x");
         recvmsg(s, b, 20, MSG_PEEK);
         recvmsg(s, b);
       }},
      {"PacketInfoOfAWildcardSocket",
       [](Script& s) {
         const int fd = s.datagram();
         s.bind(fd, address_of("0.0.0.0", 0));
         request(s, fd, IPPROTO_IP, {IP_PKTINFO});
         s.sendto(s.datagram(), "x", address_of("127.3.2.1", s.port_of(fd)));
         recvmsg(s, fd);
       }},
      {"Timestamps",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         for (const int option : {SO_TIMESTAMP, SO_TIMESTAMPNS}) {
           request(s, b, SOL_SOCKET, {option});
           s.getsockopt(b, SOL_SOCKET, SO_TIMESTAMP);
           s.getsockopt(b, SOL_SOCKET, SO_TIMESTAMPNS);
           s.send(a, "x");
           recvmsg(s, b);
         }
         s.setsockopt(b, SOL_SOCKET, SO_TIMESTAMP, 0);
         s.getsockopt(b, SOL_SOCKET, SO_TIMESTAMPNS);
         s.send(a, "x");
         recvmsg(s, b);
       }},
      {"TimestampsOfAStream",
       [](Script& s) {
         const auto [client, server] = s.connection();
         request(s, server, SOL_SOCKET, {SO_TIMESTAMPNS});
         s.send(client, "abc");
         s.await(server, POLLIN);
         recvmsg(s, server, 2);
         recvmsg(s, server, 2);
       }},
      {"ControlIsCutToItsRoom",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         request(s, b, IPPROTO_IP, {IP_PKTINFO, IP_RECVTTL});
         for (const size_t room : {0u, 8u, 16u, 20u, 28u, 32u, 40u, 48u, 52u, 56u}) {
           s.send(a, "x");
           recvmsg(s, b, 20, 0, room);
         }
       }},
      {"BytesLeftOnAStream",
       [](Script& s) {
         const auto [client, server] = s.connection();
         request(s, server, IPPROTO_TCP, {TCP_INQ});
         s.getsockopt(server, IPPROTO_TCP, TCP_INQ);
         s.setsockopt(server, IPPROTO_TCP, TCP_INQ, 2);
         s.send(client, "abcdef");
         s.await(server, POLLIN);
         recvmsg(s, server, 2);
         recvmsg(s, server, 2, MSG_PEEK);
         recvmsg(s, server, 20);
         s.send(client, "abc");
         s.shutdown(client, SHUT_WR);
         s.await(server, POLLRDHUP);
         recvmsg(s, server, 2);
         recvmsg(s, server, 2);
         recvmsg(s, server, 2);
       }},
      {"AcceptedSocketsInheritRequests",
       [](Script& s) {
         const int listening = s.listener();
         request(s, listening, IPPROTO_TCP, {TCP_INQ});
         request(s, listening, SOL_SOCKET, {SO_TIMESTAMP});
         const timeval timeout{3, 0};
         s.setsockopt(listening, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
         s.setsockopt(listening, SOL_SOCKET, SO_PRIORITY, 3);
         s.setsockopt(listening, SOL_SOCKET, SO_RCVLOWAT, 2);
         const auto [client, server] = s.connection(listening);
         s.getsockopt(server, IPPROTO_TCP, TCP_INQ);
         s.getsockopt(server, SOL_SOCKET, SO_TIMESTAMP);
         s.getsockopt(server, SOL_SOCKET, SO_RCVTIMEO, sizeof timeout);
         s.getsockopt(server, SOL_SOCKET, SO_PRIORITY);
         s.getsockopt(server, SOL_SOCKET, SO_RCVLOWAT);
       }},
      {"RequestsOfV6Sockets",
       [](Script& s) {
         const int fd = s.v6_bound_datagram();
         request(s, fd, IPPROTO_IPV6, {IPV6_RECVPKTINFO, IPV6_RECVTCLASS, IPV6_RECVHOPLIMIT});
         request(s, fd, IPPROTO_IP, {IP_PKTINFO, IP_RECVTOS, IP_RECVTTL});
         s.sendto(s.datagram(), "x", address_of("127.0.0.1", s.port_of(fd)));
         recvmsg(s, fd);
         const int from = s.v6_datagram();
         s.setsockopt(from, IPPROTO_IPV6, IPV6_TCLASS, 0x48);
         s.setsockopt(from, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9);
         s.sendto(from, "x", v6_address_of("::1", s.port_of(fd)));
         recvmsg(s, fd);
         s.sendto(s.v6_datagram(), "x", v6_address_of("::1", s.port_of(fd)));
         recvmsg(s, fd);
       }},
      {"MessageFlagsComeBack",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "abc");
         recvmsg(s, b, 2, MSG_CMSG_CLOEXEC);
         s.send(a, "abc");
         recvmsg(s, b, 2, MSG_TRUNC);
       }},

      // --- sending
      {"TosAndTtlOfOneDatagram",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         request(s, b, IPPROTO_IP, {IP_RECVTOS, IP_RECVTTL});
         sendmsg(s, a, "x", Control().add(IPPROTO_IP, IP_TOS, 0x20).add(IPPROTO_IP, IP_TTL, 5));
         recvmsg(s, b);
         sendmsg(s, a, "x", Control().add(IPPROTO_IP, IP_TOS, static_cast<unsigned char>(0x10)));
         recvmsg(s, b);
         s.send(a, "x");
         recvmsg(s, b);
         for (const int wrong : {-1, 0, 256}) {
           sendmsg(s, a, "x", Control().add(IPPROTO_IP, IP_TTL, wrong));
           sendmsg(s, a, "x", Control().add(IPPROTO_IP, IP_TOS, wrong));
         }
         sendmsg(s, a, "x", Control().add(IPPROTO_IP, IP_TTL, static_cast<unsigned char>(9)));
         sendmsg(s, a, "x", Control().add(IPPROTO_IP, IP_TOS, static_cast<short>(9)));
       }},
      {"SourceOfOneDatagram",
       [](Script& s) {
         const int from = s.datagram(), to = s.bound_datagram();
         s.bind(from, address_of("0.0.0.0", 0));
         const sockaddr_in there = s.name_of(to);
         for (const char* source : {"127.0.0.9", "0.0.0.0", "198.51.100.1", "127.0.0.1"}) {
           sendmsg(s, from, "x", Control().add(IPPROTO_IP, IP_PKTINFO, packet_info(source)), &there,
                   sizeof there);
           s.recvmsg(to, 10, MSG_DONTWAIT);
         }
         sendmsg(s, from, "x", Control().add(IPPROTO_IP, IP_PKTINFO, packet_info("127.0.0.1", 1)), &there,
                 sizeof there);
         s.recvmsg(to, 10, MSG_DONTWAIT);
         sendmsg(s, from, "x", Control().add(IPPROTO_IP, IP_PKTINFO, packet_info("127.0.0.1", 99)), &there,
                 sizeof there);
         sendmsg(s, from, "x", Control().add(IPPROTO_IP, IP_PKTINFO, 5), &there, sizeof there);
       }},
      {"SourceOfOneDatagramOfABoundSocket",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         const int to = s.bound_datagram();
         const sockaddr_in there = s.name_of(to);
         sendmsg(s, a, "x", Control().add(IPPROTO_IP, IP_PKTINFO, packet_info("127.0.0.9")), &there,
                 sizeof there);
         s.recvmsg(to, 10, MSG_DONTWAIT);
       }},
      {"ControlOfV6Sockets",
       [](Script& s) {
         const int from = s.v6_bound_datagram(), to = s.v6_bound_datagram();
         request(s, to, IPPROTO_IPV6, {IPV6_RECVTCLASS, IPV6_RECVHOPLIMIT});
         request(s, to, IPPROTO_IP, {IP_RECVTOS});
         const sockaddr_in6 loopback = v6_address_of("::1", s.port_of(to));
         const sockaddr_in6 v4 = v6_address_of("::ffff:127.0.0.1", s.port_of(to));
         sendmsg(s, from, "x",
                 Control().add(IPPROTO_IPV6, IPV6_TCLASS, 0x30).add(IPPROTO_IPV6, IPV6_HOPLIMIT, 7),
                 &loopback, sizeof loopback);
         recvmsg(s, to, 20, MSG_DONTWAIT);
         sendmsg(s, from, "x", Control().add(IPPROTO_IP, IP_TOS, 0x30), &v4, sizeof v4);
         recvmsg(s, to, 20, MSG_DONTWAIT);
         sendmsg(s, from, "x", Control().add(IPPROTO_IPV6, IPV6_PKTINFO, v6_packet_info("::ffff:127.0.0.7")),
                 &v4, sizeof v4);
         s.recvmsg(to, 20, MSG_DONTWAIT);
         sendmsg(s, from, "x", Control().add(IPPROTO_IPV6, IPV6_PKTINFO, v6_packet_info("::1")), &v4,
                 sizeof v4);
         sendmsg(s, from, "x", Control().add(IPPROTO_IPV6, IPV6_PKTINFO, v6_packet_info("::1")), &loopback,
                 sizeof loopback);
         s.recvmsg(to, 20, MSG_DONTWAIT);
         for (const int wrong : {-2, -1, 256})
           sendmsg(s, from, "x", Control().add(IPPROTO_IPV6, IPV6_TCLASS, wrong), &loopback, sizeof loopback);
       }},
      {"ControlThatSaysNothingHere",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         const auto [client, server] = s.connection();
         for (const int fd : {a, client}) {
           sendmsg(s, fd, "x", Control().add(SOL_SOCKET, SCM_RIGHTS, 0));
           sendmsg(s, fd, "x", Control().add(SOL_SOCKET, 9999, 0));
           sendmsg(s, fd, "x", Control().add(IPPROTO_IP, 9999, 0));
           sendmsg(s, fd, "x", Control().add(9999, 1, 0));
           sendmsg(s, fd, "x", Control().add(IPPROTO_IPV6, IPV6_TCLASS, 1));
           sendmsg(s, fd, "x", Control().add(SOL_SOCKET, SO_PRIORITY, 4));
           sendmsg(s, fd, "x", Control().add(SOL_SOCKET, SO_MARK, 4));
           sendmsg(s, fd, "x", Control().add(IPPROTO_IP, IP_TTL, 5).set_length(3));
           sendmsg(s, fd, "x", Control().add(IPPROTO_IP, IP_TTL, 5).set_length(4000));
         }
         sendmsg(s, s.datagram(), "x", Control().add(IPPROTO_IP, IP_TTL, 5));
       }},

      {"SendFlagsThatMeanNothing",
       [](Script& s) {
         const auto [client, server] = s.connection();
         s.send(client, "x", MSG_ZEROCOPY | MSG_NOSIGNAL);
         const auto [a, b] = s.datagram_pair();
         s.send(a, "x", MSG_ZEROCOPY);
         s.await(server, POLLIN);
         s.recv(server, 3);
         s.recv(b, 3);
       }},
  };
}

}  // namespace millrace::posix::test
