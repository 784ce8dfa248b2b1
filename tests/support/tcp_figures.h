#pragma once

#include <cstdint>
#include <vector>

#include "socket/socket.h"

namespace millrace::test {

/// What TCP_INFO tells of a connection, but for the delivery rate.
[[nodiscard]] inline std::vector<std::uint64_t> figures(const TcpInfo& i) {
  return {i.state,         i.retransmits,   i.probes,         i.backoff,
          i.timestamps,    i.sack,          i.window_scaling, i.ecn,
          i.syn_data,      i.ca_state,      i.snd_wscale,     i.rcv_wscale,
          i.rto,           i.ato,           i.snd_mss,        i.rcv_mss,
          i.advmss,        i.pmtu,          i.unacked,        i.sacked,
          i.lost,          i.retrans,       i.last_data_sent, i.last_data_recv,
          i.last_ack_recv, i.rcv_ssthresh,  i.snd_ssthresh,   i.snd_cwnd,
          i.rtt,           i.rttvar,        i.min_rtt,        i.rcv_rtt,
          i.rcv_space,     i.reordering,    i.total_retrans,  i.reord_seen,
          i.dsack_dups,    i.rcv_ooopack,   i.bytes_acked,    i.bytes_received,
          i.bytes_sent,    i.bytes_retrans, i.segs_out,       i.segs_in,
          i.data_segs_in,  i.data_segs_out, i.notsent_bytes,  i.snd_wnd,
          i.pacing_rate};
}

}  // namespace millrace::test
