// How large a connection's segments are: path MTU discovery, and what else has a say.

#include <algorithm>

#include "tcp/connection.h"

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kHeaders = 40;  // IPv4 and TCP without options
constexpr std::uint32_t kTimestampBytes = wire::TcpOptions::kTimestampsOnlySize;
constexpr std::uint32_t kMinSegment = 48;  // a floor under absurd MSS and MTU claims
constexpr std::uint32_t kMaxSuperSegment = 65535 - 60 - 60;

}  // namespace

void Connection::reroute(Instant now) {
  route_generation_ = tcp_.ip().route_generation();
  const link::Interface* before = route_.interface;
  if (auto route = tcp_.ip().route(remote().address, now)) route_ = *route;
  if (route_.interface != before) small_queue_.clear();
}

std::uint32_t Connection::mtu_of(std::uint32_t mss) {
  return kHeaders + std::max(mss, kMinSegment);
}

std::uint32_t Connection::payload_within(std::uint32_t mtu) const {
  return mtu - kHeaders - (timestamps_ ? kTimestampBytes : 0);
}

std::uint32_t Connection::mtu_limit() const {
  std::uint32_t limit = std::min(std::max(route_.mtu, mtu_of(0)), mtu_of(peer_mss_));
  if (options_.max_segment != 0) limit = std::min(limit, mtu_of(options_.max_segment));
  return limit;
}

std::uint32_t Connection::path_payload() const {
  return payload_within(std::min(mtu_limit(), sender_.mtu_probe().effective()));
}

std::uint16_t Connection::announced_mss() const {
  // RFC 2923 §2.3: what we can receive has nothing to do with what passes the other way.
  std::uint32_t mss = std::max(route_.link_mtu, mtu_of(0)) - kHeaders;
  if (options_.max_segment != 0) mss = std::min<std::uint32_t>(mss, options_.max_segment);
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(mss, 65535));
}

std::uint32_t Connection::segment_payload(Instant now) {
  refresh_route(now);
  std::uint32_t mss = path_payload();
  if (mss != sender_.mss()) sender_.on_mss_change(mss, false, now);
  if (user_timeout_due_) mss -= UserTimeout::kOptionBytes;
  if (sack_ && receiver_.sack_block_count() != 0) {
    const auto blocks = std::min<std::size_t>(receiver_.sack_block_count(), timestamps_ ? 3 : 4);
    mss -= static_cast<std::uint32_t>(std::min<std::size_t>(4 + 8 * blocks, mss / 2));
  }
  return mss;
}

std::uint32_t Connection::super_segment_payload(std::uint32_t mss) const {
  std::uint32_t most = kMaxSuperSegment;
  if (route_.interface != nullptr) most = std::min(most, route_.interface->max_gso_bytes());
  return std::max(mss, most - most % mss);
}

// --- discovery

Config::MtuProbing Connection::mtu_probing() const {
  // Routers fragment what has no "don't fragment"; and within this host nothing is lost.
  if (!options_.dont_fragment() || route_.interface == nullptr) return Config::MtuProbing::kOff;
  return options_.probes_mtu() ? Config::MtuProbing::kAlways : tcp_.config().mtu_probing;
}

void Connection::start_mtu_search() {
  MtuProbe& probe = sender_.mtu_probe();
  if (probe.enabled()) return;
  // RFC 4821 §7.2: low at first, but for what works already, or is known of this path (§5.2).
  const std::uint32_t base = mtu_of(tcp_.config().base_mss);
  const bool known = sender_.congestion() != nullptr || route_.mtu < route_.interface->mtu();
  probe.enable(base, known ? route_.mtu : std::min(base, route_.mtu));
}

void Connection::share_path_mtu(std::uint32_t mtu, Instant now) {
  if (mtu < route_.mtu) tcp_.ip().confirm_path_mtu(remote().address, mtu, now);
}

void Connection::on_too_big(std::uint32_t mtu, Instant now) {
  if (!options_.dont_fragment()) return;  // no router can have said so
  tcp_.ip().confirm_path_mtu(remote().address, mtu, now);
  refresh_route(now);
  // RFC 4821 §7.6.2: a probe that was too large is no loss to congestion either.
  const bool of_probe = sender_.mtu_probe().on_too_big(route_.mtu, now);
  const std::uint32_t payload = path_payload();
  if (payload < sender_.mss()) {
    tcp_.count(Counter::kPathMtuReduced);
    sender_.on_mss_change(payload, true, now);
  } else if (of_probe) {
    sender_.resend_mtu_probe();
    touch();
  }
  update_timer(now);
}

}  // namespace millrace::tcp
