#include "tcp/sender.h"

#include <algorithm>
#include <cassert>

#include "tcp/congestion_list.h"
#include "tcp/connection.h"
#include "tcp/tcp.h"

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kDuplicateThreshold = 3;
constexpr Duration kHoldBack = 200ms;  ///< how long MSG_MORE and TCP_CORK keep a partial segment, as Linux

}  // namespace

Sender::Sender(Tcp& tcp, Connection& connection)
    : tcp_(tcp),
      connection_(connection),
      rtt_(tcp.config().rto_initial, tcp.config().rto_min, tcp.config().rto_max),
      queue_(tcp.pool(), tcp.send_budget()) {}

void Sender::start(SeqNum iss) {
  iss_ = snd_una_ = snd_nxt_ = snd_max_ = snd_up_ = snd_sml_ = recover_ = iss;
  queue_front_ = iss + 1;
}

void Sender::on_syn_sent(Instant now) {
  snd_nxt_ = snd_max_ = iss_ + 1;
  if (!timing_ && timeouts_ == 0) {
    timing_ = true;
    timed_end_ = snd_nxt_;
    timed_at_ = now;
  }
  last_sent_ = now;
}

void Sender::establish(std::uint32_t snd_wnd, SeqNum wl1, SeqNum wl2, std::uint8_t snd_scale,
                       std::uint32_t mss, bool syn_retransmitted, Instant now) {
  snd_una_ = iss_ + 1;
  snd_nxt_ = SeqNum::max(snd_nxt_, snd_una_);
  snd_max_ = SeqNum::max(snd_max_, snd_una_);
  recover_ = snd_sml_ = snd_up_ = snd_una_;
  snd_wnd_ = max_window_ = snd_wnd;
  snd_wl1_ = wl1;
  snd_wl2_ = wl2;
  snd_scale_ = snd_scale;
  mss_ = mss;
  if (timing_ && !syn_retransmitted) rtt_.sample(now - timed_at_);
  timing_ = false;
  backoff_ = timeouts_ = 0;
  timer_ = kNever;
  unanswered_since_ = kNever;
  // RFC 6298 (5.7): after a lost SYN data starts with 3 s unless a sample says otherwise. RFC 5681 §3.1: and
  // with one segment.
  if (syn_retransmitted) rtt_.reset_after_syn_timeout(3s);
  congestion_ = congestion_list()[connection_.options().congestion].make(
      mss, syn_retransmitted ? 1 : tcp_.config().initial_window_segments);
  last_sent_ = now;
}

void Sender::change_congestion() {
  if (congestion_ == nullptr) return;
  congestion_ =
      congestion_list()[connection_.options().congestion].make(mss_, tcp_.config().initial_window_segments);
}

void Sender::stop() {
  timer_ = kNever;
  queue_front_ += queue_.bytes();
  queue_.clear();
  snd_nxt_ = snd_max_ = snd_una_;
}

std::uint32_t Sender::effective_window() const {
  const std::uint32_t cwnd = congestion_->cwnd();
  if (in_recovery_) {
    const std::int64_t inflated = std::int64_t{cwnd} + inflation_;
    return static_cast<std::uint32_t>(std::max<std::int64_t>(inflated, mss_));
  }
  // RFC 3042: each of the first two duplicate ACKs lets one new segment out.
  return cwnd + std::min<std::uint32_t>(duplicate_acks_, 2) * mss_;
}

bool Sender::partial_allowed() const {
  if (fin_queued_ || snd_nxt_ < snd_max_) return true;
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
  const std::uint32_t window_room = snd_wnd_ > in_flight() ? snd_wnd_ - in_flight() : 0;
  return room == window_room && length >= max_window_ / 2 ? length : 0;
}

void Sender::transmit(Instant now) {
  if (congestion_ == nullptr) return;
  if (not_sent() == 0 && !(fin_queued_ && snd_nxt_ <= data_end())) {
    cwnd_limited_ = false;
    return;
  }
  const std::uint32_t mss = connection_.segment_payload(now);
  const std::uint32_t most = connection_.super_segment_payload(mss);
  if (outstanding() == 0 && not_sent() != 0 && now - last_sent_ > rtt_.rto())
    congestion_->on_idle_restart(now - last_sent_, rtt_.rto());
  bool waiting = false;
  for (;;) {
    const std::uint32_t unsent = not_sent();
    const bool fin_due = fin_queued_ && snd_nxt_ <= data_end();
    waiting = unsent != 0 || fin_due;
    if (!waiting) {
      cwnd_limited_ = false;
      break;
    }
    const std::uint32_t flight = in_flight();
    const std::uint32_t cwnd = effective_window();
    const std::uint32_t window_room = snd_wnd_ > flight ? snd_wnd_ - flight : 0;
    const std::uint32_t cwnd_room = cwnd > flight ? cwnd - flight : 0;
    std::uint32_t length = 0;
    if (unsent != 0) {
      length = choose_length(unsent, std::min(window_room, cwnd_room), mss, most);
      if (length == 0) {
        cwnd_limited_ = cwnd_room < std::min(unsent, mss) && cwnd_room <= window_room;
        break;
      }
    }
    const bool fin = fin_due && length == unsent && window_room > length;
    if (length == 0 && !fin) break;
    if (!send(snd_nxt_, length, fin, mss, now)) break;
  }
  if (waiting && outstanding() == 0 && timer_ == kNever) {
    // Nothing in flight will bring us back here: the persist timer does (RFC 9293 §3.8.6.1).
    probing_ = true;
    const bool held = snd_wnd_ != 0 && (hold_partial_ || connection_.options().cork);
    timer_ = now + (held ? kHoldBack : rtt_.backed_off(backoff_));
  }
}

bool Sender::send(SeqNum seq, std::uint32_t& length, bool fin, std::uint32_t mss, Instant now) {
  const SeqNum end = data_end();
  const bool urgent = urgent_ && snd_up_ > seq;
  if (urgent) length = std::min(length, mss);  // a super-segment would repeat the pointer in every piece
  PacketPtr packet = tcp_.pool().allocate(0, PacketPool::kHeadroom, Priority::kControl);
  if (packet == nullptr) {
    tcp_.count(Counter::kOutNoMemory);
    if (timer_ == kNever) arm(now);
    return false;
  }
  const std::uint32_t wanted = length;
  length = queue_.slice(seq.value() - queue_front_.value(), wanted, *packet);
  if (length < wanted) {
    if (length > mss) {
      packet->trim(length - length % mss);
      length -= length % mss;
    }
    fin = false;
  }
  if (length == 0 && wanted != 0) return false;
  Tcp::Outgoing out;
  out.seq = seq;
  out.flags = Flags::kAck;
  if (fin) out.flags |= Flags::kFin;
  if (length != 0 && seq + length == end) out.flags |= Flags::kPsh;
  if (urgent) {
    out.flags |= Flags::kUrg;
    out.urgent_pointer =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(SeqNum::distance(seq, snd_up_), 65535));
  }
  if (length > mss) out.gso_size = static_cast<std::uint16_t>(mss);
  const SeqNum next = seq + length + (fin ? 1u : 0u);
  if (seq < snd_max_) {
    const std::uint32_t segments = std::max<std::uint32_t>(1, (length + mss - 1) / mss);
    tcp_.count(Counter::kRetransSegs, segments);
    retransmitted_ += segments;
    retransmitted_bytes_ += length;
    timing_ = false;  // Karn: RFC 6298 §3
  } else if (!timing_) {
    timing_ = true;
    timed_end_ = next;
    timed_at_ = now;
  }
  if (length % mss != 0) snd_sml_ = SeqNum::max(snd_sml_, next);
  snd_nxt_ = SeqNum::max(snd_nxt_, next);
  snd_max_ = SeqNum::max(snd_max_, snd_nxt_);
  last_sent_ = now;
  if (unanswered_since_ == kNever) unanswered_since_ = now;
  if (timer_ == kNever || probing_) {
    probing_ = false;
    arm(now);
  }
  congestion_->on_sent(now, length, in_flight());
  connection_.send(out, std::move(packet), length, now);
  return true;
}

void Sender::retransmit_head(Instant now) {
  const std::uint32_t mss = connection_.segment_payload(now);
  const std::uint32_t sent = SeqNum::distance(snd_una_, SeqNum::min(snd_max_, data_end()));
  std::uint32_t length = std::min(mss, snd_una_ < data_end() ? sent : 0);
  const bool fin = fin_queued_ && snd_una_ + length == data_end() && snd_max_ > data_end();
  if (length == 0 && !fin) return;
  static_cast<void>(send(snd_una_, length, fin, mss, now));
}

bool Sender::update_window(const Segment& segment) {
  if (!(snd_wl1_ < segment.seq || (snd_wl1_ == segment.seq && snd_wl2_ <= segment.ack))) return false;
  const std::uint32_t window = std::uint32_t{segment.window} << snd_scale_;
  const bool changed = window != snd_wnd_;
  snd_wnd_ = window;
  max_window_ = std::max(max_window_, window);
  snd_wl1_ = segment.seq;
  snd_wl2_ = segment.ack;
  return changed;
}

bool Sender::process_ack(const Segment& segment, Instant now) {
  probes_ = 0;
  const bool was_closed = snd_wnd_ == 0;
  const bool window_changed = segment.ack >= snd_una_ && update_window(segment);
  if (was_closed && snd_wnd_ != 0 && probing_) {
    // The window is open again: what is outstanding is guarded by the retransmission timer from now on.
    probing_ = false;
    backoff_ = 0;
    timer_ = kNever;
    if (outstanding() != 0) arm(now);
  }
  if (segment.ack > snd_una_) {
    on_new_ack(segment, now);
    return true;
  }
  // RFC 5681 §2: a duplicate ACK has no data, no SYN or FIN, the same window, while something is outstanding.
  if (segment.ack == snd_una_ && segment.length() == 0 && !window_changed && outstanding() != 0) {
    on_duplicate_ack(now);
  } else if (segment.ack == snd_una_ && outstanding() == 0) {
    unanswered_since_ = kNever;
  }
  return false;
}

void Sender::take_rtt_sample(const Segment& segment, Instant now, Duration& rtt) {
  if (timing_ && segment.ack >= timed_end_) {
    rtt = now - timed_at_;
    timing_ = false;
  } else if (!timing_ && segment.options.timestamps && segment.options.timestamps->echo != 0) {
    // What was sent again has no send time of its own; the echoed timestamp tells (RFC 7323 §4), in
    // milliseconds.
    const auto elapsed =
        static_cast<std::int32_t>(connection_.timestamp(now) - segment.options.timestamps->echo);
    if (elapsed >= 0) rtt = std::max<Duration>(std::chrono::milliseconds(elapsed), Duration{100us});
  }
  if (rtt >= Duration{0}) rtt_.sample(rtt);
}

void Sender::on_new_ack(const Segment& segment, Instant now) {
  AckSample sample;
  sample.now = now;
  sample.acked = SeqNum::distance(snd_una_, segment.ack);
  sample.prior_in_flight = in_flight();
  sample.cwnd_limited = cwnd_limited_;
  take_rtt_sample(segment, now, sample.rtt);

  const SeqNum data_acked = SeqNum::min(segment.ack, data_end());
  if (data_acked > queue_front_) {
    const std::uint32_t n = SeqNum::distance(queue_front_, data_acked);
    queue_.drop_front(n);
    queue_front_ += n;
  }
  snd_una_ = segment.ack;
  snd_nxt_ = SeqNum::max(snd_nxt_, snd_una_);
  if (urgent_ && snd_una_ >= snd_up_) urgent_ = false;
  timeouts_ = 0;
  // RFC 6298 §5: the timeout stays backed off until there is a sample of something sent once (Karn).
  if (sample.rtt >= Duration{0}) backoff_ = 0;
  unanswered_since_ = outstanding() != 0 ? now : kNever;

  if (in_recovery_) {
    if (segment.ack >= recover_) {
      in_recovery_ = false;
      inflation_ = 0;
      duplicate_acks_ = 0;
      congestion_->on_recovery_exit(now, in_flight());
    } else {
      // RFC 6582 §3.2 step 5, a partial ACK: the next hole is lost too.
      tcp_.count(Counter::kPartialAcks);
      inflation_ -= sample.acked;
      if (sample.acked >= mss_) inflation_ += mss_;
      retransmit_head(now);
    }
  } else {
    duplicate_acks_ = 0;
    congestion_->on_ack(sample);
  }
  if (outstanding() == 0) {
    timer_ = kNever;
    probing_ = false;
  } else {
    arm(now);  // RFC 6298 (5.3)
  }
}

std::uint32_t Sender::duplicate_threshold() const {
  // RFC 5827: with fewer than four segments outstanding and nothing new to send, three duplicates cannot
  // come.
  const std::uint32_t flight = outstanding();
  if (flight < 4 * mss_ && not_sent() == 0 && flight > mss_)
    return std::max(1u, (flight + mss_ - 1) / mss_ - 1);
  return kDuplicateThreshold;
}

void Sender::on_duplicate_ack(Instant now) {
  if (in_recovery_) {
    inflation_ += mss_;
    return;
  }
  if (duplicate_acks_ < 255) ++duplicate_acks_;
  // RFC 6582 §3.2 step 1: not for duplicates of what was sent again after a timeout.
  if (snd_una_ < recover_ || duplicate_acks_ < duplicate_threshold()) return;
  tcp_.count(Counter::kFastRetrans);
  in_recovery_ = true;
  recover_ = snd_max_;
  congestion_->on_loss({now, outstanding(), 0});
  inflation_ = std::min<std::uint32_t>(duplicate_acks_, kDuplicateThreshold) * mss_;
  retransmit_head(now);
  arm(now);
}

void Sender::on_mss_change(std::uint32_t mss, bool resend, Instant now) {
  mss_ = mss;
  if (congestion_ == nullptr) return;
  congestion_->set_mss(mss);
  if (resend && outstanding() != 0) {
    // RFC 1191 §6.5: what was too large is sent again at once, and is no sign of congestion.
    snd_nxt_ = snd_una_;
    timing_ = false;
    transmit(now);
  }
}

bool Sender::on_timer(Instant now) {
  timer_ = kNever;
  const Config& config = tcp_.config();
  const bool orphan = connection_.is_orphan();
  const unsigned limit = orphan ? config.orphan_retries : config.retries;
  const std::uint32_t user_timeout = connection_.options().user_timeout;
  if (user_timeout != 0 && unanswered_since_ != kNever &&
      now - unanswered_since_ >= std::chrono::milliseconds(user_timeout)) {
    return false;
  }
  if (outstanding() != 0 && snd_wnd_ != 0) {
    if (timeouts_ >= limit) return false;
    on_timeout(now);
    return true;
  }
  // Nothing in flight, or the window was closed upon what is: probe, for as long as the peer answers.
  if (not_sent() != 0 && snd_wnd_ != 0) {
    std::uint32_t length = std::min({not_sent(), snd_wnd_, connection_.segment_payload(now)});
    const bool fin = fin_queued_ && length == not_sent() && snd_wnd_ > length;
    static_cast<void>(send(snd_nxt_, length, fin, connection_.segment_payload(now), now));
    return true;
  }
  if (outstanding() == 0 && not_sent() == 0 && !(fin_queued_ && snd_nxt_ <= data_end())) return true;
  if (probes_ >= limit) return false;
  ++probes_;
  if (unanswered_since_ == kNever) unanswered_since_ = now;
  tcp_.count(Counter::kWindowProbes);
  send_probe(now);
  if (backoff_ < 255) ++backoff_;
  probing_ = true;
  arm(now);
  return true;
}

void Sender::on_timeout(Instant now) {
  tcp_.count(Counter::kTimeouts);
  // RFC 5681 §3.1 equation (4), RFC 6582 §3.2 step 4.
  congestion_->on_rto({now, outstanding(), 0}, timeouts_ == 0);
  in_recovery_ = false;
  inflation_ = 0;
  duplicate_acks_ = 0;
  recover_ = snd_max_;
  snd_nxt_ = snd_una_;
  timing_ = false;
  if (backoff_ < 255) ++backoff_;
  if (timeouts_ < 255) ++timeouts_;
  tcp_.count(Counter::kSlowStartRetrans);
  retransmit_head(now);
  arm(now);
}

void Sender::send_probe(Instant now) {
  Tcp::Outgoing out;
  out.seq = snd_una_ - 1;
  out.flags = Flags::kAck;
  connection_.send(out, nullptr, 0, now);
}

}  // namespace millrace::tcp
