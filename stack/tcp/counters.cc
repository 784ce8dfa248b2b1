#include "tcp/counters.h"

#include <array>

namespace millrace::tcp {

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
      "TcpIcmpIgnored",
      "TcpPathMtuReduced",
  };
  return kNames[static_cast<std::size_t>(counter)];
}

}  // namespace millrace::tcp
