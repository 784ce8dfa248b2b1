// Path MTU discovery: probes and black holes (RFC 4821), and what follows from a new MSS.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/sender.h"
#include "tcp/tcp.h"

namespace millrace::tcp {

namespace {

/// RFC 4821 §7.4: behind a probe there are segments enough to tell of its loss without a timeout, ...
constexpr std::uint32_t kSegmentsBehind = 4;
/// ... and the window is so large that a probe is a small part of it; as Linux.
constexpr std::uint32_t kLeastWindow = 11;
/// What passes everywhere, for all practical purposes (RFC 1122 §3.3.3).
constexpr std::uint32_t kPassesAnywhere = 576;

}  // namespace

void Sender::on_mss_change(std::uint32_t mss, bool resend, Instant now) {
  mss_ = mss;
  if (congestion_ == nullptr) return;
  congestion_->set_mss(mss);
  if (resend && !board_.empty()) {
    // RFC 1191 §6.5: what was too large is sent again at once, and is no sign of congestion.
    mtu_probe_.on_inconclusive();
    board_.mark_all_lost();
    left_by_duplicates_ = 0;
    transmit(now);
  }
}

// --- probes

bool Sender::probe_mtu(std::uint32_t mss, Instant now) {
  // §7.4: nothing lost, no other probe. An option that is not in every segment would make it too large.
  if (!mtu_probe_.due(now) || phase_ != Phase::kOpen || board_.sacked() != 0 || duplicate_acks_ != 0 ||
      mss != mss_ || connection_.mtu_probing() == Config::MtuProbing::kOff)
    return true;
  const std::uint32_t size = mtu_probe_.next_size(tcp_.config(), connection_.mtu_limit(), now);
  if (size == 0) return true;
  const std::uint32_t length = connection_.payload_within(size);
  const std::uint32_t needed = length + kSegmentsBehind * mss, cwnd = window();
  if (cwnd < std::max(needed, kLeastWindow * mss) || window_room() < needed || not_sent() < needed)
    return true;
  if (in_flight() + length > cwnd) {
    cwnd_limited_ = true;
    return false;
  }
  if (paced_out(length, now)) return false;
  const SeqNum start = snd_nxt_;
  if (!send_new(length, false, length, now)) return false;
  const std::uint32_t sent = SeqNum::distance(start, snd_nxt_);  // less, where the queue is in many pieces
  if (sent > mss) mtu_probe_.on_sent(start, snd_nxt_, size - (length - sent));
  return true;
}

void Sender::on_mtu_probe_delivered(Instant now) {
  tcp_.count(Counter::kMtuProbeSuccess);
  mtu_probe_.on_delivered(now);
  settle_mtu(now);
}

bool Sender::take_mtu_probe_loss(Ack& ack) {
  if (phase_ != Phase::kOpen || ack.lost != ack.probe_lost) {
    // §7.6.4: with other losses it may be congestion as well.
    if (const SentSegment* probe = board_.find(mtu_probe_.start()); ack.probe_lost != 0 && probe != nullptr)
      tell_lost(*probe, ack.now);
    mtu_probe_.on_inconclusive();
    return false;
  }
  ack.lost = 0;
  resend_mtu_probe();
  // §7.6.2: no sooner than congestion would have been met, a window of round trips from now.
  mtu_probe_.on_lost(congestion_->cwnd() / mss_ * rtt_.srtt(), ack.now);
  settle_mtu(ack.now);
  return true;
}

void Sender::resend_mtu_probe() {
  tcp_.count(Counter::kMtuProbeFail);
  SentSegment* segment = board_.find(mtu_probe_.start());
  for (; segment != nullptr && segment->seq < mtu_probe_.end(); segment = board_.find(segment->end())) {
    if (segment->fate == SentSegment::Fate::kInFlight) board_.mark_lost(*segment);
  }
  // Without SACK, the duplicates that are still to come speak of the same loss.
  if (!connection_.uses_sack()) recover_ = snd_nxt_;
  force_retransmission_ = true;
}

/// The search may be over: what it has found is good for others too (§5.2).
void Sender::settle_mtu(Instant now) {
  const std::uint32_t limit = connection_.mtu_limit(), found = mtu_probe_.effective();
  if (found < limit && mtu_probe_.next_size(tcp_.config(), limit, now) == 0)
    connection_.share_path_mtu(found, now);
}

// --- black holes

void Sender::suspect_black_hole(Instant now) {
  // §7.7: unless ICMP has told why.
  if (connection_.mtu_probing() == Config::MtuProbing::kOff || connection_.soft_error() != Error::kNone)
    return;
  // Less than a full segment is not lost for its size, unless it is large.
  const std::uint32_t length = board_.head()->length;
  if (length < std::min(mss_, connection_.payload_within(kPassesAnywhere + 1))) return;
  const Config& config = tcp_.config();
  mtu_probe_.on_black_hole(connection_.mtu_of(config.base_mss), connection_.mtu_of(config.mtu_probe_floor),
                           connection_.mtu_limit());
  tcp_.count(Counter::kMtuBlackHole);
  static_cast<void>(connection_.segment_payload(now));  // from now on
}

}  // namespace millrace::tcp
