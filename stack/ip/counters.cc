#include "ip/counters.h"

#include <array>

namespace millrace::ip {

std::string_view name_of(Counter counter) {
  static constexpr std::array<std::string_view, CounterSet<Counter>::kSize> kNames{
      "IpInReceives",         "IpInHdrErrors",     "IpInAddrErrors",      "IpInUnknownProtos",
      "IpInDiscards",         "IpInDelivers",      "IpOutRequests",       "IpOutDiscards",
      "IpOutNoRoutes",        "IpReasmTimeout",    "IpReasmReqds",        "IpReasmOKs",
      "IpReasmFails",         "IpFragOKs",         "IpFragFails",         "IpFragCreates",
      "IpExtInTruncatedPkts", "IpExtInCsumErrors", "IpExtInBcastPkts",    "IpExtOutBcastPkts",
      "IpExtReasmOverlaps",   "IcmpInMsgs",        "IcmpInErrors",        "IcmpInCsumErrors",
      "IcmpInDestUnreachs",   "IcmpInTimeExcds",   "IcmpInParmProbs",     "IcmpInSrcQuenchs",
      "IcmpInRedirects",      "IcmpInEchos",       "IcmpInEchoReps",      "IcmpOutMsgs",
      "IcmpOutDestUnreachs",  "IcmpOutTimeExcds",  "IcmpOutEchoReps",     "IcmpOutRateLimitHost",
      "IpInNotOurs",          "IpInMartianSource", "IpInMulticast",       "IpInUnicastInBroadcast",
      "IpInSourceRouted",     "IpReasmDuplicates", "IpReasmTiny",         "IpReasmInvalid",
      "IpReasmEvicted",       "IcmpInOther",       "IcmpInBroadcastEcho", "IcmpOutSuppressed",
      "IpLoopback",           "IpLoopbackDropped", "IpPathMtuUpdates",    "IpPathMtuIgnored",
      "IpPathMtuEvicted",     "IpNeighbourFailed",
  };
  static_assert(kNames.back() == "IpNeighbourFailed");
  return kNames[static_cast<std::size_t>(counter)];
}

}  // namespace millrace::ip
