#pragma once

#include <cstdint>

#include "tcp/congestion.h"

namespace millrace::tcp {

/// DCTCP (RFC 8257), for networks under one administration whose switches mark early: the window shrinks by
/// the share of bytes that met congestion, not by half, so that queues stay short and links busy. Grows and
/// reacts to loss as Reno does.
///
/// Wants every CE mark echoed exactly: an ACK's ECE then tells of the bytes that it acknowledges. It looks at
/// them itself, a window at a time, and needs no on_ecn(); should the sender call that, the window's reaction
/// has thereby been made.
class Dctcp : public CongestionControl {
 public:
  using CongestionControl::CongestionControl;

  void on_ack(const AckSample& sample) override;
  void on_loss(const LossSample& sample) override;
  void on_ecn(const LossSample& sample) override;
  void on_rto(const LossSample& sample, bool first) override;
  void on_recovery_exit(Instant now, std::uint32_t in_flight) override;
  void on_undo(Instant now) override;
  void on_idle_restart(Duration idle, Duration rto) override;
  void set_mss(std::uint32_t mss) override;
  [[nodiscard]] bool needs_accurate_ecn() const override { return true; }
  [[nodiscard]] std::string_view name() const override { return "dctcp"; }

  /// The estimate of the share of bytes that are marked, in 1/kAlphaOne.
  static constexpr std::uint32_t kAlphaOne = 1u << 20;
  [[nodiscard]] std::uint32_t alpha() const { return alpha_; }

 private:
  void end_window(std::uint64_t sent_total);
  void save();
  void reduce_by_alpha();

  std::uint32_t bytes_acked_ = 0;                      ///< towards the next increase in congestion avoidance
  std::uint32_t alpha_ = kAlphaOne;                    ///< §3.3: assumes the worst at first
  std::uint64_t window_acked_ = 0;                     ///< DCTCP.BytesAcked
  std::uint64_t window_marked_ = 0;                    ///< DCTCP.BytesMarked
  std::uint64_t window_end_ = 0;                       ///< DCTCP.WindowEnd
  bool reduced_in_window_ = false;                     ///< on_ecn() or on_loss() came
  std::uint32_t prior_cwnd_ = 0, prior_ssthresh_ = 0;  ///< before the last reduction
};

}  // namespace millrace::tcp
