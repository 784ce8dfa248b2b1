#include "frame_headers.h"

#include "base/byte_order.h"

namespace millrace::drivers {
namespace {

constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
constexpr std::uint16_t kEtherTypeVlan = 0x8100;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kUdpHeader = 8;

}  // namespace

std::optional<FrameHeaders> FrameHeaders::parse(std::span<const std::uint8_t> bytes) {
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

}  // namespace millrace::drivers
