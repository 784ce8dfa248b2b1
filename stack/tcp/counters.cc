#include "tcp/counters.h"

#include <array>

namespace millrace::tcp {

bool counts_drop(Counter counter) {
  switch (counter) {
    case Counter::kInErrs:
    case Counter::kInCsumErrors:
    case Counter::kNoPort:
    case Counter::kListenOverflows:
    case Counter::kListenDrops:
    case Counter::kReqQFullDrop:
    case Counter::kSynSourceLimited:
    case Counter::kSynDeferred:
    case Counter::kSyncookiesFailed:
    case Counter::kPawsEstab:
    case Counter::kOutOfWindow:
    case Counter::kSynChallenge:
    case Counter::kRstIgnored:
    case Counter::kOldAck:
    case Counter::kNoAckFlag:
    case Counter::kOfoDrop:
    case Counter::kAfterClose:
    case Counter::kIcmpIgnored:
      return true;
    default:
      return false;
  }
}

std::string_view name_of(Counter counter) {
  static constexpr std::array<std::string_view, CounterSet<Counter>::kSize> kNames{
      "TcpInSegs",
      "TcpOutSegs",
      "TcpActiveOpens",
      "TcpPassiveOpens",
      "TcpAttemptFails",
      "TcpEstabResets",
      "TcpRetransSegs",
      "TcpInErrs",
      "TcpInCsumErrors",
      "TcpOutRsts",
      "TcpNoPort",
      "TcpExtListenOverflows",
      "TcpExtListenDrops",
      "TcpExtTCPReqQFullDrop",
      "TcpExtTCPReqQFullDoCookies",
      "TcpSynSourceLimited",
      "TcpSynDeferred",
      "TcpSynEvicted",
      "TcpExtEmbryonicRsts",
      "TcpExtSyncookiesSent",
      "TcpExtSyncookiesRecv",
      "TcpExtSyncookiesFailed",
      "TcpExtPAWSEstab",
      "TcpOutOfWindow",
      "TcpExtTCPChallengeACK",
      "TcpChallengeAckLimited",
      "TcpExtTCPSYNChallenge",
      "TcpRstIgnored",
      "TcpOldAck",
      "TcpNoAckFlag",
      "TcpExtTCPPureAcks",
      "TcpExtDelayedACKs",
      "TcpExtTCPOFOQueue",
      "TcpExtTCPOFODrop",
      "TcpOFODuplicateBytes",
      "TcpExtPruneCalled",
      "TcpExtTCPRcvCollapsed",
      "TcpExtOfoPruned",
      "TcpExtRcvPruned",
      "TcpExtTCPAbortOnClose",
      "TcpExtTCPFastRetrans",
      "TcpPartialAcks",
      "TcpExtTCPSlowStartRetrans",
      "TcpExtTCPLostRetransmit",
      "TcpExtTCPSackRecovery",
      "TcpExtTCPRenoRecovery",
      "TcpExtTCPSACKReneging",
      "TcpExtTCPSACKDiscard",
      "TcpExtTCPDSACKRecv",
      "TcpExtTCPDSACKUndo",
      "TcpExtTCPFullUndo",
      "TcpExtTCPLossUndo",
      "TcpExtTCPSpuriousRTOs",
      "TcpExtTCPLossProbes",
      "TcpExtTCPLossProbeRecovery",
      "TcpExtTCPTimeouts",
      "TcpExtTCPWinProbe",
      "TcpExtTCPKeepAlive",
      "TcpExtTCPAbortOnTimeout",
      "TcpExtTCPAbortOnData",
      "TcpExtTCPAbortOnLinger",
      "TcpExtTW",
      "TcpExtTWRecycled",
      "TcpExtTCPTimeWaitOverflow",
      "TcpExtTCPRcvCoalesce",
      "TcpOutNoMemory",
      "TcpOutBlocked",
      "TcpSmallQueueWaits",
      "TcpExtTCPSpuriousRtxHostQueues",
      "TcpExtTCPFastOpenActive",
      "TcpExtTCPFastOpenActiveFail",
      "TcpExtTCPFastOpenBlackhole",
      "TcpExtTCPFastOpenPassive",
      "TcpExtTCPFastOpenPassiveFail",
      "TcpExtTCPFastOpenListenOverflow",
      "TcpExtTCPFastOpenCookieReqd",
      "TcpIcmpIgnored",
      "TcpPathMtuReduced",
      "TcpExtTCPMTUPFail",
      "TcpExtTCPMTUPSuccess",
      "TcpMtuBlackHole",
      "TcpFellAsleep",
      "TcpWokeUp",
  };
  return kNames[static_cast<std::size_t>(counter)];
}

}  // namespace millrace::tcp
