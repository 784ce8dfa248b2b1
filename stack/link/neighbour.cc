#include "link/neighbour.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "link/interface.h"
#include "wire/arp.h"
#include "wire/ethernet.h"

namespace millrace::link {

bool counts_drop(NeighbourCounter counter) {
  switch (counter) {
    case NeighbourCounter::kArpMalformed:
    case NeighbourCounter::kArpIgnored:
      return true;
    default:
      return false;
  }
}

std::string_view name_of(NeighbourCounter counter) {
  static constexpr std::array<std::string_view, CounterSet<NeighbourCounter>::kSize> kNames{
      "ArpReceived",    "ArpMalformed", "ArpIgnored",      "ArpRequestsSent",  "ArpProbesSent",
      "ArpRepliesSent", "ArpNoMemory",  "ArpUnreachable",  "ArpPacketsFailed", "ArpQueueDropped",
      "ArpEvicted",     "ArpTableFull", "ArpConflictSeen", "ArpDefended",      "ArpAnnouncementsSent",
  };
  return kNames[static_cast<std::size_t>(counter)];
}

NeighbourCache::Neighbour::Neighbour(NeighbourCache& owner, const IpAddress& of)
    : cache(owner), address(of), timer(&NeighbourCache::on_timer, this) {}

NeighbourCache::NeighbourCache(const NeighbourConfig& config, Interface& interface, PacketPool& pool,
                               TimerWheel& timers, Rng& rng)
    : config_(config),
      interface_(interface),
      pool_(pool),
      timers_(timers),
      reachable_(config.reachable / 2 + Duration{static_cast<Duration::rep>(
                                            static_cast<double>(config.reachable.count()) * rng.unit())}),
      buckets_(std::bit_ceil(std::max<std::size_t>(config.entries, 16))),
      table_(Table::bucket_traits(buckets_.data(), buckets_.size()), Hash{rng.u64()}) {}

NeighbourCache::~NeighbourCache() {
  while (!by_age_.empty()) remove(by_age_.front());
}

void NeighbourCache::clear() {
  for (auto it = by_age_.begin(); it != by_age_.end();) {
    Neighbour& neighbour = *it++;
    if (neighbour.state != State::kStatic) remove(neighbour);
  }
}

NeighbourCache::Neighbour* NeighbourCache::lookup(const IpAddress& address) {
  if (is_latest(address)) return latest_;
  const auto it = table_.find(address, table_.hash_function(), table_.key_eq());
  if (it == table_.end()) return nullptr;
  latest_ = &*it;
  return latest_;
}

const MacAddress* NeighbourCache::use_unconfirmed(Neighbour& neighbour, Instant now) {
  switch (neighbour.state) {
    case State::kIncomplete:
      return nullptr;
    case State::kReachable:
    case State::kStale:
      // RFC 4861 §7.3.3: go on sending; a while later ask, unless the layers above confirm it first.
      neighbour.state = State::kDelay;
      neighbour.requests = 0;
      timers_.arm(neighbour.timer, now + config_.delay_first_probe);
      break;
    case State::kDelay:
    case State::kProbe:
    case State::kStatic:
      break;
  }
  return &neighbour.mac;
}

void NeighbourCache::confirm_other(const IpAddress& address, Instant now) {
  Neighbour* const neighbour = lookup(address);
  if (neighbour == nullptr) return;
  if (neighbour->state == State::kIncomplete || neighbour->state == State::kStatic) return;
  if (neighbour->state != State::kReachable) {
    timers_.cancel(neighbour->timer);
    neighbour->state = State::kReachable;
  }
  neighbour->confirmed = now;
}

void NeighbourCache::add_static(const IpAddress& address, const MacAddress& mac, Instant now) {
  Neighbour* neighbour = lookup(address);
  if (neighbour == nullptr) neighbour = create(address, now);
  if (neighbour == nullptr) return;
  learn(*neighbour, mac, true, now);
  neighbour->state = State::kStatic;
}

// --- the table

NeighbourCache::Neighbour* NeighbourCache::create(const IpAddress& address, Instant now) {
  if (table_.size() >= config_.entries && !evict_one()) {
    counters_.add(NeighbourCounter::kTableFull);
    return nullptr;
  }
  auto neighbour = std::make_unique<Neighbour>(*this, address);
  neighbour->used = now;
  table_.insert(*neighbour);
  by_age_.push_back(*neighbour);
  return neighbour.release();
}

bool NeighbourCache::evict_one() {
  // Least recently used among the first few: uses do not reorder the list, being passed over does.
  constexpr std::size_t kSample = 8;
  Neighbour* victim = nullptr;
  const std::size_t looks = std::min(kSample, by_age_.size());
  for (std::size_t i = 0; i < looks; ++i) {
    Neighbour& candidate = by_age_.front();
    by_age_.pop_front();
    by_age_.push_back(candidate);
    if (candidate.state == State::kStatic) continue;
    if (victim == nullptr || candidate.used < victim->used) victim = &candidate;
  }
  if (victim == nullptr) return false;
  counters_.add(NeighbourCounter::kEvicted);
  remove(*victim);
  return true;
}

void NeighbourCache::remove(Neighbour& neighbour) {
  const std::size_t waiting = neighbour.waiting.size();
  if (waiting != 0) counters_.add(NeighbourCounter::kQueueDropped, waiting);
  queued_ -= waiting;
  by_age_.erase(by_age_.iterator_to(neighbour));
  table_.erase(table_.iterator_to(neighbour));
  if (latest_ == &neighbour) latest_ = nullptr;
  delete &neighbour;
}

// --- resolution

void NeighbourCache::resolve(PacketPtr packet, const IpAddress& address, Instant now) {
  Neighbour* neighbour = lookup(address);
  const bool fresh = neighbour == nullptr;
  if (fresh) neighbour = create(address, now);
  if (neighbour == nullptr) return;
  if (fresh) request(*neighbour, now);

  if (neighbour->waiting.size() >= config_.queue_packets || queued_ >= config_.queued_packets_total) {
    counters_.add(NeighbourCounter::kQueueDropped);
    if (neighbour->waiting.empty()) return;  // others fill the common limit
    // RFC 1122 §2.3.2.2: it is the latest packet that should be kept.
    (void)neighbour->waiting.pop_front();
    --queued_;
  }
  neighbour->waiting.push_back(std::move(packet));
  ++queued_;
}

void NeighbourCache::on_timer(void* owner, Instant now) {
  Neighbour& neighbour = *static_cast<Neighbour*>(owner);
  neighbour.cache.advance(neighbour, now);
}

void NeighbourCache::advance(Neighbour& neighbour, Instant now) {
  const unsigned limit =
      neighbour.state == State::kIncomplete ? config_.broadcast_requests : config_.unicast_probes;
  if (neighbour.state == State::kDelay) neighbour.state = State::kProbe;
  if (neighbour.requests >= limit) {
    give_up(neighbour, now);
  } else {
    request(neighbour, now);
  }
}

void NeighbourCache::give_up(Neighbour& neighbour, Instant now) {
  counters_.add(NeighbourCounter::kUnreachable);
  counters_.add(NeighbourCounter::kPacketsFailed, neighbour.waiting.size());
  PacketQueue failed = std::move(neighbour.waiting);
  queued_ -= failed.size();
  remove(neighbour);  // before the layers above hear of it: they may send again at once
  while (PacketPtr packet = failed.pop_front()) interface_.fail(std::move(packet), now);
}

void NeighbourCache::request(Neighbour& neighbour, Instant now) {
  const bool unicast = neighbour.state == State::kProbe;
  const MacAddress to = unicast ? neighbour.mac : MacAddress::broadcast();
  (void)send({wire::ArpPacket::kRequest, interface_.mac(), interface_.source_for(neighbour.address),
              MacAddress{}, neighbour.address},
             to, unicast ? NeighbourCounter::kArpProbesSent : NeighbourCounter::kArpRequestsSent, now);
  ++neighbour.requests;
  timers_.arm(neighbour.timer, now + config_.retry);
}

void NeighbourCache::learn(Neighbour& neighbour, const MacAddress& mac, bool solicited, Instant now) {
  if (neighbour.state == State::kStatic) return;
  const bool changed = neighbour.state == State::kIncomplete || neighbour.mac != mac;
  if (!changed && !solicited) return;
  neighbour.mac = mac;
  timers_.cancel(neighbour.timer);
  neighbour.state = solicited ? State::kReachable : State::kStale;
  neighbour.requests = 0;
  if (solicited) neighbour.confirmed = now;

  PacketQueue ready = std::move(neighbour.waiting);
  queued_ -= ready.size();
  while (PacketPtr packet = ready.pop_front()) interface_.transmit(std::move(packet), neighbour.address, now);
}

// --- ARP in and out

bool NeighbourCache::sender_is_possible(const wire::ArpPacket& arp) {
  if (arp.sender_mac.is_group() || arp.sender_mac.is_zero()) return false;
  return !arp.sender_ip.is_multicast() && !arp.sender_ip.is_limited_broadcast() &&
         !arp.sender_ip.is_loopback();
}

void NeighbourCache::on_arp(PacketPtr packet, Instant now) {
  counters_.add(NeighbourCounter::kArpReceived);
  const std::uint32_t size = wire::ArpPacket::kSize;
  const auto arp = packet->gather(size) ? wire::ArpPacket::parse(packet->linear()) : std::nullopt;
  if (!arp || !sender_is_possible(*arp) ||
      (arp->operation != wire::ArpPacket::kRequest && arp->operation != wire::ArpPacket::kReply)) {
    counters_.add(NeighbourCounter::kArpMalformed);
    return;
  }
  if (arp->sender_mac == interface_.mac()) {  // our own, come back
    counters_.add(NeighbourCounter::kArpIgnored);
    return;
  }
  if (interface_.owns(arp->sender_ip)) {
    if (config_.answers) interface_.claims().on_conflict(arp->sender_ip, now);
    return;
  }

  const bool for_us = interface_.owns(arp->target_ip);
  const bool is_request = arp->operation == wire::ArpPacket::kRequest;
  // A sender of 0.0.0.0 probes (RFC 5227 §2.1.1): answered, not learned.
  Neighbour* sender = arp->sender_ip.is_unspecified() ? nullptr : lookup(arp->sender_ip);
  if (sender == nullptr && for_us && is_request && interface_.is_on_link(arp->sender_ip))
    sender = create(arp->sender_ip, now);
  if (sender != nullptr) {
    const bool solicited = !is_request && for_us && arp->target_mac == interface_.mac();
    learn(*sender, arp->sender_mac, solicited, now);
  }
  if (for_us && is_request) {
    if (config_.answers) reply(*arp, now);
  } else if (sender == nullptr) {
    counters_.add(NeighbourCounter::kArpIgnored);
  }
}

void NeighbourCache::reply(const wire::ArpPacket& request, Instant now) {
  (void)send(
      {wire::ArpPacket::kReply, interface_.mac(), request.target_ip, request.sender_mac, request.sender_ip},
      request.sender_mac, NeighbourCounter::kArpRepliesSent, now);
}

bool NeighbourCache::send(const wire::ArpPacket& arp, const MacAddress& to, NeighbourCounter counter,
                          Instant now) {
  PacketPtr packet = pool_.allocate(wire::ArpPacket::kSize, PacketPool::kHeadroom, Priority::kControl);
  if (packet == nullptr) {
    counters_.add(NeighbourCounter::kNoMemory);
    return false;
  }
  arp.emit({packet->put(wire::ArpPacket::kSize), wire::ArpPacket::kSize});
  counters_.add(counter);
  interface_.send_frame(std::move(packet), to, wire::kEtherTypeArp, now);
  return true;
}

}  // namespace millrace::link
