#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace millrace::test {

/// One direction of a link: what happens to a packet in it, in this order.
///
///     too large -> loss, copies -> policer -> [queue, AQM] -> transmitter (rate) -> delay (reordering,
///     bursts) ->
///
/// Rates and queues count IP packets, without their Ethernet header.
struct LinkSpec {
  enum class Discipline : std::uint8_t {
    kDropTail,
    kCodel,      ///< RFC 8289
    kThreshold,  ///< marks what meets a queue longer than `threshold_bytes` (RFC 8257 §3.1)
  };
  struct DelayChange {
    Duration at;  ///< since the start of the run
    Duration delay;
  };

  std::uint64_t rate = 0;  ///< bits a second; 0: no limit
  Duration delay{0};
  std::vector<DelayChange> route_changes;

  struct MtuChange {
    Duration at;  ///< since the start of the run
    std::uint32_t mtu;
  };
  /// What is larger vanishes, and no router tells. A host's device has the MTU of the way out of it.
  std::uint32_t mtu = 1500;
  std::vector<MtuChange> mtu_changes;

  // --- the queue in front of the transmitter
  std::size_t queue_bytes = 0;  ///< 0: no limit
  double queue_bdp = 0;         ///< the same, in bandwidth-delay products of the longest path through it
  Discipline discipline = Discipline::kDropTail;
  bool ecn = false;  ///< CE instead of a drop by the AQM, for packets with ECT
  Duration codel_target = 5ms, codel_interval = 100ms;
  std::size_t threshold_bytes = 0;

  // --- a token bucket that drops what exceeds it
  std::uint64_t police_rate = 0;
  std::size_t police_burst = 0;

  // --- chance, for each packet
  double loss = 0;
  /// Gilbert and Elliott's two states: in the bad one everything is lost. A burst is 1 / `burst_end` packets
  /// long.
  double burst_begin = 0, burst_end = 0;
  double duplicate = 0;
  double reorder = 0;
  Duration reorder_delay{0};  ///< up to so much longer under way, uniformly

  /// Arrivals happen only at multiples of this time: a shared medium that lets a bunch through at a turn. On
  /// the way back it is ACK compression.
  Duration release_interval{0};

  [[nodiscard]] bool has_queue() const { return rate != 0; }
};

/// A bulk transfer between two hosts, of a connection of its own.
struct FlowSpec {
  std::string from, to;
  std::string congestion;   ///< empty: the default one
  Duration start{0};        ///< since the start of the run
  std::uint64_t bytes = 0;  ///< 0: until the run is told to stop
};

/// Hosts, and routers that are nothing but queues, in a few lines of text:
///
///     s1 -- 1G 1ms -- r1                          both directions; a queue without limit by default
///     s2 -- 1G 5ms -- r1
///     r1 -- 100M 20ms queue=1bdp -- r2            the narrow one of all is the bottleneck that is measured
///     r2 -> loss=1% burst=2ms -> r1               more about one direction of a link that exists
///     r2 -- 1G -- d1
///     r2 -- 1G -- d2
///     s1 > d1  start=0.5s                         a flow
///     s2 > d2  cubic bytes=10M
///
/// A link knows: a rate (100M, 2.5G), a delay (20ms), queue=64k or queue=1.5bdp, codel, codel=5ms:100ms,
/// mark=30k (threshold), ecn, police=10M:15k, loss=1%, bursts=0.1%:25%, duplicate=1%, reorder=30%:10ms,
/// release=5ms, route=2s:50ms, mtu=1400, mtu=2s:1280. A host is a node with one link, at an end of a flow.
struct Topology {
  struct Link {
    std::string a, b;
    LinkSpec forward, backward;  ///< from a to b, from b to a
  };
  std::vector<Link> links;
  std::vector<FlowSpec> flows;

  /// Throws std::invalid_argument with the line that it does not understand.
  [[nodiscard]] static Topology parse(std::string_view text);
  /// N flows s1 > d1, s2 > d2, ... through one bottleneck r1 -- r2, of which `bottleneck` is the text. Each
  /// sender is half a round trip `rtts[i]` away from its receiver; the bottleneck's own delay must be 0.
  [[nodiscard]] static Topology dumbbell(std::string_view bottleneck, const std::vector<Duration>& rtts);
};

}  // namespace millrace::test
