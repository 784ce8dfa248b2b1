#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/time.h"

namespace millrace::tcp {

/// What one ACK that advanced snd_una told.
struct AckSample {
  Instant now;
  std::uint32_t acked = 0;      ///< bytes newly acknowledged
  std::uint32_t in_flight = 0;  ///< before this ACK
  Duration rtt{-1};             ///< negative: no sample
  bool cwnd_limited = false;    ///< the window was full: only then may it grow (RFC 7661 §4.1)
};

struct LossSample {
  Instant now;
  std::uint32_t in_flight = 0;
};

/// Congestion control of one connection, in bytes. Owns its own state and never reaches into the sender.
class CongestionControl {
 public:
  virtual ~CongestionControl() = default;
  virtual void on_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight) {
    (void)now, (void)bytes, (void)in_flight;
  }
  /// Outside of recovery.
  virtual void on_ack(const AckSample& sample) = 0;
  /// Once at the start of a fast recovery.
  virtual void on_loss(const LossSample& sample) = 0;
  /// `first`: the first expiry for this flight; a repeated one leaves ssthresh alone (RFC 5681 §3.1).
  virtual void on_rto(const LossSample& sample, bool first) = 0;
  /// Recovery is over; `in_flight` is what is outstanding now (RFC 6582 §3.2 step 3: avoids a burst).
  virtual void on_recovery_exit(Instant now, std::uint32_t in_flight) = 0;
  virtual void on_undo() {}
  /// Nothing was sent for longer than an RTO (RFC 5681 §4.1).
  virtual void on_idle_restart() = 0;
  virtual void set_mss(std::uint32_t mss) = 0;
  [[nodiscard]] virtual std::uint32_t cwnd() const = 0;
  [[nodiscard]] virtual std::uint32_t ssthresh() const = 0;
  /// Bytes/s; 0: not paced.
  [[nodiscard]] virtual std::uint64_t pacing_rate() const { return 0; }
  [[nodiscard]] virtual std::string_view name() const = 0;
};

}  // namespace millrace::tcp
