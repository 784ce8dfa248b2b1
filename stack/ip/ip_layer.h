#pragma once

#include "base/apart.h"
#include "ip/config.h"
#include "ip/counters.h"
#include "ip/icmp.h"
#include "ip/identification.h"
#include "ip/ip.h"
#include "ip/path_mtu.h"
#include "ip/reassembly.h"
#include "ip/route_table.h"

namespace millrace::ip {

/// IPv4 (IPv6 joins here): demultiplexing to transports, routes, output, fragmentation, path MTU, ICMP.
///
///     interface --> on_ip_packet --> validate --> (reassemble) --> deliver --> Transport
///     Transport --> output --> header --> (fragment) --> neighbour at the next hop
///                                    \--> own address: loopback queue --> deliver
///
/// TCP's usual segment has its IP header from TCP itself (tcp/usual_segment.h).
class alignas(kApart) IpLayer final : public link::PacketSink, private ReassemblyListener {
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
  void on_ip_packet(PacketPtr packet, std::uint16_t ether_type, link::Interface& interface,
                    Instant now) override;
  [[nodiscard]] std::size_t looks_ahead() const override;
  /// Precondition: looks_ahead() was not 0 when the burst began.
  void expect(std::uint16_t ether_type, std::span<const std::uint8_t> packet) override;
  void on_unreachable(PacketPtr packet, link::Interface& interface, Instant now) override;
  /// Delivers what was sent to our own addresses; returns how many. Called in each turn of the stack.
  std::size_t poll_loopback(std::size_t budget, Instant now);
  [[nodiscard]] bool loopback_pending() const;

  // --- output
  /// kNetworkUnreachable when no route fits.
  [[nodiscard]] Result<RouteResult> route(const IpAddress& destination, Instant now) const;
  /// For a connection that there is, while no route fits: by the first interface, to nobody.
  [[nodiscard]] RouteResult dead_end(const IpAddress& destination) const;
  /// packet->data() at the transport header, transport_header() set, kHeadroom in front. Checksum offload
  /// fields must be set relative to the transport header: needs_checksum with checksum_offset; this layer
  /// moves checksum_start as it pushes headers (it counts from data() throughout). Packets larger than the
  /// path MTU that are no super-packets are fragmented, or kMessageSize with dont_fragment.
  Result<void> output(PacketPtr&& packet, const OutputOptions& options, Instant now);
  /// The same, with the route looked up already (a connection caches it while route_generation() stays the
  /// same).
  Result<void> output(PacketPtr&& packet, const OutputOptions& options, const RouteResult& route,
                      Instant now);
  /// For a transport that writes an atomic packet's IP header itself (DF, RFC 6864 §4.1): counts it, and says
  /// what its identification is.
  [[nodiscard]] std::uint16_t note_atomic_output() {
    counters_.add(Counter::kOutRequests);
    return identification_.next_atomic();
  }
  /// Changes whenever a cached RouteResult may have become wrong: a route, an address, a path MTU.
  [[nodiscard]] std::uint32_t route_generation() const { return generation_; }

  /// True when `address` is one of ours (127/8 too).
  [[nodiscard]] bool is_local(const IpAddress& address) const;
  /// For bind(): an address of ours, unspecified, or (datagram) broadcast.
  [[nodiscard]] bool is_bindable(const IpAddress& address) const;
  /// For transports: answers `packet` (data() at transport header, network_header() valid) with an ICMP
  /// error, within the limits of RFC 1122 §3.2.2.
  void send_port_unreachable(const Packet& packet, const PacketInfo& info, Instant now);
  /// Lowers the path MTU after a validated fragmentation-needed (transports call it once they trust the
  /// error).
  void confirm_path_mtu(const IpAddress& destination, std::uint32_t mtu, Instant now);

  [[nodiscard]] PacketPool& pool() { return pool_; }
  [[nodiscard]] const CounterSet<Counter>& counters() const { return counters_; }
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Reassembler& reassembler() const { return reassembler_; }
  /// Null when no transport is registered for it.
  [[nodiscard]] Transport* transport(std::uint8_t protocol) const { return transports_[protocol]; }
  /// The path MTU that a fragmentation-needed claim for `destination` leads to once a transport confirms it.
  [[nodiscard]] std::uint32_t path_mtu_claim(const IpAddress& destination, std::uint32_t claimed,
                                             Instant now) const;

 private:
  // --- input
  void input(PacketPtr&& packet, link::Interface* interface, Instant now);
  /// The common case in few steps: a whole packet without options, good, whose addresses were accepted on
  /// this interface before. Fills in `info`, and removes the header. False: nothing done, input() looks.
  [[nodiscard]] bool accept_familiar(Packet& packet, link::Interface& interface, PacketInfo& info);
  void remember(const wire::Ipv4Header& header, const PacketInfo& info);
  /// The header of a packet worth looking at, counted otherwise; the packet is trimmed to its length.
  [[nodiscard]] std::optional<wire::Ipv4Header> validate(Packet& packet, bool from_wire);
  [[nodiscard]] bool options_acceptable(std::span<const std::uint8_t> options);
  [[nodiscard]] bool source_acceptable(const wire::Ipv4Header& header, const link::Interface& interface);
  /// Whose packet it is: fills in info.broadcast. False: not for us, counted.
  [[nodiscard]] bool addressed_to_us(const wire::Ipv4Header& header, const Packet& packet, PacketInfo& info);
  void deliver(PacketPtr&& packet, PacketInfo& info, Instant now);
  void on_reassembly_timeout(const Packet& first, Instant now) override;

  // --- output
  [[nodiscard]] Result<RouteResult> route_from(const IpAddress& destination, const IpAddress& source) const;
  [[nodiscard]] RouteResult broadcast_route(link::Interface& interface, const IpAddress& destination) const;
  [[nodiscard]] Result<void> output_fragments(PacketPtr packet, const wire::Ipv4Header& header,
                                              const RouteResult& route, Instant now);
  inline void dispatch(PacketPtr&& packet, const RouteResult& route, Instant now);
  void loop_back(PacketPtr packet, Instant now);
  [[nodiscard]] link::Interface* interface_with_broadcast(const IpAddress& address) const;
  [[nodiscard]] link::Interface* interface_owning(const IpAddress& address) const;

  /// Addresses of a packet from a wire that passed all checks of them.
  struct Familiar {
    std::uint64_t addresses = 0;   ///< both, as in the header
    std::uint32_t generation = 0;  ///< route_generation() then
    PacketInfo info;
  };
  static constexpr std::size_t kFamiliar = 16;
  [[nodiscard]] static std::uint64_t addresses_in(const std::uint8_t* header);
  [[nodiscard]] Familiar& familiar(std::uint64_t addresses);

  Config config_;
  PacketPool& pool_;
  std::uint32_t generation_ = 1;
  CounterSet<Counter> counters_;
  std::array<Transport*, 256> transports_{};
  std::vector<link::Interface*> interfaces_;
  std::vector<IpAddress> addresses_;  ///< ours, sorted
  RouteTable routes_;
  PathMtuCache path_mtu_;
  Identification identification_;
  Reassembler reassembler_;
  Icmp icmp_;
  PacketQueue loopback_;
  std::array<Familiar, kFamiliar> familiar_;
};

}  // namespace millrace::ip
