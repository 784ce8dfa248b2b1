// What follows from an ACK: which segments are lost, when a recovery begins and ends, and when it was for
// nothing.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/sender.h"
#include "tcp/tcp.h"

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kDuplicateThreshold = 3;  // RFC 5681 §3.2

}  // namespace

// --- losses

void Sender::mark_lost(SentSegment& segment, Ack& ack) {
  if (segment.retransmitted()) tcp_.count(Counter::kLostRetransmit);
  ack.lost += segment.length;
  board_.mark_lost(segment);
  if (mtu_probe_.covers(segment.seq)) {
    ack.probe_lost += segment.length;  // what it means, take_mtu_probe_loss() says
  } else {
    tell_lost(segment, ack.now);
  }
}

void Sender::tell_lost(const SentSegment& segment, Instant now) {
  rate_.on_lost(segment.length);
  LostSegment lost;
  lost.now = now;
  lost.bytes = segment.length;
  lost.tx_in_flight = segment.delivery.tx_in_flight;
  lost.lost = rate_.lost_since(segment.delivery);
  lost.app_limited = segment.delivery.app_limited;
  congestion_->on_segment_lost(lost);
}

void Sender::find_losses(Ack& ack) {
  if (!tcp_.config().rack) {
    find_losses_by_sacked_bytes(ack);
    return;
  }
  Rack::Context context;
  context.in_recovery = phase_ == Phase::kRecovery || phase_ == Phase::kLoss;
  context.many_sacked = board_.sacked() > (kDuplicateThreshold - 1) * mss_;
  context.min_rtt = rtt_.min_rtt();
  context.srtt = rtt_.srtt();
  const Duration wait =
      rack_.detect(board_, context, ack.now, [&](SentSegment& segment) { mark_lost(segment, ack); });
  reordering_at_ = wait > Duration{0} ? ack.now + wait : kNever;
}

void Sender::find_losses_by_sacked_bytes(Ack& ack) {
  // RFC 6675 §4, IsLost(): below more than (DupThresh - 1) * SMSS reported bytes. A retransmission that is
  // lost is the timer's to find.
  const SeqNum edge = board_.below_sacked((kDuplicateThreshold - 1) * mss_);
  for (SentSegment* segment = board_.head(); segment != nullptr && segment->seq < edge;) {
    SentSegment* const next = board_.find(segment->end());
    if (segment->fate == SentSegment::Fate::kInFlight && !segment->retransmitted()) mark_lost(*segment, ack);
    segment = next;
  }
}

void Sender::mark_head_lost(Ack& ack) {
  SentSegment* head = board_.head();
  if (head == nullptr || head->fate != SentSegment::Fate::kInFlight) return;
  if (head->length > mss_) static_cast<void>(board_.split(*head, mss_));
  mark_lost(*head, ack);
}

std::uint32_t Sender::duplicate_threshold() const {
  // RFC 5827: with fewer than four segments outstanding and nothing new to send, three duplicates cannot
  // come.
  const std::uint32_t flight = outstanding();
  if (flight < 4 * mss_ && not_sent() == 0 && flight > mss_)
    return std::max(1u, (flight + mss_ - 1) / mss_ - 1);
  return kDuplicateThreshold;
}

// --- phases

LossSample Sender::loss_sample(Instant now) const {
  // FlightSize without what limited transmit sent (RFC 5681 §3.2 (2)): that was beyond cwnd.
  return {now, std::min(outstanding(), congestion_->cwnd()), position(snd_nxt_)};
}

void Sender::change_phase(Ack& ack, bool ece) {
  if (forward_rto_ != ForwardRto::kOff && detect_spurious_timeout(ack)) return;
  if (phase_ != Phase::kOpen && snd_una_ >= recover_) {
    // RFC 6582 §3.2 step 4: without SACK, duplicates that still come could start another for nothing; they
    // carry recover, so what is above it must be acknowledged first.
    if (!try_undo(ack)) leave_recovery(ack.now);
  }
  switch (phase_) {
    case Phase::kOpen:
    case Phase::kCwr:
      if (ack.dsack && try_undo(ack)) break;
      if (!connection_.uses_sack() && duplicate_acks_ >= duplicate_threshold() && ack.duplicate &&
          (snd_una_ > recover_ || board_.head()->retransmissions == 0)) {
        mark_head_lost(ack);
      }
      // RFC 6675 §5 (1): the third one, however small the segments it reports.
      if (connection_.uses_sack() && !tcp_.config().rack && duplicate_acks_ >= kDuplicateThreshold &&
          board_.head() != nullptr && !board_.head()->retransmitted()) {
        mark_head_lost(ack);
      }
      if (ack.lost != 0) {
        enter_recovery(ack);
      } else if (ece && phase_ == Phase::kOpen && snd_una_ > recover_) {
        enter_cwr(ack);  // not for what was sent before the last reduction
      }
      break;
    case Phase::kRecovery:
      if (try_undo(ack) || !ack.advanced) break;
      tcp_.count(Counter::kPartialAcks);
      // RFC 6582 §3.2 step 5, a partial ACK: the next hole is lost too.
      if (!connection_.uses_sack()) {
        mark_head_lost(ack);
        force_retransmission_ = true;
      }
      break;
    case Phase::kLoss:
      static_cast<void>(try_undo(ack));
      break;
  }
}

bool Sender::detect_spurious_timeout(const Ack& ack) {
  if (!is_spurious_timeout(ack)) return false;
  tcp_.count(Counter::kSpuriousTimeouts);
  undo(ack.now);
  return true;
}

bool Sender::is_spurious_timeout(const Ack& ack) {
  const ForwardRto step = forward_rto_;
  if (connection_.uses_sack()) {
    // RFC 5682 §3: something arrives that was sent before the timeout and not since, and was not reported
    // before: it was late, not lost.
    if (snd_una_ < recover_ && ack.original && (ack.advanced || ack.delivered != 0)) return true;
    if (ack.advanced) forward_rto_ = ForwardRto::kOff;
    return false;
  }
  if (!ack.advanced && !ack.duplicate) return false;
  forward_rto_ = ForwardRto::kOff;
  if (step == ForwardRto::kSecondAck) {
    // §2.1 (3b): it was never sent again. (3a): the next of three segments that two round trips allow.
    if (ack.advanced) return true;
    force_retransmission_ = true;
    return false;
  }
  // §2.1 (2a): a duplicate, an ACK of everything, or of a part of what was sent again.
  if (!ack.advanced || snd_una_ >= recover_ || board_.head()->retransmitted()) return false;
  // (2b): what was received may have been more than the head, so two segments follow that are new. Without
  // any it is not found out.
  if (window_room() >= std::min(not_sent(), mss_) &&
      (not_sent() >= mss_ || (not_sent() != 0 && partial_allowed())))
    forward_rto_ = ForwardRto::kSecondAck;
  return false;
}

void Sender::enter_recovery(Ack& ack) {
  if (mtu_probe_.in_flight() && take_mtu_probe_loss(ack)) return;
  tcp_.count(Counter::kFastRetrans);
  tcp_.count(connection_.uses_sack() ? Counter::kSackRecovery : Counter::kRenoRecovery);
  if (phase_ == Phase::kOpen) {
    congestion_->on_loss(loss_sample(ack.now));
    send_cwr_ = ecn_;  // RFC 3168 §6.1.2: whatever the window is reduced for
    undo_.start();
  }
  phase_ = Phase::kRecovery;
  recover_ = snd_nxt_;
  force_retransmission_ = true;
  tail_probed_ = false;
  prr_.start(ack.prior_in_flight, congestion_->ssthresh());
  arm_retransmission(ack.now);
}

void Sender::enter_cwr(const Ack& ack) {
  congestion_->on_ecn(loss_sample(ack.now));
  undo_.stop();
  phase_ = Phase::kCwr;
  recover_ = snd_nxt_;
  send_cwr_ = true;
  prr_.start(ack.prior_in_flight, congestion_->ssthresh());
}

void Sender::leave_recovery(Instant now) {
  // PRR has brought the flight to ssthresh, and the window is that (RFC 9937 §5), be the application slower;
  // RFC 6582 §3.2 step 3 fears the burst.
  if (phase_ != Phase::kLoss) {
    const bool sack = connection_.uses_sack();
    congestion_->on_recovery_exit(now, sack ? std::max(in_flight(), congestion_->ssthresh()) : in_flight());
  }
  if (phase_ == Phase::kRecovery) rack_.on_recovery_exit();
  phase_ = Phase::kOpen;
  left_by_duplicates_ = 0;
  duplicate_acks_ = 0;
  force_retransmission_ = false;
  forward_rto_ = ForwardRto::kOff;
}

void Sender::check_tail_probe(const Segment& segment, const Ack& ack) {
  // RFC 8985 §7.4.2.
  if (!tail_probed_) return;
  if (!tail_was_retransmission_) {
    if (snd_una_ >= tail_end_) tail_probed_ = false;
    return;
  }
  const bool there_twice = ack.dsack && ack.dsack_end == tail_end_;
  // A peer that knows no DSACK has answered to both copies.
  const bool answered_twice = ack.duplicate && snd_una_ == tail_end_ && segment.options.sack_count == 0;
  if (there_twice || answered_twice) {
    tail_probed_ = false;  // nothing was lost
  } else if (snd_una_ > tail_end_) {
    tail_probed_ = false;
    if (phase_ != Phase::kOpen || ack.lost != 0) return;  // there is, or will be, a reduction anyway
    // The probe repaired the only loss: the path was congested all the same.
    tcp_.count(Counter::kLossProbeRecovery);
    congestion_->on_loss(loss_sample(ack.now));
    send_cwr_ = ecn_;
    congestion_->on_recovery_exit(ack.now, in_flight());
    undo_.stop();
  }
}

// --- undo

bool Sender::try_undo(const Ack& ack) {
  // RFC 3522 §3.2 step (5): an ACK of everything, or one that tells of a duplicate, may be the answer to a
  // repetition whose first answer was lost. And in a recovery, the next hole may have been sent again too,
  // and be a real loss: then it is for what follows to tell.
  const SentSegment* head = board_.head();
  const bool told = !ack.dsack && (head != nullptr || dsack_seen_);
  const bool next_is_open = phase_ == Phase::kRecovery && head != nullptr && head->retransmitted();
  const bool by_echo = ack.echo_is_early && ack.advanced && told && !next_is_open;
  const bool by_dsack = ack.dsack && undo_.all_duplicates();
  if (!by_echo && !by_dsack) return false;
  tcp_.count(by_dsack                 ? Counter::kDsackUndo
             : phase_ == Phase::kLoss ? Counter::kLossUndo
                                      : Counter::kFullUndo);
  undo(ack.now);
  return true;
}

void Sender::undo(Instant now) {
  undo_.stop();
  send_cwr_ = false;
  congestion_->on_undo(now);
  board_.unmark_lost();
  phase_ = Phase::kOpen;
  left_by_duplicates_ = 0;
  duplicate_acks_ = 0;
  timeouts_ = 0;  // but the timer stays backed off: on a path that became slow, what follows needs the time
  force_retransmission_ = false;
  forward_rto_ = ForwardRto::kOff;
  if (!board_.empty()) arm(now);
}

}  // namespace millrace::tcp
