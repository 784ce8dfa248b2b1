#pragma once

#include <cstdint>
#include <iosfwd>
#include <random>
#include <vector>

#include "packet/pool.h"

namespace millrace::link {

using Bytes = std::vector<std::uint8_t>;

/// A TCP frame in words, built and read here byte by byte, with nothing of the stack's: what GSO and GRO are
/// judged by.
struct TcpFrame {
  bool v6 = false;
  int vlan_tags = 0;
  std::uint8_t host = 1;  ///< last byte of the source address
  std::uint8_t tos = 0;
  std::uint8_t ttl = 64;
  std::uint16_t id = 100;
  bool df = true;
  Bytes ip_options;
  std::uint16_t source_port = 40000;
  std::uint32_t seq = 1000;
  std::uint32_t ack = 7;
  std::uint8_t flags = 0x10;
  std::uint8_t reserved = 0;  ///< low four bits of the data offset byte
  std::uint16_t window = 500;
  std::uint16_t urgent = 0;
  Bytes tcp_options;
  Bytes payload;

  /// With good checksums; begins with the Ethernet header.
  [[nodiscard]] Bytes frame() const;
  /// Begins with the IP header.
  [[nodiscard]] Bytes packet() const;
  /// Reads a frame; fails the test unless lengths fit, and checksums too where `checksums`.
  static TcpFrame read_frame(const Bytes& frame, bool checksums = true);
  static TcpFrame read_packet(const Bytes& packet, bool checksums = true);

  [[nodiscard]] std::size_t link_length() const { return 14 + 4 * static_cast<std::size_t>(vlan_tags); }
  [[nodiscard]] std::size_t network_length() const { return v6 ? 40 : 20 + ip_options.size(); }
  [[nodiscard]] std::size_t transport_length() const { return 20 + tcp_options.size(); }
  friend bool operator==(const TcpFrame&, const TcpFrame&) = default;
};
/// For failure messages.
void PrintTo(const TcpFrame& frame, std::ostream* out);

/// Folded one's complement sum, a byte at a time.
std::uint16_t naive_sum(const Bytes& bytes, std::uint32_t start = 0);
/// The sum over a pseudo-header and what follows.
std::uint16_t naive_transport_sum(const Bytes& packet, std::size_t transport_at, std::uint8_t protocol);

[[nodiscard]] Bytes contents(const Packet& packet);
/// One linear region.
[[nodiscard]] PacketPtr linear_packet(PacketPool& pool, const Bytes& bytes);
/// `linear` bytes in the linear region, the others in fragments of the sizes given, the last one repeated.
[[nodiscard]] PacketPtr scattered_packet(PacketPool& pool, const Bytes& bytes, std::size_t linear,
                                         const std::vector<std::size_t>& sizes);
[[nodiscard]] Bytes random_bytes(std::mt19937_64& random, std::size_t n);

}  // namespace millrace::link
