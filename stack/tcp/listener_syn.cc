// What a SYN for a listener leads to: a request, a cookie, or nothing; and the ACK that brings a cookie back.

#include <algorithm>

#include "tcp/listener.h"
#include "tcp/receiver.h"
#include "tcp/tcp.h"

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kHeaders = 40;

}  // namespace

void Listener::on_syn(const FlowKey& key, Segment& segment, const ip::PacketInfo& info,
                      const SeqNum* iss_after, Instant now) {
  if (info.broadcast || segment.has(Flags::kFin)) {
    tcp_.count(Counter::kListenDrops);
    return;
  }
  if (accept_queue_full()) {
    tcp_.count(Counter::kListenOverflows);
    tcp_.count(Counter::kListenDrops);
    return;
  }
  if (iss_after == nullptr && !admit(key, segment, now)) return;
  const auto route = tcp_.ip().route(key.remote.address, now);
  if (!route) {
    tcp_.count(Counter::kListenDrops);
    return;
  }
  Handshake handshake = read_syn(segment);
  handshake.iss = tcp_.isn().isn(key, now);
  if (iss_after != nullptr && handshake.iss <= *iss_after)
    handshake.iss = *iss_after + 65536 + (tcp_.rng().u32() & 0xffff);
  const FastOpen fast_open = judge_fast_open(key, segment, now);
  if (fast_open.open) {
    open_fast(key, handshake, *route, segment, now);
    return;
  }
  auto* request = new Request(tcp_, *this, key);
  request->handshake = handshake;
  request->give_cookie = fast_open.give_cookie;
  request->ts_offset = tcp_.isn().timestamp_offset(key);
  request->mss = own_mss(*route);
  answer(*request, now);
  tcp_.timers().arm(request->timer, now + tcp_.config().rto_initial);
}

std::uint32_t Listener::source_hash_of(const Tcp& tcp, const FlowKey& key) {
  return tcp.flows().hash_of(FlowKey{{}, {key.remote.address, 0}});
}

std::size_t Listener::syn_backlog() const {
  return std::min(tcp_.config().max_syn_backlog, std::max<std::size_t>(backlog_, 8) * 2);
}

bool Listener::admit(const FlowKey& key, const Segment& segment, Instant now) {
  const Config& config = tcp_.config();
  const std::size_t most = syn_backlog();
  const bool full = request_count_ >= most;
  // One address must not take the places of all: of a flood from few addresses the others notice nothing.
  const std::size_t share = std::max<std::size_t>(most / std::max(config.syn_backlog_source_share, 1u), 1);
  const bool crowded = !full && sources_.count(source_hash_of(tcp_, key)) >= share;
  if (!full && !crowded && config.syn_cookies != Config::SynCookies::kAlways) return true;
  if (crowded) tcp_.count(Counter::kSynSourceLimited);
  if (config.syn_cookies != Config::SynCookies::kOff) {
    if (full) tcp_.count(Counter::kReqQFullDoCookies);
    if (tcp_.cookie_allowed(key, segment.seq, now)) {
      send_cookie(key, segment, now);
    } else {
      tcp_.count(Counter::kListenDrops);
    }
    return false;
  }
  if (full && evict()) return true;
  if (full) tcp_.count(Counter::kReqQFullDrop);
  tcp_.count(Counter::kListenDrops);
  return false;
}

/// RFC 4987 §3.4: the oldest request goes, not a random one. Who lives answers within a round trip, so that a
/// request whose SYN-ACK had to be repeated most likely belongs to nobody, and one that had not may be a
/// handshake under way: of those none is evicted, or a fast flood would push every honest client out.
bool Listener::evict() {
  constexpr int kLook = 8;  // past some that the peer has acknowledged
  int looked = 0;
  for (Request& request : requests_) {
    if (request.retries == 0 || ++looked > kLook) return false;
    if (request.acknowledged) continue;
    tcp_.count(Counter::kSynEvicted);
    delete &request;
    return true;
  }
  return false;
}

Handshake Listener::read_syn(const Segment& segment) const {
  const Config& config = tcp_.config();
  Handshake handshake;
  handshake.irs = segment.seq;
  handshake.peer_mss = segment.options.mss.value_or(536);
  if (config.window_scaling) handshake.peer_scale = segment.options.window_scale;
  handshake.sack = config.sack && segment.options.sack_permitted;
  handshake.ecn = config.ecn != Config::Ecn::kOff && segment.has(Flags::kEce) && segment.has(Flags::kCwr);
  handshake.timestamps = config.timestamps && segment.options.timestamps.has_value();
  if (handshake.timestamps) handshake.ts_recent = segment.options.timestamps->value;
  handshake.offered_window = Receiver::initial_window(tcp_, options_.receive_buffer);
  return handshake;
}

std::uint16_t Listener::own_mss(const ip::RouteResult& route) const {
  const auto mss =
      static_cast<std::uint16_t>(std::clamp<std::uint32_t>(route.link_mtu, 88, 65535) - kHeaders);
  return options_.max_segment != 0 ? std::min(mss, options_.max_segment) : mss;
}

// --- SYN cookies

void Listener::send_cookie(const FlowKey& key, const Segment& segment, Instant now) {
  const auto route = tcp_.ip().route(key.remote.address, now);
  if (!route) {
    tcp_.count(Counter::kListenDrops);
    return;
  }
  Handshake handshake = read_syn(segment);
  handshake.iss = tcp_.syn_cookies().make(key, handshake.irs, handshake.peer_mss, now);
  std::uint32_t ts_value = 0;
  if (handshake.timestamps) {
    const CookieOptions kept{handshake.peer_scale, handshake.sack, handshake.ecn};
    ts_value = tcp_.isn().timestamp_offset(key) + kept.stamp(timestamp(0, now));
  } else {
    handshake.peer_scale.reset();
    handshake.sack = handshake.ecn = false;
  }
  cookie_sent_ = now;
  tcp_.count(Counter::kSyncookiesSent);
  send_syn_ack(key, handshake, own_mss(*route), ts_value, false, now);
}

bool Listener::on_cookie(const FlowKey& key, Segment& segment, Instant now, Request* request) {
  // Nobody is heard who cannot have been asked.
  if (cookie_sent_ == kNever || now - cookie_sent_ > SynCookies::kLifetime) return false;
  if (segment.has(Flags::kSyn)) return false;
  const Config& config = tcp_.config();
  Handshake handshake;
  handshake.irs = segment.seq - 1;
  handshake.iss = segment.ack - 1;
  // The peer has given up one that answered an earlier SYN.
  if (request != nullptr && handshake.irs != request->handshake.irs) return false;
  const auto mss = tcp_.syn_cookies().check(key, handshake.irs, handshake.iss, now);
  if (!mss) {
    tcp_.count(Counter::kSyncookiesFailed);
    return false;
  }
  tcp_.count(Counter::kSyncookiesRecv);
  handshake.peer_mss = *mss;
  handshake.timestamps = config.timestamps && segment.options.timestamps.has_value();
  if (handshake.timestamps) {
    const auto kept =
        CookieOptions::from(segment.options.timestamps->echo - tcp_.isn().timestamp_offset(key));
    if (config.window_scaling) handshake.peer_scale = kept.scale;
    handshake.sack = config.sack && kept.sack;
    handshake.ecn = config.ecn != Config::Ecn::kOff && kept.ecn;
    handshake.ts_recent = segment.options.timestamps->value;
  }
  handshake.offered_window = Receiver::initial_window(tcp_, options_.receive_buffer);
  if (accept_queue_full() || tcp_.connection_count() >= config.max_connections) {
    // As without a cookie: the ACK is lost, and the peer's data will bring it again.
    tcp_.count(Counter::kListenOverflows);
    tcp_.count(Counter::kListenDrops);
    return true;
  }
  if (const auto route = tcp_.ip().route(key.remote.address, now)) {
    delete request;
    become_connection(key, handshake, *route, segment, now);
  }
  return true;
}

}  // namespace millrace::tcp
