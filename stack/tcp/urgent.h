#pragma once

#include <cstdint>

#include "base/seq.h"

namespace millrace::tcp {

/// The receiver's urgent mark (RFC 9293 §3.8.5, RFC 6093): the pointer names the byte behind the urgent one,
/// and only the last byte is out of band, as BSD and Linux have it.
///
///     stream:   a b c d U e f       SEG.SEQ + SEG.UP points at e; U is the out-of-band byte
struct Urgent {
  enum class Byte : std::uint8_t { kNone, kExpected, kHere, kTaken };

  bool pending = false;  ///< a mark lies at or ahead of the read position
  SeqNum mark;           ///< sequence number of the urgent byte
  Byte byte = Byte::kNone;
  std::uint8_t value = 0;

  /// A pointer arrived. True when it is news.
  bool announce(SeqNum urgent_byte, SeqNum read_position) {
    if (urgent_byte < read_position) return false;
    if (pending && urgent_byte <= mark) return false;
    pending = true;
    mark = urgent_byte;
    byte = Byte::kExpected;
    return true;
  }
  /// True when bytes from `position` on reach the mark within `length`.
  [[nodiscard]] bool within(SeqNum position, std::uint32_t length) const {
    return pending && mark.in(position, length);
  }
};

}  // namespace millrace::tcp
