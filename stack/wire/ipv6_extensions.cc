#include "wire/ipv6_extensions.h"

namespace millrace::wire {
namespace {

bool is_extension(std::uint8_t protocol) {
  switch (protocol) {
    case kExtensionHopByHop:
    case kExtensionRouting:
    case kExtensionFragment:
    case kExtensionAuthentication:
    case kExtensionDestination:
      return true;
    default:
      return false;
  }
}

/// The length of the header that begins with `bytes`; at least 8 of them are there.
std::size_t extension_length(std::uint8_t protocol, std::span<const std::uint8_t> bytes) {
  switch (protocol) {
    case kExtensionFragment:
      return Ipv6FragmentHeader::kSize;
    case kExtensionAuthentication:
      return (std::size_t{bytes[1]} + 2) * 4;  // RFC 4302 §2.2: 32-bit words less 2
    default:
      return (std::size_t{bytes[1]} + 1) * 8;  // 64-bit words less 1
  }
}

}  // namespace

Ipv6ExtensionWalk Ipv6ExtensionWalk::over(std::uint8_t next_header, std::span<const std::uint8_t> payload) {
  Ipv6ExtensionWalk walk;
  walk.protocol = next_header;
  for (; is_extension(walk.protocol); ++walk.headers) {
    if (walk.protocol == kExtensionHopByHop && walk.headers > 0) {
      walk.end = End::kMisplaced;
      return walk;
    }
    if (walk.headers == kMaxHeaders) {
      walk.end = End::kTooMany;
      return walk;
    }
    const auto rest = payload.subspan(walk.offset);
    if (rest.size() < 8 || extension_length(walk.protocol, rest) > rest.size()) {
      walk.end = End::kTruncated;
      return walk;
    }
    const std::uint8_t passed = walk.protocol;
    walk.protocol = rest[0];
    walk.next_header_at = walk.offset;
    walk.offset += extension_length(passed, rest);
    if (passed == kExtensionRouting) walk.routing_header = true;
    if (passed == kExtensionFragment) {
      walk.fragment = Ipv6FragmentHeader::parse(rest);
      if (!walk.fragment->is_atomic()) {
        ++walk.headers;
        walk.end = End::kFragment;
        return walk;
      }
    }
  }
  walk.end = walk.protocol == kExtensionNone ? End::kNothing : End::kUpperLayer;
  return walk;
}

}  // namespace millrace::wire
