#include "base/ip_address.h"

#include <charconv>

namespace millrace {
namespace {

/// A decimal number of at most three digits without leading zeros.
std::optional<unsigned> parse_decimal(std::string_view text) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value;
}

std::optional<std::uint32_t> parse_dotted_quad(std::string_view text) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return std::nullopt;
    const auto part = parse_decimal(text.substr(0, dot));
    if (!part || *part > 255) return std::nullopt;
    value = (value << 8) | *part;
    if (i < 3) text.remove_prefix(dot + 1);
  }
  return value;
}

std::optional<std::uint16_t> parse_group(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Groups separated by colons, the last of which may be a dotted quad if `quad_allowed`. Appends to
/// groups[count..8); false when malformed or too many.
bool parse_groups(std::string_view text, bool quad_allowed, std::array<std::uint16_t, 8>& groups,
                  std::size_t& count) {
  if (text.empty()) return true;
  for (;;) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    const bool last = colon == std::string_view::npos;
    if (last && quad_allowed && part.find('.') != std::string_view::npos) {
      const auto quad = parse_dotted_quad(part);
      if (!quad || count > 6) return false;
      groups[count++] = static_cast<std::uint16_t>(*quad >> 16);
      groups[count++] = static_cast<std::uint16_t>(*quad);
      return true;
    }
    const auto group = parse_group(part);
    if (!group || count > 7) return false;
    groups[count++] = *group;
    if (last) return true;
    text.remove_prefix(colon + 1);
  }
}

std::optional<IpAddress> parse_v6(std::string_view text) {
  std::array<std::uint16_t, 8> head{};
  std::array<std::uint16_t, 8> tail{};
  std::size_t head_count = 0;
  std::size_t tail_count = 0;
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    if (!parse_groups(text, true, head, head_count) || head_count != 8) return std::nullopt;
  } else {
    if (!parse_groups(text.substr(0, gap), false, head, head_count) ||
        !parse_groups(text.substr(gap + 2), true, tail, tail_count) || head_count + tail_count > 7) {
      return std::nullopt;
    }
    for (std::size_t i = 0; i < tail_count; ++i) head[8 - tail_count + i] = tail[i];
  }
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[2 * i] = static_cast<std::uint8_t>(head[i] >> 8);
    bytes[2 * i + 1] = static_cast<std::uint8_t>(head[i]);
  }
  return IpAddress::v6(bytes);
}

std::string quad_to_string(const std::uint8_t* b) {
  return std::to_string(b[0]) + '.' + std::to_string(b[1]) + '.' + std::to_string(b[2]) + '.' +
         std::to_string(b[3]);
}

std::string v6_to_string(const std::array<std::uint8_t, 16>& bytes) {
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) groups[i] = (unsigned{bytes[2 * i]} << 8) | bytes[2 * i + 1];

  // RFC 5952 §4.2: the longest run of at least two zero groups becomes "::", the first of equal ones.
  std::size_t best = 8;
  std::size_t best_length = 1;
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > best_length) {
      best = i;
      best_length = end - i;
    }
    i = end + 1;
  }

  // RFC 5952 §5: mapped and (as inet_ntop does) compatible addresses show their IPv4 part.
  const bool quad = best == 0 && (best_length == 6 || (best_length == 5 && groups[5] == 0xffff));
  std::string out;
  for (std::size_t i = 0; i < 8;) {
    if (i == best) {
      out += "::";
      i += best_length;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    if (quad && i == 6) return out + quad_to_string(&bytes[12]);
    std::array<char, 4> digits;
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), groups[i], 16);
    (void)error;  // four hexadecimal digits always fit
    out.append(digits.data(), end);
    ++i;
  }
  return out;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return parse_v6(text);
  const auto quad = parse_dotted_quad(text);
  return quad ? std::optional{v4(*quad)} : std::nullopt;
}

std::string IpAddress::to_string() const {
  return is_v4() ? quad_to_string(bytes_.data()) : v6_to_string(bytes_);
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = IpAddress::parse(text.substr(0, slash));
  const auto length = parse_decimal(text.substr(slash + 1));
  if (!address || !length || *length > (address->is_v4() ? 32u : 128u)) return std::nullopt;
  return IpPrefix{*address, static_cast<std::uint8_t>(*length)};
}

bool IpPrefix::contains(const IpAddress& other) const {
  if (address.family() != other.family()) return false;
  const auto& a = address.bytes();
  const auto& b = other.bytes();
  const std::size_t whole = length / 8u;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const unsigned rest = length % 8u;
  return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

std::optional<IpAddress> IpPrefix::directed_broadcast() const {
  if (!address.is_v4() || length > 30) return std::nullopt;
  const std::uint32_t host_mask = length == 0 ? 0xffffffff : (std::uint32_t{1} << (32 - length)) - 1;
  return IpAddress::v4(address.v4_value() | host_mask);
}

std::string Endpoint::to_string() const {
  const std::string text = address.to_string();
  return (address.is_v6() ? '[' + text + ']' : text) + ':' + std::to_string(port);
}

}  // namespace millrace
