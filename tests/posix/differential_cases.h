#pragma once

#include <ostream>
#include <vector>

#include "script.h"

namespace millrace::posix::test {

/// A script that the kernel and the stack must answer alike.
struct Case {
  const char* name;
  void (*run)(Script& script);
  friend void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
};

[[nodiscard]] std::vector<Case> naming_cases();     ///< socket, bind, listen, getsockname
[[nodiscard]] std::vector<Case> connect_cases();    ///< connect, accept, shutdown, poll after each
[[nodiscard]] std::vector<Case> transfer_cases();   ///< sending and receiving
[[nodiscard]] std::vector<Case> option_cases();     ///< options, fcntl, ioctl
[[nodiscard]] std::vector<Case> ip_option_cases();  ///< options of IP, IPv6, and the rarer ones
[[nodiscard]] std::vector<Case> message_cases();    ///< ancillary data
[[nodiscard]] std::vector<Case> batch_cases();      ///< sendmmsg, recvmmsg
[[nodiscard]] std::vector<Case> v6_cases();         ///< AF_INET6 and mapped addresses
[[nodiscard]] std::vector<Case> fast_open_cases();  ///< TCP_FASTOPEN, MSG_FASTOPEN
[[nodiscard]] std::vector<Case> epoll_cases();
[[nodiscard]] std::vector<Case> nested_cases();  ///< epoll sets in epoll sets

[[nodiscard]] std::vector<Case> all_cases();

}  // namespace millrace::posix::test
