#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/counters.h"
#include "base/ip_address.h"
#include "base/keyed_hash.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "link/interface.h"
#include "packet/pool.h"

namespace millrace::ip {

/// What a transport learns about a packet from the layer below.
struct PacketInfo {
  IpAddress source, destination;
  std::uint8_t protocol = 0, ttl = 0, tos = 0;
  bool broadcast = false;  ///< destination is a broadcast or multicast address, of link or network
  link::Interface* interface = nullptr;  ///< null: internal loopback
};

/// An ICMP error about a packet of ours (RFC 1122 §3.2.2, §4.1.3.3, §4.2.3.9).
struct IcmpError {
  enum class Kind : std::uint8_t {
    kNetworkUnreachable,
    kHostUnreachable,
    kProtocolUnreachable,
    kPortUnreachable,
    kFragmentationNeeded,
    kProhibited,
    kTimeExceeded,
    kParameterProblem,
  };
  Kind kind = Kind::kHostUnreachable;
  IpAddress source, destination;  ///< of the packet the error is about: source is ours
  IpAddress reporter;
  std::uint32_t mtu = 0;  ///< kFragmentationNeeded: the path MTU now in force for destination
  std::array<std::uint8_t, 8> transport_header{};  ///< the first 8 bytes behind the quoted IP header
  bool local = false;                              ///< made up by our own stack: no neighbour answered
};

/// A transport protocol, registered with the IP layer by number.
class Transport {
 public:
  virtual ~Transport() = default;
  /// packet->data() at the transport header, length() exactly the transport's; network_header() valid. When
  /// offload.gso_size != 0 it is a super-packet.
  virtual void on_packet(PacketPtr packet, const PacketInfo& info, Instant now) = 0;
  virtual void on_icmp_error(const IcmpError& error, Instant now) = 0;

  /// How many packets before its turn it wants to be told of one, by expect(); 0: of none.
  [[nodiscard]] virtual std::size_t looks_ahead() const { return 0; }
  /// The packet after those told of before, from the transport header on, and its source and destination, as
  /// they stand in its IPv4 header, so that what it needs can be fetched meanwhile. A hint: it may be bad,
  /// and it may not come. Empty: it is none of this transport's.
  virtual void expect(std::span<const std::uint8_t> /*addresses*/, std::span<const std::uint8_t> /*packet*/) {
  }
};

/// How to send. Unset source: the route's.
struct OutputOptions {
  IpAddress source, destination;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  bool dont_fragment = false;
};

struct Route {
  IpPrefix destination;
  std::optional<IpAddress> gateway;
  link::Interface* interface = nullptr;
  std::uint32_t mtu = 0;  ///< of all paths behind it; 0: the interface's
};

/// The answer to "how does one get there".
struct RouteResult {
  link::Interface* interface = nullptr;  ///< null: one of our own addresses, internal loopback
  IpAddress next_hop;
  IpAddress source;
  std::uint32_t mtu = 0;       ///< path MTU: IP packet bytes
  std::uint32_t link_mtu = 0;  ///< of the first hop: whatever comes back from there may be as large
  bool broadcast = false;      ///< destination is a broadcast address of that interface

  /// What the remote end sends back comes in by the queue of the device that is ours.
  [[nodiscard]] bool comes_home(const Endpoint& local, const Endpoint& remote) const {
    return interface == nullptr || broadcast || home_queue(local, remote) == own_queue();
  }
  /// Precondition: there is an interface. By which queue it comes in, and which is ours.
  [[nodiscard]] std::uint32_t home_queue(const Endpoint& local, const Endpoint& remote) const {
    return interface->device().queue_for(local.address.v4_value(), local.port, remote.address.v4_value(),
                                         remote.port);
  }
  [[nodiscard]] std::uint32_t own_queue() const { return interface->device().queue_index(); }
};

enum class Counter : std::uint8_t;  // in ip/counters.h
class IpLayer;

}  // namespace millrace::ip
