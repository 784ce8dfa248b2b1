#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

/// An IPv4 or IPv6 address: one type for both families everywhere above the wire.
class IpAddress {
 public:
  enum class Family : std::uint8_t { kV4 = 4, kV6 = 6 };

  /// 0.0.0.0
  constexpr IpAddress() = default;
  [[nodiscard]] static constexpr IpAddress v4(std::uint32_t host_order) {
    IpAddress a;
    a.bytes_[0] = static_cast<std::uint8_t>(host_order >> 24);
    a.bytes_[1] = static_cast<std::uint8_t>(host_order >> 16);
    a.bytes_[2] = static_cast<std::uint8_t>(host_order >> 8);
    a.bytes_[3] = static_cast<std::uint8_t>(host_order);
    return a;
  }
  [[nodiscard]] static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                              std::uint8_t d) {
    return v4((std::uint32_t{a} << 24) | (std::uint32_t{b} << 16) | (std::uint32_t{c} << 8) | d);
  }
  [[nodiscard]] static constexpr IpAddress v6(const std::array<std::uint8_t, 16>& bytes) {
    IpAddress a;
    a.bytes_ = bytes;
    a.family_ = Family::kV6;
    return a;
  }

  /// 0.0.0.0 or ::
  [[nodiscard]] static constexpr IpAddress any(Family family) {
    return family == Family::kV4 ? IpAddress{} : v6({});
  }

  [[nodiscard]] constexpr Family family() const { return family_; }
  [[nodiscard]] constexpr bool is_v4() const { return family_ == Family::kV4; }
  [[nodiscard]] constexpr bool is_v6() const { return family_ == Family::kV6; }
  /// Host order; precondition: is_v4().
  [[nodiscard]] constexpr std::uint32_t v4_value() const {
    return (std::uint32_t{bytes_[0]} << 24) | (std::uint32_t{bytes_[1]} << 16) |
           (std::uint32_t{bytes_[2]} << 8) | bytes_[3];
  }
  /// Network order; the first 4 count for v4, the rest are zero.
  [[nodiscard]] constexpr const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  /// 0.0.0.0 or ::
  [[nodiscard]] constexpr bool is_unspecified() const {
    const Words w = words();
    return (w[0] | w[1]) == 0;
  }
  [[nodiscard]] constexpr bool is_loopback() const {
    if (is_v4()) return bytes_[0] == 127;
    std::array<std::uint8_t, 16> one{};
    one[15] = 1;
    return bytes_ == one;
  }
  [[nodiscard]] constexpr bool is_multicast() const {
    return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
  }
  /// 255.255.255.255
  [[nodiscard]] constexpr bool is_limited_broadcast() const { return is_v4() && v4_value() == 0xffffffff; }

  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) {
    const Words x = a.words(), y = b.words();
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0 && a.family_ == b.family_;
  }
  // clang-tidy 14 takes the 0 that a defaulted comparison is compared with for a null pointer.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

  /// "198.18.0.1", "fd00::1"; nullopt when malformed (strict dotted quad: no leading zeros, no octal, no
  /// short forms).
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;

 private:
  /// As two machine words: comparing is on the path of every packet.
  using Words = std::array<std::uint64_t, 2>;
  [[nodiscard]] constexpr Words words() const { return std::bit_cast<Words>(bytes_); }

  std::array<std::uint8_t, 16> bytes_{};
  Family family_ = Family::kV4;
};

/// An address with a prefix length: "198.18.0.2/24".
struct IpPrefix {
  IpAddress address;  ///< as given: host bits may be set
  std::uint8_t length = 0;

  [[nodiscard]] static std::optional<IpPrefix> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& other) const;
  /// 198.18.0.255 for 198.18.0.2/24; for /31 and /32 there is none (RFC 3021), nullopt.
  [[nodiscard]] std::optional<IpAddress> directed_broadcast() const;
  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

/// One end of a flow.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  friend constexpr bool operator==(const Endpoint&, const Endpoint&) = default;
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
  [[nodiscard]] std::string to_string() const;  ///< "198.18.0.1:80", "[fd00::1]:80"
};

}  // namespace millrace
