#pragma once

#include <algorithm>
#include <cstdint>

namespace millrace::tcp {

/// Proportional rate reduction (RFC 9937, which replaces RFC 6937): spreads what a reduction takes away over
/// one round trip, clocked by what arrives, and never stops sending altogether.
class Prr {
 public:
  void start(std::uint32_t in_flight, std::uint32_t ssthresh) {
    recover_flight_ = std::max(in_flight, 1u);
    ssthresh_ = ssthresh;
    delivered_ = sent_ = 0;
    cwnd_ = in_flight;
  }
  /// `safe`: the ACK advanced snd_una and marked nothing lost. `must`: at least so many bytes are to go now,
  /// the fast retransmission.
  void on_ack(std::uint32_t delivered, std::uint32_t in_flight, bool safe, std::uint32_t must,
              std::uint32_t mss) {
    delivered_ += delivered;
    std::int64_t limit;
    if (in_flight > ssthresh_) {
      const std::uint64_t due =
          (std::uint64_t{delivered_} * ssthresh_ + recover_flight_ - 1) / recover_flight_;
      limit = static_cast<std::int64_t>(due) - sent_;
    } else {
      limit = std::max<std::int64_t>(std::int64_t{delivered_} - sent_, delivered);
      if (safe) limit += mss;
      limit = std::min<std::int64_t>(limit, ssthresh_ - in_flight);
    }
    // With nothing in flight no ACK would come to let the rest out, but the timer expire.
    if (in_flight == 0) limit = std::max<std::int64_t>(limit, mss);
    limit = std::max<std::int64_t>(limit, must);
    cwnd_ = in_flight + static_cast<std::uint32_t>(std::max<std::int64_t>(limit, 0));
  }
  void on_sent(std::uint32_t bytes) { sent_ += bytes; }
  [[nodiscard]] std::uint32_t cwnd() const { return cwnd_; }

 private:
  std::uint32_t recover_flight_ = 1;  ///< RecoverFS
  std::uint32_t ssthresh_ = 0;
  std::uint32_t delivered_ = 0, sent_ = 0;
  std::uint32_t cwnd_ = 0;
};

}  // namespace millrace::tcp
