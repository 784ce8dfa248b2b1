// The timers of a connection: its SYN's, the delayed ACK, keepalives, and the sender's.

#include <algorithm>
#include <chrono>

#include "tcp/connection.h"

namespace millrace::tcp {

Instant Connection::protocol_deadline() const {
  return std::min({keepalive_deadline_, fin_wait_2_deadline_, sender_.timer_deadline()});
}

void Connection::update_timer(Instant now) {
  if (state_ == State::kClosed) return;
  Instant next = std::min(protocol_deadline(), state_deadline_);
  if (const Instant ack = receiver_.delayed_ack_deadline(); ack != listed_ack()) {
    if (listed_ack() != kNever || tcp_.has_many_flows()) return list_delayed_ack(next, now);
    next = std::min(next, ack);
  }
  if (next != kNever) tcp_.timers().arm_no_later_than(timer_, std::max(next, now));
}

/// The rest of update_timer().
void Connection::list_delayed_ack(Instant next, Instant now) {
  tcp_.delayed_acks().set(*this, receiver_.delayed_ack_deadline());
  if (next != kNever) tcp_.timers().arm_no_later_than(timer_, std::max(next, now));
}

void Connection::on_timer(Instant now) {
  if (state_ == State::kClosed) return;
  if (now >= state_deadline_ && !in_handshake()) {
    on_idle_timer(now);
    if (now < std::min(protocol_deadline(), receiver_.delayed_ack_deadline())) {
      update_timer(now);
      return;
    }
  }
  if (now >= receiver_.delayed_ack_deadline()) receiver_.on_delayed_ack_timer();
  if (now >= state_deadline_ && in_handshake()) on_syn_timer(now);
  if (state_ != State::kClosed && now >= sender_.timer_deadline() && !sender_.on_timer(now)) {
    tcp_.count(Counter::kAbortOnTimeout);
    const Error error = soft_error_ != Error::kNone ? soft_error_ : Error::kTimedOut;
    if (state_ != State::kClosed && user_timeout() == Duration{0}) {
      // The peer is gone for all we know; a reset costs nothing should it come back.
      send_reset(now);
    }
    enter_closed(error, now);
  }
  if (state_ != State::kClosed && now >= keepalive_deadline_) on_keepalive_timer(now);
  if (state_ != State::kClosed && now >= fin_wait_2_deadline_) enter_closed(Error::kNone, now);
  if (state_ != State::kClosed) {
    touch();
    update_timer(now);
  }
}

void Connection::on_delayed_ack(Instant now) {
  if (state_ == State::kClosed) return;
  if (now < receiver_.delayed_ack_deadline()) return update_timer(now);  // that ACK has gone
  receiver_.on_delayed_ack_timer();
  touch();
}

void Connection::on_syn_timer(Instant now) {
  // SYN-SENT, or SYN-RECEIVED of a simultaneous open.
  if (syn_tries_ >= (fast_open_ ? tcp_.config().syn_ack_retries : options_.syn_retries)) {
    tcp_.count(Counter::kAttemptFails);
    enter_closed(soft_error_ != Error::kNone ? soft_error_ : Error::kTimedOut, now);
    return;
  }
  ++syn_tries_;
  syn_retransmitted_ = true;
  tcp_.count(Counter::kTimeouts);
  tcp_.count(Counter::kRetransSegs);
  send_syn(state_ == State::kSynReceived, now);
  state_deadline_ = now + sender_.rtt().backed_off(syn_tries_);
}

void Connection::arm_keepalive(Instant now) {
  const bool live = state_ == State::kEstablished || state_ == State::kCloseWait ||
                    state_ == State::kFinWait1 || state_ == State::kFinWait2;
  keepalive_deadline_ =
      options_.keepalive && live ? now + std::chrono::seconds(options_.keepalive_idle) : kNever;
}

void Connection::on_keepalive_timer(Instant now) {
  // RFC 9293 §3.8.4. With data in flight the retransmission timer does this work.
  const Instant due = last_received_ + std::chrono::seconds(options_.keepalive_idle);
  if (sender_.outstanding() != 0 || sender_.not_sent() != 0) {
    keepalive_deadline_ = now + std::chrono::seconds(options_.keepalive_idle);
    return;
  }
  if (now < due) {
    keepalive_probes_ = 0;
    keepalive_deadline_ = due;
    return;
  }
  const bool exhausted =
      options_.user_timeout != 0
          ? keepalive_probes_ > 0 && now - last_received_ >= std::chrono::milliseconds(options_.user_timeout)
          : keepalive_probes_ >= options_.keepalive_count;
  if (exhausted) {
    tcp_.count(Counter::kAbortOnTimeout);
    send_reset(now);
    enter_closed(Error::kTimedOut, now);
    return;
  }
  ++keepalive_probes_;
  tcp_.count(Counter::kKeepAlives);
  sender_.send_probe(now);
  keepalive_deadline_ = now + std::chrono::seconds(options_.keepalive_interval);
}

}  // namespace millrace::tcp
