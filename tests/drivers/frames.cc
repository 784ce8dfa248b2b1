#include "frames.h"

#include <algorithm>

#include "base/checksum.h"
#include "wire/ethernet.h"
#include "wire/ip_protocol.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace millrace::drivers {
namespace {

constexpr std::size_t kNetwork = 14;
constexpr std::size_t kTransport = 34;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;

ChecksumSum pseudo_header(std::span<const std::uint8_t> frame) {
  ChecksumSum sum;
  sum.add(frame.subspan(kNetwork + 12, 8));
  sum.add_word(frame[kNetwork + 9]);
  sum.add_word(static_cast<std::uint16_t>(frame.size() - kTransport));
  return sum;
}

std::size_t checksum_offset(std::span<const std::uint8_t> frame) {
  return frame[kNetwork + 9] == kTcp ? 16 : 6;
}

}  // namespace

Bytes make_frame(const FrameSpec& spec) {
  const std::size_t header = spec.udp ? wire::UdpHeader::kSize : wire::TcpHeader::kSize + spec.options.size();
  Bytes frame(kTransport + header + spec.payload.size());
  wire::EthernetHeader{spec.destination_mac, spec.source_mac, wire::kEtherTypeIpv4}.emit(frame);
  wire::Ipv4Header ip;
  ip.total_length = static_cast<std::uint16_t>(frame.size() - kNetwork);
  ip.dont_fragment = true;
  ip.ttl = 64;
  ip.protocol = spec.udp ? kUdp : kTcp;
  ip.source = spec.source;
  ip.destination = spec.destination;
  ip.emit(std::span(frame).subspan(kNetwork));
  const auto transport = std::span(frame).subspan(kTransport);
  if (spec.udp) {
    const auto length = static_cast<std::uint16_t>(transport.size());
    wire::UdpHeader{spec.source_port, spec.destination_port, length, 0}.emit(transport);
  } else {
    wire::TcpHeader tcp;
    tcp.source_port = spec.source_port;
    tcp.destination_port = spec.destination_port;
    tcp.seq = spec.seq;
    tcp.ack = spec.ack;
    tcp.flags = spec.flags;
    tcp.window = spec.window;
    tcp.header_length = static_cast<std::uint8_t>(header);
    tcp.emit(transport);
    std::copy(spec.options.begin(), spec.options.end(), transport.begin() + wire::TcpHeader::kSize);
  }
  std::copy(spec.payload.begin(), spec.payload.end(),
            transport.begin() + static_cast<std::ptrdiff_t>(header));
  ChecksumSum sum = pseudo_header(frame);
  if (!spec.partial) sum.add(transport);
  store_be16(&transport[checksum_offset(frame)], spec.partial ? sum.folded() : sum.finish());
  return frame;
}

Bytes raw_frame(std::size_t length, std::uint8_t seed, const MacAddress& destination,
                const MacAddress& source) {
  Bytes frame = pattern(length, seed);
  wire::EthernetHeader{destination, source, 0x88b5}.emit(frame);
  return frame;
}

Bytes pattern(std::size_t length, std::uint32_t seed) {
  Bytes bytes(length);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::uint8_t& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return bytes;
}

PacketPtr to_packet(PacketPool& pool, const Bytes& bytes) {
  PacketPtr packet = pool.allocate(bytes.size());
  if (packet) std::copy(bytes.begin(), bytes.end(), packet->put(static_cast<std::uint32_t>(bytes.size())));
  return packet;
}

PacketPtr to_offload_packet(PacketPool& pool, const FrameSpec& spec, std::uint16_t gso_size) {
  FrameSpec partial = spec;
  partial.partial = true;
  const Bytes frame = make_frame(partial);
  const std::size_t header = frame.size() - spec.payload.size();
  PacketPtr packet =
      to_packet(pool, Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(header)));
  for (std::size_t at = header; at < frame.size();) {
    const std::size_t n = std::min<std::size_t>(frame.size() - at, 10000);
    BufferRef buffer = pool.allocate_buffer(n);
    std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), n, buffer->bytes());
    if (!packet->append_fragment(std::move(buffer), 0, static_cast<std::uint32_t>(n))) return nullptr;
    at += n;
  }
  packet->offload.needs_checksum = true;
  packet->offload.checksum_start = kTransport;
  packet->offload.checksum_offset = spec.udp ? 6 : 16;
  packet->offload.gso_size = gso_size;
  if (gso_size != 0) {
    packet->offload.gso_segs = static_cast<std::uint16_t>((spec.payload.size() + gso_size - 1) / gso_size);
  }
  return packet;
}

Bytes bytes_of(const Packet& packet) {
  Bytes bytes(packet.length());
  packet.copy_out(0, bytes);
  return bytes;
}

bool transport_checksum_ok(std::span<const std::uint8_t> frame) {
  return pseudo_header(frame).add(frame.subspan(kTransport)).finish() == 0;
}

}  // namespace millrace::drivers
