#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace millrace::tcp {

/// How much a connection may queue for sending: Linux's sk_sndbuf, so that programs find there what they
/// know. It grows with the congestion window up to a maximum (tcp_wmem), unless SO_SNDBUF has fixed it.
///
/// What is queued is charged with its bytes and, for each segment or super-segment, with what Linux's sk_buff
/// would take beside them: a buffer of a size holds here what it holds there. The limit is looked at when a
/// super-segment begins; one that has begun is filled, so that none goes out short for want of buffer.
///
///     [ sent )[ sent )[ unsent, full )[ unsent  ...room )    limit?    [ another ...
///
/// The memory itself is the business of the context's MemoryBudget.
class SendBuffer {
 public:
  /// An sk_buff, its clone for the retransmission, and the head with its headers.
  static constexpr std::size_t kSegmentOverhead = 1280;

  /// What a connection has queued, in bytes, and how it is cut.
  struct Queued {
    std::size_t bytes = 0;  ///< not acknowledged, `unsent` among them
    std::size_t unsent = 0;
    std::size_t sent_segments = 0;
    std::size_t super_segment = 0;  ///< the largest to be sent now; not 0

    [[nodiscard]] std::size_t charge() const {
      return bytes + kSegmentOverhead * (sent_segments + (unsent + super_segment - 1) / super_segment);
    }
    /// What is missing to the super-segment that has begun.
    [[nodiscard]] std::size_t begun() const {
      const std::size_t tail = unsent % super_segment;
      return tail == 0 ? 0 : super_segment - tail;
    }
  };

  explicit SendBuffer(std::size_t initial) : limit_(initial) {}

  [[nodiscard]] std::size_t limit() const { return limit_; }
  /// SO_SNDBUF.
  void fix(std::size_t bytes) {
    limit_ = bytes;
    fixed_ = true;
  }
  [[nodiscard]] bool fixed() const { return fixed_; }
  /// Makes room for `windows` times a congestion window of so many segments, if that is more than there is
  /// (tcp_sndbuf_expand). No effect once it is fixed.
  void expand(std::size_t segments, std::size_t mss, std::size_t windows, std::size_t maximum);
  /// Takes away what is more than `maximum`. No effect once it is fixed.
  void bound(std::size_t maximum) {
    if (!fixed_) limit_ = std::min(limit_, maximum);
  }

  /// How many bytes more may be queued; whole super-segments but for the first. `not_sent_low_water`: none
  /// begins while so many bytes wait to be sent; 0: no such limit.
  [[nodiscard]] static std::size_t room(const Queued& queued, std::size_t limit,
                                        std::size_t not_sent_low_water);
  /// A third of the buffer is free (sk_stream_is_writeable): worth waking somebody for.
  [[nodiscard]] static bool is_writable(std::size_t charge, std::size_t limit) {
    return charge < limit && limit - charge >= charge / 2;
  }

 private:
  std::size_t limit_;
  bool fixed_ = false;
};

}  // namespace millrace::tcp
