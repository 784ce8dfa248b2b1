#include "tcp/connection.h"

#include <algorithm>
#include <utility>

#include "tcp/congestion_list.h"
#include "tcp/listener.h"
#include "tcp/tcp_socket.h"
#include "tcp/usual_segment.h"

namespace millrace::tcp {

namespace {

/// A congestion control that lives by ECN asks for it whatever the configuration says.
bool wants_accurate_ecn(const Options& options) {
  return congestion_list()[options.congestion].needs_ecn;
}

}  // namespace

Connection::Connection(Tcp& tcp, const FlowKey& key, const Options& options, const ip::RouteResult& route)
    : Flow(Flow::Kind::kConnection, key),
      timer_([](void* owner, Instant now) { static_cast<Connection*>(owner)->on_timer(now); }, this),
      tcp_(tcp),
      route_generation_(tcp.ip().route_generation()),
      route_(route),
      send_buffer_(tcp.config().send_buffer),
      sender_(tcp, *this),
      receiver_(tcp),
      options_(options) {
  ts_offset_ = tcp.isn().timestamp_offset(key);
  if (options.send_buffer != 0) send_buffer_.fix(options.send_buffer);
  if (mtu_probing() == Config::MtuProbing::kAlways) start_mtu_search();
}

Connection::~Connection() {
  leave_fast_open(false, Instant{});
  unpublish();
  tcp_.flows().remove(*this);
}

// --- opening

void Connection::open_active(std::optional<SeqNum> iss_after, Instant now) {
  prepare_active(iss_after, now);
  send_syn(false, now);
  state_deadline_ = now + sender_.rtt().backed_off(0);
  update_timer(now);
}

void Connection::prepare_active(std::optional<SeqNum> iss_after, Instant now) {
  state_ = State::kSynSent;
  SeqNum iss = tcp_.isn().isn(key(), now);
  if (iss_after && iss <= *iss_after) iss = *iss_after + 65536 + (tcp_.rng().u32() & 0xffff);
  sender_.start(iss);
  timestamps_ = tcp_.config().timestamps;
  sack_ = tcp_.config().sack;
  ecn_ = tcp_.config().ecn == Config::Ecn::kRequest || wants_accurate_ecn(options_);
  offered_window_ = Receiver::initial_window(tcp_, options_.receive_buffer);
  tell_user_timeout();
  tcp_.count(Counter::kActiveOpens);
}

void Connection::open_passive(const Handshake& handshake, Listener* listener, const Segment& segment,
                              Instant now) {
  adopt(handshake, listener, now);
  become_established(segment, now);
}

void Connection::tell_user_timeout() {
  user_timeout_due_ = tcp_.config().user_timeout_option && options_.user_timeout != 0;
}

void Connection::adopt(const Handshake& handshake, Listener* listener, Instant now) {
  listener_ = listener;
  tell_user_timeout();
  sender_.start(handshake.iss);
  // Nobody knows when a SYN cookie went out: there is no first sample of the round trip then.
  if (handshake.answered_at != Instant{}) sender_.on_syn_sent(handshake.answered_at);
  timestamps_ = handshake.timestamps;
  sack_ = handshake.sack;
  ecn_ = handshake.ecn;
  ts_recent_.start(handshake.ts_recent, handshake.irs + 1, now);
  peer_mss_ = handshake.peer_mss;
  offered_window_ = handshake.offered_window;
  receiver_.start(handshake.irs, handshake.offered_window, handshake.peer_scale.has_value(),
                  options_.receive_buffer);
  peer_scaled_ = handshake.peer_scale.has_value();
  pending_scale_ = std::min<std::uint8_t>(handshake.peer_scale.value_or(0), 14);
  syn_retransmitted_ = handshake.syn_retransmitted;
}

void Connection::prefetch_itself() const {
  prefetch(this, sender_.often_touched_end());
  prefetch(receiver_.often_touched_begin(), this + 1);
}

void Connection::prefetch_parts() const {
  sender_.prefetch_parts();
  if (socket_ != nullptr) prefetch(socket_, sizeof(TcpSocket));
}

void Connection::prefetch_owner() const {
  constexpr std::size_t kTouched = 128;
  if (socket_ != nullptr) prefetch(socket_->user, kTouched);
  sender_.prefetch_payload();
}

void Connection::attach(TcpSocket* socket) {
  socket_ = socket;
}

void Connection::detach(Instant now) {
  if (!closed_by_application_) close(now);
  socket_ = nullptr;
  if (state_ == State::kClosed) tcp_.bury(*this);
}

// --- the application's calls

Result<Received> Connection::receive(std::span<const IoSlice> out, ReceiveFlags flags) {
  Result<Received> outcome{std::in_place};
  if (const Error error = receive(out, flags, *outcome); error != Error::kNone) outcome = error;
  return outcome;
}

std::size_t Connection::receive_whole(IoSlice out) {
  if (urgent_.pending) return 0;
  const std::size_t taken = receiver_.queue().take_whole(out);
  if (taken != 0 && receiver_.on_read()) touch();
  return taken;
}

Error Connection::receive(std::span<const IoSlice> out, ReceiveFlags flags, Received& result) {
  ReceiveQueue& queue = receiver_.queue();
  if (flags.out_of_band) {
    if (options_.out_of_band_inline || !urgent_.pending || urgent_.byte == Urgent::Byte::kTaken)
      return Error::kInvalid;
    if (urgent_.byte == Urgent::Byte::kExpected) return receive_shutdown_ ? Error::kNone : Error::kAgain;
    if (out.empty() || out.front().size == 0) return Error::kNone;
    out.front().data[0] = urgent_.value;
    if (!flags.peek) urgent_.byte = Urgent::Byte::kTaken;
    result.bytes = 1;
    result.bytes_left = bytes_left();
    return Error::kNone;
  }
  if (flags.loan != nullptr && tcp_.send_budget().under_pressure()) return Error::kNoBuffers;
  std::size_t wanted = 0;
  for (const IoSlice& slice : out) wanted += slice.size;
  std::size_t skipped = 0;  // peeking past an urgent byte
  while (wanted != 0 && queue.bytes() > skipped) {
    std::size_t limit = std::min<std::size_t>(wanted, queue.bytes() - skipped);
    const SeqNum position = read_position() + static_cast<std::uint32_t>(skipped);
    if (urgent_.within(position, static_cast<std::uint32_t>(limit))) {
      const std::uint32_t ahead = SeqNum::distance(position, urgent_.mark);
      if (ahead != 0) {
        limit = ahead;  // a read stops at the mark
      } else if (!options_.out_of_band_inline) {
        // The urgent byte is not part of the stream.
        if (flags.peek) {
          skipped = 1;
        } else {
          queue.drop_front(1);
          urgent_.pending = false;
        }
        continue;
      } else if (!flags.peek) {
        urgent_.pending = false;
      }
    }
    if (flags.loan != nullptr) {
      result.bytes = queue.lend(limit, out.size(), *flags.loan);
      if (result.bytes == 0) return Error::kNoBuffers;
      tcp_.send_budget().take_anyway(flags.loan->storage);
    } else {
      result.bytes = flags.discard ? limit : queue.copy(out, skipped, limit);
      if (!flags.peek) queue.drop_front(result.bytes);
    }
    if (!flags.discard) result.timestamp = queue.copied_timestamp();
    break;
  }
  result.bytes_left = bytes_left();
  if (result.bytes != 0) {
    if (!flags.peek && receiver_.on_read()) touch();
    return Error::kNone;
  }
  if (wanted == 0) return Error::kNone;
  if (receive_shutdown_ || state_ == State::kClosed) return Error::kNone;  // end of file
  return Error::kAgain;
}

void Connection::shutdown_write(Instant now) {
  if (send_shutdown_) return;
  send_shutdown_ = true;
  switch (state_) {
    case State::kEstablished:
      state_ = State::kFinWait1;
      break;
    case State::kCloseWait:
      state_ = State::kLastAck;
      break;
    case State::kSynReceived:  // the FIN goes out once the handshake is through
    default:
      break;
  }
  sender_.queue_fin();
  sender_.hold_partial(false);
  if (state_ == State::kFinWait1 || state_ == State::kLastAck) sender_.transmit(now);
  touch();
  notify(kWritable | (receive_shutdown_ ? kHangup : Ready{0}));
}

void Connection::shutdown_read() {
  receive_shutdown_ = true;
  notify(kReadable | kReadHangup | (send_shutdown_ ? kHangup : Ready{0}));
}

void Connection::close(Instant now) {
  if (closed_by_application_) return;
  closed_by_application_ = true;
  if (state_ == State::kClosed) return;
  if (options_.linger == 0) {
    tcp_.count(Counter::kAbortOnLinger);
    abort(now);
    return;
  }
  if (!receiver_.queue().empty()) {
    // RFC 9293 §3.10.4 and RFC 2525 §2.17: the peer must learn that data was lost.
    tcp_.count(Counter::kAbortOnData);
    abort(now);
    return;
  }
  if (state_ == State::kSynSent) {
    enter_closed(Error::kNone, now);
    return;
  }
  shutdown_write(now);
  receive_shutdown_ = true;
  keepalive_deadline_ = kNever;
  if (state_ == State::kFinWait2) {
    const Duration wait =
        options_.linger2 >= 0 ? Duration{std::chrono::seconds(options_.linger2)} : Duration{0};
    fin_wait_2_deadline_ = now + wait;
  }
  touch();
}

void Connection::abort(Instant now) {
  switch (state_) {
    case State::kSynReceived:
    case State::kEstablished:
    case State::kFinWait1:
    case State::kFinWait2:
    case State::kCloseWait:
    case State::kClosing:
    case State::kLastAck:
      send_reset(now);
      break;
    default:
      break;
  }
  enter_closed(Error::kNone, now);
}

/// tcp(7) TCP_NODELAY: setting it sends what is pending, also what TCP_CORK or MSG_MORE held back.
void Connection::push_held(Instant now) {
  sender_.release_partial();
  const bool cork = std::exchange(options_.cork, false);
  sender_.transmit(now);
  options_.cork = cork;
}

Result<void> Connection::set_option(SocketOption option, std::int64_t value, Instant now) {
  const std::uint8_t congestion_before = options_.congestion;
  if (auto result = options_.set(option, value); !result) return result;
  switch (option) {
    case SocketOption::kNoDelay:
      if (options_.no_delay) push_held(now);
      touch();
      break;
    case SocketOption::kCork:
      sender_.transmit(now);  // what was held back may go now
      touch();
      break;
    case SocketOption::kQuickAck:
      receiver_.set_quick_ack(options_.quick_ack);
      if (options_.quick_ack && receiver_.delayed_ack_deadline() != kNever) receiver_.request_ack();
      touch();
      break;
    case SocketOption::kUserTimeout:
      tell_user_timeout();
      break;
    case SocketOption::kKeepalive:
    case SocketOption::kKeepaliveIdle:
    case SocketOption::kKeepaliveInterval:
      arm_keepalive(now);
      update_timer(now);
      break;
    case SocketOption::kSendBuffer:
    case SocketOption::kSendBufferForce:
      send_buffer_.fix(options_.send_buffer);
      if (wants_space_) tell_space();
      break;
    case SocketOption::kNotSentLowWater:
      if (wants_space_) tell_space();
      break;
    case SocketOption::kCongestion:
      if (options_.congestion != congestion_before) sender_.change_congestion();
      break;
    case SocketOption::kMtuDiscover:
      if (mtu_probing() == Config::MtuProbing::kAlways) start_mtu_search();
      break;
    case SocketOption::kReceiveBuffer:
    case SocketOption::kReceiveBufferForce:
      receiver_.set_fixed_size(options_.receive_buffer);
      break;
    default:
      break;
  }
  return {};
}

// --- what poll() reports (tcp_poll in Linux's terms)

std::size_t Connection::readable_bytes() const {
  const std::uint32_t queued = receiver_.queue().bytes();
  if (queued == 0) return 0;
  const SeqNum position = read_position();
  if (!options_.out_of_band_inline && urgent_.pending && urgent_.mark == position) return queued - 1;
  if (urgent_.within(position, queued)) return SeqNum::distance(position, urgent_.mark);
  return queued;
}

bool Connection::at_mark() const {
  return urgent_.pending && urgent_.mark == read_position();
}

Ready Connection::readiness() const {
  Ready ready = 0;
  if (state_ == State::kClosed || (send_shutdown_ && receive_shutdown_)) ready |= kHangup;
  if (receive_shutdown_ || state_ == State::kClosed) ready |= kReadable | kReadHangup;
  if (deferred_) ready |= kWritable;  // as Linux: the first write sends the SYN
  if (state_ == State::kSynSent || (state_ == State::kSynReceived && !fast_open_)) return ready;
  if (receiver_.queue().bytes() >= options_.receive_low_water ||
      (options_.receive_low_water > 1 && receiver_.queue().bytes() >= receiver_.limit() / 2 &&
       !receiver_.queue().empty())) {
    if (readable_bytes() != 0) ready |= kReadable;
  }
  if (send_shutdown_ || state_ == State::kClosed || has_space()) {
    ready |= kWritable;
  } else {
    wants_space_ = true;
  }
  if (urgent_.pending && urgent_.byte == Urgent::Byte::kHere) ready |= kPriority;
  return ready;
}

void Connection::notify(Ready events) {
  if (socket_ != nullptr) socket_->signal(events);
}

// --- output

void Connection::touch() {
  if (!PendingHook::is_linked()) tcp_.mark_pending(*this);
}

void Connection::output(Instant now) {
  if (state_ == State::kClosed) return;
  switch (state_) {
    case State::kEstablished:
    case State::kCloseWait:
    case State::kFinWait1:
    case State::kClosing:
    case State::kLastAck:
      sender_.transmit(now);
      break;
    case State::kSynReceived:
      if (fast_open_) sender_.transmit(now);
      break;
    default:
      break;
  }
  if (wants_space_) tell_space();
  acknowledged_ = false;
  if (state_ != State::kSynSent && (state_ != State::kSynReceived || fast_open_)) {
    while (receiver_.ack_now()) send_ack(now);
  }
  settle(now);
}

wire::TcpOptions::Timestamps Connection::timestamps(Instant now) const {
  return {timestamp(now), ts_recent_.value()};
}

void Connection::fill_options(wire::TcpOptions& options, bool with_duplicate, Instant now) const {
  if (timestamps_) options.timestamps = timestamps(now);
  if (!sack_) return;
  options.sack_count =
      receiver_.sack_blocks(std::span(options.sack).first(timestamps_ ? 3 : 4), with_duplicate);
}

void Connection::send(Tcp::Outgoing& outgoing, PacketPtr&& payload, std::uint32_t length, Instant now) {
  refresh_route(now);
  if (user_timeout_due_ || receiver_.sack_block_count() != 0) [[unlikely]] {
    send_with_options(outgoing, std::move(payload), length, now);
    return;
  }
  if (timestamps_) outgoing.timestamps = timestamps(now);
  complete(outgoing, length, now);
  if (!tcp_.send_usual(key(), outgoing, payload, route_, now)) [[unlikely]]
    send_unusual(outgoing, std::move(payload), now);
  note_sent(length);
}

void Connection::send_with_options(Tcp::Outgoing& outgoing, PacketPtr&& payload, std::uint32_t length,
                                   Instant now) {
  wire::TcpOptions options;
  fill_options(options, outgoing.gso_size == 0, now);
  options.user_timeout = user_timeout_option();
  user_timeout_due_ = false;
  outgoing.options = &options;
  complete(outgoing, length, now);
  send_unusual(outgoing, std::move(payload), now);
  note_sent(length);
  outgoing.options = nullptr;  // they end here
}

void Connection::send_unusual(const Tcp::Outgoing& outgoing, PacketPtr&& payload, Instant now) {
  // A packet that is lost below (no route, a full queue) is lost as on any network: timers repeat it.
  static_cast<void>(tcp_.send_segment(key(), outgoing, std::move(payload), &route_, now));
}

/// What a segment says beside its sequence number and options; the receiver learns what it has told.
inline void Connection::complete(Tcp::Outgoing& outgoing, std::uint32_t length, Instant now) {
  outgoing.ack = receiver_.rcv_nxt();
  outgoing.window = receiver_.advertise();
  if (congestion_experienced_) outgoing.flags |= Flags::kEce;
  outgoing.tos = options_.tos;
  outgoing.ttl = options_.ttl;
  outgoing.dont_fragment = options_.dont_fragment();
  ++segments_out_;
  if (length != 0) {
    ++data_segments_out_;
    bytes_sent_ += length;
    if (bytes_received_ != 0 && now - last_data_received_ < tcp_.config().delayed_ack)
      receiver_.on_answer_sent();
  }
  receiver_.on_ack_sent(outgoing.gso_size == 0 || !sack_);
}

inline void Connection::note_sent(std::uint32_t length) {
  if (length != 0 && route_.interface != nullptr)
    small_queue_.add(length, route_.interface->tx_queued(), route_.interface->tx_left());
}

void Connection::send_ack(Instant now) {
  Tcp::Outgoing out;
  out.seq = sender_.acceptable_seq();
  out.flags = Flags::kAck;
  send(out, nullptr, 0, now);
}

void Connection::send_reset(Instant now) {
  Tcp::Outgoing out;
  out.seq = sender_.snd_nxt();
  out.ack = receiver_.rcv_nxt();
  out.flags = Flags::kRst | Flags::kAck;
  out.ttl = options_.ttl;
  out.dont_fragment = options_.dont_fragment();
  wire::TcpOptions options;
  if (timestamps_) options.timestamps = wire::TcpOptions::Timestamps{timestamp(now), ts_recent_.value()};
  out.options = &options;
  tcp_.count(Counter::kOutRsts);
  static_cast<void>(tcp_.send_segment(key(), out, nullptr, &route_, now));
}

void Connection::send_syn(bool with_ack, Instant now, const FastOpenCookie* cookie) {
  refresh_route(now);
  wire::TcpOptions options;
  options.mss = announced_mss();
  const bool scaling = with_ack ? peer_scaled_ : true;
  if (tcp_.config().window_scaling && scaling) options.window_scale = Receiver::window_scale(tcp_.config());
  options.sack_permitted = sack_;
  if (timestamps_)
    options.timestamps = wire::TcpOptions::Timestamps{timestamp(now), with_ack ? ts_recent_.value() : 0};
  if (cookie != nullptr) {
    options.fast_open = *cookie;  // which leaves no room
  } else {
    options.user_timeout = user_timeout_option();
  }
  Tcp::Outgoing out;
  out.seq = sender_.iss();
  out.ack = with_ack ? receiver_.rcv_nxt() : SeqNum{0};
  out.flags = static_cast<std::uint8_t>(Flags::kSyn | (with_ack ? Flags::kAck : 0));
  // RFC 3168 §6.1.1, and §6.1.1.1: a path that swallows such a SYN lets the next one through.
  if (ecn_ && (with_ack || syn_tries_ == 0)) out.flags |= with_ack ? Flags::kEce : Flags::kEce | Flags::kCwr;
  // Data that came with the peer's SYN has taken its part.
  const std::uint32_t window = fast_open_ ? receiver_.window() : offered_window_;
  out.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(window, 65535));
  out.options = &options;
  out.tos = options_.tos;
  out.ttl = options_.ttl;
  out.dont_fragment = options_.dont_fragment();
  if (!fast_open_) sender_.on_syn_sent(now);  // else data may be under way already
  syn_sent_at_ = now;
  ++segments_out_;
  PacketPtr payload;
  if (syn_data_ != 0 && !with_ack && !syn_retransmitted_) payload = syn_payload();
  static_cast<void>(tcp_.send_segment(key(), out, std::move(payload), &route_, now));
}

// --- the end

void Connection::enter_closed(Error error, Instant now) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  deferred_ = false;
  leave_fast_open(error == Error::kConnectionReset, now);
  unpublish();
  final_error_ = error;
  send_shutdown_ = receive_shutdown_ = true;
  tcp_.timers().cancel(timer_);
  state_deadline_ = keepalive_deadline_ = fin_wait_2_deadline_ = kNever;
  sender_.stop();
  receiver_.stop();
  tcp_.flows().remove(*this);
  if (closed_by_application_) receiver_.queue().clear();
  if (socket_ != nullptr) {
    if (error != Error::kNone) socket_->set_error(error);
    notify(kReadable | kWritable | kHangup | kReadHangup | (error != Error::kNone ? kError : Ready{0}));
  } else if (listener_ == nullptr) {
    tcp_.bury(
        *this);  // in an accept queue it keeps its place: accept() hands it out, and reading tells the error
  }
}

void Connection::go_time_wait(Instant now) {
  tcp_.flows().remove(*this);
  tcp_.enter_time_wait(*this, now);
  enter_closed(Error::kNone, now);
}

}  // namespace millrace::tcp
