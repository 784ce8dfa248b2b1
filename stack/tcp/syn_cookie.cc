#include "tcp/syn_cookie.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kPlaceMask = 0xffffff;
constexpr unsigned kPlaceBits = 24;
constexpr std::uint32_t kNoMinute = 0xffffffff;  // F, which does not depend on it

/// What peers announce: the smallest that is taken, RFC 9293's default, IPv6's least MTU, tunnels, PPPoE,
/// Ethernet (with and without IPv6's larger header), jumbo frames.
constexpr std::array<std::uint16_t, 8> kSegmentSizes{88, 536, 1220, 1300, 1360, 1440, 1460, 8960};

constexpr std::uint32_t kScaleMask = 0x0f, kNoScale = 0x0f, kSackBit = 0x10, kEcnBit = 0x20;
constexpr std::uint32_t kOptionMask = 0x3f;

std::uint32_t minute_of(Instant now) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::minutes>(now.time_since_epoch()).count());
}

}  // namespace

SynCookies::SynCookies(Rng& rng) : hash_(rng) {}

std::uint32_t SynCookies::hash(const FlowKey& key, std::uint32_t minute) const {
  std::array<std::uint8_t, 40> input{};
  std::memcpy(input.data(), key.local.address.bytes().data(), 16);
  std::memcpy(input.data() + 16, key.remote.address.bytes().data(), 16);
  std::memcpy(input.data() + 32, &key.local.port, 2);
  std::memcpy(input.data() + 34, &key.remote.port, 2);
  std::memcpy(input.data() + 36, &minute, 4);
  return static_cast<std::uint32_t>(hash_(input));
}

SeqNum SynCookies::make(const FlowKey& key, SeqNum irs, std::uint16_t peer_mss, Instant now) const {
  std::uint32_t place = kSegmentSizes.size() - 1;
  while (place != 0 && kSegmentSizes[place] > peer_mss) --place;
  const std::uint32_t minute = minute_of(now);
  return irs + hash(key, kNoMinute) + (minute << kPlaceBits) + ((hash(key, minute) + place) & kPlaceMask);
}

std::optional<std::uint16_t> SynCookies::check(const FlowKey& key, SeqNum irs, SeqNum iss,
                                               Instant now) const {
  const std::uint32_t cookie = iss.value() - irs.value() - hash(key, kNoMinute);
  const std::uint32_t minute = minute_of(now);
  const std::uint32_t age = (minute - (cookie >> kPlaceBits)) & 0xff;
  if (age >= 2) return std::nullopt;
  const std::uint32_t place = (cookie - hash(key, minute - age)) & kPlaceMask;
  if (place >= kSegmentSizes.size()) return std::nullopt;
  return kSegmentSizes[place];
}

std::uint32_t CookieOptions::stamp(std::uint32_t clock) const {
  std::uint32_t bits = scale ? std::min<std::uint32_t>(*scale, 14) : kNoScale;
  if (sack) bits |= kSackBit;
  if (ecn) bits |= kEcnBit;
  const std::uint32_t value = (clock & ~kOptionMask) | bits;
  // Never ahead of the clock: a later segment's stamp must not be the smaller one (PAWS).
  return static_cast<std::int32_t>(value - clock) > 0 ? value - kOptionMask - 1 : value;
}

CookieOptions CookieOptions::from(std::uint32_t echo) {
  CookieOptions options;
  if ((echo & kScaleMask) != kNoScale) options.scale = static_cast<std::uint8_t>(echo & kScaleMask);
  options.sack = (echo & kSackBit) != 0;
  options.ecn = (echo & kEcnBit) != 0;
  return options;
}

}  // namespace millrace::tcp
