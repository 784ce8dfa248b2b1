// The timers: retransmission, tail loss probe, reordering, persist.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/sender.h"
#include "tcp/tcp.h"

namespace millrace::tcp {

namespace {

/// RFC 8985 §7.2 has no floor; below this, a peer that is woken late would be probed for nothing.
constexpr Duration kMinProbeTimeout = 5ms;
constexpr Duration kMaxAckDelay = 200ms;  // TLP.max_ack_delay
constexpr Duration kFirstProbeTimeout = 1s;
constexpr Duration kBlockedInterval = 500ms;  ///< between two looks at a device that is full, as Linux

}  // namespace

bool Sender::may_probe_tail() const {
  return connection_.uses_sack() && tcp_.config().rack && phase_ == Phase::kOpen && !tail_probed_ &&
         board_.sacked() == 0 && backoff_ == 0;
}

void Sender::arm(Instant now) {
  arm_retransmission(now);
  arm_tail_probe(now);
}

/// RFC 8985 §7.2: a probe goes out two round trips after what was sent last, if that is before the
/// retransmission timer expires, which runs on.
void Sender::arm_tail_probe(Instant now) {
  if (!may_probe_tail()) return;
  Duration timeout = kFirstProbeTimeout;
  if (rtt_.valid()) {
    timeout = std::max(2 * rtt_.srtt(), kMinProbeTimeout);
    if (outstanding() <= mss_) timeout += kMaxAckDelay;
  }
  // Where the timeout would come first, the probe takes its place (RFC 8985 §7.2).
  timer_ = std::min(retransmit_at_, now + timeout);
  timer_kind_ = TimerKind::kTailProbe;
}

void Sender::arm_retransmission(Instant now) {
  timer_ = retransmit_at_ = now + rtt_.backed_off(backoff_);
  timer_kind_ = TimerKind::kRetransmit;
}

bool Sender::on_timer(Instant now) {
  if (now >= release_at_) release_at_ = kNever;  // transmit() follows
  if (now >= reordering_at_) on_reordering_timer(now);
  if (now < timer_) return true;
  disarm();
  connection_.refresh_route(now);
  const Config& config = tcp_.config();
  const unsigned limit = connection_.is_orphan() ? config.orphan_retries : config.retries;
  const Duration user_timeout = connection_.user_timeout();
  if (user_timeout != Duration{0} && unanswered_since_ != kNever && now - unanswered_since_ >= user_timeout)
    return false;
  if (board_.empty() || snd_wnd_ == 0) return on_persist_timer(limit, now);
  if (device_is_full(now)) {
    // What waits in our own device's queue is not lost.
    timer_ = now + kBlockedInterval;
    return true;
  }
  if (connection_.waiting_in_device() != 0) {
    // Nor is what has not even been taken by it: the timers run anew.
    tcp_.count(Counter::kStillInDevice);
    arm(now);
    return true;
  }
  if (timer_kind_ == TimerKind::kTailProbe) {
    on_tail_timer(now);
    return true;
  }
  // Where the user says how long, it is not counted how often, as in Linux.
  const bool counted = user_timeout == Duration{0} || connection_.is_orphan();
  if (counted && timeouts_ >= limit) return false;
  on_timeout(now);
  return true;
}

void Sender::on_timeout(Instant now) {
  tcp_.count(Counter::kTimeouts);
  mtu_probe_.on_inconclusive();
  if (timeouts_ >= tcp_.config().black_hole_timeouts) suspect_black_hole(now);
  // RFC 5681 §3.1 equation (4), RFC 6582 §3.2 step 4. What a recovery has reduced is not reduced again.
  const bool first = timeouts_ == 0 && phase_ != Phase::kRecovery;
  congestion_->on_rto({now, outstanding(), position(snd_nxt_)}, first);
  // Within a recovery there is one reduction to take back, that at its start.
  if (first) undo_.start();
  // RFC 5682: only when nothing else has been sent again.
  send_cwr_ = ecn_;
  forward_rto_ = timeouts_ == 0 && (phase_ == Phase::kOpen || phase_ == Phase::kCwr) ? ForwardRto::kFirstAck
                                                                                     : ForwardRto::kOff;
  phase_ = Phase::kLoss;
  recover_ = snd_nxt_;
  left_by_duplicates_ = 0;
  duplicate_acks_ = 0;
  tail_probed_ = false;
  reordering_at_ = kNever;
  if (backoff_ < 255) ++backoff_;
  if (timeouts_ < 255) ++timeouts_;
  if (board_.head()->fate == SentSegment::Fate::kSacked) {
    // RFC 2018 §8: what it reported would have been acknowledged together with it.
    tcp_.count(Counter::kSackReneging);
    board_.renege();
  }
  rate_.on_lost(board_.in_flight());
  board_.mark_all_lost();
  force_retransmission_ = true;
  transmit(now);
  arm_retransmission(now);
}

void Sender::on_tail_timer(Instant now) {
  // RFC 8985 §7.3: new data when there is some that the peer's window takes, else the last segment again.
  const std::uint32_t mss = connection_.segment_payload(now);
  const std::uint32_t unsent = std::min(not_sent(), mss);
  SentSegment* last = board_.last();
  bool sent = false;
  tail_probed_ = true;
  if (unsent != 0 && unsent <= window_room()) {
    tail_was_retransmission_ = false;
    const bool fin = fin_queued_ && unsent == not_sent() && window_room() > unsent;
    sent = send_new(unsent, fin, mss, now);
  } else if (last->fate == SentSegment::Fate::kInFlight) {
    tail_was_retransmission_ = true;
    if (last->length > mss && board_.split(*last, last->length - ((last->length - 1) % mss + 1)))
      last = board_.last();
    sent = send_again(*last, mss, mss, now);
  }
  tail_probed_ = sent;
  tail_end_ = snd_nxt_;
  if (sent) {
    tcp_.count(Counter::kLossProbes);
    arm_retransmission(now);
  } else if (now >= retransmit_at_) {
    on_timeout(now);  // whose place it had taken
  } else {
    timer_ = retransmit_at_;
    timer_kind_ = TimerKind::kRetransmit;
  }
}

void Sender::on_reordering_timer(Instant now) {
  reordering_at_ = kNever;
  if (board_.empty()) return;
  Ack none;
  none.now = now;
  none.prior_in_flight = in_flight();
  find_losses(none);
  if (none.lost == 0) return;
  if (phase_ == Phase::kOpen || phase_ == Phase::kCwr) enter_recovery(none);
  if (recovering()) prr_.on_ack(0, in_flight(), false, force_retransmission_ ? mss_ : 0, mss_);
}

bool Sender::on_persist_timer(unsigned limit, Instant now) {
  // Nothing in flight, or the window was closed upon what is: probe, for as long as the peer answers.
  if (not_sent() != 0 && snd_wnd_ != 0) {
    if (device_is_full(now)) {
      // Only the user's timeout runs meanwhile: it is not the peer who does not answer.
      if (probes_ < 255) ++probes_;
      if (unanswered_since_ == kNever) unanswered_since_ = now;
      timer_ = now + kBlockedInterval;
      return true;
    }
    const std::uint32_t mss = connection_.segment_payload(now);
    const std::uint32_t length = std::min({not_sent(), snd_wnd_, mss});
    const bool fin = fin_queued_ && length == not_sent() && snd_wnd_ > length;
    push_end_ = data_end();
    static_cast<void>(send_new(length, fin, mss, now));
    return true;
  }
  if (board_.empty() && not_sent() == 0 && !(fin_queued_ && snd_nxt_ <= data_end())) return true;
  if (probes_ >= limit) return false;
  ++probes_;
  if (unanswered_since_ == kNever) unanswered_since_ = now;
  tcp_.count(Counter::kWindowProbes);
  send_probe(now);
  if (backoff_ < 255) ++backoff_;
  arm_retransmission(now);
  timer_kind_ = TimerKind::kPersist;
  return true;
}

}  // namespace millrace::tcp
