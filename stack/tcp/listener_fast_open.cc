// The server's half of TCP Fast Open (RFC 7413): a SYN with data and our cookie is a connection at once.

#include <algorithm>

#include "tcp/listener.h"
#include "tcp/tcp.h"
#include "tcp/tcp_socket.h"

namespace millrace::tcp {

namespace {

/// RFC 7413 §5.1: how long a connection that a RST ended still counts. Who spoofs the SYNs of hosts that are
/// there could open as many as the victims' resets let go, else.
constexpr Duration kResetCounts = 60s;

}  // namespace

Listener::FastOpen Listener::judge_fast_open(const FlowKey& key, const Segment& segment, Instant now) {
  const unsigned bits = tcp_.config().fast_open;
  const std::optional<FastOpenCookie>& offered = segment.options.fast_open;
  if (offered && offered->length == 0) tcp_.count(Counter::kFastOpenCookieRequests);
  if ((bits & FastOpenBits::kServer) == 0 || options_.fast_open_queue == 0) return {};
  if (!offered && segment.payload_length == 0) return {};
  const std::size_t resets = now - fast_open_reset_at_ < kResetCounts ? fast_open_resets_ : 0;
  if (fast_open_.size() + resets >= options_.fast_open_queue) {
    tcp_.count(Counter::kFastOpenListenOverflow);
    return {};
  }
  const bool room = tcp_.connection_count() < tcp_.config().max_connections;
  const bool no_cookie = (bits & FastOpenBits::kServerNoCookie) != 0 || options_.fast_open_no_cookie;
  if (no_cookie && segment.payload_length != 0) return {.open = room};
  if (!offered) return {};
  if (offered->length == 0) return {.give_cookie = true};
  if (*offered == tcp_.fast_open_cookies().make(key.local.address, key.remote.address)) return {.open = room};
  tcp_.count(Counter::kFastOpenPassiveFail);
  return {.give_cookie = true};  // RFC 7413 §4.1.2: with the SYN-ACK it gets the one that is good
}

void Listener::open_fast(const FlowKey& key, const Handshake& handshake, const ip::RouteResult& route,
                         Segment& segment, Instant now) {
  auto* connection = new (tcp_.slabs()) Connection(tcp_, key, options_, route);
  tcp_.connection_born();
  tcp_.flows().insert(*connection);
  tcp_.count(Counter::kPassiveOpens);
  tcp_.count(Counter::kFastOpenPassive);
  fast_open_.push_back(*connection);
  connection->open_fast(handshake, this, segment, now);
  accept_queue_.push_back(*connection);
  ++queued_;
  socket_.signal(kReadable);
}

void Listener::fast_open_done(Connection& connection, bool was_reset, Instant now) {
  fast_open_.erase(fast_open_.iterator_to(connection));
  if (!was_reset) return;
  if (now - fast_open_reset_at_ >= kResetCounts) fast_open_resets_ = 0;
  ++fast_open_resets_;
  fast_open_reset_at_ = now;
}

}  // namespace millrace::tcp
