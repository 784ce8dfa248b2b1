#pragma once

#include <cstdint>
#include <string_view>

#include "base/counters.h"

namespace millrace::tcp {

enum class Counter : std::uint8_t {
  kInSegs,
  kOutSegs,
  kActiveOpens,
  kPassiveOpens,
  kAttemptFails,
  kEstabResets,
  kRetransSegs,
  kInErrs,  ///< header malformed
  kInCsumErrors,
  kOutRsts,
  kNoPort,           ///< no connection and no listener: answered with RST
  kListenOverflows,  ///< accept queue full
  kListenDrops,
  kReqQFullDrop,       ///< SYN queue full
  kReqQFullDoCookies,  ///< ... and answered with a cookie
  kSynSourceLimited,   ///< SYN of a source address that holds its share of the SYN queue
  kSynDeferred,        ///< new SYNs beyond syn_cookie_rate: answered when they come again
  kSynEvicted,         ///< requests that made room for a new SYN
  kEmbryonicRsts,      ///< requests that ended with a RST
  kSyncookiesSent,
  kSyncookiesRecv,    ///< ACKs that brought a cookie back
  kSyncookiesFailed,  ///< ... that was none
  kPawsEstab,         ///< PAWS rejected
  kOutOfWindow,       ///< unacceptable sequence number
  kChallengeAck,
  kChallengeAckLimited,
  kSynChallenge,
  kRstIgnored,  ///< RST in window but not at rcv_nxt (RFC 5961), or in TIME-WAIT (RFC 1337)
  kOldAck,      ///< ACK older than snd_una - max_window (RFC 5961 §5)
  kNoAckFlag,
  kPureAcks,
  kDelayedAcks,
  kOfoQueue,      ///< segments that came out of order and were queued
  kOfoDrop,       ///< ... refused: over the memory limit
  kOfoDuplicate,  ///< bytes we had already
  kPruneCalled,   ///< received payload held more storage than the receive buffer allows
  kRcvCollapsed,  ///< ... packets that were copied together
  kOfoPruned,     ///< ... times that what came out of order was dropped from its far end
  kRcvPruned,     ///< ... segments refused
  kAfterClose,    ///< data for a socket nobody reads: answered with RST
  kFastRetrans,
  kPartialAcks,
  kSlowStartRetrans,
  kLostRetransmit,  ///< a segment sent again was lost again
  kSackRecovery,
  kRenoRecovery,
  kSackReneging,      ///< the peer dropped what it had reported
  kSackDiscarded,     ///< a block that makes no sense
  kDsackReceived,     ///< the peer got something twice
  kDsackUndo,         ///< a reduction taken back: all sent again came twice
  kFullUndo,          ///< ... by timestamp, of a fast recovery
  kLossUndo,          ///< ... by timestamp, of a timeout
  kSpuriousTimeouts,  ///< found by F-RTO
  kLossProbes,
  kLossProbeRecovery,  ///< losses that a probe repaired
  kTimeouts,
  kWindowProbes,
  kKeepAlives,
  kAbortOnTimeout,
  kAbortOnData,  ///< closed with unread data
  kAbortOnLinger,
  kTimeWait,
  kTimeWaitRecycled,
  kTimeWaitOverflow,
  kRcvCoalesce,
  kOutNoMemory,
  kOutBlocked,              ///< connections that had to wait for the device
  kSmallQueueWaits,         ///< ... because enough of theirs waited there
  kStillInDevice,           ///< timers that expired for what had not left our interface
  kFastOpenActive,          ///< data in our SYN was acknowledged
  kFastOpenActiveFail,      ///< ... was not, and went out again
  kFastOpenBlackhole,       ///< a destination not tried because such data was lost there
  kFastOpenPassive,         ///< connections made of a SYN with data
  kFastOpenPassiveFail,     ///< cookies that were not ours
  kFastOpenListenOverflow,  ///< SYNs beyond the queue that TCP_FASTOPEN asked for
  kFastOpenCookieRequests,
  kIcmpIgnored,  ///< ICMP error outside the window (RFC 5927)
  kPathMtuReduced,
  kMtuProbeFail,     ///< path MTU probes that did not arrive
  kMtuProbeSuccess,  ///< ... that did
  kMtuBlackHole,     ///< timeouts that were taken for packets too large
  kFellAsleep,       ///< connections that became dormant
  kWokeUp,           ///< ... and did not stay so
  kCount,
};
[[nodiscard]] std::string_view name_of(Counter counter);
/// It says that a received frame was dropped, or what it asked for refused.
[[nodiscard]] bool counts_drop(Counter counter);

}  // namespace millrace::tcp
