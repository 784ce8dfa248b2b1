#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "packet/packet.h"
#include "support/codel.h"
#include "support/delay_histogram.h"
#include "support/ring.h"
#include "support/topology.h"

namespace millrace::test {

/// What happened to packets at one place of a network; those of a Network also since its measurement began.
struct NetworkLinkStats {
  std::uint64_t packets = 0, bytes = 0;  ///< that came, copies included
  std::uint64_t too_large = 0;
  std::uint64_t lost = 0;  ///< by chance
  std::uint64_t policed = 0, overflowed = 0, aqm_dropped = 0, marked = 0;
  std::uint64_t duplicated = 0, reordered = 0;
  std::uint64_t accepted_bytes = 0;  ///< that got through the queue, or will

  [[nodiscard]] std::uint64_t dropped() const {
    return too_large + lost + policed + overflowed + aqm_dropped;
  }
};

/// A packet on its way, and what the way needs to know of it: what lies long in queues is out of the caches,
/// and is left alone until it arrives.
struct Transit {
  PacketPtr packet;         ///< an Ethernet frame
  std::uint32_t bytes = 0;  ///< of the IP packet
  std::uint32_t to = 0;     ///< the host
};

/// One direction of a link, for single packets (no super-frames), in virtual time. See LinkSpec.
///
/// Where nothing is decided when a packet leaves the queue, its departure is known when it comes: the queue
/// is then but the time until which the transmitter is busy, and the packet is on the wire at once. CoDel
/// decides at departure, so its packets wait in a queue.
class NetworkLink {
 public:
  NetworkLink(const LinkSpec& spec, std::uint64_t seed, Instant start);

  void send(Transit transit, Instant now);
  /// When something happens next, unless something is sent: a departure that has to be decided, or an
  /// arrival.
  [[nodiscard]] Instant next_event() const;
  /// The next packet that has arrived by now; a null one: none.
  [[nodiscard]] Transit receive(Instant now);
  /// The receiving end looks only so long after the first packet has come: interrupt moderation.
  void set_hold(Duration hold) { hold_ = hold; }

  [[nodiscard]] const LinkSpec& spec() const { return spec_; }
  [[nodiscard]] const NetworkLinkStats& stats() const { return stats_; }
  /// Times spent in the queue, without the packet's own transmission.
  [[nodiscard]] const DelayHistogram& queueing() const { return queueing_; }
  [[nodiscard]] std::uint64_t departed_bytes(Instant now) const;
  void forget_queueing() { queueing_.clear(); }
  [[nodiscard]] bool empty() const { return queue_.empty() && wire_.empty() && late_.empty(); }

 private:
  struct Waiting {
    Instant since;
    Transit transit;
  };
  struct OnWire {
    Instant at;
    std::uint64_t number = 0;  ///< keeps order among those that arrive together
    Transit transit;
  };
  /// Of a heap whose top arrives first.
  static bool later(const OnWire& a, const OnWire& b) {
    return a.at != b.at ? a.at > b.at : a.number > b.number;
  }

  [[nodiscard]] bool lost_by_chance(Instant now);
  [[nodiscard]] bool policed(std::uint32_t bytes, Instant now);
  void enqueue(Transit transit, Instant now);
  /// CoDel's departures that are due.
  void transmit_queued(Instant now);
  void transmit(Transit transit, Instant at);
  void put_on_wire(Transit transit, Instant departure);
  [[nodiscard]] Duration delay_at(Instant now) const;
  [[nodiscard]] std::uint32_t mtu_at(Instant now) const;
  [[nodiscard]] Duration time_for(std::uint64_t bytes) const;
  [[nodiscard]] std::uint64_t backlog(Instant now) const;

  LinkSpec spec_;
  Instant start_;
  Rng rng_;
  Codel codel_;
  Instant busy_until_{};
  Ring<Waiting> queue_;
  std::size_t queued_bytes_ = 0;
  Ring<OnWire> wire_;         ///< by arrival
  std::vector<OnWire> late_;  ///< a heap of those that others overtake
  std::uint64_t number_ = 0;
  Duration hold_{0};
  bool in_burst_ = false;
  Instant burst_seen_{};
  double tokens_ = 0;
  Instant tokens_at_{};
  NetworkLinkStats stats_;
  DelayHistogram queueing_;
};

/// Sets CE on an Ethernet frame with an IPv4 packet, and mends its header checksum. False: it has no ECT.
[[nodiscard]] bool mark_congestion(Packet& frame);

}  // namespace millrace::test
