#pragma once

#include <cstdint>

#include "base/seq.h"
#include "base/time.h"

namespace millrace::tcp {

struct Config;

/// Packetization-layer path MTU discovery (RFC 4821): finds out how large the packets of a connection may be
/// by sending some that are larger, as no router may tell. Owned by the connection's sender, which sends the
/// probes and says what became of them. Sizes are bytes of IP packets.
///
///     search_low <= effective <= search_high        what is known to pass, what is sent, what may pass
///
/// Until enable(), or the first black hole, nothing is limited here and path MTU discovery is the classical
/// one (RFC 1191). `limit`, in what follows, is what route, peer and user allow; it may change at any time.
class MtuProbe {
 public:
  /// Looks for larger sizes from now on. `effective`: what is sent until one is found.
  void enable(std::uint32_t search_low, std::uint32_t effective);
  [[nodiscard]] bool enabled() const { return enabled_; }
  /// §7.1: eff_pmtu, the largest size for anything but a probe.
  [[nodiscard]] std::uint32_t effective() const { return effective_; }
  [[nodiscard]] std::uint32_t search_low() const { return search_low_; }
  [[nodiscard]] std::uint32_t search_high() const { return search_high_; }

  /// No probe is on its way, and the last one's failure is long enough ago.
  [[nodiscard]] bool due(Instant now) const { return enabled_ && !in_flight_ && now >= not_before_; }
  /// The size to try next; 0: the search is over, and is taken up again after Config::mtu_probe_interval.
  [[nodiscard]] std::uint32_t next_size(const Config& config, std::uint32_t limit, Instant now);

  /// The sequence space [start, end) went out as one packet of `size`.
  void on_sent(SeqNum start, SeqNum end, std::uint32_t size);
  [[nodiscard]] bool in_flight() const { return in_flight_; }
  [[nodiscard]] bool covers(SeqNum seq) const { return in_flight_ && seq >= start_ && seq < end_; }
  [[nodiscard]] SeqNum start() const { return start_; }
  [[nodiscard]] SeqNum end() const { return end_; }
  // Its fate. Precondition: in_flight().
  void on_delivered(Instant now);
  /// It alone was lost; the next waits for `pause`, as this loss reduces no window (§7.6.2).
  void on_lost(Duration pause, Instant now);
  /// It cannot be told what became of it (§7.6.4), if there is one.
  void on_inconclusive() { in_flight_ = false; }

  /// A router says, and is believed, that packets of more than `mtu` do not pass. True: that is what became
  /// of the probe, which is not in flight any more.
  bool on_too_big(std::uint32_t mtu, Instant now);
  /// A full-stop timeout (§7.7): what is in force does not get through, nor has anybody said why. A lower
  /// size is in force from now on, and the search goes upwards from there. `base`: where it begins;
  /// `floor`: nothing smaller is sent.
  void on_black_hole(std::uint32_t base, std::uint32_t floor, std::uint32_t limit);

 private:
  bool enabled_ = false;
  bool in_flight_ = false;
  bool told_ = false;  ///< the limit comes from a router: it is the size to try
  std::uint16_t search_low_ = 0, search_high_ = kNoLimit, effective_ = kNoLimit;
  std::uint16_t size_ = 0;  ///< of the probe in flight
  SeqNum start_, end_;
  Instant not_before_ = kEpoch;
  Instant last_result_ = kEpoch;

  static constexpr std::uint16_t kNoLimit = 65535;
};

}  // namespace millrace::tcp
