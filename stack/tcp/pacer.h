#pragma once

#include <cstdint>

#include "base/time.h"

namespace millrace::tcp {

/// Spreads what a connection sends at a rate (draft-ietf-ccwg-bbr, "Pacing Rate" and "Send Quantum"): a
/// bucket that fills at the rate and from which a quantum at a time is sent.
///
///     if (pacer.allowed(now) < wanted) timer = pacer.wait(wanted, now);
///     ... pacer.on_sent(length, now);
///
/// The quantum is 1 ms worth of the rate, at least two segments, at most 64 KB: sending single segments would
/// cost the more processor the faster the path is. A sender that was idle finds one quantum. One that waited
/// for the pacer and was woken late also finds what the rate has earned since, up to kLateness worth: else
/// timers that are never early would make the rate lower than asked for.
class Pacer {
 public:
  static constexpr Duration kLateness = 1ms;

  [[nodiscard]] static std::uint32_t quantum_of(std::uint64_t bytes_per_second, std::uint32_t mss);

  /// Bytes/s, 0: not paced. May change at any time; what is earned so far stays.
  void set_rate(std::uint64_t bytes_per_second, std::uint32_t mss, Instant now);
  [[nodiscard]] std::uint64_t rate() const { return rate_; }
  [[nodiscard]] std::uint32_t quantum() const { return quantum_; }

  /// Bytes that may be sent now.
  [[nodiscard]] std::uint32_t allowed(Instant now) const;
  /// There are `wanted` bytes that would be sent but for the pacer. When allowed() will have grown to them,
  /// or to a quantum; not in the past.
  [[nodiscard]] Instant wait(std::uint32_t wanted, Instant now);
  /// More than allowed is taken as a debt (a retransmission goes when it must), of a quantum at most: a long
  /// recovery must not have to be paid for by silence.
  void on_sent(std::uint32_t bytes, Instant now);

 private:
  [[nodiscard]] std::int64_t credit_at(Instant now) const;

  std::uint64_t rate_ = 0;
  std::uint32_t quantum_ = 0;
  bool waiting_ = false;
  std::int64_t credit_ = 0;  ///< at time_; in 10^-9 bytes, so that no fraction gets lost
  Instant time_{};
};

}  // namespace millrace::tcp
