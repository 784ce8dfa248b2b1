#pragma once

#include <cstdint>
#include <string_view>

#include "base/counters.h"

namespace millrace::ip {

/// Those above the line are what nstat calls Ip*, IpExt* and Icmp*.
enum class Counter : std::uint8_t {
  kInReceives,
  kInHdrErrors,   ///< version, length, checksum or options wrong
  kInAddrErrors,  ///< a source or destination that must not be (the particular ones follow below)
  kInUnknownProtos,
  kInDiscards,  ///< no memory
  kInDelivers,
  kOutRequests,
  kOutDiscards,  ///< no memory
  kOutNoRoutes,
  kReasmTimeout,
  kReasmReqds,  ///< fragments received
  kReasmOKs,    ///< datagrams completed
  kReasmFails,  ///< datagrams given up, for whatever reason
  kFragOKs,
  kFragFails,
  kFragCreates,
  kInTruncatedPkts,  ///< the length field says more than came
  kInCsumErrors,
  kInBcastPkts,
  kOutBcastPkts,
  kReasmOverlaps,
  kIcmpInMsgs,
  kIcmpInErrors,  ///< malformed, or quoting what we never sent
  kIcmpInCsumErrors,
  kIcmpInDestUnreachs,
  kIcmpInTimeExcds,
  kIcmpInParmProbs,
  kIcmpInSrcQuenchs,  ///< ignored (RFC 6633)
  kIcmpInRedirects,   ///< ignored: routes are the owner's
  kIcmpInEchos,
  kIcmpInEchoReps,
  kIcmpOutMsgs,
  kIcmpOutDestUnreachs,
  kIcmpOutTimeExcds,
  kIcmpOutEchoReps,
  kIcmpOutRateLimitHost,
  // --- ours
  kInNotOurs,             ///< to another host: we do not forward
  kInMartianSource,       ///< from a broadcast, multicast, loopback or own address, off the wire
  kInMulticast,           ///< to a group; nobody here joins one
  kInUnicastInBroadcast,  ///< to us in a broadcast frame (RFC 1122 §3.3.6)
  kInSourceRouted,
  kReasmDuplicates,      ///< exact copies of a fragment, dropped
  kReasmTiny,            ///< fragments that split the TCP header (RFC 1858)
  kReasmInvalid,         ///< lengths and offsets that do not fit together
  kReasmEvicted,         ///< datagrams given up for newer ones, at a limit
  kIcmpInOther,          ///< types nobody here speaks
  kIcmpInBroadcastEcho,  ///< not answered
  kIcmpOutSuppressed,    ///< an error that RFC 1122 §3.2.2 forbids
  kLoopback,             ///< packets to our own addresses, which never touch a device
  kLoopbackDropped,      ///< the internal loopback's queue was full
  kPathMtuUpdates,
  kPathMtuIgnored,  ///< a claim that would not lower anything
  kPathMtuEvicted,
  kNeighbourFailed,  ///< packets of ours whose next hop did not answer
  kCount,
};
[[nodiscard]] std::string_view name_of(Counter counter);
/// It says that a received frame was dropped, or what it asked for refused.
[[nodiscard]] bool counts_drop(Counter counter);

}  // namespace millrace::ip
