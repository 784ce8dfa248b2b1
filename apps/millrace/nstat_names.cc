#include "nstat_names.h"

#include <algorithm>
#include <array>

namespace millrace::command {

namespace {

/// In the order of /proc/net/snmp.
constexpr std::array<std::string_view, 73> kNames{
    "IpInReceives",
    "IpInHdrErrors",
    "IpInAddrErrors",
    "IpForwDatagrams",
    "IpInUnknownProtos",
    "IpInDiscards",
    "IpInDelivers",
    "IpOutRequests",
    "IpOutDiscards",
    "IpOutNoRoutes",
    "IpReasmTimeout",
    "IpReasmReqds",
    "IpReasmOKs",
    "IpReasmFails",
    "IpFragOKs",
    "IpFragFails",
    "IpFragCreates",
    "IcmpInMsgs",
    "IcmpInErrors",
    "IcmpInCsumErrors",
    "IcmpInDestUnreachs",
    "IcmpInTimeExcds",
    "IcmpInParmProbs",
    "IcmpInSrcQuenchs",
    "IcmpInRedirects",
    "IcmpInEchos",
    "IcmpInEchoReps",
    "IcmpInTimestamps",
    "IcmpInTimestampReps",
    "IcmpInAddrMasks",
    "IcmpInAddrMaskReps",
    "IcmpOutMsgs",
    "IcmpOutErrors",
    "IcmpOutRateLimitGlobal",
    "IcmpOutRateLimitHost",
    "IcmpOutDestUnreachs",
    "IcmpOutTimeExcds",
    "IcmpOutParmProbs",
    "IcmpOutSrcQuenchs",
    "IcmpOutRedirects",
    "IcmpOutEchos",
    "IcmpOutEchoReps",
    "IcmpOutTimestamps",
    "IcmpOutTimestampReps",
    "IcmpOutAddrMasks",
    "IcmpOutAddrMaskReps",
    "TcpActiveOpens",
    "TcpPassiveOpens",
    "TcpAttemptFails",
    "TcpEstabResets",
    "TcpInSegs",
    "TcpOutSegs",
    "TcpRetransSegs",
    "TcpInErrs",
    "TcpOutRsts",
    "TcpInCsumErrors",
    "UdpInDatagrams",
    "UdpNoPorts",
    "UdpInErrors",
    "UdpOutDatagrams",
    "UdpRcvbufErrors",
    "UdpSndbufErrors",
    "UdpInCsumErrors",
    "UdpIgnoredMulti",
    "UdpMemErrors",
    "UdpLiteInDatagrams",
    "UdpLiteNoPorts",
    "UdpLiteInErrors",
    "UdpLiteOutDatagrams",
    "UdpLiteRcvbufErrors",
    "UdpLiteSndbufErrors",
    "UdpLiteInCsumErrors",
    "UdpLiteIgnoredMulti",
};
/// What /proc/net/snmp6 has, and then /proc/net/netstat.
constexpr std::array<std::string_view, 5> kGroups{"Ip6", "Icmp6", "Udp6", "TcpExt", "IpExt"};

}  // namespace

std::size_t nstat_place(std::string_view name) {
  const auto* const exact = std::find(kNames.begin(), kNames.end(), name);
  if (exact != kNames.end()) return static_cast<std::size_t>(exact - kNames.begin());
  const auto* const group = std::find_if(kGroups.begin(), kGroups.end(),
                                         [&](std::string_view prefix) { return name.starts_with(prefix); });
  if (group == kGroups.end()) return std::string_view::npos;
  return kNames.size() + static_cast<std::size_t>(group - kGroups.begin());
}

}  // namespace millrace::command
