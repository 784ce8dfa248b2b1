#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/checksum.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/icmpv4.h"
#include "wire/ipv4.h"
#include "wire/pseudo_header.h"
#include "wire/udp.h"

/// Frames for tests, built from the outside in: ethernet(to, from, kEtherTypeIpv4, ipv4(header, udp(...))).
namespace millrace::test {

using Bytes = std::vector<std::uint8_t>;

[[nodiscard]] inline Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

/// 0, 1, 2 ... 250, 0, 1 ...: a prime period, so that no fragment offset looks like another.
[[nodiscard]] inline Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i % 251);
  return bytes;
}

/// Room for a header, followed by its payload. (Not inlined: g++ 12 then sees overflows where there are
/// none.)
[[nodiscard]] [[gnu::noinline]] inline Bytes with_room(std::size_t header,
                                                       std::span<const std::uint8_t> payload) {
  Bytes bytes(header + payload.size());
  std::copy(payload.begin(), payload.end(), bytes.begin() + static_cast<std::ptrdiff_t>(header));
  return bytes;
}

[[nodiscard]] inline Bytes ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t ether_type,
                                    std::span<const std::uint8_t> payload) {
  Bytes frame = with_room(wire::EthernetHeader::kSize, payload);
  wire::EthernetHeader{to, from, ether_type}.emit(frame);
  return frame;
}

[[nodiscard]] inline Bytes arp(const wire::ArpPacket& packet) {
  Bytes bytes(wire::ArpPacket::kSize);
  packet.emit(bytes);
  return bytes;
}

/// An IPv4 packet; total_length is filled in when it is 0, the options are padded to a multiple of 4.
[[nodiscard]] inline Bytes ipv4(wire::Ipv4Header header, std::span<const std::uint8_t> payload,
                                Bytes options = {}) {
  while (options.size() % 4 != 0) options.push_back(0);
  header.header_length = static_cast<std::uint8_t>(wire::Ipv4Header::kSize + options.size());
  Bytes packet = with_room(header.header_length, payload);
  std::copy(options.begin(), options.end(), packet.begin() + wire::Ipv4Header::kSize);
  if (header.total_length == 0) header.total_length = static_cast<std::uint16_t>(packet.size());
  header.emit(packet);
  return packet;
}

[[nodiscard]] inline wire::Ipv4Header ipv4_header(const IpAddress& source, const IpAddress& destination,
                                                  std::uint8_t protocol) {
  wire::Ipv4Header header;
  header.source = source;
  header.destination = destination;
  header.protocol = protocol;
  header.ttl = 64;
  return header;
}

[[nodiscard]] inline Bytes icmp(wire::Icmpv4Header header, std::span<const std::uint8_t> data) {
  Bytes message = with_room(wire::Icmpv4Header::kSize, data);
  header.checksum = 0;
  header.emit(message);
  header.checksum = internet_checksum(message);
  header.emit(message);
  return message;
}

[[nodiscard]] inline Bytes echo_request(std::uint16_t identifier, std::uint16_t sequence,
                                        std::span<const std::uint8_t> data) {
  wire::Icmpv4Header header;
  header.type = wire::Icmpv4Header::kEchoRequest;
  header.rest = wire::Icmpv4Header::echo_rest(identifier, sequence);
  return icmp(header, data);
}

/// A datagram with its checksum.
[[nodiscard]] inline Bytes udp(const Endpoint& from, const Endpoint& to, std::span<const std::uint8_t> data) {
  Bytes datagram = with_room(wire::UdpHeader::kSize, data);
  wire::UdpHeader header{from.port, to.port, static_cast<std::uint16_t>(datagram.size()), 0};
  header.emit(datagram);
  header.checksum = wire::transport_checksum(from.address, to.address, wire::kProtocolUdp, datagram);
  if (header.checksum == 0) header.checksum = 0xffff;
  header.emit(datagram);
  return datagram;
}

}  // namespace millrace::test
