#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace millrace {

/// A sum of words to 16 bits, folded as often as it can take: no branch that depends on what is summed.
[[nodiscard]] constexpr std::uint16_t fold_sum(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

/// The Internet checksum (RFC 1071): one's complement sum of 16-bit words.
///
/// A ChecksumSum is an unfolded partial sum in network word order; partial sums of pieces add up as long as
/// every piece but the last has an even length. Where a piece starts at an odd offset, use add_at().
class ChecksumSum {
 public:
  constexpr ChecksumSum() = default;

  /// Adds bytes that start at an even offset of the summed message.
  ChecksumSum& add(std::span<const std::uint8_t> bytes);
  /// Adds bytes that start at `offset` of the summed message (odd offsets swap, RFC 1071 §2(B)).
  ChecksumSum& add_at(std::size_t offset, std::span<const std::uint8_t> bytes);
  /// Adds one 16-bit word given in host order.
  constexpr ChecksumSum& add_word(std::uint16_t word) {
    sum_ += word;
    return *this;
  }
  constexpr ChecksumSum& add_dword(std::uint32_t dword) {
    sum_ += dword;  // 2^16 is 1 in this arithmetic
    return *this;
  }

  /// The 16-bit sum, not inverted, in host order: what a pseudo-header seed for checksum offload holds.
  [[nodiscard]] constexpr std::uint16_t folded() const { return fold_sum(sum_); }
  /// The value for a header's checksum field, in host order. A message whose checksum field is included sums
  /// to 0.
  [[nodiscard]] constexpr std::uint16_t finish() const { return static_cast<std::uint16_t>(~folded()); }

 private:
  std::uint64_t sum_ = 0;
};

/// Shorthand: checksum of one contiguous message.
[[nodiscard]] std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes);

/// The same of 20 bytes, as an IPv4 header without options has them: in every packet, twice.
[[nodiscard]] inline std::uint16_t internet_checksum_of_20(const std::uint8_t* bytes) {
  std::array<std::uint32_t, 5> words;
  std::memcpy(words.data(), bytes, sizeof words);
  std::uint64_t sum = 0;
  for (const std::uint32_t word : words) sum += word;
  const auto native = static_cast<std::uint16_t>(~fold_sum(sum));
  return std::endian::native == std::endian::little ? __builtin_bswap16(native) : native;
}

/// Incremental update after one 16-bit word of the message changed (RFC 1624, equation 3). All in host order.
[[nodiscard]] std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t old_word,
                                            std::uint16_t new_word);

/// Copies and sums in one pass. dst and src have the same length; returns the folded sum of the bytes as a
/// message that starts at an even offset.
[[nodiscard]] std::uint16_t copy_and_sum(std::span<std::uint8_t> dst, std::span<const std::uint8_t> src);

}  // namespace millrace
