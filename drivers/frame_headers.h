#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace millrace::drivers {

/// Where the headers of a TCP or UDP frame lie: as much as offloads need to know.
struct FrameHeaders {
  std::uint16_t network = 0;    ///< offset of the IP header
  std::uint16_t transport = 0;  ///< offset of the TCP or UDP header
  std::uint16_t payload = 0;    ///< offset of what follows it
  bool ipv6 = false;
  bool tcp = false;  ///< else UDP

  /// Looks at the first bytes of a frame. Nothing for what is not TCP or UDP directly over IP, for fragments,
  /// and for headers that do not lie in `bytes` as a whole.
  [[nodiscard]] static std::optional<FrameHeaders> parse(std::span<const std::uint8_t> bytes);
};

/// Ethernet header without and with one 802.1Q tag.
inline constexpr std::uint32_t kEthernetHeader = 14;
inline constexpr std::uint32_t kVlanTag = 4;
/// The largest super-frame payload: with its headers it stays below 64 KiB, the limit of the IP length field
/// and where Linux would cut a frame itself.
inline constexpr std::uint32_t kMaxGsoBytes = 65535 - kEthernetHeader - kVlanTag - 60 - 60;

}  // namespace millrace::drivers
