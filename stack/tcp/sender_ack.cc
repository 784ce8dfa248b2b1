// What an ACK tells.
#include <algorithm>
#include <cassert>
#include <utility>

#include "tcp/connection.h"
#include "tcp/sender.h"
#include "tcp/tcp.h"

namespace millrace::tcp {

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

/// The common case of requests and answers, without what only others need: all that is outstanding is one
/// segment, which has arrived, and nothing else is going on. What process_ack() would do; false: nothing is
/// done.
bool Sender::process_plain_ack(const Segment& segment, Instant now) {
  if (segment.ack != snd_nxt_) return false;
  const SentSegment* const sent = board_.only();
  if (sent == nullptr || phase_ != Phase::kOpen || forward_rto_ != ForwardRto::kOff || backoff_ != 0 ||
      tail_probed_ || left_by_duplicates_ != 0 || snd_wnd_ == 0 || fin_queued_ || urgent_ ||
      segment.options.sack_count != 0 || (ecn_ && segment.has(Flags::kEce)) || mtu_probe_.in_flight())
    return false;
  assert(sent->seq == snd_una_ && sent->end() == snd_nxt_ && queue_front_ == snd_una_);
  const Duration rtt = now - sent->sent_at();
  if (rtt < Duration{0}) return false;  // of a turn that read the clock before it had its turn
  AckSample sample;
  sample.now = now;
  sample.acked = sample.delivered = sample.prior_in_flight = sent->length;
  sample.rtt = rtt;
  rack_.on_arrival_of_all(sent->sent_at(), segment.ack, rtt);
  rtt_.sample(rtt);
  rtt_round_end_ = snd_nxt_;
  rate_.on_one_delivered(sent->delivery, sample.acked, rtt_.min_rtt(), now, sample.rate);
  board_.forget_only();

  probes_ = timeouts_ = duplicate_acks_ = 0;
  ends_handshake_ = hold_partial_ = false;
  static_cast<void>(update_window(segment));
  queue_.drop_front(sample.acked);
  queue_front_ = snd_una_ = segment.ack;
  recover_ = SeqNum::max(recover_, snd_una_ - 1);
  snd_sml_ = SeqNum::max(snd_sml_, snd_una_);
  una_position_ += sample.acked;
  unanswered_since_ = reordering_at_ = kNever;
  disarm();

  sample.delivered_total = rate_.delivered_total();
  sample.acked_total = sample.sent_total = una_position_;
  sample.cwnd_limited = window_was_used();
  note_rate(sample.rate);
  congestion_->on_ack(sample);
  return true;
}

bool Sender::process_ack(const Segment& segment, Instant now) {
  if (process_plain_ack(segment, now)) return true;
  probes_ = 0;
  const bool ends_handshake = std::exchange(ends_handshake_, false);
  const bool was_closed = snd_wnd_ == 0;
  const bool window_changed = segment.ack >= snd_una_ && update_window(segment);
  if (was_closed && snd_wnd_ != 0 && probing()) {
    // The window is open again: what is outstanding is guarded by the retransmission timer from now on.
    backoff_ = 0;
    disarm();
    if (!board_.empty()) arm(now);
  }
  if (board_.empty()) {
    if (segment.ack == snd_una_) unanswered_since_ = kNever;
    take_late_report(segment, window_changed, now);
    return false;
  }
  Ack ack;
  ack.now = now;
  ack.prior_in_flight = in_flight();
  ack.advanced = segment.ack > snd_una_;
  if (segment.options.timestamps && connection_.uses_timestamps())
    ack.echo_is_early = segment.has(Flags::kAck) && segment.options.timestamps->echo != 0 &&
                        undo_.echo_is_early(segment.options.timestamps->echo);
  const bool sack = connection_.uses_sack();
  if (ack.advanced) advance(segment, ack);
  if (sack && segment.options.sack_count != 0) take_sack_blocks(segment, ack);
  // RFC 5681 §2: a duplicate ACK has no data, no SYN or FIN, the same window, while something is outstanding.
  ack.duplicate =
      !ack.advanced && segment.ack == snd_una_ && segment.length() == 0 && !window_changed && !ends_handshake;
  if (ack.duplicate && !sack) count_duplicate(ack);
  // RFC 6675 §2: with SACK, a duplicate ACK is one that reports something new.
  if (sack && !ack.advanced && ack.delivered != 0 && duplicate_acks_ < 255) ++duplicate_acks_;
  if (ack.delivered != 0) take_rtt_sample(segment, ack);
  if (sack) find_losses(ack);
  check_tail_probe(segment, ack);
  const bool recovered = recovering();
  change_phase(ack, ecn_ && segment.has(Flags::kEce));
  // The ACK that ends a recovery belongs to it.
  if (ack.delivered != 0 || ack.lost != 0) tell_congestion(segment, ack, recovered || recovering());
  if (board_.empty()) {
    disarm();
    reordering_at_ = kNever;
  } else if (ack.advanced) {
    arm(now);  // RFC 6298 (5.3)
  }
  return ack.advanced;
}

/// Nothing is outstanding: what an ACK can still tell is that something came twice.
void Sender::take_late_report(const Segment& segment, bool window_changed, Instant now) {
  if (!connection_.uses_sack() || congestion_ == nullptr) return;
  Ack ack;
  ack.now = now;
  ack.duplicate = segment.ack == snd_una_ && segment.length() == 0 && !window_changed;
  if (segment.options.sack_count != 0) static_cast<void>(take_dsack(segment, ack));
  check_tail_probe(segment, ack);
  if (ack.dsack) static_cast<void>(try_undo(ack));
}

void Sender::advance(const Segment& segment, Ack& ack) {
  ack.acked = SeqNum::distance(snd_una_, segment.ack);
  board_.acknowledge(
      segment.ack, [&](const SentSegment& sent, std::uint32_t bytes) { arrived(sent, bytes, segment, ack); });
  const SeqNum data_acked = SeqNum::min(segment.ack, data_end());
  if (data_acked > queue_front_) {
    const std::uint32_t n = SeqNum::distance(queue_front_, data_acked);
    queue_.drop_front(n);
    queue_front_ += n;
  }
  snd_una_ = segment.ack;
  if (mtu_probe_.in_flight() && snd_una_ >= mtu_probe_.end()) on_mtu_probe_delivered(ack.now);
  // What lies behind snd_una says nothing more; left there, it would seem to lie ahead after 2 GiB.
  if (phase_ == Phase::kOpen && recover_ < snd_una_) recover_ = snd_una_ - 1;
  snd_sml_ = SeqNum::max(snd_sml_, snd_una_);
  una_position_ += ack.acked;
  if (urgent_ && snd_una_ >= snd_up_) urgent_ = false;
  timeouts_ = 0;
  hold_partial_ = false;  // MSG_MORE waits no longer than for something new, as in Linux
  unanswered_since_ = board_.empty() ? kNever : ack.now;
  if (left_by_duplicates_ != 0) {
    // The duplicates spoke of what this ACK covers, but for the segment that was missing.
    const std::uint32_t told = std::min(left_by_duplicates_, ack.acked > mss_ ? ack.acked - mss_ : 0);
    left_by_duplicates_ = phase_ == Phase::kRecovery ? left_by_duplicates_ - told : 0;
    ack.delivered -= std::min(ack.delivered, told);
  }
  duplicate_acks_ = 0;
}

void Sender::arrived(const SentSegment& sent, std::uint32_t bytes, const Segment& by, Ack& ack) {
  ack.delivered += bytes;
  rate_.on_segment_delivered(sent.delivery, bytes, ack.now, ack.deliveries);
  Rack::Arrival arrival;
  arrival.start = sent.seq;
  arrival.end = sent.seq + bytes;
  arrival.sent_at = sent.sent_at();
  arrival.retransmitted = sent.retransmitted();
  if (!sent.retransmitted()) {
    ack.original |= sent.end() <= recover_;
    const Duration rtt = ack.now - sent.sent_at();
    ack.oldest_rtt = std::max(ack.oldest_rtt, rtt);
    ack.newest_rtt = ack.newest_rtt < Duration{0} ? rtt : std::min(ack.newest_rtt, rtt);
  } else {
    ack.retransmitted = true;
    if (by.options.timestamps && connection_.uses_timestamps())
      arrival.of_earlier_copy =
          static_cast<std::int32_t>(by.options.timestamps->echo - connection_.timestamp(sent.sent_at())) < 0;
  }
  // An answer to the copy comes a round trip after it; small packets may be faster than any that was
  // measured.
  ack.repeated |= arrival.of_earlier_copy && 2 * (ack.now - sent.sent_at()) >= rtt_.min_rtt();
  if (rack_.on_arrival(arrival, rtt_.min_rtt(), ack.now) && !ack.reordered) {
    ack.reordered = true;
    ++reorderings_;
  }
}

bool Sender::take_dsack(const Segment& segment, Ack& ack) {
  // RFC 2883 §4: the first block reports a duplicate when it lies below the ACK, or within the second.
  const wire::SackBlock& first = segment.options.sack[0];
  const bool below = first.right <= segment.ack;
  const bool within = segment.options.sack_count > 1 && first.left >= segment.options.sack[1].left &&
                      first.right <= segment.options.sack[1].right;
  if (!below && !within) return false;
  if (first.left >= first.right || first.right > snd_nxt_ ||
      SeqNum::distance(first.left, snd_nxt_) > (1u << 30))
    return false;
  tcp_.count(Counter::kDsackReceived);
  ack.dsack = dsack_seen_ = true;
  ack.dsack_end = first.right;
  const std::uint32_t bytes = SeqNum::distance(first.left, first.right);
  const std::uint32_t segments = (bytes + mss_ - 1) / mss_;
  duplicates_reported_ += segments;
  undo_.on_dsack(first.left, first.right, segments);
  if (!(tail_probed_ && first.right == tail_end_)) rack_.on_dsack(snd_una_, snd_nxt_);
  return true;
}

void Sender::take_sack_blocks(const Segment& segment, Ack& ack) {
  // In sequence: where ACKs were lost, one of them tells of several holes' far sides at once, the latest
  // first, and that is no reordering.
  auto blocks = segment.options.sack;
  const auto begin = blocks.begin() + (take_dsack(segment, ack) ? 1 : 0);
  const auto end = blocks.begin() + segment.options.sack_count;
  std::sort(begin, end, [](const wire::SackBlock& a, const wire::SackBlock& b) { return a.left < b.left; });
  for (auto at = begin; at != end; ++at) {
    wire::SackBlock block = *at;
    if (block.left >= block.right || block.right > snd_nxt_ || block.right <= snd_una_) {
      // Below snd_una: reordered or a late duplicate's. Beyond snd_nxt: nonsense.
      if (block.left >= block.right || block.right > snd_nxt_) tcp_.count(Counter::kSackDiscarded);
      continue;
    }
    block.left = SeqNum::max(block.left, snd_una_);
    board_.sack(block.left, block.right,
                [&](const SentSegment& sent, std::uint32_t bytes) { arrived(sent, bytes, segment, ack); });
  }
}

void Sender::count_duplicate(Ack& ack) {
  // RFC 6582 §3.2 step 1: not for duplicates of what was sent again after a timeout.
  if (phase_ == Phase::kLoss) return;
  if (duplicate_acks_ < 255) ++duplicate_acks_;
  // Each tells that a segment has left the network. The one that is missing has not.
  const std::uint32_t most = outstanding() > mss_ ? outstanding() - mss_ : 0;
  const std::uint32_t more = std::min(mss_, most - std::min(most, left_by_duplicates_));
  left_by_duplicates_ += more;
  ack.delivered += more;
}

void Sender::take_rtt_sample(const Segment& segment, const Ack& ack) {
  // What is acknowledged together with something sent again may have waited for it at the peer.
  Duration rtt = ack.retransmitted ? Duration{-1} : ack.oldest_rtt;
  if (rtt < Duration{0} && ack.advanced && !ack.repeated && connection_.uses_timestamps() &&
      segment.options.timestamps && segment.options.timestamps->echo != 0) {
    // What was sent again has no send time of its own; the echoed timestamp tells (RFC 7323 §4), in
    // milliseconds. But where the first ACK was lost, the time until the timer expired would be in it.
    const auto elapsed =
        static_cast<std::int32_t>(connection_.timestamp(ack.now) - segment.options.timestamps->echo);
    if (elapsed >= 0) rtt = std::max<Duration>(std::chrono::milliseconds(elapsed), Duration{100us});
  }
  if (rtt < Duration{0}) return;
  if (!ack.retransmitted && ack.newest_rtt >= Duration{0}) rtt_.note_minimum(ack.newest_rtt);
  // RFC 6298 §5: the timeout stays backed off until there is a sample of something sent once (Karn).
  if (backoff_ != 0) {
    backoff_ = 0;
    if (!board_.empty()) arm(ack.now);
  }
  // RFC 6298 §3: one sample a round trip; with more, the variance would forget too soon (RFC 7323 appendix
  // G).
  if (snd_una_ < rtt_round_end_ && rtt_.valid()) return;
  rtt_round_end_ = snd_nxt_;
  const bool first = !rtt_.valid();
  rtt_.sample(rtt);
  // What is outstanding need not wait for a second or three that were a guess.
  if (first && !board_.empty()) arm(ack.now);
}

void Sender::tell_congestion(const Segment& segment, const Ack& ack, bool in_recovery) {
  AckSample sample;
  sample.now = ack.now;
  // What duplicates or SACK had told of before is not news. While losses may be behind SACK only an ACK that
  // advances lets the window grow; where packets overtake each other, each that arrives does.
  const bool overtaking = rack_.reordering() > 3 * mss_;
  sample.acked = ack.advanced || overtaking ? ack.delivered : 0;
  sample.delivered = ack.delivered;
  sample.lost = ack.lost;
  sample.prior_in_flight = ack.prior_in_flight;
  sample.in_flight = in_flight();
  sample.delivered_total = rate_.delivered_total();
  sample.acked_total = una_position_;
  sample.sent_total = position(snd_nxt_);
  sample.rtt = ack.retransmitted ? Duration{-1} : ack.newest_rtt;
  sample.cwnd_limited = window_was_used();
  sample.in_recovery = in_recovery;
  sample.ece = ecn_ && segment.has(Flags::kEce);
  rate_.finish(ack.deliveries, rtt_.min_rtt(), sample.rate);
  note_rate(sample.rate);
  congestion_->on_ack(sample);
  if (recovering())
    prr_.on_ack(ack.delivered, in_flight(), ack.advanced && ack.lost == 0, force_retransmission_ ? mss_ : 0,
                mss_);
}

}  // namespace millrace::tcp
