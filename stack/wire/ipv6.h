#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"
#include "base/ip_address.h"
#include "wire/address_bytes.h"
#include "wire/ip_protocol.h"

namespace millrace::wire {

/// A whole IPv6 packet (RFC 8200 §3): the payload it claims lies in the span. A payload length of zero is
/// just that: jumbograms (RFC 2675) are not spoken here.
class Ipv6View {
 public:
  [[nodiscard]] static std::optional<Ipv6View> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < 40 || bytes[0] >> 4 != 6) return std::nullopt;
    const Ipv6View view{bytes.data()};
    if (view.payload_length() > bytes.size() - 40) return std::nullopt;
    return view;
  }

  [[nodiscard]] std::uint8_t traffic_class() const { return static_cast<std::uint8_t>(load_be16(p_) >> 4); }
  [[nodiscard]] std::uint32_t flow_label() const { return load_be32(p_) & 0xfffff; }
  [[nodiscard]] std::uint16_t payload_length() const { return load_be16(p_ + 4); }
  [[nodiscard]] std::uint8_t next_header() const { return p_[6]; }
  [[nodiscard]] std::uint8_t hop_limit() const { return p_[7]; }
  [[nodiscard]] IpAddress source() const { return load_ipv6(p_ + 8); }
  [[nodiscard]] IpAddress destination() const { return load_ipv6(p_ + 24); }
  /// Extension headers and what they lead to.
  [[nodiscard]] std::span<const std::uint8_t> payload() const { return {p_ + 40, payload_length()}; }

 private:
  explicit Ipv6View(const std::uint8_t* p) : p_(p) {}
  const std::uint8_t* p_;
};

/// The fields of the fixed IPv6 header.
struct Ipv6Header {
  static constexpr std::size_t kSize = 40;

  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;  ///< 20 bits
  std::uint16_t payload_length = 0;
  std::uint8_t next_header = 0;
  std::uint8_t hop_limit = 0;
  IpAddress source = IpAddress::v6({});
  IpAddress destination = IpAddress::v6({});

  [[nodiscard]] static Ipv6Header from(const Ipv6View& view) {
    return {view.traffic_class(), view.flow_label(), view.payload_length(), view.next_header(),
            view.hop_limit(),     view.source(),     view.destination()};
  }
  /// A header alone: the payload need not lie in the span (ICMP errors quote only its beginning).
  [[nodiscard]] static std::optional<Ipv6Header> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize || bytes[0] >> 4 != 6) return std::nullopt;
    const std::uint8_t* p = bytes.data();
    const std::uint32_t first = load_be32(p);
    return Ipv6Header{static_cast<std::uint8_t>(first >> 20),
                      first & 0xfffff,
                      load_be16(p + 4),
                      p[6],
                      p[7],
                      load_ipv6(p + 8),
                      load_ipv6(p + 24)};
  }
  void emit(std::span<std::uint8_t> out) const {
    assert(out.size() >= kSize && flow_label <= 0xfffff && source.is_v6() && destination.is_v6());
    std::uint8_t* p = out.data();
    store_be32(p, std::uint32_t{6} << 28 | std::uint32_t{traffic_class} << 20 | flow_label);
    store_be16(p + 4, payload_length);
    p[6] = next_header;
    p[7] = hop_limit;
    store_ipv6(p + 8, source);
    store_ipv6(p + 24, destination);
  }
  friend bool operator==(const Ipv6Header&, const Ipv6Header&) = default;
};

}  // namespace millrace::wire
