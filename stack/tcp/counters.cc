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
      "TcpExtTCPReqQFullDoCookies",
      "TcpSynSourceLimited",
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
      "TcpExtTCPAbortOnClose",
      "TcpExtTCPFastRetrans",
      "TcpPartialAcks",
      "TcpExtTCPSlowStartRetrans",
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
