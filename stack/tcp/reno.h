#pragma once

#include <cstdint>

#include "tcp/congestion.h"

namespace millrace::tcp {

/// AIMD by RFC 5681, with appropriate byte counting (RFC 3465, L = 2 in slow start) and, for ECN, the milder
/// reduction of RFC 8511.
class Reno : public CongestionControl {
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
  [[nodiscard]] std::optional<RestingWindow> at_rest() const override {
    return RestingWindow{cwnd_, ssthresh_};
  }
  void resume(const RestingWindow& window) override;
  [[nodiscard]] std::string_view name() const override { return "reno"; }

 private:
  void reduce(const LossSample& sample, std::uint32_t numerator, std::uint32_t denominator);

  std::uint32_t bytes_acked_ = 0;                      ///< towards the next increase in congestion avoidance
  std::uint32_t prior_cwnd_ = 0, prior_ssthresh_ = 0;  ///< before the last reduction
};

}  // namespace millrace::tcp
