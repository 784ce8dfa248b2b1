#pragma once

#include <cstdint>
#include <optional>

#include "ip/config.h"
#include "ip/counters.h"
#include "ip/ip.h"
#include "ip/token_bucket.h"
#include "packet/pool.h"
#include "wire/icmpv4.h"
#include "wire/ipv4.h"

namespace millrace::ip {

class IpLayer;

/// ICMP for IPv4 (RFC 792, RFC 1122 §3.2.2): answers echo requests, hands errors to the transports whose
/// packets they quote, and sends our own errors, limited in rate.
class Icmp {
 public:
  Icmp(const Config& config, IpLayer& ip, PacketPool& pool, CounterSet<Counter>& counters);

  /// An ICMP message, data() at its header.
  void on_packet(PacketPtr packet, const PacketInfo& info, Instant now);
  /// Answers `packet` (data() behind its IP header, network_header() valid) with an error, where RFC 1122
  /// §3.2.2 and the rate limit allow one. `broadcast`: it came by a broadcast or multicast address, of link
  /// or network.
  void send_error(const Packet& packet, bool broadcast, std::uint8_t type, std::uint8_t code, Instant now);

 private:
  void on_echo_request(const Packet& packet, const wire::Icmpv4Header& request, const PacketInfo& info,
                       Instant now);
  void on_error(const Packet& packet, const wire::Icmpv4Header& header, const PacketInfo& info, Instant now);
  void count_in(std::uint8_t type);
  [[nodiscard]] static bool may_answer(const Packet& packet, const wire::Ipv4Header& header);

  const Config& config_;
  IpLayer& ip_;
  PacketPool& pool_;
  CounterSet<Counter>& counters_;
  TokenBucket errors_;
};

/// What a transport is told of an ICMP error message; nullopt for those it is not told.
[[nodiscard]] std::optional<IcmpError::Kind> kind_of(std::uint8_t type, std::uint8_t code);

/// The MTU to assume where a router does not name one: the next lower plateau (RFC 1191 §7).
[[nodiscard]] std::uint32_t plateau_below(std::uint32_t length);

}  // namespace millrace::ip
