#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace millrace::tcp {

// Rules for the window that the loss-based controls have in common.

inline constexpr std::uint32_t kMaxCwnd = 1u << 30;

/// RFC 6928 §2: min(10 MSS, max(2 MSS, 14600)), with the number of segments configurable.
[[nodiscard]] constexpr std::uint32_t initial_window(std::uint32_t mss, unsigned segments) {
  return std::min(segments * mss, std::max(2 * mss, segments * 1460));
}

/// `flight` times numerator/denominator, at least two segments (RFC 5681 §3.1 equation (4), RFC 9438 §4.6).
[[nodiscard]] constexpr std::uint32_t reduced_window(std::uint32_t flight, std::uint32_t numerator,
                                                     std::uint32_t denominator, std::uint32_t mss) {
  const std::uint64_t reduced =
      std::min(std::uint64_t{flight} * numerator / denominator, std::uint64_t{kMaxCwnd});
  return std::max(static_cast<std::uint32_t>(reduced), 2 * mss);
}

/// RFC 6582 §3.2 step 3: the window after a recovery lets no burst out where little is in flight.
[[nodiscard]] constexpr std::uint32_t window_after_recovery(std::uint32_t ssthresh, std::uint32_t in_flight,
                                                            std::uint32_t mss) {
  const std::uint32_t flight = std::clamp(in_flight, mss, kMaxCwnd);
  return std::max(mss, std::min(ssthresh, flight + mss));  // ssthresh may be of a smaller MSS
}

/// RFC 2861 §3: the window halves for every RTO without traffic, down to `floor`.
[[nodiscard]] constexpr std::uint32_t window_after_idle(std::uint32_t cwnd, std::uint32_t floor,
                                                        Duration idle, Duration rto) {
  floor = std::min(cwnd, floor);
  for (; idle > rto && cwnd > floor; idle -= rto) cwnd /= 2;
  return std::max(cwnd, floor);
}

/// Slow start's growth for an ACK (RFC 5681 §3.1 (2), RFC 3465 §2.2): what it acknowledges, up to `limit`
/// segments. That limit is written for receivers that acknowledge every second segment; an ACK of a receiver
/// that gathers super-segments, or takes in a batch of them at once, stands for many such ACKs. What keeps
/// the window from more than doubling in a round trip is that no more than what was in flight counts.
[[nodiscard]] constexpr std::uint32_t slow_start_growth(std::uint32_t acked, std::uint32_t prior_in_flight,
                                                        std::uint32_t limit, std::uint32_t mss) {
  return std::min(acked, std::max(limit * mss, prior_in_flight));
}

}  // namespace millrace::tcp
