// Connections that say nothing for long: what is kept of them, and how they go on from there.
#include "tcp/dormant.h"

#include <limits>
#include <optional>

#include "tcp/congestion_list.h"
#include "tcp/connection.h"
#include "tcp/tcp_socket.h"

namespace millrace::tcp {

namespace {

constexpr Duration kLongest{std::numeric_limits<std::uint32_t>::max()};  // that the essence holds
constexpr std::uint8_t kMostBackoff = 15;
/// Timers that are further away lie in slots of some seconds in the wheel, which is stopped for as long as it
/// takes to empty one: too long where a hundred thousand connections come in a second.
constexpr Duration kLookAgain = 4s;

std::uint32_t nanoseconds(Duration d) {
  return static_cast<std::uint32_t>(std::min(d, kLongest).count());
}

}  // namespace

Dormant::Dormant(TcpSocket& socket, const FlowKey& key, const ConnectionEssence& essence)
    : Flow(Flow::Kind::kDormant, key),
      socket_(socket),
      timer_([](void* self, Instant now) { static_cast<Dormant*>(self)->socket_.wake(now); }, this),
      essence_(essence) {}

// --- the sender

std::optional<SenderEssence> Sender::essence() const {
  if (congestion_ == nullptr) return std::nullopt;
  const std::optional<RestingWindow> window = congestion_->at_rest();
  const bool quiet = phase_ == Phase::kOpen && board_.empty() && queue_.empty() && !fin_queued_ && !urgent_ &&
                     timer_deadline() == kNever && backoff_ <= kMostBackoff && timeouts_ == 0 &&
                     probes_ == 0 && forward_rto_ == ForwardRto::kOff && !ends_handshake_ &&
                     left_by_duplicates_ == 0 && !mtu_probe_.enabled();
  if (!window || !quiet || rtt_.srtt() >= kLongest) return std::nullopt;
  SenderEssence essence;
  essence.last_rate = last_rate_;
  essence.last_rate_app_limited = last_rate_app_limited_;
  essence.retransmitted_bytes = retransmitted_bytes_;
  essence.last_sent = last_sent_;
  essence.snd_nxt = snd_nxt_;
  essence.snd_wl1 = snd_wl1_;
  essence.snd_wl2 = snd_wl2_;
  essence.snd_wnd = snd_wnd_;
  essence.max_window = max_window_;
  if (rtt_.valid()) {
    essence.srtt = nanoseconds(rtt_.srtt());
    essence.rttvar = nanoseconds(rtt_.rttvar());
    essence.min_rtt = nanoseconds(rtt_.min_rtt());
  }
  essence.syn_was_lost = !rtt_.valid() && rtt_.rto() != tcp_.config().rto_initial;
  essence.window = *window;
  essence.retransmitted = retransmitted_;
  essence.reorderings = reorderings_;
  essence.duplicates_reported = duplicates_reported_;
  essence.reordering = rack_.reordering();
  essence.mss = static_cast<std::uint16_t>(mss_);
  essence.snd_scale = snd_scale_ & 15U;
  essence.backoff = backoff_ & kMostBackoff;
  essence.dsack_seen = dsack_seen_;
  essence.ecn = ecn_;
  essence.send_cwr = send_cwr_;
  essence.tail_probed = tail_probed_;
  return essence;
}

void Sender::resume(const SenderEssence& essence) {
  start(essence.snd_nxt - 1);
  snd_una_ = snd_nxt_ = snd_up_ = snd_sml_ = push_end_ = rtt_round_end_ = max_flight_end_ = essence.snd_nxt;
  rack_.start(snd_una_);
  if (essence.reordering != 0) rack_.on_reordering(essence.reordering);
  snd_wl1_ = essence.snd_wl1;
  snd_wl2_ = essence.snd_wl2;
  snd_wnd_ = essence.snd_wnd;
  max_window_ = essence.max_window;
  mss_ = essence.mss;
  snd_scale_ = essence.snd_scale;
  backoff_ = essence.backoff;
  if (essence.srtt != 0)
    rtt_.resume(Duration{essence.srtt}, Duration{essence.rttvar}, Duration{essence.min_rtt});
  if (essence.syn_was_lost) rtt_.reset_after_syn_timeout();
  last_sent_ = essence.last_sent;
  last_rate_ = essence.last_rate;
  last_rate_app_limited_ = essence.last_rate_app_limited;
  retransmitted_ = essence.retransmitted;
  retransmitted_bytes_ = essence.retransmitted_bytes;
  reorderings_ = essence.reorderings;
  duplicates_reported_ = essence.duplicates_reported;
  dsack_seen_ = essence.dsack_seen;
  ecn_ = essence.ecn;
  send_cwr_ = essence.send_cwr;
  // All is acknowledged, and yet nobody knows whether the probe was needed: it was a retransmission.
  tail_probed_ = tail_was_retransmission_ = essence.tail_probed;
  tail_end_ = snd_una_;
  make_congestion(tcp_.config().initial_window_segments);
  congestion_->resume(essence.window);
}

// --- the receiver

std::optional<ReceiverEssence> Receiver::essence() const {
  if (!queue_.empty() || !out_of_order_.empty() || duplicate_count_ != 0 || ack_now_ ||
      unacknowledged_ != 0 || delayed_ack_ != kNever || last_ack_sent_ != rcv_nxt_ || fin_)
    return std::nullopt;
  ReceiverEssence essence;
  essence.rcv_nxt = rcv_nxt_;
  essence.right_edge = right_edge_;
  essence.limit = limit_;
  essence.wanted = wanted_;
  essence.out_of_order_segments = out_of_order_segments_;
  essence.receive_mss = static_cast<std::uint16_t>(receive_mss_);
  essence.scale = scale_;
  essence.quick_acks = quick_acks_;
  return essence;
}

void Receiver::resume(const ReceiverEssence& essence, std::uint32_t fixed_size, bool sack) {
  rcv_nxt_ = last_ack_sent_ = essence.rcv_nxt;
  right_edge_ = essence.right_edge;
  limit_ = essence.limit;
  wanted_ = essence.wanted;
  fixed_size_ = fixed_size;
  out_of_order_segments_ = essence.out_of_order_segments;
  receive_mss_ = essence.receive_mss;
  scale_ = essence.scale;
  quick_acks_ = essence.quick_acks;
  sack_ = sack;
}

// --- the connection

std::optional<ConnectionEssence> Connection::essence() const {
  // What lies in the listener's queue, waits for the device or has just been touched is linked there.
  const bool linked = PendingHook::is_linked() || AcceptHook::is_linked() || DeviceWaiterHook::is_linked();
  const bool open = state_ == State::kEstablished && socket_ != nullptr && !closed_by_application_ &&
                    !send_shutdown_ && !receive_shutdown_;
  const bool owes = wants_space_ || user_timeout_due_ || syn_data_ != 0;
  if (!open || linked || owes || urgent_.pending || user_timeout_.told()) return std::nullopt;
  const std::optional<SenderEssence> sender = sender_.essence();
  const std::optional<ReceiverEssence> receiver = receiver_.essence();
  if (!sender || !receiver) return std::nullopt;
  ConnectionEssence essence;
  essence.sender = *sender;
  essence.receiver = *receiver;
  essence.live = live_;
  essence.bytes_received = bytes_received_;
  essence.bytes_acked = bytes_acked_;
  essence.bytes_sent = bytes_sent_;
  essence.last_received = last_received_;
  const std::int64_t since = to_ms(last_received_ - last_data_received_);
  essence.since_data_received = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(since, 0, std::numeric_limits<std::uint32_t>::max()));
  essence.ts_recent = ts_recent_.value();
  essence.ts_recent_at = ts_recent_.taken_at();
  essence.segments_in = segments_in_;
  essence.segments_out = segments_out_;
  essence.data_segments_in = data_segments_in_;
  essence.data_segments_out = data_segments_out_;
  essence.send_buffer = static_cast<std::uint32_t>(send_buffer_.limit());
  essence.peer_mss = peer_mss_;
  essence.keepalive_probes = keepalive_probes_;
  essence.soft_error = soft_error_;
  essence.timestamps = timestamps_;
  essence.sack = sack_;
  essence.ecn = ecn_;
  essence.congestion_experienced = congestion_experienced_;
  essence.syn_data_acknowledged = syn_data_acknowledged_;
  return essence;
}

void Connection::resume(const ConnectionEssence& essence, TcpSocket& socket, Instant keepalive_deadline) {
  state_ = State::kEstablished;
  socket_ = &socket;
  keepalive_deadline_ = keepalive_deadline;
  live_ = essence.live;
  bytes_received_ = essence.bytes_received;
  bytes_acked_ = essence.bytes_acked;
  bytes_sent_ = essence.bytes_sent;
  last_received_ = essence.last_received;
  last_data_received_ = last_received_ - std::chrono::milliseconds(essence.since_data_received);
  ts_recent_.start(essence.ts_recent, essence.receiver.rcv_nxt, essence.ts_recent_at);
  segments_in_ = essence.segments_in;
  segments_out_ = essence.segments_out;
  data_segments_in_ = essence.data_segments_in;
  data_segments_out_ = essence.data_segments_out;
  if (!send_buffer_.fixed()) send_buffer_ = SendBuffer(essence.send_buffer);
  peer_mss_ = essence.peer_mss;
  keepalive_probes_ = essence.keepalive_probes;
  soft_error_ = essence.soft_error;
  timestamps_ = essence.timestamps;
  sack_ = essence.sack;
  ecn_ = essence.ecn;
  congestion_experienced_ = essence.congestion_experienced;
  syn_data_acknowledged_ = essence.syn_data_acknowledged;
  sender_.resume(essence.sender);
  receiver_.resume(essence.receiver, options_.receive_buffer, sack_);
}

void Connection::wake_up(Instant now) {
  start_idle_clock(now);
  update_timer(now);
}

void Connection::let_go() {
  live_ = nullptr;
  receiver_.let_go();
}

void Connection::start_idle_clock(Instant now) {
  const Duration after = tcp_.config().dormant_after;
  state_deadline_ = after != Duration{0} ? now + std::min(after, kLookAgain) : kNever;
}

void Connection::on_idle_timer(Instant now) {
  const Instant last = std::max(last_received_, sender_.last_sent());
  const Instant due = last + tcp_.config().dormant_after;
  if (now < due) {
    state_deadline_ = std::min(due, now + kLookAgain);
    return;
  }
  // What cannot sleep now is looked at more and more rarely.
  state_deadline_ = tcp_.consider_dormant(*this, now).value_or(now + (now - last));
}

}  // namespace millrace::tcp
