#include "link/address_claims.h"

#include <algorithm>

#include "link/interface.h"
#include "wire/arp.h"

namespace millrace::link {

AddressClaims::AddressClaims(Interface& interface, TimerWheel& timers, Rng& rng)
    : interface_(interface), timers_(timers), rng_(rng), timer_(&AddressClaims::on_timer, this) {}

void AddressClaims::start(Instant now) {
  for (const IpPrefix& prefix : interface_.addresses()) {
    if (!prefix.address.is_v4()) continue;
    probe(prefix.address, now);
    announce(prefix.address, now);
  }
  // RFC 5227 §2.3: two announcements, 2 s apart; the random part keeps hosts apart that start together.
  timers_.arm(timer_, now + kAnnounceInterval + Duration{1ms} * rng_.below(500));
}

void AddressClaims::on_timer(void* owner, Instant now) {
  AddressClaims& claims = *static_cast<AddressClaims*>(owner);
  for (const IpPrefix& prefix : claims.interface_.addresses()) {
    if (prefix.address.is_v4()) claims.announce(prefix.address, now);
  }
}

void AddressClaims::on_conflict(const IpAddress& address, Instant now) {
  NeighbourCache& neighbours = interface_.neighbours();
  neighbours.counters_.add(NeighbourCounter::kConflictsSeen);
  // RFC 5227 §2.4(c): defend by one announcement, at most every 10 s, and never let go.
  const auto last = std::find_if(defences_.begin(), defences_.end(),
                                 [&](const Defence& d) { return d.address == address; });
  if (last != defences_.end()) {
    if (now - last->at < kDefendInterval) return;
    last->at = now;
  } else {
    defences_.push_back({address, now});
  }
  neighbours.counters_.add(NeighbourCounter::kConflictsDefended);
  announce(address, now);
}

void AddressClaims::probe(const IpAddress& address, Instant now) {
  (void)interface_.neighbours().send(
      {wire::ArpPacket::kRequest, interface_.mac(), IpAddress{}, MacAddress{}, address},
      MacAddress::broadcast(), NeighbourCounter::kArpRequestsSent, now);
}

void AddressClaims::announce(const IpAddress& address, Instant now) {
  (void)interface_.neighbours().send(
      {wire::ArpPacket::kRequest, interface_.mac(), address, MacAddress{}, address}, MacAddress::broadcast(),
      NeighbourCounter::kAnnouncementsSent, now);
}

}  // namespace millrace::link
