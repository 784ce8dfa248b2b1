#pragma once

#include <vector>

#include "base/ip_address.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/timer_wheel.h"

namespace millrace::link {

class Interface;

/// Our side of IPv4 address conflict detection (RFC 5227), for one Interface.
///
/// The addresses are used from the first moment: probes and announcements go out at once, and a conflict is
/// counted rather than waited for. (RFC 5227 §2.1 would have us wait several seconds before the first packet;
/// the addresses come from whoever configured us, as with Linux, which does not probe at all.)
class AddressClaims {
 public:
  AddressClaims(Interface& interface, TimerWheel& timers, Rng& rng);

  /// Probes and announces all addresses now, and once more a little later. Again when the link comes up.
  void start(Instant now);
  /// Somebody else sent an ARP packet from `address`, which is ours.
  void on_conflict(const IpAddress& address, Instant now);

 private:
  static constexpr Duration kDefendInterval = 10s;  ///< RFC 5227 §1.1
  static constexpr Duration kAnnounceInterval = 2s;

  static void on_timer(void* owner, Instant now);
  void probe(const IpAddress& address, Instant now);
  void announce(const IpAddress& address, Instant now);

  Interface& interface_;
  TimerWheel& timers_;
  Rng& rng_;
  struct Defence {
    IpAddress address;
    Instant at;
  };
  std::vector<Defence> defences_;  ///< at most one an address of ours
  Timer timer_;
};

}  // namespace millrace::link
