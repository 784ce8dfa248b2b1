// What to send, and when it may go.
#include "tcp/sender.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "tcp/congestion_list.h"
#include "tcp/connection.h"
#include "tcp/tcp.h"

namespace millrace::tcp {

namespace {

constexpr Duration kHoldBack = 200ms;  ///< how long MSG_MORE and TCP_CORK keep a partial segment, as Linux
/// Segments in flight of a connection that sends many small ones: each is an entry on the scoreboard.
constexpr std::size_t kMaxSegments = 16384;
constexpr std::uint32_t kMaxInDevice = 4 << 20;  ///< as Linux's tcp_limit_output_bytes
constexpr std::uint32_t kAnyNumber = std::numeric_limits<std::uint32_t>::max();

/// As much of `length` as the pacer lets go now, in whole segments; one at least, as a debt where it must.
std::uint32_t paced(const Pacer& pacer, std::uint32_t length, std::uint32_t mss, Instant now) {
  if (pacer.rate() == 0 || length <= mss) return length;
  return std::min(length, std::max(mss, pacer.allowed(now) / mss * mss));
}

}  // namespace

Sender::Sender(Tcp& tcp, Connection& connection)
    : tcp_(tcp),
      connection_(connection),
      rtt_(tcp.config().rto_initial, tcp.config().rto_min, tcp.config().rto_max),
      queue_(tcp.pool(), tcp.send_budget()),
      board_(tcp.sent_segments()) {}

void Sender::start(SeqNum iss) {
  iss_ = snd_una_ = snd_nxt_ = snd_up_ = snd_sml_ = recover_ = iss;
  queue_front_ = iss + 1;
}

void Sender::on_syn_sent(Instant now) {
  snd_nxt_ = iss_ + 1;
  if (!syn_timed_) {
    syn_timed_ = true;
    syn_sent_at_ = now;
  }
  last_sent_ = now;
}

void Sender::establish(std::uint32_t snd_wnd, SeqNum wl1, SeqNum wl2, std::uint8_t snd_scale,
                       std::uint32_t mss, bool syn_retransmitted, Instant now) {
  snd_una_ = iss_ + 1;
  snd_nxt_ = SeqNum::max(snd_nxt_, snd_una_);
  snd_sml_ = snd_up_ = rtt_round_end_ = max_flight_end_ = snd_una_;
  push_end_ = data_end();  // of what the peer left of the data in our SYN (RFC 7413), if there is any
  recover_ = snd_una_ - 1;
  rack_.start(snd_una_);
  snd_wnd_ = max_window_ = snd_wnd;
  snd_wl1_ = wl1;
  snd_wl2_ = wl2;
  snd_scale_ = snd_scale;
  mss_ = mss;
  if (syn_timed_ && !syn_retransmitted) rtt_.sample(now - syn_sent_at_);
  backoff_ = timeouts_ = 0;
  disarm();
  unanswered_since_ = kNever;
  // RFC 6298 (5.7): after a lost SYN data starts with 3 s unless a sample says otherwise. RFC 5681 §3.1: and
  // with one segment.
  if (syn_retransmitted) rtt_.reset_after_syn_timeout();
  make_congestion(syn_retransmitted ? 1 : tcp_.config().initial_window_segments);
  last_sent_ = now;
}

void Sender::conclude_handshake(Duration rtt, Instant now) {
  ends_handshake_ = true;
  if (rtt < Duration{0}) return;
  rtt_.sample(rtt);
  // What is outstanding need not wait for a second that was a guess.
  if (!board_.empty()) arm(now);
}

void Sender::make_congestion(unsigned initial_window_segments) {
  congestion_ = congestion_list()[connection_.options().congestion].make(
      tcp_.slabs(), mss_, initial_window_segments, iss_.value());
}

void Sender::change_congestion() {
  if (congestion_ == nullptr) return;
  make_congestion(tcp_.config().initial_window_segments);
  release_at_ = kNever;
  if (recovering()) phase_ = Phase::kOpen;
}

void Sender::stop() {
  timer_ = reordering_at_ = release_at_ = kNever;
  queue_front_ += queue_.bytes();
  queue_.clear();
  board_.clear();
  snd_nxt_ = snd_una_;
}

std::uint64_t Sender::position(SeqNum seq) const {
  return una_position_ + SeqNum::distance(snd_una_, seq);
}

std::uint64_t Sender::rate_of(std::uint32_t bytes_a_round_trip) const {
  const Config& config = tcp_.config();
  const std::uint64_t percent =
      window() < congestion_->ssthresh() / 2 ? config.pacing_slow_start_ratio : config.pacing_ratio;
  constexpr std::uint64_t kSecond = Duration{1s}.count();
  const auto round_trip = static_cast<std::uint64_t>(std::max(rtt_.srtt(), Duration{1}).count());
  return std::uint64_t{bytes_a_round_trip} * kSecond / round_trip * percent / 100;
}

std::uint64_t Sender::pacing_rate() const {
  const std::uint64_t own = congestion_->pacing_rate();
  if (own != 0 || !tcp_.config().pacing || !rtt_.valid()) return own;
  const std::uint64_t initial_window = std::uint64_t{tcp_.config().initial_window_segments} * mss_;
  return position(snd_nxt_) < initial_window ? 0 : rate_of(window());
}

std::uint32_t Sender::super_segment_payload(std::uint32_t mss) const {
  const std::uint32_t most = connection_.super_segment_payload(mss);
  return tcp_.config().min_super_segments == 0 ? most : sized_by_rate(most, mss);
}

std::uint32_t Sender::sized_by_rate(std::uint32_t most, std::uint32_t mss) const {
  if (!rtt_.valid()) return most;
  const unsigned least = tcp_.config().min_super_segments;
  const std::uint32_t quantum = Pacer::quantum_of(rate_of(window()), mss);
  return std::min(most, std::max(quantum - quantum % mss, least * mss));
}

bool Sender::partial_allowed() const {
  if (fin_queued_) return true;
  if (urgent_ && snd_up_ > snd_nxt_) return true;
  if (hold_partial_ || connection_.options().cork) return false;
  if (connection_.options().no_delay) return true;
  // Nagle (RFC 9293 §3.7.4) in Minshall's form: one small segment may be outstanding.
  return snd_sml_ <= snd_una_;
}

std::uint32_t Sender::choose_length(std::uint32_t unsent, std::uint32_t room, std::uint32_t mss,
                                    std::uint32_t most) const {
  std::uint32_t length = std::min({unsent, room, most});
  if (length >= mss) {
    const std::uint32_t tail = length % mss;
    if (tail != 0 && (length < unsent || !partial_allowed())) length -= tail;
    return length;
  }
  if (length == unsent) return partial_allowed() ? length : 0;
  // Cut by a window: sender's silly-window avoidance (RFC 9293 §3.8.6.2.1). The persist timer overrides.
  return room == window_room() && length >= max_window_ / 2 ? length : 0;
}

void Sender::note_flight() {
  if (snd_una_ < max_flight_end_ && in_flight() <= max_flight_) return;
  max_flight_ = in_flight();
  max_flight_end_ = snd_nxt_;
}

/// RFC 7661 §4.1 in Linux's reading: beyond slow start the window must have been full, within it more than
/// half of it used, as it doubles.
bool Sender::window_was_used() const {
  const std::uint32_t cwnd = congestion_->cwnd();
  return cwnd_limited_ || (cwnd < congestion_->ssthresh() && cwnd / 2 < max_flight_);
}

bool Sender::device_is_full(Instant now) {
  return !connection_.device_has_room(now) && wait_for_device(kAnyNumber, Counter::kOutBlocked);
}

bool Sender::wait_for_device(std::uint32_t left, Counter why) {
  if (connection_.wait_for_device(left)) tcp_.count(why);
  return true;
}

/// As Linux's tcp_small_queue_check: two super-segments of this rate, or 1 ms worth of it. But the rate comes
/// from what really was in flight: a window grows beyond that where the device is what limits the flow.
std::uint32_t Sender::device_limit(std::uint32_t mss, std::uint32_t most) const {
  if (!rtt_.valid()) return 2 * most;
  const std::uint64_t rate = pacer_.rate() != 0 ? pacer_.rate() : rate_of(max_flight_);
  const std::uint64_t millisecond = std::min<std::uint64_t>(rate / 1000, kMaxInDevice);
  return std::max(2 * std::min(Pacer::quantum_of(rate, mss), most), static_cast<std::uint32_t>(millisecond));
}

bool Sender::device_is_slow() const {
  return throttled_ || connection_.device_holds_frames();
}

std::uint32_t Sender::device_room(std::uint32_t length, std::uint32_t mss, std::uint32_t most, Instant now) {
  std::uint32_t waiting = connection_.waiting_in_device();
  const std::uint32_t limit = device_limit(mss, most);
  if (waiting + length <= limit) return length;
  // It may not have been offered yet: a device that takes it all gets the largest super-segments.
  waiting = connection_.refused_by_device(now);
  if (waiting == 0 && !throttled_) return length;
  const std::uint32_t room = limit > waiting ? limit - waiting : 0;
  if (room >= length) return length;
  if (room >= mss) return room - room % mss;
  throttled_ = true;
  static_cast<void>(wait_for_device(limit / 2, Counter::kSmallQueueWaits));
  return 0;
}

bool Sender::paced_out(std::uint32_t wanted, Instant now) {
  if (pacer_.rate() == 0 || pacer_.allowed(now) >= std::min(wanted, pacer_.quantum())) return false;
  release_at_ = pacer_.wait(wanted, now);
  return true;
}

void Sender::transmit_waiting(Instant now) {
  release_at_ = kNever;
  pacer_.set_rate(pacing_rate(), mss_, now);
  const std::uint32_t mss = connection_.segment_payload(now);
  if (transmit_short(mss, now)) return;
  const std::uint32_t most = super_segment_payload(mss);
  const bool forward = forward_rto_ == ForwardRto::kSecondAck;
  if (board_.lost() != 0 && !forward) transmit_lost(mss, most, now);
  if (board_.lost() == 0 || forward) transmit_new(mss, most, now);
}

/// The common case of requests and answers, without what only others need: all that waits is less than a
/// segment, nothing holds it back, and nothing else is going on.
bool Sender::transmit_short(std::uint32_t mss, Instant now) {
  const std::uint32_t unsent = not_sent();
  if (unsent == 0 || unsent >= mss || fin_queued_ || urgent_ || phase_ != Phase::kOpen ||
      forward_rto_ != ForwardRto::kOff || board_.lost() != 0 || pacer_.rate() != 0 || mtu_probe_.enabled() ||
      throttled_ || connection_.waiting_in_device() != 0 || board_.count() >= kMaxSegments)
    return false;
  const std::uint32_t cwnd = congestion_->cwnd();
  const bool fits = unsent <= window_room() && in_flight() + unsent <= cwnd;
  if (!fits || !partial_allowed()) return false;
  if (board_.empty() && now - last_sent_ > rtt_.rto()) return false;  // perhaps a restart after idle time
  const bool sent = send_new(unsent, false, mss, now);
  if (sent) cwnd_limited_ = in_flight() + mss > cwnd;
  end_transmission(not_sent() != 0, now);
  return true;
}

void Sender::transmit_lost(std::uint32_t mss, std::uint32_t most, Instant now) {
  while (SentSegment* segment = board_.first_lost()) {
    board_.join_lost(*segment, mss);
    const std::uint32_t cwnd = window();
    std::uint32_t room = cwnd > in_flight() ? cwnd - in_flight() : 0;
    if (force_retransmission_) room = std::max(room, mss);
    if (room < std::min(mss, segment->length)) {
      cwnd_limited_ = true;
      return;
    }
    // What lies beyond a window that was taken back would be dropped (RFC 9293 §3.8.6); the first is a probe.
    const SeqNum edge = snd_una_ + snd_wnd_;
    std::uint32_t fits = segment->seq < edge ? SeqNum::distance(segment->seq, edge) : 0;
    if (segment->seq == snd_una_) fits = std::max(fits, mss);
    if (fits == 0) return;
    std::uint32_t length = std::min({segment->length, room, most, fits});
    if (length > mss && length < segment->length) length -= length % mss;
    if (!force_retransmission_ && paced_out(length, now)) return;
    length = paced(pacer_, length, mss, now);
    if (device_is_slow() && !force_retransmission_) length = device_room(length, mss, most, now);
    if (length == 0) return;
    if (!send_again(*segment, length, mss, now)) return;
    force_retransmission_ = false;
  }
}

void Sender::transmit_new(std::uint32_t mss, std::uint32_t most, Instant now) {
  if (board_.empty() && not_sent() != 0 && window_room() != 0 && now - last_sent_ > rtt_.rto() &&
      tcp_.config().slow_start_after_idle)
    congestion_->on_idle_restart(now - last_sent_, rtt_.rto());
  if (mtu_probe_.enabled() && !probe_mtu(mss, now)) return;
  bool waiting = false;
  for (;;) {
    const std::uint32_t unsent = not_sent();
    waiting = unsent != 0 || fin_due();
    if (!waiting) {
      cwnd_limited_ = in_flight() + mss > window();
      break;
    }
    // RFC 5682 §2.1 (2b): up to two.
    const std::uint32_t cwnd =
        forward_rto_ == ForwardRto::kSecondAck ? std::min(window(), 2 * mss) : window();
    const std::uint32_t room = window_room();
    const std::uint32_t cwnd_room = cwnd > in_flight() ? cwnd - in_flight() : 0;
    std::uint32_t length = 0;
    if (unsent != 0) {
      // CWR belongs on one segment, not on each of a super-segment (RFC 3168 §6.1.2).
      length = choose_length(unsent, std::min(room, cwnd_room), mss, send_cwr_ ? mss : most);
      // Half the window is the most for one, so that two are on their way and the ACK clock ticks; the few
      // segments that would be left over are shared evenly.
      const std::uint32_t half = std::max(mss, cwnd / 2 / mss * mss);
      if (length > half) {
        const std::uint32_t left = length - half;
        length = left >= mss && left < half / 4 ? (length / 2 + mss - 1) / mss * mss : half;
      }
      if (length == 0) {
        cwnd_limited_ = cwnd_room < std::min(unsent, mss) && cwnd_room <= room;
        break;
      }
      if (paced_out(length, now)) break;
      length = paced(pacer_, length, mss, now);
      if (device_is_slow()) length = device_room(length, mss, most, now);
      if (length == 0) {
        cwnd_limited_ = false;  // it is the device that limits us
        return;
      }
    }
    const bool fin = fin_due() && length == unsent && room > length;
    if (length == 0 && !fin) break;
    if (board_.count() >= kMaxSegments) {
      cwnd_limited_ = true;
      break;
    }
    if (!send_new(length, fin, mss, now)) break;
  }
  end_transmission(waiting, now);
}

/// `waiting`: there is more, which something holds back.
inline void Sender::end_transmission(bool waiting, Instant now) {
  throttled_ = false;
  if (!waiting && board_.lost() == 0 && in_flight() < window()) rate_.mark_app_limited(in_flight());
  if (waiting && board_.empty() && timer_ == kNever && release_at_ == kNever) {
    // Nothing in flight will bring us back here: the persist timer does (RFC 9293 §3.8.6.1).
    timer_kind_ = TimerKind::kPersist;
    const bool held = snd_wnd_ != 0 && (hold_partial_ || connection_.options().cork);
    timer_ = now + (held ? kHoldBack : rtt_.backed_off(backoff_));
  }
}

inline PacketPtr Sender::fill_packet(SeqNum seq, std::uint32_t& length, std::uint32_t mss) {
  if (urgent_ && snd_up_ > seq)
    length = std::min(length, mss);  // a super-segment would repeat the pointer in every piece
  const std::uint32_t wanted = length;
  PacketPtr packet = queue_.slice(seq.value() - queue_front_.value(), length);
  if (length < wanted && length > mss) {
    packet->trim(length - length % mss);
    length -= length % mss;
  }
  return packet;
}

bool Sender::send_new(std::uint32_t length, bool fin, std::uint32_t mss, Instant now) {
  if (device_is_full(now)) return false;
  const std::uint32_t wanted = length;
  PacketPtr packet = fill_packet(snd_nxt_, length, mss);
  if (length < wanted) fin = false;
  SentSegment* segment =
      packet != nullptr ? board_.append(snd_nxt_, length + (fin ? 1u : 0u), mss, now) : nullptr;
  if (segment == nullptr) {
    tcp_.count(Counter::kOutNoMemory);
    if (timer_ == kNever) arm_retransmission(now);
    return false;
  }
  rate_.on_segment_sent(now, segment->length, in_flight(), segment->delivery);
  const SeqNum seq = snd_nxt_;
  snd_nxt_ += segment->length;
  note_flight();
  if ((length < mss ? length : length % mss) != 0) snd_sml_ = SeqNum::max(snd_sml_, snd_nxt_);
  emit(seq, length, fin, false, mss, std::move(packet), now);
  // RFC 6298 (5.1): a timer that runs goes on, or small writes would put it off again and again.
  if (timer_ == kNever || timer_kind_ == TimerKind::kPersist) {
    arm(now);
  } else {
    arm_tail_probe(now);
  }
  return true;
}

bool Sender::send_again(SentSegment& segment, std::uint32_t most, std::uint32_t mss, Instant now) {
  if (device_is_full(now)) return false;
  const SeqNum seq = segment.seq;
  const std::uint32_t data = seq < data_end() ? SeqNum::distance(seq, data_end()) : 0;
  std::uint32_t length = std::min({segment.length, most, data});
  PacketPtr packet = fill_packet(seq, length, mss);
  // Its FIN goes with all of its data, or alone.
  const bool fin = seq + length == data_end() && segment.end() > data_end();
  const std::uint32_t covered = length + (fin ? 1u : 0u);
  if (packet == nullptr || covered == 0) {
    tcp_.count(Counter::kOutNoMemory);
    if (timer_ == kNever) arm_retransmission(now);
    return false;
  }
  // Without memory to tell them apart, all of the segment counts as sent again: what was not will be found
  // lost once more, when this has arrived.
  if (covered < segment.length) static_cast<void>(board_.split(segment, covered));
  mtu_probe_.on_inconclusive();  // an ACK could be for either copy
  const std::uint32_t segments = std::max<std::uint32_t>(1, (length + mss - 1) / mss);
  tcp_.count(Counter::kRetransSegs, segments);
  if (phase_ == Phase::kLoss) tcp_.count(Counter::kSlowStartRetrans, segments);
  retransmitted_ += segments;
  retransmitted_bytes_ += length;
  undo_.on_retransmitted(seq, seq + covered, segments, connection_.timestamp(now));
  board_.on_retransmitted(segment, mss, now);
  rate_.on_segment_sent(now, covered, in_flight(), segment.delivery);
  emit(seq, length, fin, true, mss, std::move(packet), now);
  if (timer_ == kNever || timer_kind_ != TimerKind::kRetransmit) arm_retransmission(now);
  return true;
}

inline void Sender::emit(SeqNum seq, std::uint32_t length, bool fin, bool again, std::uint32_t mss,
                         PacketPtr&& packet, Instant now) {
  Tcp::Outgoing out;
  out.seq = seq;
  out.flags = Flags::kAck;
  if (fin) out.flags |= Flags::kFin;
  if (length != 0 && seq + length == data_end() && data_end() == push_end_) out.flags |= Flags::kPsh;
  if (urgent_ && snd_up_ > seq) {
    out.flags |= Flags::kUrg;
    out.urgent_pointer =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(SeqNum::distance(seq, snd_up_), 65535));
  }
  if (length > mss) out.gso_size = static_cast<std::uint16_t>(mss);
  if (length != 0 && ecn_ && !again) {
    // RFC 3168 §6.1.5: not on what is sent again.
    out.ecn_capable = true;
    if (std::exchange(send_cwr_, false)) out.flags |= Flags::kCwr;
  }
  last_sent_ = now;
  if (unanswered_since_ == kNever) unanswered_since_ = now;
  if (pacer_.rate() != 0) pacer_.on_sent(length, now);
  if (recovering()) prr_.on_sent(length);
  congestion_->on_sent(now, length, in_flight());
  connection_.send(out, std::move(packet), length, now);
}

void Sender::send_probe(Instant now) {
  Tcp::Outgoing out;
  out.seq = snd_una_ - 1;
  out.flags = Flags::kAck;
  connection_.send(out, nullptr, 0, now);
}

}  // namespace millrace::tcp
