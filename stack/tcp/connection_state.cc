// What a connection tells others of itself: tools (TCP_INFO, ss), and whoever would end it in our place.

#include <algorithm>

#include "tcp/connection.h"

namespace millrace::tcp {

void Connection::fill(TcpInfo& info, Instant now) const {
  const auto us = [](Duration d) {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
  };
  const auto ms_ago = [now](Instant t) {
    return t == Instant{} ? 0u : static_cast<std::uint32_t>(std::max<std::int64_t>(0, to_ms(now - t)));
  };
  const std::uint32_t mss = std::max(sender_.mss(), 1u);
  info.state = static_cast<std::uint8_t>(state_);
  info.retransmits = static_cast<std::uint8_t>(sender_.timeouts());
  info.backoff = static_cast<std::uint8_t>(sender_.backoff());
  info.probes = static_cast<std::uint8_t>(std::max<unsigned>(sender_.probes(), keepalive_probes_));
  info.timestamps = timestamps_;
  info.sack = sack_;
  info.ecn = ecn_;
  info.syn_data = syn_data_acknowledged_;
  info.snd_wscale = sender_.scale();
  info.rcv_wscale = receiver_.scale();
  info.window_scaling = info.rcv_wscale != 0;
  info.rto = us(sender_.rtt().backed_off(sender_.backoff()));
  info.ato = us(tcp_.config().delayed_ack);
  info.snd_mss = mss;
  info.rcv_mss = receiver_.receive_mss();
  info.advmss = payload_within(mtu_limit());  // Linux takes the timestamps off, too
  info.pmtu = path_mtu();
  info.unacked = (sender_.outstanding() + mss - 1) / mss;
  info.sacked = (sender_.board().sacked() + mss - 1) / mss;
  // Linux counts as lost also what is sent again and on its way.
  info.retrans = (sender_.board().sent_again() + mss - 1) / mss;
  info.lost = (sender_.board().lost() + mss - 1) / mss + info.retrans;
  switch (sender_.phase()) {
    case Sender::Phase::kOpen:
      info.ca_state = sender_.board().sacked() != 0 ? 1 : 0;
      break;
    case Sender::Phase::kCwr:
      info.ca_state = 2;
      break;
    case Sender::Phase::kRecovery:
      info.ca_state = 3;
      break;
    case Sender::Phase::kLoss:
      info.ca_state = 4;
      break;
  }
  info.last_data_sent = ms_ago(sender_.last_sent());
  info.last_data_recv = ms_ago(last_data_received_);
  info.last_ack_recv = ms_ago(last_received_);
  info.rtt = us(sender_.rtt().srtt());
  info.rttvar = us(sender_.rtt().rttvar());
  info.min_rtt = us(sender_.rtt().min_rtt());
  if (const CongestionControl* congestion = sender_.congestion(); congestion != nullptr) {
    info.snd_cwnd = std::max(1u, sender_.window() / mss);
    info.pacing_rate = sender_.pacing_rate();
    info.delivery_rate = sender_.last_rate();
    info.delivery_rate_app_limited = sender_.last_rate_app_limited();
    info.snd_ssthresh = congestion->ssthresh() == UINT32_MAX ? 0x7fffffff : congestion->ssthresh() / mss;
  }
  info.rcv_space = receiver_.limit();
  info.rcv_ssthresh = receiver_.window();
  info.reordering = std::max<std::uint32_t>(3, (sender_.rack().reordering() + mss - 1) / mss);
  info.reord_seen = sender_.reorderings();
  info.dsack_dups = sender_.duplicates_reported();
  info.rcv_ooopack = receiver_.out_of_order_segments();
  info.total_retrans = sender_.retransmitted_segments();
  info.bytes_acked = bytes_acked_;
  info.bytes_received = bytes_received_;
  info.bytes_sent = bytes_sent_;
  info.bytes_retrans = sender_.retransmitted_bytes();
  info.segs_in = segments_in_;
  info.segs_out = segments_out_;
  info.data_segs_in = data_segments_in_;
  info.data_segs_out = data_segments_out_;
  info.notsent_bytes = sender_.not_sent();
  info.snd_wnd = sender_.snd_wnd();
}

void Connection::publish() {
  if (live_ == nullptr) {
    if (tcp_.config().live.empty() || state_ == State::kSynSent || state_ == State::kSynReceived) return;
    live_ = tcp_.live().take();
    if (live_ == nullptr) return;
    live_->local_address = local().address.v4_value();
    live_->local_port = local().port;
    live_->remote_address = remote().address.v4_value();
    live_->remote_port = remote().port;
  }
  live_->snd_nxt = sender_.snd_nxt().value();
  live_->rcv_nxt = receiver_.rcv_nxt().value();
  live_->set_used(true);
}

void Connection::unpublish() {
  if (live_ != nullptr) live_->set_used(false);
  live_ = nullptr;
}

}  // namespace millrace::tcp
