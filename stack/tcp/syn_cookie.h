#pragma once

#include <cstdint>
#include <optional>

#include "base/keyed_hash.h"
#include "base/rng.h"
#include "base/seq.h"
#include "base/time.h"
#include "tcp/flow_table.h"

namespace millrace::tcp {

/// SYN cookies (RFC 4987 §3.6): what a SYN told, in the ISS of our answer, so that nothing is kept until the
/// ACK brings it back.
///
///     ISS = IRS + F(4-tuple) + [ 8 bits: minute ][ 24 bits: G(4-tuple, minute) + place of the MSS ]
///
/// IRS and F move it on as they do an ordinary ISN, and hide the minute. An ACK nobody was asked for is taken
/// for an answer with a probability of 2^-28. Whoever sees our SYN-ACK needs to guess nothing, as ever.
class SynCookies {
 public:
  /// How long a cookie is good for: this minute and the one before.
  static constexpr Duration kLifetime = 120s;

  explicit SynCookies(Rng& rng);

  /// The ISS for an answer to a SYN with number `irs`.
  [[nodiscard]] SeqNum make(const FlowKey& key, SeqNum irs, std::uint16_t peer_mss, Instant now) const;
  /// The peer's MSS, rounded down to one of a few; nullopt when `iss` was no answer of ours to `irs`.
  [[nodiscard]] std::optional<std::uint16_t> check(const FlowKey& key, SeqNum irs, SeqNum iss,
                                                   Instant now) const;

 private:
  [[nodiscard]] std::uint32_t hash(const FlowKey& key, std::uint32_t minute) const;
  KeyedHash hash_;
};

/// Options that a cookie has no room for travel in the low bits of our timestamp, which the peer echoes.
/// Without timestamps they are off.
struct CookieOptions {
  std::optional<std::uint8_t> scale;  ///< the peer's window scale
  bool sack = false;
  bool ecn = false;

  /// The latest TSval not after `clock` (our timestamp clock, without the flow's offset) that carries them.
  [[nodiscard]] std::uint32_t stamp(std::uint32_t clock) const;
  /// `echo` without the flow's offset.
  [[nodiscard]] static CookieOptions from(std::uint32_t echo);
  friend bool operator==(const CookieOptions&, const CookieOptions&) = default;
};

}  // namespace millrace::tcp
