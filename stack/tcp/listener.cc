#include "tcp/listener.h"

#include <algorithm>

#include "base/byte_order.h"
#include "tcp/receiver.h"
#include "tcp/tcp.h"
#include "tcp/tcp_socket.h"

namespace millrace::tcp {

// --- Request

Request::Request(Tcp& tcp, Listener& owner, const FlowKey& key)
    : Flow(Flow::Kind::kRequest, key),
      timer(
          [](void* self, Instant now) {
            auto& request = *static_cast<Request*>(self);
            request.listener.on_request_timer(request, now);
          },
          this),
      listener(owner),
      tcp_(tcp) {
  tcp_.flows().insert(*this);
  tcp_.request_born();
  listener.requests_.push_back(*this);
  ++listener.request_count_;
  source_hash = Listener::source_hash_of(tcp, key);
  listener.sources_.add(source_hash);
}

Request::~Request() {
  tcp_.flows().remove(*this);
  tcp_.request_gone();
  --listener.request_count_;
  listener.sources_.remove(source_hash);
}

// --- Listener

Listener::Listener(Tcp& tcp, TcpSocket& socket, const Endpoint& local, const Options& options, int backlog)
    : tcp_(tcp), socket_(socket), local_(local), options_(options) {
  set_backlog(backlog);
}

Listener::~Listener() {
  stop(Instant{});
}

void Listener::set_backlog(int backlog) {
  // listen(2): a negative backlog means the largest, as the kernel's unsigned comparison has it.
  backlog_ = static_cast<std::size_t>(backlog < 0 ? tcp_.config().max_backlog
                                                  : std::min(backlog, tcp_.config().max_backlog));
}

void Listener::stop(Instant now) {
  requests_.clear_and_dispose([](Request* request) { delete request; });
  while (!fast_open_.empty()) {
    fast_open_.front().left_fast_open_queue();
    fast_open_.pop_front();
  }
  while (!accept_queue_.empty()) {
    Connection& connection = accept_queue_.front();
    accept_queue_.pop_front();
    connection.left_accept_queue();
    if (connection.state() == State::kClosed) {
      tcp_.bury(connection);
    } else {
      connection.abort(now);  // buries itself: it has no socket
    }
  }
  queued_ = 0;
}

Connection* Listener::accept() {
  if (accept_queue_.empty()) return nullptr;
  Connection& connection = accept_queue_.front();
  accept_queue_.pop_front();
  --queued_;
  connection.left_accept_queue();
  return &connection;
}

// --- requests

void Listener::send_syn_ack(const FlowKey& key, const Handshake& handshake, std::uint16_t mss,
                            std::uint32_t ts_value, bool give_cookie, Instant now) {
  wire::TcpOptions options;
  options.mss = mss;
  if (handshake.peer_scale) options.window_scale = Receiver::window_scale(tcp_.config());
  options.sack_permitted = handshake.sack;
  if (handshake.timestamps) options.timestamps = wire::TcpOptions::Timestamps{ts_value, handshake.ts_recent};
  if (give_cookie) {
    options.fast_open = tcp_.fast_open_cookies().make(key.local.address, key.remote.address);
  } else if (tcp_.config().user_timeout_option && options_.user_timeout != 0) {
    options.user_timeout = UserTimeout::encode(std::chrono::milliseconds(options_.user_timeout));
  }
  Tcp::Outgoing out;
  out.seq = handshake.iss;
  out.ack = handshake.irs + 1;
  out.flags = Flags::kSyn | Flags::kAck;
  if (handshake.ecn) out.flags |= Flags::kEce;
  out.window = static_cast<std::uint16_t>(handshake.offered_window);
  out.options = &options;
  out.tos = options_.tos;
  out.ttl = options_.ttl;
  out.dont_fragment = options_.dont_fragment();
  static_cast<void>(tcp_.send_segment(key, out, nullptr, nullptr, now));
}

void Listener::answer(Request& request, Instant now) {
  request.last_answer = now;
  send_syn_ack(request.key(), request.handshake, request.mss, timestamp(request.ts_offset, now),
               request.give_cookie, now);
}

void Listener::send_ack(const Request& request, Instant now) {
  const Handshake& handshake = request.handshake;
  wire::TcpOptions options;
  if (handshake.timestamps) {
    options.timestamps = wire::TcpOptions::Timestamps{timestamp(request.ts_offset, now), handshake.ts_recent};
  }
  Tcp::Outgoing out;
  out.seq = handshake.iss + 1;
  out.ack = handshake.irs + 1;
  out.flags = Flags::kAck;
  out.window = static_cast<std::uint16_t>(handshake.offered_window >>
                                          (handshake.peer_scale ? Receiver::window_scale(tcp_.config()) : 0));
  out.options = &options;
  out.tos = options_.tos;
  out.ttl = options_.ttl;
  out.dont_fragment = options_.dont_fragment();
  static_cast<void>(tcp_.send_segment(request.key(), out, nullptr, nullptr, now));
}

void Listener::on_request_timer(Request& request, Instant now) {
  // Linux's syn_ack_recalc(): who has acknowledged is asked again only when data is due no more.
  const bool deferred = request.acknowledged && request.retries < options_.defer_accept;
  const bool resend = !request.acknowledged || request.retries + 1 >= options_.defer_accept;
  if (request.retries >= tcp_.config().syn_ack_retries && !deferred) {
    tcp_.count(Counter::kAttemptFails);
    delete &request;
    return;
  }
  ++request.retries;
  if (resend) {
    request.handshake.syn_retransmitted = true;
    tcp_.count(Counter::kRetransSegs);
    answer(request, now);
  }
  tcp_.timers().arm(request.timer, now + std::min<Duration>(tcp_.config().rto_initial *
                                                                (1LL << std::min<int>(request.retries, 30)),
                                                            tcp_.config().rto_max));
}

void Listener::on_request_icmp(Request& request, const ip::IcmpError& error) {
  using Kind = ip::IcmpError::Kind;
  const SeqNum seq{load_be32(error.transport_header.data() + 4)};
  if (seq != request.handshake.iss) {
    tcp_.count(Counter::kIcmpIgnored);  // RFC 5927 §4.1
    return;
  }
  // As Linux: a host that cannot be reached did not send the SYN. The peer of a false alarm sends it again.
  if (error.kind != Kind::kNetworkUnreachable && error.kind != Kind::kHostUnreachable) return;
  tcp_.count(Counter::kAttemptFails);
  tcp_.count(Counter::kListenDrops);
  delete &request;
}

bool Listener::request_acceptable(const Request& request, const Segment& segment) const {
  const SeqNum rcv_nxt = request.handshake.irs + 1;
  const std::uint32_t window = std::max(request.handshake.offered_window, 1u);
  if (segment.length() == 0) return segment.seq >= rcv_nxt && segment.seq <= rcv_nxt + window;
  return segment.end() > rcv_nxt && segment.seq < rcv_nxt + window;
}

void Listener::on_request_segment(Request& request, Segment& segment, Instant now) {
  Handshake& handshake = request.handshake;
  const auto answer_limited = [&](bool with_syn) {
    if (now - request.last_answer < tcp_.config().duplicate_ack_interval && !with_syn) {
      tcp_.count(Counter::kChallengeAckLimited);
      return;
    }
    if (with_syn) {
      answer(request, now);
    } else {
      request.last_answer = now;
      send_ack(request, now);
    }
  };
  // The peer repeats its SYN: our answer was lost.
  if (segment.has(Flags::kSyn) && !segment.has(Flags::kAck | Flags::kRst) && segment.seq == handshake.irs) {
    handshake.syn_retransmitted = true;
    // RFC 3168 §6.1.1.1: a peer that asks again without does not believe in ECN on this path.
    if (!segment.has(Flags::kEce) || !segment.has(Flags::kCwr)) handshake.ecn = false;
    answer_limited(true);
    return;
  }
  if (handshake.timestamps && !segment.options.timestamps && !segment.has(Flags::kRst)) {
    tcp_.count(Counter::kPawsEstab);  // RFC 7323 §3.2: negotiated, so it must be there
    return;
  }
  if (handshake.timestamps && segment.options.timestamps && !segment.has(Flags::kRst) &&
      static_cast<std::int32_t>(segment.options.timestamps->value - handshake.ts_recent) < 0) {
    tcp_.count(Counter::kPawsEstab);
    answer_limited(false);
    return;
  }
  if (!request_acceptable(request, segment)) {
    tcp_.count(Counter::kOutOfWindow);
    if (!segment.has(Flags::kRst)) answer_limited(false);
    return;
  }
  if (segment.has(Flags::kRst)) {
    if (segment.seq != handshake.irs + 1) {
      tcp_.count(Counter::kRstIgnored);
      if (tcp_.challenge_ack_allowed(now)) answer_limited(false);
      return;
    }
    tcp_.count(Counter::kAttemptFails);
    tcp_.count(Counter::kEmbryonicRsts);
    delete &request;
    return;
  }
  if (segment.has(Flags::kSyn)) {
    tcp_.count(Counter::kSynChallenge);
    if (tcp_.challenge_ack_allowed(now)) answer_limited(false);
    return;
  }
  if (!segment.has(Flags::kAck)) return;
  if (segment.ack != handshake.iss + 1) {
    // Of a SYN that came twice the peer takes the first answer, which may have been a cookie.
    const FlowKey key = request.key();
    if (!on_cookie(key, segment, now, &request)) tcp_.send_reset_for(key, segment, {}, now);
    return;
  }
  if (request.retries < options_.defer_accept && segment.end() == handshake.irs + 1) {
    request.acknowledged = true;  // tcp(7) TCP_DEFER_ACCEPT: it becomes a connection with data
    return;
  }
  if (accept_queue_full() || tcp_.connection_count() >= tcp_.config().max_connections) {
    // As Linux does: the ACK is dropped, the SYN-ACK will be repeated, and perhaps there is room then.
    tcp_.count(Counter::kListenOverflows);
    tcp_.count(Counter::kListenDrops);
    request.acknowledged = true;
    if (tcp_.config().abort_on_overflow) {
      tcp_.count(Counter::kEmbryonicRsts);
      tcp_.count(Counter::kAttemptFails);
      const FlowKey key = request.key();
      delete &request;
      tcp_.send_reset_for(key, segment, {}, now);
    }
    return;
  }
  const auto route = tcp_.ip().route(request.remote().address, now);
  if (!route) return;
  if (handshake.timestamps && segment.options.timestamps)
    handshake.ts_recent = segment.options.timestamps->value;
  const FlowKey key = request.key();
  Handshake agreed = handshake;
  agreed.answered_at = request.last_answer;
  delete &request;
  become_connection(key, agreed, *route, segment, now);
}

void Listener::become_connection(const FlowKey& key, const Handshake& handshake, const ip::RouteResult& route,
                                 Segment& segment, Instant now) {
  auto* connection = new (tcp_.slabs()) Connection(tcp_, key, options_, route);
  tcp_.connection_born();
  tcp_.flows().insert(*connection);
  tcp_.count(Counter::kPassiveOpens);
  connection->open_passive(handshake, this, segment, now);
  accept_queue_.push_back(*connection);
  ++queued_;
  connection->on_segment(segment, now);
  socket_.signal(kReadable);
}

}  // namespace millrace::tcp
