#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ip_address.h"
#include "base/mac_address.h"

namespace millrace::wire {

// Neighbour discovery messages (RFC 4861 §4), each from its ICMPv6 type byte on, with its options. parse()
// checks type, code and lengths, and fails on an option of length zero (§4.6: such a packet is dropped
// whole); that the hop limit is 255 and the checksum right is for the caller, who has the IPv6 header. emit()
// writes size() bytes with the checksum as it is in the struct.

/// RFC 4861 §4.6.2.
struct PrefixInformation {
  IpPrefix prefix{IpAddress::v6({}), 0};
  bool on_link = false;
  bool autonomous = false;
  std::uint32_t valid_lifetime = 0;  ///< seconds; 0xffffffff means for ever
  std::uint32_t preferred_lifetime = 0;
  friend bool operator==(const PrefixInformation&, const PrefixInformation&) = default;
};

/// RFC 8106 §5.1: the first servers of the first such option.
struct RecursiveDnsServers {
  static constexpr std::size_t kMaxServers = 3;
  std::uint32_t lifetime = 0;
  std::array<IpAddress, kMaxServers> servers{};
  std::uint8_t count = 0;
  friend bool operator==(const RecursiveDnsServers&, const RecursiveDnsServers&) = default;
};

/// The options of one message. Unknown ones are skipped; of those that may come once, the first counts.
/// Nonces (RFC 3971 §5.3.2) let duplicate address detection know its own probes (RFC 7527).
struct NeighborOptions {
  static constexpr std::size_t kMaxPrefixes = 4;
  using Nonce = std::array<std::uint8_t, 6>;

  std::optional<MacAddress> source_mac;
  std::optional<MacAddress> target_mac;
  std::optional<std::uint32_t> mtu;
  std::optional<Nonce> nonce;
  std::array<PrefixInformation, kMaxPrefixes> prefixes{};
  std::uint8_t prefix_count = 0;
  std::optional<RecursiveDnsServers> dns;

  [[nodiscard]] static std::optional<NeighborOptions> parse(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t size() const;
  void emit(std::span<std::uint8_t> out) const;
  friend bool operator==(const NeighborOptions&, const NeighborOptions&) = default;
};

/// RFC 4861 §4.3.
struct NeighborSolicitation {
  static constexpr std::size_t kSize = 24;
  std::uint16_t checksum = 0;
  IpAddress target = IpAddress::v6({});
  NeighborOptions options;

  [[nodiscard]] static std::optional<NeighborSolicitation> parse(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t size() const { return kSize + options.size(); }
  void emit(std::span<std::uint8_t> out) const;
  friend bool operator==(const NeighborSolicitation&, const NeighborSolicitation&) = default;
};

/// RFC 4861 §4.4.
struct NeighborAdvertisement {
  static constexpr std::size_t kSize = 24;
  std::uint16_t checksum = 0;
  bool router = false;
  bool solicited = false;
  bool override_cache = false;
  IpAddress target = IpAddress::v6({});
  NeighborOptions options;

  [[nodiscard]] static std::optional<NeighborAdvertisement> parse(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t size() const { return kSize + options.size(); }
  void emit(std::span<std::uint8_t> out) const;
  friend bool operator==(const NeighborAdvertisement&, const NeighborAdvertisement&) = default;
};

/// RFC 4861 §4.1.
struct RouterSolicitation {
  static constexpr std::size_t kSize = 8;
  std::uint16_t checksum = 0;
  NeighborOptions options;

  [[nodiscard]] static std::optional<RouterSolicitation> parse(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t size() const { return kSize + options.size(); }
  void emit(std::span<std::uint8_t> out) const;
  friend bool operator==(const RouterSolicitation&, const RouterSolicitation&) = default;
};

/// RFC 4861 §4.2.
struct RouterAdvertisement {
  static constexpr std::size_t kSize = 16;
  std::uint16_t checksum = 0;
  std::uint8_t hop_limit = 0;  ///< 0: unspecified, as with the times below
  bool managed = false;
  bool other_configuration = false;
  std::uint16_t router_lifetime = 0;  ///< seconds; 0: not a default router
  std::uint32_t reachable_time = 0;   ///< milliseconds
  std::uint32_t retransmit_time = 0;  ///< milliseconds
  NeighborOptions options;

  [[nodiscard]] static std::optional<RouterAdvertisement> parse(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t size() const { return kSize + options.size(); }
  void emit(std::span<std::uint8_t> out) const;
  friend bool operator==(const RouterAdvertisement&, const RouterAdvertisement&) = default;
};

/// RFC 4861 §4.5. The redirected packet that its options may quote is not kept.
struct NeighborRedirect {
  static constexpr std::size_t kSize = 40;
  std::uint16_t checksum = 0;
  IpAddress target = IpAddress::v6({});
  IpAddress destination = IpAddress::v6({});
  NeighborOptions options;

  [[nodiscard]] static std::optional<NeighborRedirect> parse(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t size() const { return kSize + options.size(); }
  void emit(std::span<std::uint8_t> out) const;
  friend bool operator==(const NeighborRedirect&, const NeighborRedirect&) = default;
};

}  // namespace millrace::wire
