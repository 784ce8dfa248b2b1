#pragma once

#include <cstdint>

#include "base/time.h"
#include "tcp/congestion.h"

namespace millrace::tcp {

/// The end of the first slow start by delay, before the queue overflows: HyStart++ (RFC 9406). A part of a
/// congestion control, which asks it for the growth of its window while cwnd is below ssthresh.
///
///     slow start ──the round trip grew──> conservative slow start ──five rounds──> congestion avoidance
///                <──it was but jitter────
class HyStart {
 public:
  /// By how much the window grows for this ACK.
  [[nodiscard]] std::uint32_t on_ack(const AckSample& sample, std::uint32_t mss);
  /// The conservative slow start has had its rounds: ssthresh is to be cwnd.
  [[nodiscard]] bool finished() const { return state_ == State::kFinished; }
  [[nodiscard]] bool conservative() const { return state_ == State::kConservative; }
  /// RFC 9406 §4.2: loss or ECN ends it for good; later slow starts know an ssthresh.
  void stop() { state_ = State::kOff; }

 private:
  enum class State : std::uint8_t { kSlowStart, kConservative, kFinished, kOff };

  void take_sample(Duration rtt);
  void end_round();

  State state_ = State::kSlowStart;
  bool round_begins_ = true;
  std::uint8_t conservative_rounds_ = 0;
  std::uint32_t samples_ = 0;     ///< in this round
  std::uint64_t window_end_ = 0;  ///< the round is over when this position is acknowledged
  Duration last_round_min_ = Duration::max();
  Duration current_round_min_ = Duration::max();
  Duration baseline_min_ = Duration::max();  ///< when the conservative slow start began
};

}  // namespace millrace::tcp
