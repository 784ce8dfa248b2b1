#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "base/ip_address.h"
#include "wire/address_bytes.h"
#include "wire/ip_protocol.h"

namespace millrace::wire {

/// A whole IPv4 packet (RFC 791 §3.1): the header with its options and the payload it claims lie in the span.
/// Bytes behind total_length (Ethernet padding) are not part of it.
class Ipv4View {
 public:
  [[nodiscard]] static std::optional<Ipv4View> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < 20 || bytes[0] >> 4 != 4) return std::nullopt;
    const Ipv4View view{bytes.data()};
    if (view.header_length() < 20 || view.total_length() < view.header_length() ||
        view.total_length() > bytes.size()) {
      return std::nullopt;
    }
    return view;
  }

  [[nodiscard]] std::uint8_t header_length() const { return static_cast<std::uint8_t>((p_[0] & 0xf) * 4); }
  [[nodiscard]] std::uint8_t tos() const { return p_[1]; }
  [[nodiscard]] std::uint16_t total_length() const { return load_be16(p_ + 2); }
  [[nodiscard]] std::uint16_t identification() const { return load_be16(p_ + 4); }
  [[nodiscard]] bool dont_fragment() const { return (p_[6] & 0x40) != 0; }
  [[nodiscard]] bool more_fragments() const { return (p_[6] & 0x20) != 0; }
  /// In bytes.
  [[nodiscard]] std::uint16_t fragment_offset() const {
    return static_cast<std::uint16_t>((load_be16(p_ + 6) & 0x1fff) * 8);
  }
  [[nodiscard]] bool is_fragment() const { return (load_be16(p_ + 6) & 0x3fff) != 0; }
  [[nodiscard]] std::uint8_t ttl() const { return p_[8]; }
  [[nodiscard]] std::uint8_t protocol() const { return p_[9]; }
  [[nodiscard]] IpAddress source() const { return load_ipv4(p_ + 12); }
  [[nodiscard]] IpAddress destination() const { return load_ipv4(p_ + 16); }
  [[nodiscard]] std::span<const std::uint8_t> options() const {
    return {p_ + 20, static_cast<std::size_t>(header_length() - 20)};
  }
  [[nodiscard]] std::span<const std::uint8_t> payload() const {
    return {p_ + header_length(), static_cast<std::size_t>(total_length() - header_length())};
  }
  [[nodiscard]] bool checksum_ok() const { return internet_checksum({p_, header_length()}) == 0; }

 private:
  explicit Ipv4View(const std::uint8_t* p) : p_(p) {}
  const std::uint8_t* p_;
};

/// The fields of an IPv4 header. Options are not among them: they lie behind the first 20 bytes.
struct Ipv4Header {
  static constexpr std::size_t kSize = 20;

  std::uint8_t tos = 0;
  std::uint16_t total_length = 0;
  std::uint16_t identification = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  ///< in bytes, a multiple of 8
  std::uint8_t ttl = 0;
  std::uint8_t protocol = 0;
  IpAddress source;
  IpAddress destination;
  std::uint8_t header_length = 20;  ///< in bytes, 20 to 60, a multiple of 4

  [[nodiscard]] static Ipv4Header from(const Ipv4View& view) {
    return {view.tos(),           view.total_length(),   view.identification(),
            view.dont_fragment(), view.more_fragments(), view.fragment_offset(),
            view.ttl(),           view.protocol(),       view.source(),
            view.destination(),   view.header_length()};
  }
  /// A header alone: the payload need not lie in the span (ICMP errors quote only its beginning), nor is the
  /// checksum looked at.
  [[nodiscard]] static std::optional<Ipv4Header> parse(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kSize || bytes[0] >> 4 != 4) return std::nullopt;
    const std::uint8_t* p = bytes.data();
    const auto header_length = static_cast<std::uint8_t>((p[0] & 0xf) * 4);
    const std::uint16_t total_length = load_be16(p + 2);
    if (header_length < kSize || header_length > bytes.size() || total_length < header_length)
      return std::nullopt;
    const std::uint16_t fragment = load_be16(p + 6);
    return Ipv4Header{p[1],
                      total_length,
                      load_be16(p + 4),
                      (fragment & 0x4000) != 0,
                      (fragment & 0x2000) != 0,
                      static_cast<std::uint16_t>((fragment & 0x1fff) * 8),
                      p[8],
                      p[9],
                      load_ipv4(p + 12),
                      load_ipv4(p + 16),
                      header_length};
  }
  /// Writes 20 bytes with the header checksum filled in. Where header_length says that options follow, they
  /// are in `out` already, as the checksum covers them.
  [[gnu::always_inline]] inline void emit(std::span<std::uint8_t> out) const {
    assert(header_length >= kSize && header_length <= 60 && header_length % 4 == 0);
    assert(out.size() >= header_length && fragment_offset % 8 == 0);
    std::uint8_t* p = out.data();
    const std::uint32_t words[] = {
        (0x40u | header_length / 4u) << 24 | std::uint32_t{tos} << 16 | total_length,
        std::uint32_t{identification} << 16 | (dont_fragment ? 0x4000u : 0u) |
            (more_fragments ? 0x2000u : 0u) | fragment_offset / 8u,
        std::uint32_t{ttl} << 24 | std::uint32_t{protocol} << 16, source.v4_value(), destination.v4_value()};
    ChecksumSum sum;
    for (std::size_t i = 0; i < kSize / 4; ++i) {
      store_be32(p + 4 * i, words[i]);
      sum.add_dword(words[i]);
    }
    if (header_length != kSize) sum.add({p + kSize, header_length - kSize});
    store_be16(p + 10, sum.finish());
  }
  /// Of a header of so many bytes, its own checksum included: 0 when that is right.
  [[nodiscard]] static std::uint16_t checksum_of(const std::uint8_t* header, std::size_t length) {
    return length == kSize ? internet_checksum_of_20(header) : internet_checksum({header, length});
  }
  friend bool operator==(const Ipv4Header&, const Ipv4Header&) = default;
};

}  // namespace millrace::wire
