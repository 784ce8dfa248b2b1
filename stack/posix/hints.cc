#include "posix/hints.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace millrace::posix {

namespace {

using Kind = HintOption::Kind;

/// In the order of Hint.
constexpr std::array<HintOption, kHintCount> kHints{{
    {SOL_SOCKET, SO_PRIORITY, 0, INT_MIN, INT_MAX, false, Kind::kAny, 0},
    {SOL_SOCKET, SO_MARK, 0, INT_MIN, INT_MAX, false, Kind::kAny, 0},
    {SOL_SOCKET, SO_INCOMING_CPU, -1, INT_MIN, INT_MAX, false, Kind::kAny, 0},
    {SOL_SOCKET, SO_BUSY_POLL, 0, 0, INT_MAX, false, Kind::kAny, 0},
    {IPPROTO_IP, IP_MULTICAST_TTL, 1, -1, 255, false, Kind::kDatagram, EINVAL},
    // Nothing is looped back while no socket can join a group; the two are true either way.
    {IPPROTO_IP, IP_MULTICAST_LOOP, 1, INT_MIN, INT_MAX, true, Kind::kAny, 0},
    {IPPROTO_IP, IP_MULTICAST_ALL, 1, 0, 1, false, Kind::kAny, 0},
    {IPPROTO_IPV6, IPV6_TCLASS, 0, -1, 255, false, Kind::kV6, 0},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1, -1, 255, false, Kind::kV6, 0},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1, -1, 255, false, Kind::kV6Datagram, ENOPROTOOPT},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 1, false, Kind::kV6, 0},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT, IPV6_PMTUDISC_DONT, IPV6_PMTUDISC_OMIT, false,
     Kind::kV6, 0},
    {IPPROTO_IPV6, IPV6_DONTFRAG, 0, INT_MIN, INT_MAX, true, Kind::kV6, 0},
}};

}  // namespace

HintValues::HintValues() {
  for (std::size_t i = 0; i < kHintCount; ++i) values_[i] = kHints[i].initial;
}

const HintOption& hint_option(Hint hint) {
  return kHints[hint];
}

Hint find_hint(int level, int option) {
  std::size_t i = 0;
  while (i < kHintCount && (kHints[i].level != level || kHints[i].option != option)) ++i;
  return static_cast<Hint>(i);
}

}  // namespace millrace::posix
