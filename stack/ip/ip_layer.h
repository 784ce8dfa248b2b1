#pragma once

#include "ip/ip.h"

namespace millrace::ip {

struct Config {
  std::uint8_t default_ttl = 64;
  std::size_t reassembly_bytes = 4u << 20;   ///< storage held by fragments, all datagrams together
  std::size_t reassembly_datagrams = 256;
  Duration reassembly_timeout = 30s;         ///< Linux's; RFC 791 allows it
  std::size_t icmp_errors_per_second = 1000; ///< token bucket (RFC 1812 §4.3.2.8), burst 50
  Duration path_mtu_timeout = 600s;          ///< RFC 1191 §6.3
  std::uint32_t min_path_mtu = 552;          ///< lower claims are clamped, as Linux does
  std::size_t path_mtu_entries = 4096;
  std::size_t loopback_packets = 1024;       ///< queue of the internal loopback
};

class Icmp;
class Reassembler;

/// IPv4 (IPv6 joins here): demultiplexing to transports, routes, output, fragmentation, path MTU, ICMP.
class IpLayer final : public link::PacketSink {
 public:
  IpLayer(const Config& config, PacketPool& pool, TimerWheel& timers, Rng& rng);
  ~IpLayer() override;

  // --- wiring
  void register_transport(std::uint8_t protocol, Transport& transport);
  void add_interface(link::Interface& interface);  ///< adds its on-link routes
  void add_route(const Route& route);
  void set_default_gateway(const IpAddress& gateway, link::Interface& interface);
  [[nodiscard]] std::span<const Route> routes() const;

  // --- input
  void on_ip_packet(PacketPtr packet, std::uint16_t ether_type, link::Interface& interface, Instant now) override;
  void on_unreachable(PacketPtr packet, link::Interface& interface, Instant now) override;
  /// Delivers what was sent to our own addresses; returns how many. Called in each turn of the stack.
  std::size_t poll_loopback(std::size_t budget, Instant now);
  [[nodiscard]] bool loopback_pending() const;

  // --- output
  /// kNetworkUnreachable when no route fits.
  [[nodiscard]] Result<RouteResult> route(const IpAddress& destination, Instant now) const;
  /// packet->data() at the transport header, transport_header() set, kHeadroom in front. Checksum offload fields must
  /// be set relative to the transport header: needs_checksum with checksum_offset; this layer moves checksum_start as it
  /// pushes headers (it counts from data() throughout). Packets larger than the path MTU that are no super-packets are
  /// fragmented, or kMessageSize with dont_fragment.
  Result<void> output(PacketPtr packet, const OutputOptions& options, Instant now);
  /// The same, with the route looked up already (a connection caches it while route_generation() stays the same).
  Result<void> output(PacketPtr packet, const OutputOptions& options, const RouteResult& route, Instant now);
  /// Changes whenever a cached RouteResult may have become wrong: a route, an address, a path MTU.
  [[nodiscard]] std::uint32_t route_generation() const { return generation_; }

  /// True when `address` is one of ours (127/8 too).
  [[nodiscard]] bool is_local(const IpAddress& address) const;
  /// For bind(): an address of ours, unspecified, or (datagram) broadcast.
  [[nodiscard]] bool is_bindable(const IpAddress& address) const;
  /// For transports: answers `packet` (data() at transport header, network_header() valid) with an ICMP error, within
  /// the limits of RFC 1122 §3.2.2.
  void send_port_unreachable(const Packet& packet, const PacketInfo& info, Instant now);
  /// Lowers the path MTU after a validated fragmentation-needed (transports call it once they trust the error).
  void confirm_path_mtu(const IpAddress& destination, std::uint32_t mtu, Instant now);

  [[nodiscard]] PacketPool& pool() { return pool_; }
  [[nodiscard]] const CounterSet<Counter>& counters() const { return counters_; }

 private:
  Config config_;
  PacketPool& pool_;
  TimerWheel& timers_;
  Rng& rng_;
  std::uint32_t generation_ = 1;
  CounterSet<Counter> counters_;
};

}  // namespace millrace::ip
