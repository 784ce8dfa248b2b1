#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/timer_wheel.h"
#include "ip/ip_layer.h"
#include "link/interface.h"
#include "packet/pool.h"
#include "support/fake_device.h"
#include "support/frames.h"

namespace millrace::test {

/// One host below the transports: an IP layer, an interface 198.18.0.1/24 on a fake device, and a clock that
/// only the test moves. A peer 198.18.0.2 and a gateway 198.18.0.254 live on the link, as addresses.
class Host {
 public:
  struct Options {
    ip::Config ip;
    link::InterfaceConfig interface;
    DeviceCaps caps;
    std::uint32_t mtu = 1500;
    PacketPool::Limits pool;
    Options() {
      interface.addresses = {*IpPrefix::parse("198.18.0.1/24")};
      interface.probe_addresses = false;
    }
  };

  static constexpr IpAddress kOwn = IpAddress::v4(198, 18, 0, 1);
  static constexpr IpAddress kPeer = IpAddress::v4(198, 18, 0, 2);
  static constexpr IpAddress kGateway = IpAddress::v4(198, 18, 0, 254);
  static constexpr IpAddress kFar = IpAddress::v4(198, 19, 7, 7);
  static constexpr MacAddress kOwnMac{{0x02, 0, 0, 0, 0, 1}};
  static constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 2}};
  static constexpr MacAddress kGatewayMac{{0x02, 0, 0, 0, 0, 0xfe}};

  explicit Host(const Options& options = {}) : pool(options.pool), ip(options.ip, pool, timers, rng) {
    device.capabilities = options.caps;
    device.link_mtu = options.mtu;
    interface.emplace(std::uint8_t{0}, device, options.interface, pool, timers, rng, ip, now);
    ip.add_interface(*interface);
  }
  ~Host() { EXPECT_EQ(ip.loopback_pending(), false) << "a test leaves packets on the loopback"; }

  /// The peer and the gateway are known to the neighbour cache, for good.
  void know_neighbours() {
    interface->neighbours().add_static(kPeer, kPeerMac, now);
    interface->neighbours().add_static(kGateway, kGatewayMac, now);
  }
  /// One turn, as Stack::poll takes it.
  void turn() {
    interface->poll(64, now);
    for (int i = 0; i < 8 && ip.loopback_pending(); ++i) ip.poll_loopback(1024, now);
    timers.run(now);
    interface->flush(now);
  }
  void advance(Duration by) {
    now += by;
    turn();
  }
  /// A frame from the peer to us, and a turn.
  void receive(std::uint16_t ether_type, const Bytes& payload) {
    device.inject(ethernet(kOwnMac, kPeerMac, ether_type, payload));
    turn();
  }
  void receive_broadcast(std::uint16_t ether_type, const Bytes& payload) {
    device.inject(ethernet(MacAddress::broadcast(), kPeerMac, ether_type, payload));
    turn();
  }
  void receive_ip(const wire::Ipv4Header& header, const Bytes& payload) {
    receive(wire::kEtherTypeIpv4, ipv4(header, payload));
  }
  [[nodiscard]] std::uint64_t count(ip::Counter counter) const { return ip.counters()[counter]; }
  [[nodiscard]] std::uint64_t count(link::Counter counter) const { return interface->counters()[counter]; }
  [[nodiscard]] std::uint64_t count(link::NeighbourCounter counter) {
    return interface->neighbours().counters()[counter];
  }

  Instant now = kEpoch + 1000s;
  PacketPool pool;
  TimerWheel timers{now};
  Rng rng{42};
  FakeDevice device;
  ip::IpLayer ip;
  std::optional<link::Interface> interface;
};

/// What an IP packet in a sent frame looks like.
struct SentPacket {
  wire::EthernetHeader ethernet;
  wire::Ipv4Header ip;
  Bytes payload;
};
/// nullopt for other frames.
[[nodiscard]] inline std::optional<SentPacket> sent_packet(const SentFrame& frame) {
  const auto ethernet = wire::EthernetHeader::parse(frame.bytes);
  if (!ethernet || ethernet->ether_type != wire::kEtherTypeIpv4) return std::nullopt;
  const auto view = wire::Ipv4View::parse(std::span{frame.bytes}.subspan(wire::EthernetHeader::kSize));
  if (!view || !view->checksum_ok()) return std::nullopt;
  return SentPacket{
      *ethernet, wire::Ipv4Header::from(*view), {view->payload().begin(), view->payload().end()}};
}
[[nodiscard]] inline std::optional<wire::ArpPacket> sent_arp(const SentFrame& frame) {
  const auto ethernet = wire::EthernetHeader::parse(frame.bytes);
  if (!ethernet || ethernet->ether_type != wire::kEtherTypeArp) return std::nullopt;
  return wire::ArpPacket::parse(std::span{frame.bytes}.subspan(wire::EthernetHeader::kSize));
}

}  // namespace millrace::test
