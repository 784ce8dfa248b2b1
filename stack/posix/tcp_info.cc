#include "posix/tcp_info.h"

namespace millrace::posix {

::tcp_info to_linux(const TcpInfo& info) {
  ::tcp_info out{};
  out.tcpi_state = info.state;
  out.tcpi_ca_state = info.ca_state;
  out.tcpi_retransmits = info.retransmits;
  out.tcpi_probes = info.probes;
  out.tcpi_backoff = info.backoff;
  out.tcpi_options = static_cast<std::uint8_t>(
      (info.timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (info.sack ? TCPI_OPT_SACK : 0) |
      (info.ecn ? TCPI_OPT_ECN : 0) | (info.window_scaling ? TCPI_OPT_WSCALE : 0) |
      (info.syn_data ? TCPI_OPT_SYN_DATA : 0));
  out.tcpi_snd_wscale = info.snd_wscale & 0xf;
  out.tcpi_rcv_wscale = info.rcv_wscale & 0xf;
  out.tcpi_rto = info.rto;
  out.tcpi_ato = info.ato;
  out.tcpi_snd_mss = info.snd_mss;
  out.tcpi_rcv_mss = info.rcv_mss;
  out.tcpi_unacked = info.unacked;
  out.tcpi_sacked = info.sacked;
  out.tcpi_lost = info.lost;
  out.tcpi_retrans = info.retrans;
  out.tcpi_last_data_sent = info.last_data_sent;
  out.tcpi_last_data_recv = info.last_data_recv;
  out.tcpi_last_ack_recv = info.last_ack_recv;
  out.tcpi_pmtu = info.pmtu;
  out.tcpi_rcv_ssthresh = info.rcv_ssthresh;
  out.tcpi_rtt = info.rtt;
  out.tcpi_rttvar = info.rttvar;
  out.tcpi_snd_ssthresh = info.snd_ssthresh;
  out.tcpi_snd_cwnd = info.snd_cwnd;
  out.tcpi_advmss = info.advmss;
  out.tcpi_reordering = info.reordering;
  out.tcpi_rcv_rtt = info.rcv_rtt;
  out.tcpi_rcv_space = info.rcv_space;
  out.tcpi_total_retrans = info.total_retrans;
  out.tcpi_bytes_acked = info.bytes_acked;
  out.tcpi_bytes_received = info.bytes_received;
  out.tcpi_segs_out = info.segs_out;
  out.tcpi_segs_in = info.segs_in;
  out.tcpi_notsent_bytes = info.notsent_bytes;
  out.tcpi_min_rtt = info.min_rtt;
  out.tcpi_data_segs_in = info.data_segs_in;
  out.tcpi_data_segs_out = info.data_segs_out;
  out.tcpi_delivery_rate = info.delivery_rate;
  out.tcpi_delivery_rate_app_limited = info.delivery_rate_app_limited ? 1 : 0;
  out.tcpi_pacing_rate = info.pacing_rate != 0 ? info.pacing_rate : ~std::uint64_t{0};
  out.tcpi_max_pacing_rate = ~std::uint64_t{0};
  out.tcpi_bytes_sent = info.bytes_sent;
  out.tcpi_bytes_retrans = info.bytes_retrans;
  out.tcpi_dsack_dups = info.dsack_dups;
  out.tcpi_reord_seen = info.reord_seen;
  out.tcpi_rcv_ooopack = info.rcv_ooopack;
  out.tcpi_snd_wnd = info.snd_wnd;
  return out;
}

}  // namespace millrace::posix
