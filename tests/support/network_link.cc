#include "support/network_link.h"

#include <algorithm>

#include "base/byte_order.h"
#include "wire/ethernet.h"

namespace millrace::test {

namespace {

constexpr std::uint32_t kEthernetHeader = 14;
constexpr std::size_t kMtu = 1500;
/// A burst that no packet has met for this time is over: else one would outlive any back-off.
constexpr Duration kLongestBurst = 100ms;
constexpr std::uint8_t kEcnMask = 3, kCe = 3;

}  // namespace

bool mark_congestion(Packet& frame) {
  if (!frame.make_writable(kEthernetHeader + 20)) return false;
  std::uint8_t* const ip = frame.data() + kEthernetHeader;
  const std::uint8_t ecn = ip[1] & kEcnMask;
  if (ip[0] >> 4 != 4 || ecn == 0) return false;
  if (ecn == kCe) return true;
  // RFC 1624 equation 3: HC' = ~(~HC + ~m + m'), of the word that holds the TOS.
  const std::uint16_t before = load_be16(ip);
  ip[1] |= kCe;
  std::uint32_t sum = static_cast<std::uint16_t>(~load_be16(ip + 10));
  sum += static_cast<std::uint16_t>(~before);
  sum += load_be16(ip);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(ip + 10, static_cast<std::uint16_t>(~sum));
  return true;
}

NetworkLink::NetworkLink(const LinkSpec& spec, std::uint64_t seed, Instant start)
    : spec_(spec),
      start_(start),
      rng_(seed),
      codel_(spec.codel_target, spec.codel_interval, kMtu),
      tokens_(static_cast<double>(spec.police_burst)),
      tokens_at_(start) {}

Duration NetworkLink::time_for(std::uint64_t bytes) const {
  if (spec_.rate == 0) return Duration{0};
  return Duration{static_cast<Duration::rep>((bytes * 8'000'000'000u + spec_.rate - 1) / spec_.rate)};
}

std::uint64_t NetworkLink::backlog(Instant now) const {
  if (busy_until_ <= now) return queued_bytes_;
  const auto left = static_cast<double>((busy_until_ - now).count());
  return queued_bytes_ + static_cast<std::uint64_t>(left * static_cast<double>(spec_.rate) / 8e9);
}

std::uint64_t NetworkLink::departed_bytes(Instant now) const {
  return stats_.accepted_bytes - std::min(stats_.accepted_bytes, backlog(now));
}

bool NetworkLink::lost_by_chance(Instant now) {
  if (spec_.burst_begin != 0) {
    if (now - burst_seen_ > kLongestBurst) in_burst_ = false;
    burst_seen_ = now;
    in_burst_ = in_burst_ ? !rng_.chance(spec_.burst_end) : rng_.chance(spec_.burst_begin);
    if (in_burst_) return true;
  }
  return rng_.chance(spec_.loss);
}

bool NetworkLink::policed(std::uint32_t bytes, Instant now) {
  if (spec_.police_rate == 0) return false;
  const auto since = static_cast<double>((now - tokens_at_).count());
  tokens_at_ = now;
  tokens_ = std::min(static_cast<double>(spec_.police_burst),
                     tokens_ + since * static_cast<double>(spec_.police_rate) / 8e9);
  if (tokens_ < bytes) return true;
  tokens_ -= bytes;
  return false;
}

void NetworkLink::send(Transit transit, Instant now) {
  ++stats_.packets;
  stats_.bytes += transit.bytes;
  if (transit.bytes > mtu_at(now)) {
    ++stats_.too_large;
    return;
  }
  if (lost_by_chance(now)) {
    ++stats_.lost;
    return;
  }
  if (rng_.chance(spec_.duplicate)) {
    if (PacketPtr copy = transit.packet->clone(transit.packet->linear_length(), 0)) {
      ++stats_.duplicated;
      enqueue({std::move(copy), transit.bytes, transit.to}, now);
    }
  }
  if (policed(transit.bytes, now)) {
    ++stats_.policed;
    return;
  }
  enqueue(std::move(transit), now);
}

void NetworkLink::enqueue(Transit transit, Instant now) {
  const std::uint32_t bytes = transit.bytes;
  if (!spec_.has_queue()) {
    stats_.accepted_bytes += bytes;
    put_on_wire(std::move(transit), now);
    return;
  }
  const bool codel = spec_.discipline == LinkSpec::Discipline::kCodel;
  if (codel) transmit_queued(now);
  const std::uint64_t waiting = backlog(now);
  if (spec_.queue_bytes != 0 && waiting != 0 && waiting + bytes > spec_.queue_bytes) {
    ++stats_.overflowed;
    return;
  }
  stats_.accepted_bytes += bytes;
  if (codel) {
    queued_bytes_ += bytes;
    queue_.push_back({now, std::move(transit)});
    transmit_queued(now);
    return;
  }
  if (spec_.discipline == LinkSpec::Discipline::kThreshold && waiting > spec_.threshold_bytes &&
      mark_congestion(*transit.packet)) {
    ++stats_.marked;
  }
  const Instant begin = std::max(busy_until_, now);
  queueing_.add(begin - now);
  transmit(std::move(transit), begin);
}

void NetworkLink::transmit_queued(Instant now) {
  while (!queue_.empty()) {
    const Instant at = std::max(busy_until_, queue_.front().since);
    if (at > now) return;
    Waiting next = queue_.pop_front();
    const std::uint32_t bytes = next.transit.bytes;
    queued_bytes_ -= bytes;
    const Duration sojourn = at - next.since;
    const bool congested = codel_.congested(at, sojourn, queued_bytes_);
    if (queue_.empty()) codel_.on_empty();
    if (congested) {
      if (!spec_.ecn || !mark_congestion(*next.transit.packet)) {
        ++stats_.aqm_dropped;
        stats_.accepted_bytes -= bytes;
        continue;
      }
      ++stats_.marked;
    }
    queueing_.add(sojourn);
    transmit(std::move(next.transit), at);
  }
}

void NetworkLink::transmit(Transit transit, Instant at) {
  busy_until_ = at + time_for(transit.bytes);
  put_on_wire(std::move(transit), busy_until_);
}

Duration NetworkLink::delay_at(Instant now) const {
  Duration delay = spec_.delay;
  for (const LinkSpec::DelayChange& change : spec_.route_changes) {
    if (now >= start_ + change.at) delay = change.delay;
  }
  return delay;
}

std::uint32_t NetworkLink::mtu_at(Instant now) const {
  std::uint32_t mtu = spec_.mtu;
  for (const LinkSpec::MtuChange& change : spec_.mtu_changes) {
    if (now >= start_ + change.at) mtu = change.mtu;
  }
  return mtu;
}

void NetworkLink::put_on_wire(Transit transit, Instant departure) {
  Instant at = departure + delay_at(departure);
  if (rng_.chance(spec_.reorder)) {
    ++stats_.reordered;
    at +=
        Duration{static_cast<Duration::rep>(rng_.unit() * static_cast<double>(spec_.reorder_delay.count()))};
  }
  if (spec_.release_interval.count() != 0) {
    const Duration late = (at - start_) % spec_.release_interval;
    if (late.count() != 0) at += spec_.release_interval - late;
  }
  OnWire entry{at, number_++, std::move(transit)};
  if (wire_.empty() || wire_.back().at <= at) {
    wire_.push_back(std::move(entry));
  } else {
    late_.push_back(std::move(entry));
    std::push_heap(late_.begin(), late_.end(), later);
  }
}

Instant NetworkLink::next_event() const {
  Instant next = queue_.empty() ? kNever : std::max(busy_until_, queue_.front().since);
  if (!wire_.empty()) next = std::min(next, wire_.front().at + hold_);
  if (!late_.empty()) next = std::min(next, late_.front().at + hold_);
  return next;
}

Transit NetworkLink::receive(Instant now) {
  if (!queue_.empty()) transmit_queued(now);
  if (!late_.empty() && (wire_.empty() || later(wire_.front(), late_.front()))) {
    if (late_.front().at > now) return {};
    std::pop_heap(late_.begin(), late_.end(), later);
    Transit transit = std::move(late_.back().transit);
    late_.pop_back();
    return transit;
  }
  if (wire_.empty() || wire_.front().at > now) return {};
  return wire_.pop_front().transit;
}

}  // namespace millrace::test
