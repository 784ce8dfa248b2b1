#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>

namespace millrace {

/// A TCP sequence number: arithmetic modulo 2^32 (RFC 9293 §3.4). Comparison is by signed distance, so it is
/// an order only among numbers less than 2^31 apart; there is on purpose no operator< of the built-in kind.
class SeqNum {
 public:
  constexpr SeqNum() = default;
  constexpr explicit SeqNum(std::uint32_t value) : value_(value) {}

  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }

  constexpr SeqNum& operator+=(std::uint32_t n) {
    value_ += n;
    return *this;
  }
  friend constexpr SeqNum operator+(SeqNum s, std::uint32_t n) { return SeqNum{s.value_ + n}; }
  friend constexpr SeqNum operator-(SeqNum s, std::uint32_t n) { return SeqNum{s.value_ - n}; }
  /// Signed distance from b to a: positive when a is later than b.
  friend constexpr std::int32_t operator-(SeqNum a, SeqNum b) {
    return static_cast<std::int32_t>(a.value_ - b.value_);
  }
  friend constexpr bool operator==(SeqNum, SeqNum) = default;
  friend constexpr bool operator<(SeqNum a, SeqNum b) { return a - b < 0; }
  friend constexpr bool operator<=(SeqNum a, SeqNum b) { return a - b <= 0; }
  friend constexpr bool operator>(SeqNum a, SeqNum b) { return a - b > 0; }
  friend constexpr bool operator>=(SeqNum a, SeqNum b) { return a - b >= 0; }

  /// How many bytes a lies after b, for a >= b.
  [[nodiscard]] static constexpr std::uint32_t distance(SeqNum b, SeqNum a) { return a.value_ - b.value_; }
  [[nodiscard]] static constexpr SeqNum max(SeqNum a, SeqNum b) { return a >= b ? a : b; }
  [[nodiscard]] static constexpr SeqNum min(SeqNum a, SeqNum b) { return a <= b ? a : b; }
  /// first <= s < first + length
  [[nodiscard]] constexpr bool in(SeqNum first, std::uint32_t length) const {
    return value_ - first.value_ < length;
  }

 private:
  std::uint32_t value_ = 0;
};

}  // namespace millrace
