#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "base/rng.h"
#include "tcp/congestion.h"
#include "tcp/delivery_rate.h"
#include "tcp/pacer.h"

namespace millrace::test {

/// The least that a congestion control must meet to show how it behaves: a sender with endless data, a
/// bottleneck with a queue, a round trip. In virtual time; nothing is sent twice (what is lost stays lost)
/// and nothing overtakes, so that a segment's loss is known once a later one is acknowledged.
///
///     sender ──cwnd, pacer──> [queue ≤ limit | rate] ──rtt──> ACK
class PathModel {
 public:
  struct Config {
    std::uint64_t rate = 1'250'000;  ///< bytes/s
    Duration rtt = 40ms;             ///< without a queue
    std::uint32_t queue = 50'000;    ///< bytes that may wait
    std::uint32_t mss = 1000;
    double loss = 0;                ///< of each segment, at random
    std::uint32_t mark_above = 0;   ///< CE on what finds more bytes waiting; 0: never
    unsigned segments_per_ack = 1;  ///< a receiver that gathers
    std::uint64_t seed = 1;
  };

  PathModel(tcp::CongestionControl& control, const Config& config);

  void run(Duration by);
  void set_rate(std::uint64_t rate) { config_.rate = rate; }
  void set_rtt(Duration rtt) { config_.rtt = rtt; }
  void set_loss(double loss) { config_.loss = loss; }
  /// The application has nothing to send until it is resumed.
  void pause(bool paused) { paused_ = paused; }
  /// Called with every ACK after the control has seen it.
  std::function<void(const tcp::AckSample&)> watch;

  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::uint32_t in_flight() const { return in_flight_; }
  [[nodiscard]] std::uint64_t delivered() const { return delivery_.delivered_total(); }
  [[nodiscard]] std::uint64_t sent() const { return sent_total_; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  [[nodiscard]] std::uint64_t marked() const { return marked_; }
  [[nodiscard]] unsigned recoveries() const { return recoveries_; }
  [[nodiscard]] unsigned timeouts() const { return timeouts_; }
  [[nodiscard]] std::uint32_t bdp() const {
    return static_cast<std::uint32_t>(config_.rate * static_cast<std::uint64_t>(config_.rtt.count()) /
                                      1'000'000'000);
  }
  /// Bytes that wait in the bottleneck.
  [[nodiscard]] std::uint32_t queued() const;

 private:
  struct Segment {
    tcp::SegmentDelivery delivery;
    Instant arrival;  ///< of its ACK; kNever: dropped
    bool marked = false;
  };

  void transmit();
  [[nodiscard]] Instant next_ack() const;
  void acknowledge();
  void lose(const Segment& segment);
  void time_out();
  void begin_reduction(bool loss);

  tcp::CongestionControl& control_;
  Config config_;
  Rng rng_;
  tcp::DeliveryRate delivery_;
  tcp::Pacer pacer_;
  std::deque<Segment> segments_;  ///< in flight
  Instant now_ = kEpoch + 1000s;
  Instant free_at_ = now_;    ///< when the bottleneck has served all that waits
  Instant release_ = kNever;  ///< the pacer's
  Instant last_progress_ = now_;
  Instant idle_since_ = now_;
  Duration min_rtt_{0};
  std::uint32_t in_flight_ = 0, lost_now_ = 0;
  std::uint64_t sent_total_ = 0, acked_total_ = 0, dropped_ = 0, marked_ = 0;
  std::uint64_t recovery_end_ = 0;
  unsigned recoveries_ = 0, timeouts_ = 0;
  bool in_recovery_ = false, cwnd_limited_ = false, paused_ = false;
};

}  // namespace millrace::test
