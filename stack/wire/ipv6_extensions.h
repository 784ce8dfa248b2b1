#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"

namespace millrace::wire {

/// Values of Next Header that name an extension header (RFC 8200 §4), or that nothing follows.
enum Ipv6Extension : std::uint8_t {
  kExtensionHopByHop = 0,
  kExtensionRouting = 43,
  kExtensionFragment = 44,
  kExtensionAuthentication = 51,
  kExtensionNone = 59,
  kExtensionDestination = 60,
};

/// RFC 8200 §4.5.
struct Ipv6FragmentHeader {
  static constexpr std::size_t kSize = 8;

  std::uint8_t next_header = 0;
  std::uint16_t fragment_offset = 0;  ///< in bytes, a multiple of 8
  bool more_fragments = false;
  std::uint32_t identification = 0;

  /// A packet in one piece that carries the header all the same: handled on its own (RFC 6946).
  [[nodiscard]] constexpr bool is_atomic() const { return fragment_offset == 0 && !more_fragments; }

  [[nodiscard]] static std::optional<Ipv6FragmentHeader> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::uint16_t offset = load_be16(&bytes[2]);
    return Ipv6FragmentHeader{bytes[0], static_cast<std::uint16_t>(offset & 0xfff8), (offset & 1) != 0,
                              load_be32(&bytes[4])};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize && fragment_offset % 8 == 0);
    out[0] = next_header;
    out[1] = 0;
    store_be16(&out[2], static_cast<std::uint16_t>(fragment_offset | (more_fragments ? 1 : 0)));
    store_be32(&out[4], identification);
  }
  friend bool operator==(const Ipv6FragmentHeader&, const Ipv6FragmentHeader&) = default;
};

/// Where the chain of extension headers of one packet led. Every header moves the walk on by at least 8 bytes
/// and at most kMaxHeaders are passed, so it ends on any input.
struct Ipv6ExtensionWalk {
  static constexpr unsigned kMaxHeaders = 8;

  enum class End : std::uint8_t {
    kUpperLayer,  ///< `protocol` is no extension header; its header begins at `offset`
    kFragment,    ///< a fragment of a larger packet: its data begins at `offset`, `protocol` is its first
                  ///< header
    kNothing,     ///< No Next Header
    kTruncated,   ///< a header runs out of the payload
    kMisplaced,   ///< Hop-by-Hop Options elsewhere than first (RFC 8200 §4.1)
    kTooMany,     ///< more than kMaxHeaders
  };

  End end = End::kNothing;
  std::uint8_t protocol = kExtensionNone;
  std::size_t offset = 0;  ///< within the payload
  /// Which byte of the payload named `protocol`; nullopt: the fixed header's Next Header. A Parameter Problem
  /// message points at it (RFC 4443 §3.4), reassembly rewrites it (RFC 8200 §4.5).
  std::optional<std::size_t> next_header_at;
  std::optional<Ipv6FragmentHeader> fragment;  ///< the last one met, atomic ones too
  bool routing_header = false;                 ///< one was passed; its segments left are not looked at
  std::uint8_t headers = 0;                    ///< how many were passed

  /// `next_header` and `payload` of the fixed header.
  [[nodiscard]] static Ipv6ExtensionWalk over(std::uint8_t next_header,
                                              std::span<const std::uint8_t> payload);
};

}  // namespace millrace::wire
