#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"

namespace millrace::drivers {

/// Ethernet header without and with one 802.1Q tag.
inline constexpr std::uint32_t kEthernetHeader = 14;
inline constexpr std::uint32_t kVlanTag = 4;

/// Where the headers of a TCP or UDP frame lie: as much as offloads need to know.
struct FrameHeaders {
  std::uint16_t network = 0;    ///< offset of the IP header
  std::uint16_t transport = 0;  ///< offset of the TCP or UDP header
  std::uint16_t payload = 0;    ///< offset of what follows it
  bool ipv6 = false;
  bool tcp = false;  ///< else UDP

  /// Looks at the first bytes of a frame. Nothing for what is not TCP or UDP directly over IP, for fragments,
  /// and for headers that do not lie in `bytes` as a whole.
  /// In the header, as what it gives back then stays in registers: written to memory field by field and read
  /// as a whole, it would wait for every store before it.
  [[nodiscard]] static std::optional<FrameHeaders> parse(std::span<const std::uint8_t> bytes);

 private:
  static constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
  static constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
  static constexpr std::uint16_t kEtherTypeVlan = 0x8100;
  static constexpr std::uint8_t kProtocolTcp = 6;
  static constexpr std::uint8_t kProtocolUdp = 17;
  static constexpr std::size_t kIpv6Header = 40;
  static constexpr std::size_t kUdpHeader = 8;
};

inline std::optional<FrameHeaders> FrameHeaders::parse(std::span<const std::uint8_t> bytes) {
  std::size_t at = kEthernetHeader;
  if (bytes.size() < at) return std::nullopt;
  std::uint16_t type = load_be16(bytes.data() + 12);
  if (type == kEtherTypeVlan && bytes.size() >= at + kVlanTag) {
    type = load_be16(bytes.data() + 16);
    at += kVlanTag;
  }
  FrameHeaders headers;
  headers.network = static_cast<std::uint16_t>(at);
  std::uint8_t protocol = 0;
  if (type == kEtherTypeIpv4 && bytes.size() >= at + 20) {
    const std::uint8_t* ip = bytes.data() + at;
    const std::size_t header_length = static_cast<std::size_t>(ip[0] & 0x0f) * 4;
    if (header_length < 20 || (load_be16(ip + 6) & 0x3fff) != 0) return std::nullopt;
    protocol = ip[9];
    at += header_length;
  } else if (type == kEtherTypeIpv6 && bytes.size() >= at + kIpv6Header) {
    headers.ipv6 = true;
    protocol = bytes[at + 6];
    at += kIpv6Header;
  } else {
    return std::nullopt;
  }
  headers.transport = static_cast<std::uint16_t>(at);
  if (protocol == kProtocolTcp && bytes.size() >= at + 20) {
    const std::size_t header_length = static_cast<std::size_t>(bytes[at + 12] >> 4) * 4;
    if (header_length < 20) return std::nullopt;
    headers.tcp = true;
    at += header_length;
  } else if (protocol == kProtocolUdp && bytes.size() >= at + kUdpHeader) {
    at += kUdpHeader;
  } else {
    return std::nullopt;
  }
  if (at > bytes.size()) return std::nullopt;
  headers.payload = static_cast<std::uint16_t>(at);
  return headers;
}

/// The largest super-frame payload: with its headers it stays below 64 KiB, the limit of the IP length field
/// and where Linux would cut a frame itself.
inline constexpr std::uint32_t kMaxGsoBytes = 65535 - kEthernetHeader - kVlanTag - 60 - 60;

}  // namespace millrace::drivers
