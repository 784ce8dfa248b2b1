#include "queues/frame_home.h"

#include "base/byte_order.h"
#include "frame_headers.h"

namespace millrace::drivers {
namespace {

constexpr std::uint16_t kEtherTypeIpv4 = 0x0800, kEtherTypeArp = 0x0806, kEtherTypeVlan = 0x8100;
constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17;
constexpr std::size_t kIpv4Header = 20, kIcmpHeader = 8, kPorts = 4;

/// The header length of an IPv4 packet that is no fragment; 0 otherwise.
std::size_t whole_packet_header(std::span<const std::uint8_t> packet) {
  constexpr std::uint16_t kFragmentMask = 0x3fff;  // "more fragments" and the offset
  if (packet.size() < kIpv4Header || packet[0] >> 4 != 4) return 0;
  const std::size_t length = static_cast<std::size_t>(packet[0] & 0x0f) * 4;
  return length >= kIpv4Header && (load_be16(&packet[6]) & kFragmentMask) == 0 ? length : 0;
}

enum class Direction : std::uint8_t { kReceived, kSent };

std::uint32_t home_of_flow(std::span<const std::uint8_t> packet, std::size_t header, Direction direction,
                           const FlowQueues& queues) {
  if (packet.size() < header + kPorts) return 0;
  const std::uint32_t source = load_be32(&packet[12]), destination = load_be32(&packet[16]);
  const std::uint16_t source_port = load_be16(&packet[header]);
  const std::uint16_t destination_port = load_be16(&packet[header + 2]);
  return direction == Direction::kReceived ? queues.queue(source, source_port, destination, destination_port)
                                           : queues.queue(destination, destination_port, source, source_port);
}

bool is_icmp_error(std::uint8_t type) {
  return type == 3 || type == 4 || type == 11 || type == 12;
}

}  // namespace

std::uint32_t FrameHome::of_packet(std::span<const std::uint8_t> packet, const FlowQueues& queues) {
  const std::size_t header = whole_packet_header(packet);
  if (header == 0) return 0;
  const std::uint8_t protocol = packet[9];
  if (protocol == kTcp || protocol == kUdp) return home_of_flow(packet, header, Direction::kReceived, queues);
  if (protocol != kIcmp || packet.size() < header + kIcmpHeader || !is_icmp_error(packet[header])) return 0;
  const std::span<const std::uint8_t> quoted = packet.subspan(header + kIcmpHeader);
  const std::size_t quoted_header = whole_packet_header(quoted);
  if (quoted_header == 0 || (quoted[9] != kTcp && quoted[9] != kUdp)) return 0;
  return home_of_flow(quoted, quoted_header, Direction::kSent, queues);
}

FrameHome FrameHome::of(std::span<const std::uint8_t> frame, const FlowQueues& queues) {
  std::size_t at = kEthernetHeader;
  if (frame.size() < at) return {};
  std::uint16_t type = load_be16(&frame[12]);
  if (type == kEtherTypeVlan && frame.size() >= at + kVlanTag) {
    type = load_be16(&frame[16]);
    at += kVlanTag;
  }
  if (type == kEtherTypeArp) return {0, true};
  if (type != kEtherTypeIpv4) return {};
  return {of_packet(frame.subspan(at), queues), false};
}

}  // namespace millrace::drivers
