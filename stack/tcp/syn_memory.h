#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/time.h"

namespace millrace::tcp {

/// Which SYNs came lately. In a flood that is faster than they can be answered, a SYN that came before is
/// worth an answer rather than a new one: who lives sends his again after a second, with the same numbers,
/// and a flood of ever new addresses or ports does not. Dropping a new one costs a fraction of answering it,
/// so that the device's ring does not overflow, which would take honest SYNs, first and second, as likely as
/// others.
///
/// Two bitmaps of hashes, each for a while, the older one only asked: a SYN is known for one to two of these
/// whiles. Hashes may meet: then a new SYN is taken for an old one.
class SynMemory {
 public:
  /// One while: longer than the first two retransmission timeouts of a SYN (RFC 6298: 1 s, 2 s; 3 s in RFC
  /// 2988).
  static constexpr Duration kSpan = 4s;

  /// True when a SYN of this hash came before; notes it.
  [[nodiscard]] bool seen(std::uint32_t hash, Instant now) {
    if (now - began_ >= kSpan) turn_page(now);
    const std::size_t word = hash / 64 % kWords;
    const std::uint64_t bit = std::uint64_t{1} << (hash % 64);
    const bool known = ((current_[word] | before_[word]) & bit) != 0;
    current_[word] |= bit;
    return known;
  }

 private:
  static constexpr std::size_t kWords = std::size_t{1} << 17;  ///< 1 MiB

  void turn_page(Instant now) {
    std::swap(before_, current_);
    current_.assign(kWords, 0);
    if (now - began_ >= 2 * kSpan) before_.assign(kWords, 0);
    began_ = now;
  }

  std::vector<std::uint64_t> current_ = std::vector<std::uint64_t>(kWords), before_ = current_;
  Instant began_{};
};

}  // namespace millrace::tcp
