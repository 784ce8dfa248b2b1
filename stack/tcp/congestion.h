#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>

#include "base/time.h"
#include "tcp/loss_window.h"

namespace millrace::tcp {

/// One measurement of the delivery rate, from the segment most recently sent of those that an ACK tells of
/// (draft-ietf-ccwg-bbr, "Delivery Rate Samples").
struct RateSample {
  bool valid = false;        ///< bytes_per_second is meant; the rest is, whenever anything was delivered
  bool app_limited = false;  ///< the sender had nothing to send at some time of the interval
  Duration interval{0};      ///< the longer of the send phase and the ACK phase
  std::uint64_t bytes_per_second = 0;
  std::uint64_t prior_delivered = 0;  ///< AckSample::delivered_total when that segment was sent
  std::uint32_t delivered = 0;        ///< bytes delivered within the interval
  std::uint32_t lost = 0;             ///< bytes marked lost since that segment was sent
  std::uint32_t tx_in_flight = 0;     ///< in flight right after that segment was sent
};

/// What one ACK told. Bytes are payload.
struct AckSample {
  Instant now;
  std::uint32_t acked = 0;            ///< by which snd_una advanced
  std::uint32_t delivered = 0;        ///< newly known to have arrived, by snd_una or by SACK
  std::uint32_t lost = 0;             ///< newly marked lost
  std::uint32_t prior_in_flight = 0;  ///< before this ACK
  std::uint32_t in_flight = 0;        ///< after it: sent, neither arrived nor lost
  std::uint64_t delivered_total = 0;  ///< since the start, `delivered` included
  std::uint64_t acked_total = 0;      ///< position of snd_una in the stream: a round trip is over when it
  std::uint64_t sent_total = 0;       ///< reaches what sent_total (the position of snd_max) was at its start
  Duration rtt{-1};                   ///< negative: no sample
  bool cwnd_limited = false;          ///< the window was full: only then may it grow (RFC 7661 §4.1)
  bool in_recovery = false;           ///< loss recovery or a reaction to ECN is on
  bool ece = false;                   ///< the ACK carried ECE
  RateSample rate;
};

/// The start of a recovery, an ECN reaction or a timeout.
struct LossSample {
  Instant now;
  std::uint32_t in_flight = 0;  ///< FlightSize: before what was lost is taken out
  std::uint64_t sent_total = 0;
};

/// One segment was marked lost.
struct LostSegment {
  Instant now;
  std::uint32_t bytes = 0;
  std::uint32_t tx_in_flight = 0;  ///< in flight right after it was sent
  std::uint32_t lost = 0;          ///< bytes marked lost since it was sent, itself included
  bool app_limited = false;        ///< the sender was, when it was sent
};

/// All that a control that goes by its window alone needs to know when nothing has been in flight for long.
struct RestingWindow {
  std::uint32_t cwnd = 0, ssthresh = 0;
  std::uint32_t w_max = 0;  ///< CUBIC's
};

/// Congestion control of one connection, in bytes. Owns its own state and never reaches into the sender.
///
/// Within a recovery the sender follows PRR (RFC 6937, RFC 9937) towards ssthresh() and sets the window with
/// on_recovery_exit(); a control that says governs_recovery() is followed by its cwnd() all the time.
class CongestionControl {
 public:
  CongestionControl(std::uint32_t mss, unsigned initial_window_segments)
      : mss_(mss), initial_window_(initial_window(mss, initial_window_segments)), cwnd_(initial_window_) {}
  virtual ~CongestionControl() = default;
  /// `in_flight`: with these bytes.
  virtual void on_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight) {
    (void)now, (void)bytes, (void)in_flight;
  }
  /// Every ACK that delivers or marks something, in recovery too (see AckSample::in_recovery).
  virtual void on_ack(const AckSample& sample) = 0;
  virtual void on_segment_lost(const LostSegment& segment) { (void)segment; }
  /// Once at the start of a fast recovery: sets ssthresh().
  virtual void on_loss(const LossSample& sample) = 0;
  /// ECE arrived, at most once in a round trip (RFC 3168 §6.1.2). Sets ssthresh() (RFC 8511).
  virtual void on_ecn(const LossSample& sample) { on_loss(sample); }
  /// `first`: the first expiry for this flight; a repeated one leaves ssthresh alone (RFC 5681 §3.1).
  virtual void on_rto(const LossSample& sample, bool first) = 0;
  /// Recovery is over; `in_flight` is what is in flight now (RFC 6582 §3.2 step 3: avoids a burst).
  virtual void on_recovery_exit(Instant now, std::uint32_t in_flight) = 0;
  /// The last on_loss(), on_ecn() or on_rto() was for nothing: cwnd and ssthresh are again what they were
  /// before it (RFC 4015), or cwnd what it has grown to.
  virtual void on_undo(Instant now) { (void)now; }
  /// About to send after `idle` without anything in flight.
  virtual void on_idle_restart(Duration idle, Duration rto) = 0;
  virtual void set_mss(std::uint32_t mss) = 0;
  /// Nothing is in flight. Unset: there is more to know than this.
  [[nodiscard]] virtual std::optional<RestingWindow> at_rest() const { return std::nullopt; }
  /// Of one that was just made: goes on from there.
  virtual void resume(const RestingWindow& window) { (void)window; }
  [[nodiscard]] std::uint32_t cwnd() const { return cwnd_; }
  [[nodiscard]] std::uint32_t ssthresh() const { return ssthresh_; }
  /// The sender does not apply PRR.
  [[nodiscard]] virtual bool governs_recovery() const { return false; }
  /// Sets ECT on what it sends although ECE is not answered as RFC 3168 has it, and wants every CE mark
  /// echoed exactly (RFC 8257 §3.2).
  [[nodiscard]] virtual bool needs_accurate_ecn() const { return false; }
  /// Bytes/s; 0: not paced.
  [[nodiscard]] std::uint64_t pacing_rate() const { return pacing_rate_; }
  /// How many of its windows the send buffer should hold: one under way, and what follows it.
  [[nodiscard]] virtual std::uint32_t send_buffer_windows() const { return 2; }
  [[nodiscard]] virtual std::string_view name() const = 0;

  static constexpr std::uint32_t kNoLimit = std::numeric_limits<std::uint32_t>::max();

 protected:
  std::uint32_t mss_;
  std::uint32_t initial_window_;
  // What the sender asks for with each segment.
  std::uint32_t cwnd_;
  std::uint32_t ssthresh_ = kNoLimit;
  std::uint64_t pacing_rate_ = 0;
};

}  // namespace millrace::tcp
