// TCP Fast Open (RFC 7413) in a connection: data in the SYN, either way.

#include <algorithm>

#include "tcp/connection.h"
#include "tcp/fast_open.h"
#include "tcp/listener.h"

namespace millrace::tcp {

// --- server

void Connection::open_fast(const Handshake& handshake, Listener* listener, Segment& syn, Instant now) {
  adopt(handshake, listener, now);
  fast_open_ = true;
  fast_open_listener_ = listener;
  state_ = State::kSynReceived;
  segments_in_ += syn.wire_segments;
  last_received_ = now;
  // Data may go out from now on, within the initial window; the handshake goes on beside it. The window of a
  // SYN is not scaled (RFC 7323 §2.2).
  sender_.establish(syn.window, syn.seq, sender_.iss(), pending_scale_, path_payload(), false, now);
  grow_send_buffer();
  if (sack_) receiver_.use_sack();
  last_data_received_ = now;
  if (syn.payload_length != 0) {
    syn.seq += 1;
    syn.flags = static_cast<std::uint8_t>(syn.flags & ~Flags::kSyn);
    data_segments_in_ += syn.wire_segments;
    const SeqNum before = receiver_.rcv_nxt();
    receiver_.on_data(syn, now);
    bytes_received_ += SeqNum::distance(before, receiver_.rcv_nxt());
    syn_data_acknowledged_ = true;
  }
  send_syn(true, now);  // RFC 7413 §4.2.2: acknowledges the data too
  receiver_.on_ack_sent(true);
  state_deadline_ = now + sender_.rtt().backed_off(0);
  update_timer(now);
}

void Connection::leave_fast_open(bool was_reset, Instant now) {
  if (fast_open_listener_ == nullptr) return;
  std::exchange(fast_open_listener_, nullptr)->fast_open_done(*this, was_reset, now);
}

// --- client

void Connection::open_deferred(std::optional<SeqNum> iss_after, Instant now) {
  prepare_active(iss_after, now);
  deferred_ = true;
}

Result<std::size_t> Connection::begin_with(std::span<const ConstIoSlice> data, Instant now) {
  deferred_ = false;
  const unsigned bits = tcp_.config().fast_open;
  const FastOpenCache::Entry* known = tcp_.fast_open_cache().find(remote().address, now);
  FastOpenCookie cookie;  // empty: asks for one
  bool with_option = true, with_data = false;
  if (known != nullptr && FastOpenCache::black_hole(*known, now)) {
    tcp_.count(Counter::kFastOpenBlackhole);
    with_option = false;
  } else if ((bits & FastOpenBits::kClientNoCookie) != 0 || options_.fast_open_no_cookie) {
    with_option = false;
    with_data = true;
  } else if (known != nullptr && known->cookie.length != 0) {
    cookie = known->cookie;
    with_data = true;
  }
  std::size_t taken = 0;
  if (with_data) {
    if (known != nullptr) peer_mss_ = known->mss;
    const std::size_t most = path_payload() + (timestamps_ ? wire::TcpOptions::kTimestampsOnlySize : 0);
    taken =
        sender_.append(data, 0, most > wire::TcpOptions::kMaxSize ? most - wire::TcpOptions::kMaxSize : 0);
  }
  syn_data_ = static_cast<std::uint32_t>(taken);
  cookie_asked_ = with_option || syn_data_ != 0;
  send_syn(false, now, with_option ? &cookie : nullptr);
  state_deadline_ = now + sender_.rtt().backed_off(0);
  update_timer(now);
  wants_space_ = true;
  if (taken == 0) return Error::kInProgress;
  return taken;
}

PacketPtr Connection::syn_payload() {
  std::uint32_t length = syn_data_;
  PacketPtr packet = sender_.queue().slice(0, length);
  if (packet == nullptr) return packet;  // the data follows once the connection is there
  ++data_segments_out_;
  bytes_sent_ += length;
  return packet;
}

void Connection::take_syn_data_ack(SeqNum ack, Instant /*now*/) {
  syn_data_ = 0;
  if (ack <= sender_.iss() + 1) {
    tcp_.count(Counter::kFastOpenActiveFail);  // it is still queued and goes out as any other
    return;
  }
  const std::uint32_t taken = SeqNum::distance(sender_.iss() + 1, ack);
  sender_.queue().drop_front(taken);
  bytes_acked_ += taken;
  syn_data_acknowledged_ = true;
  sender_.start(ack - 1);  // as if our SYN had stood where the peer's acknowledgment ends
  tcp_.count(Counter::kFastOpenActive);
}

void Connection::conclude_fast_open(const Segment& answer, Instant now) {
  if (!cookie_asked_) return;  // RFC 7413 §4.1.3: an unsolicited cookie is ignored
  const std::optional<FastOpenCookie>& cookie = answer.options.fast_open;
  // The first SYN or its answer is lost, and what came back is for one without data and cookie.
  const bool lost = syn_data_ != 0 && syn_retransmitted_ && answer.ack <= sender_.iss() + 1 && !cookie;
  tcp_.fast_open_cache().learn(remote().address, peer_mss_, cookie, lost, now);
  if (syn_data_ != 0) take_syn_data_ack(answer.ack, now);
}

}  // namespace millrace::tcp
