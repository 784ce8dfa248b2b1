#include "wire/neighbor_discovery.h"

#include <algorithm>
#include <cassert>

#include "base/byte_order.h"
#include "wire/address_bytes.h"
#include "wire/icmpv6.h"

namespace millrace::wire {
namespace {

// Option types, and lengths in units of 8 bytes.
constexpr std::uint8_t kSourceLinkAddress = 1;
constexpr std::uint8_t kTargetLinkAddress = 2;
constexpr std::uint8_t kPrefixInformation = 3;
constexpr std::uint8_t kMtu = 5;
constexpr std::uint8_t kNonce = 14;
constexpr std::uint8_t kRecursiveDnsServers = 25;
constexpr std::size_t kUnit = 8;
constexpr std::size_t kPrefixInformationSize = 32;

void parse_prefix(std::span<const std::uint8_t> option, NeighborOptions& options) {
  if (option.size() != kPrefixInformationSize || option[2] > 128 ||
      options.prefix_count == NeighborOptions::kMaxPrefixes) {
    return;
  }
  options.prefixes[options.prefix_count++] = {IpPrefix{load_ipv6(&option[16]), option[2]},
                                              (option[3] & 0x80) != 0, (option[3] & 0x40) != 0,
                                              load_be32(&option[4]), load_be32(&option[8])};
}

void parse_dns(std::span<const std::uint8_t> option, NeighborOptions& options) {
  if (options.dns || option.size() < 24 || option.size() % 16 != 8) return;
  RecursiveDnsServers dns;
  dns.lifetime = load_be32(&option[4]);
  for (std::size_t at = 8; at < option.size() && dns.count < RecursiveDnsServers::kMaxServers; at += 16) {
    dns.servers[dns.count++] = load_ipv6(&option[at]);
  }
  options.dns = dns;
}

void parse_option(std::span<const std::uint8_t> option, NeighborOptions& options) {
  switch (option[0]) {
    case kSourceLinkAddress:
      if (option.size() == kUnit && !options.source_mac) options.source_mac = load_mac(&option[2]);
      break;
    case kTargetLinkAddress:
      if (option.size() == kUnit && !options.target_mac) options.target_mac = load_mac(&option[2]);
      break;
    case kPrefixInformation:
      parse_prefix(option, options);
      break;
    case kMtu:
      if (option.size() == kUnit && !options.mtu) options.mtu = load_be32(&option[4]);
      break;
    case kNonce:
      if (option.size() == kUnit && !options.nonce) {
        NeighborOptions::Nonce& nonce = options.nonce.emplace();
        std::copy_n(&option[2], nonce.size(), nonce.begin());
      }
      break;
    case kRecursiveDnsServers:
      parse_dns(option, options);
      break;
    default:
      break;
  }
}

/// Zeroes the next `size` bytes, writes type and length, and returns them.
std::span<std::uint8_t> begin_option(std::span<std::uint8_t>& out, std::uint8_t type, std::size_t size) {
  const auto option = out.first(size);
  out = out.subspan(size);
  std::fill(option.begin(), option.end(), std::uint8_t{0});
  option[0] = type;
  option[1] = static_cast<std::uint8_t>(size / kUnit);
  return option;
}

void emit_prefix(std::span<std::uint8_t> option, const PrefixInformation& information) {
  option[2] = information.prefix.length;
  option[3] =
      static_cast<std::uint8_t>((information.on_link ? 0x80 : 0) | (information.autonomous ? 0x40 : 0));
  store_be32(&option[4], information.valid_lifetime);
  store_be32(&option[8], information.preferred_lifetime);
  store_ipv6(&option[16], information.prefix.address);
}

/// True if the message has this type, code 0 and at least `size` bytes.
bool is_message(std::span<const std::uint8_t> bytes, std::uint8_t type, std::size_t size) {
  return bytes.size() >= size && bytes[0] == type && bytes[1] == 0;
}

/// Zeroes the fixed part and writes type, code 0 and checksum.
void begin_message(std::span<std::uint8_t> out, std::uint8_t type, std::uint16_t checksum, std::size_t size) {
  assert(out.size() >= size);
  std::fill_n(out.begin(), size, std::uint8_t{0});
  out[0] = type;
  store_be16(&out[2], checksum);
}

}  // namespace

std::optional<NeighborOptions> NeighborOptions::parse(std::span<const std::uint8_t> bytes) {
  NeighborOptions options;
  while (!bytes.empty()) {
    const std::size_t size = bytes.size() < 2 ? 0 : bytes[1] * kUnit;
    if (size == 0 || size > bytes.size()) return std::nullopt;
    parse_option(bytes.first(size), options);
    bytes = bytes.subspan(size);
  }
  return options;
}

std::size_t NeighborOptions::size() const {
  std::size_t n = 0;
  if (source_mac) n += kUnit;
  if (target_mac) n += kUnit;
  if (mtu) n += kUnit;
  if (nonce) n += kUnit;
  n += prefix_count * kPrefixInformationSize;
  if (dns) n += 8 + dns->count * std::size_t{16};
  return n;
}

void NeighborOptions::emit(std::span<std::uint8_t> out) const {
  assert(out.size() >= size() && prefix_count <= kMaxPrefixes);
  if (source_mac) store_mac(&begin_option(out, kSourceLinkAddress, kUnit)[2], *source_mac);
  if (target_mac) store_mac(&begin_option(out, kTargetLinkAddress, kUnit)[2], *target_mac);
  if (mtu) store_be32(&begin_option(out, kMtu, kUnit)[4], *mtu);
  if (nonce) std::copy(nonce->begin(), nonce->end(), &begin_option(out, kNonce, kUnit)[2]);
  for (std::size_t i = 0; i < prefix_count; ++i) {
    emit_prefix(begin_option(out, kPrefixInformation, kPrefixInformationSize), prefixes[i]);
  }
  if (dns) {
    assert(dns->count > 0 && dns->count <= RecursiveDnsServers::kMaxServers);
    const auto option = begin_option(out, kRecursiveDnsServers, 8 + dns->count * std::size_t{16});
    store_be32(&option[4], dns->lifetime);
    for (std::size_t i = 0; i < dns->count; ++i) store_ipv6(&option[8 + 16 * i], dns->servers[i]);
  }
}

std::optional<NeighborSolicitation> NeighborSolicitation::parse(std::span<const std::uint8_t> bytes) {
  if (!is_message(bytes, Icmpv6Header::kNeighborSolicitation, kSize)) return std::nullopt;
  const auto options = NeighborOptions::parse(bytes.subspan(kSize));
  if (!options) return std::nullopt;
  return NeighborSolicitation{load_be16(&bytes[2]), load_ipv6(&bytes[8]), *options};
}

void NeighborSolicitation::emit(std::span<std::uint8_t> out) const {
  begin_message(out, Icmpv6Header::kNeighborSolicitation, checksum, kSize);
  store_ipv6(&out[8], target);
  options.emit(out.subspan(kSize));
}

std::optional<NeighborAdvertisement> NeighborAdvertisement::parse(std::span<const std::uint8_t> bytes) {
  if (!is_message(bytes, Icmpv6Header::kNeighborAdvertisement, kSize)) return std::nullopt;
  const auto options = NeighborOptions::parse(bytes.subspan(kSize));
  if (!options) return std::nullopt;
  return NeighborAdvertisement{load_be16(&bytes[2]),   (bytes[4] & 0x80) != 0, (bytes[4] & 0x40) != 0,
                               (bytes[4] & 0x20) != 0, load_ipv6(&bytes[8]),   *options};
}

void NeighborAdvertisement::emit(std::span<std::uint8_t> out) const {
  begin_message(out, Icmpv6Header::kNeighborAdvertisement, checksum, kSize);
  out[4] =
      static_cast<std::uint8_t>((router ? 0x80 : 0) | (solicited ? 0x40 : 0) | (override_cache ? 0x20 : 0));
  store_ipv6(&out[8], target);
  options.emit(out.subspan(kSize));
}

std::optional<RouterSolicitation> RouterSolicitation::parse(std::span<const std::uint8_t> bytes) {
  if (!is_message(bytes, Icmpv6Header::kRouterSolicitation, kSize)) return std::nullopt;
  const auto options = NeighborOptions::parse(bytes.subspan(kSize));
  if (!options) return std::nullopt;
  return RouterSolicitation{load_be16(&bytes[2]), *options};
}

void RouterSolicitation::emit(std::span<std::uint8_t> out) const {
  begin_message(out, Icmpv6Header::kRouterSolicitation, checksum, kSize);
  options.emit(out.subspan(kSize));
}

std::optional<RouterAdvertisement> RouterAdvertisement::parse(std::span<const std::uint8_t> bytes) {
  if (!is_message(bytes, Icmpv6Header::kRouterAdvertisement, kSize)) return std::nullopt;
  const auto options = NeighborOptions::parse(bytes.subspan(kSize));
  if (!options) return std::nullopt;
  return RouterAdvertisement{load_be16(&bytes[2]),   bytes[4],
                             (bytes[5] & 0x80) != 0, (bytes[5] & 0x40) != 0,
                             load_be16(&bytes[6]),   load_be32(&bytes[8]),
                             load_be32(&bytes[12]),  *options};
}

void RouterAdvertisement::emit(std::span<std::uint8_t> out) const {
  begin_message(out, Icmpv6Header::kRouterAdvertisement, checksum, kSize);
  out[4] = hop_limit;
  out[5] = static_cast<std::uint8_t>((managed ? 0x80 : 0) | (other_configuration ? 0x40 : 0));
  store_be16(&out[6], router_lifetime);
  store_be32(&out[8], reachable_time);
  store_be32(&out[12], retransmit_time);
  options.emit(out.subspan(kSize));
}

std::optional<NeighborRedirect> NeighborRedirect::parse(std::span<const std::uint8_t> bytes) {
  if (!is_message(bytes, Icmpv6Header::kRedirect, kSize)) return std::nullopt;
  const auto options = NeighborOptions::parse(bytes.subspan(kSize));
  if (!options) return std::nullopt;
  return NeighborRedirect{load_be16(&bytes[2]), load_ipv6(&bytes[8]), load_ipv6(&bytes[24]), *options};
}

void NeighborRedirect::emit(std::span<std::uint8_t> out) const {
  begin_message(out, Icmpv6Header::kRedirect, checksum, kSize);
  store_ipv6(&out[8], target);
  store_ipv6(&out[24], destination);
  options.emit(out.subspan(kSize));
}

}  // namespace millrace::wire
