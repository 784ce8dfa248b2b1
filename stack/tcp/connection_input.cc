// Segment arrival: RFC 9293 §3.10.7, step by step.

#include <algorithm>

#include "base/byte_order.h"
#include "tcp/connection.h"
#include "tcp/listener.h"
#include "tcp/tcp_socket.h"

namespace millrace::tcp {

void Connection::on_segment(Segment& segment, Instant now) {
  segments_in_ += segment.wire_segments;
  if (state_ == State::kClosed) return;
  touch();  // output() sees to the timer
  if (state_ == State::kSynSent) {
    on_syn_sent_segment(segment, now);
    return;
  }
  // First, the sequence number (§3.10.7.4), PAWS before it (RFC 7323 §5.3 R1).
  if (!check_timestamps(segment, now)) return;
  if (fast_opened() && segment.has(Flags::kSyn) && segment.seq < receiver_.rcv_nxt() &&
      !(segment.has(Flags::kEce) && segment.has(Flags::kCwr))) {
    // RFC 3168 §6.1.1.1: a peer that asks again without does not believe in ECN on this path.
    ecn_ = false;
  }
  if (state_ == State::kSynReceived && segment.has(Flags::kSyn) && !segment.has(Flags::kRst) &&
      segment.seq + 1 == receiver_.rcv_nxt()) {
    // A simultaneous open (§3.5, figure 8). The peer's SYN is known already: without ACK it repeats itself,
    // with it (line 6 of the figure) it is as good as the plain ACK.
    if (!segment.has(Flags::kAck)) {
      send_syn(true, now);
      return;
    }
    segment.seq += 1;
    segment.flags = static_cast<std::uint8_t>(segment.flags & ~Flags::kSyn);
    // RFC 7323 §2.2: the window of a segment with SYN is not scaled; those of all that follow are.
    segment.window = static_cast<std::uint16_t>(segment.window >> pending_scale_);
    receiver_.request_ack();
  }
  if (!check_sequence(segment, now)) return;
  last_received_ = now;
  keepalive_probes_ = 0;
  // Second, RST.
  if (segment.has(Flags::kRst)) {
    on_reset(segment, now);
    return;
  }
  // Fourth, SYN: in a synchronized state it is challenged, wherever it lies (RFC 5961 §4.2).
  if (segment.has(Flags::kSyn)) {
    tcp_.count(Counter::kSynChallenge);
    challenge_ack(now);
    return;
  }
  // Fifth, ACK.
  if (!check_ack(segment, now)) return;
  if (state_ == State::kClosed) return;
  // Only now: the timestamp of a segment with a senseless ACK would make PAWS drop the peer's good ones.
  note_timestamp(segment, now);
  note_user_timeout(segment);
  // Sixth to eighth: URG, text, FIN.
  on_text(segment, now);
}

// --- SYN-SENT (§3.10.7.3)

void Connection::adopt_peer_options(const Segment& segment) {
  const wire::TcpOptions& options = segment.options;
  peer_mss_ = options.mss.value_or(536);  // RFC 9293 MUST-15
  timestamps_ = timestamps_ && options.timestamps.has_value();
  sack_ = sack_ && options.sack_permitted;
  // RFC 3168 §6.1.1: ECE alone answers to our SYN; ECE and CWR is the peer's own, of a simultaneous open.
  const bool both = segment.has(Flags::kEce) && segment.has(Flags::kCwr);
  ecn_ = segment.has(Flags::kAck) ? ecn_ && segment.has(Flags::kEce) && !both && syn_tries_ == 0
                                  : both && tcp_.config().ecn != Config::Ecn::kOff;
  peer_scaled_ = tcp_.config().window_scaling && options.window_scale.has_value();
  if (options.timestamps) ts_recent_.start(options.timestamps->value, segment.seq + 1, last_received_);
  note_user_timeout(segment);
}

void Connection::note_user_timeout(const Segment& segment) {
  if (segment.options.user_timeout && tcp_.config().user_timeout_option)
    user_timeout_.on_option(*segment.options.user_timeout);
}

void Connection::on_syn_sent_segment(Segment& segment, Instant now) {
  if (deferred_) return;  // nobody can have been asked
  const bool ack = segment.has(Flags::kAck);
  if (ack && (segment.ack <= sender_.iss() || segment.ack > sender_.snd_nxt() + syn_data_)) {
    if (!segment.has(Flags::kRst)) tcp_.send_reset_for(key(), segment, {}, now);
    return;
  }
  if (segment.has(Flags::kRst)) {
    if (!ack) return;
    tcp_.count(Counter::kAttemptFails);
    enter_closed(Error::kConnectionRefused, now);
    return;
  }
  if (!segment.has(Flags::kSyn)) return;
  if (ack && timestamps_ && segment.options.timestamps && segment.options.timestamps->echo != 0) {
    // RFC 7323 §3.2: an echo of something we never sent.
    const std::uint32_t age = timestamp(now) - segment.options.timestamps->echo;
    if (age > 0x7fffffff) return;
  }
  last_received_ = now;
  adopt_peer_options(segment);
  receiver_.start(segment.seq, offered_window_, peer_scaled_, options_.receive_buffer);
  const std::uint8_t scale =
      peer_scaled_ ? std::min<std::uint8_t>(segment.options.window_scale.value_or(0), 14) : std::uint8_t{0};
  if (!ack) {
    // Simultaneous open: SYN-RECEIVED, and a SYN-ACK with the same ISS.
    state_ = State::kSynReceived;
    pending_scale_ = scale;
    syn_tries_ = 0;
    send_syn(true, now);
    state_deadline_ = now + sender_.rtt().backed_off(0);
    return;
  }
  state_deadline_ = kNever;
  state_ = State::kEstablished;
  last_data_received_ = now;  // from when TCP_INFO counts, as Linux
  if (ecn_) sender_.use_ecn();
  if (sack_) receiver_.use_sack();
  conclude_fast_open(segment, now);
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  sender_.establish(segment.window, segment.seq, segment.ack, scale, path_payload(), syn_retransmitted_, now);
  grow_send_buffer();
  if (options_.quick_ack) receiver_.set_quick_ack(true);
  arm_keepalive(now);
  start_idle_clock(now);
  confirm_neighbour(now);
  receiver_.request_ack();
  notify(kWritable);
  segment.seq += 1;
  segment.flags = static_cast<std::uint8_t>(segment.flags & ~Flags::kSyn);
  on_text(segment, now);
  if (send_shutdown_ && state_ == State::kEstablished) state_ = State::kFinWait1;
}

// --- the checks

bool Connection::check_timestamps(const Segment& segment, Instant now) {
  if (!timestamps_) return true;
  if (!segment.options.timestamps) {
    // RFC 7323 §3.2: a non-RST segment without the option is dropped once it was negotiated.
    if (segment.has(Flags::kRst)) return true;
    tcp_.count(Counter::kPawsEstab);
    return false;
  }
  if (ts_recent_.acceptable(segment.options.timestamps->value, now) || segment.has(Flags::kRst)) return true;
  tcp_.count(Counter::kPawsEstab);
  send_duplicate_ack(segment, now);
  return false;
}

void Connection::note_timestamp(const Segment& segment, Instant now) {
  // RFC 7323 §4.3 (2): only from a segment that covers what we acknowledged last.
  if (!timestamps_ || !segment.options.timestamps || segment.seq > receiver_.last_ack_sent()) return;
  ts_recent_.note(segment.options.timestamps->value, receiver_.rcv_nxt(), now);
}

bool Connection::check_sequence(const Segment& segment, Instant now) {
  const SeqNum rcv_nxt = receiver_.rcv_nxt();
  const std::uint32_t window = receiver_.window();
  const std::uint32_t length = segment.length();
  bool acceptable;
  if (length == 0) {
    // The table of §3.10.7.4, but the right edge itself counts: the ACKs of a peer that has filled the
    // window, while some of its data is lost, carry that number.
    acceptable = segment.seq >= rcv_nxt && segment.seq <= rcv_nxt + window;
  } else {
    acceptable = segment.end() > rcv_nxt && segment.seq < rcv_nxt + window;
    // "special allowance should be made to accept valid ACKs": the text is trimmed to nothing later.
    if (window == 0) acceptable = segment.seq == rcv_nxt;
  }
  if (acceptable) return true;
  tcp_.count(Counter::kOutOfWindow);
  if (segment.has(Flags::kRst)) return false;
  if (segment.payload_length != 0 && segment.seq < rcv_nxt && !segment.has(Flags::kSyn)) {
    const SeqNum end = SeqNum::min(segment.seq + segment.payload_length, rcv_nxt);
    receiver_.note_duplicate(segment.seq, end);
  }
  if (segment.has(Flags::kSyn) && state_ != State::kSynReceived) {
    tcp_.count(Counter::kSynChallenge);  // RFC 5961 §4.2: wherever it lies
    challenge_ack(now);
  } else {
    send_duplicate_ack(segment, now);
  }
  return false;
}

void Connection::send_duplicate_ack(const Segment& segment, Instant now) {
  // Data is always answered; probes and stray control segments at most once an interval, so that two confused
  // ends do not answer each other for ever.
  if (segment.payload_length == 0 || segment.has(Flags::kSyn)) {
    if (last_duplicate_ack_ != kEpoch && now - last_duplicate_ack_ < tcp_.config().duplicate_ack_interval) {
      tcp_.count(Counter::kChallengeAckLimited);
      return;
    }
    last_duplicate_ack_ = now;
  }
  if (state_ == State::kSynReceived) {
    send_syn(true, now);
    return;
  }
  receiver_.request_ack();
}

void Connection::challenge_ack(Instant now) {
  // One connection's share first: who attacks it does not use up what the others have in common, and learns
  // nothing of how much of that is left.
  if (last_duplicate_ack_ != kEpoch && now - last_duplicate_ack_ < tcp_.config().duplicate_ack_interval) {
    tcp_.count(Counter::kChallengeAckLimited);
    return;
  }
  if (!tcp_.challenge_ack_allowed(now)) {
    tcp_.count(Counter::kChallengeAckLimited);
    return;
  }
  last_duplicate_ack_ = now;
  tcp_.count(Counter::kChallengeAck);
  receiver_.request_ack();
}

void Connection::on_reset(const Segment& segment, Instant now) {
  // RFC 5961 §3.2: exactly at rcv_nxt, or it is challenged.
  if (segment.seq != receiver_.rcv_nxt()) {
    tcp_.count(Counter::kRstIgnored);
    challenge_ack(now);
    return;
  }
  Error error = Error::kConnectionReset;
  switch (state_) {
    case State::kSynReceived:
      if (fast_open_) break;
      tcp_.count(Counter::kAttemptFails);
      error = Error::kConnectionRefused;
      break;
    case State::kCloseWait:
      tcp_.count(Counter::kEstabResets);
      error = Error::kPipe;  // as Linux reports it
      break;
    case State::kEstablished:
      tcp_.count(Counter::kEstabResets);
      break;
    default:
      break;
  }
  enter_closed(error, now);
}

void Connection::become_established(const Segment& segment, Instant now) {
  state_ = State::kEstablished;
  state_deadline_ = kNever;
  if (ecn_) sender_.use_ecn();
  if (fast_open_) {
    sender_.conclude_handshake(syn_retransmitted_ ? Duration{-1} : now - syn_sent_at_, now);
    leave_fast_open(false, now);
  } else {
    last_data_received_ = now;
    if (sack_) receiver_.use_sack();
    sender_.establish(std::uint32_t{segment.window} << pending_scale_, segment.seq, segment.ack,
                      pending_scale_, path_payload(), syn_retransmitted_, now);
    grow_send_buffer();
  }
  if (options_.quick_ack) receiver_.set_quick_ack(true);
  arm_keepalive(now);
  start_idle_clock(now);
  confirm_neighbour(now);
}

/// RFC 4861 §7.3.1: who acknowledges what was sent there can be reached.
void Connection::confirm_neighbour(Instant now) {
  if (route_.interface != nullptr) route_.interface->neighbours().confirm(route_.next_hop, now);
}

bool Connection::check_ack(Segment& segment, Instant now) {
  if (!segment.has(Flags::kAck)) {
    tcp_.count(Counter::kNoAckFlag);
    return false;
  }
  if (state_ == State::kSynReceived) {
    if (segment.ack <= sender_.iss() || segment.ack > sender_.snd_nxt() + syn_data_) {
      tcp_.send_reset_for(key(), segment, {}, now);
      return false;
    }
    if (syn_data_ != 0) take_syn_data_ack(segment.ack, now);
    become_established(segment, now);
    if (send_shutdown_) state_ = State::kFinWait1;
    notify(kWritable);
  }
  // RFC 5961 §5.2.
  if (segment.ack > sender_.snd_nxt()) {
    challenge_ack(now);
    return false;
  }
  if (segment.ack < sender_.snd_una() &&
      SeqNum::distance(segment.ack, sender_.snd_una()) > std::max(sender_.max_window(), 1u)) {
    tcp_.count(Counter::kOldAck);
    challenge_ack(now);
    return false;
  }
  if (segment.payload_length == 0) tcp_.count(Counter::kPureAcks);
  const SeqNum before = sender_.snd_una();
  if (sender_.process_ack(segment, now)) {
    soft_error_ = Error::kNone;
    bytes_acked_ += SeqNum::distance(before, sender_.snd_una());
    on_acknowledged(now);
  }
  return true;
}

void Connection::on_acknowledged(Instant now) {
  confirm_neighbour(now);
  acknowledged_ = true;
  if (!sender_.fin_acknowledged()) {
    if (closed_by_application_ && sender_.everything_acknowledged()) notify(kWritable);
    return;
  }
  switch (state_) {
    case State::kFinWait1:
      state_ = State::kFinWait2;
      if (closed_by_application_) {
        if (options_.linger2 < 0) {
          enter_closed(Error::kNone, now);
          return;
        }
        fin_wait_2_deadline_ = now + std::chrono::seconds(options_.linger2);
      }
      notify(kWritable);
      break;
    case State::kClosing:
      go_time_wait(now);
      break;
    case State::kLastAck:
      enter_closed(Error::kNone, now);
      break;
    default:
      break;
  }
}

// --- text and FIN

void Connection::on_text(Segment& segment, Instant now) {
  if (state_ != State::kEstablished && state_ != State::kFinWait1 && state_ != State::kFinWait2) {
    // CLOSE-WAIT and later: the peer has said FIN; text behind it is ignored.
    if (segment.payload_length != 0) receiver_.request_ack();
    return;
  }
  if (segment.payload_length != 0 && closed_by_application_ &&
      segment.seq + segment.payload_length > receiver_.rcv_nxt()) {
    // Nobody will read it: the peer must know (RFC 9293 §3.10.4, as Linux and BSD).
    tcp_.count(Counter::kAfterClose);
    // Its SEQ is what the peer acknowledges, so that it is believed whatever has arrived (RFC 5961 §3.2).
    tcp_.send_reset_for(key(), segment, {}, now);
    enter_closed(Error::kNone, now);
    return;
  }
  if (segment.has(Flags::kUrg) && segment.urgent_pointer != 0) {
    const SeqNum mark = segment.seq + segment.urgent_pointer - 1;
    if (urgent_.announce(mark, read_position())) notify(kPriority);
  }
  if (segment.length() == 0) return;
  if (ecn_ && segment.payload_length != 0) note_ecn(segment, now);
  const bool urgent_byte_here = urgent_.pending && urgent_.byte == Urgent::Byte::kExpected &&
                                urgent_.mark.in(segment.seq, segment.payload_length);
  if (urgent_byte_here) {
    segment.packet->copy_out(SeqNum::distance(segment.seq, urgent_.mark), {&urgent_.value, 1});
    urgent_.byte = Urgent::Byte::kHere;
    notify(kPriority);
  }
  data_segments_in_ += segment.payload_length != 0 ? segment.wire_segments : 0u;
  const SeqNum before = receiver_.rcv_nxt();
  const Receiver::Outcome outcome = receiver_.on_data(segment, now);
  if (outcome.readable) {
    bytes_received_ += SeqNum::distance(before, receiver_.rcv_nxt()) - (outcome.fin ? 1u : 0u);
    last_data_received_ = now;
    notify(kReadable);
  }
  if (outcome.fin) on_fin(now);
}

void Connection::note_ecn(const Segment& segment, Instant now) {
  const bool marked = segment.ecn == kCongestionExperienced;
  if (sender_.congestion() != nullptr && sender_.congestion()->needs_accurate_ecn()) {
    // RFC 8257 §3.2: ECE says of exactly what an ACK covers whether it was marked; so a change is told at
    // once.
    if (marked == congestion_experienced_) return;
    if (receiver_.unacknowledged() != 0) send_ack(now);
    congestion_experienced_ = marked;
    return;
  }
  // RFC 3168 §6.1.3: ECE until the peer says CWR. A segment may be marked anew.
  if (segment.has(Flags::kCwr)) congestion_experienced_ = false;
  if (marked) congestion_experienced_ = true;
}

void Connection::on_fin(Instant now) {
  receive_shutdown_ = true;
  fin_received_ = true;
  switch (state_) {
    case State::kEstablished:
      state_ = State::kCloseWait;
      break;
    case State::kFinWait1:
      state_ = State::kClosing;
      break;  // our FIN is not acknowledged, or we were in FIN-WAIT-2
    case State::kFinWait2:
      notify(kReadable | kReadHangup | kHangup);
      send_ack(now);
      go_time_wait(now);
      return;
    default:
      break;
  }
  notify(kReadable | kReadHangup | (send_shutdown_ ? kHangup : Ready{0}));
}

// --- ICMP

void Connection::on_icmp_error(const ip::IcmpError& error, Instant now) {
  if (state_ == State::kClosed) return;
  // RFC 5927 §4.1: only what is in flight can have caused an error.
  const SeqNum seq{load_be32(error.transport_header.data() + 4)};
  if (seq < sender_.snd_una() || seq >= sender_.snd_nxt()) {
    tcp_.count(Counter::kIcmpIgnored);
    return;
  }
  if (error.kind == ip::IcmpError::Kind::kFragmentationNeeded) {
    if (state_ != State::kSynSent) on_too_big(error.mtu, now);
    return;
  }
  Error reported = Error::kHostUnreachable;
  switch (error.kind) {
    case ip::IcmpError::Kind::kPortUnreachable:
      reported = Error::kConnectionRefused;
      break;
    case ip::IcmpError::Kind::kProtocolUnreachable:
      reported = Error::kProtocolNotAvailable;
      break;
    case ip::IcmpError::Kind::kNetworkUnreachable:
      reported = Error::kNetworkUnreachable;
      break;
    case ip::IcmpError::Kind::kParameterProblem:
      reported = Error::kProtocol;
      break;
    default:
      break;
  }
  // RFC 9293 §3.9.2.2: hard errors end only a connection that is not established yet; later all are soft (RFC
  // 5461).
  if (state_ == State::kSynSent || (state_ == State::kSynReceived && !fast_open_)) {
    if (error.kind == ip::IcmpError::Kind::kTimeExceeded) {
      soft_error_ = reported;
      return;
    }
    tcp_.count(Counter::kAttemptFails);
    enter_closed(reported, now);
    return;
  }
  soft_error_ = reported;
}

}  // namespace millrace::tcp
