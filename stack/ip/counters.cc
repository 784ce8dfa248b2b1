#include "ip/counters.h"

#include <array>

namespace millrace::ip {

bool counts_drop(Counter counter) {
  switch (counter) {
    case Counter::kInHdrErrors:
    case Counter::kInAddrErrors:
    case Counter::kInUnknownProtos:
    case Counter::kInDiscards:
    case Counter::kInTruncatedPkts:
    case Counter::kInCsumErrors:
    case Counter::kReasmOverlaps:
    case Counter::kIcmpInErrors:
    case Counter::kIcmpInCsumErrors:
    case Counter::kIcmpInSrcQuenchs:
    case Counter::kIcmpInRedirects:
    case Counter::kInNotOurs:
    case Counter::kInMartianSource:
    case Counter::kInMulticast:
    case Counter::kInUnicastInBroadcast:
    case Counter::kInSourceRouted:
    case Counter::kReasmDuplicates:
    case Counter::kReasmTiny:
    case Counter::kReasmInvalid:
    case Counter::kIcmpInOther:
    case Counter::kIcmpInBroadcastEcho:
    case Counter::kPathMtuIgnored:
      return true;
    default:
      return false;
  }
}

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
