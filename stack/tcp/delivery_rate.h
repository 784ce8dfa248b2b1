#pragma once

#include <cstdint>

#include "base/time.h"
#include "tcp/congestion.h"

namespace millrace::tcp {

/// What a segment (a super-segment counts as one) remembers of the moment it was last sent, for as long as it
/// is in flight. Nobody but DeliveryRate reads it, save tx_in_flight, app_limited and sent_time.
struct SegmentDelivery {
  std::uint64_t delivered = 0;  ///< delivered_total() then
  Instant delivered_time{};     ///< when delivered_total() had last changed
  Instant first_send_time{};    ///< start of the send phase of a sample that this segment ends
  Instant sent_time{};
  std::uint32_t lost = 0;          ///< lost_total() then
  std::uint32_t tx_in_flight = 0;  ///< bytes in flight, itself included
  std::uint32_t serial = 0;        ///< the order of sending: tells segments of one instant apart
  bool app_limited = false;
};

/// What one ACK delivers.
struct AckedDeliveries {
  bool any = false;
  SegmentDelivery newest;  ///< of the segment among them that was sent last
  Duration send_elapsed{0}, ack_elapsed{0};
};

/// Measures at what rate the network delivers (draft-ietf-ccwg-bbr, "Delivery Rate Samples"). One for each
/// connection, owned by its sender, which tells of every transmission, delivery and loss of payload.
///
///     first_send_time            sent_time          The data between two deliveries divided by the longer of
///      |<--- send phase ----------->|               two times: that which it took to send it, and that which
///           delivered_time                   now    it took to be acknowledged. So ACKs that were compressed
///            |<---------- ACK phase -------->|      do not seem to be a faster path.
///
/// An ACK gives one sample, of the most recently sent segment of those it delivers:
///
///     AckedDeliveries acked;
///     rate.on_segment_delivered(..., acked);  // for each that is newly acknowledged or SACKed
///     rate.finish(acked, rtt.min_rtt(), sample.rate);
class DeliveryRate {
 public:
  /// Also when it is sent again: the new state replaces the old. `in_flight` includes these `bytes`.
  void on_segment_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight, SegmentDelivery& segment);
  /// `bytes` of the segment are newly known to have arrived; a segment that arrives in parts is told of in as
  /// many calls.
  void on_segment_delivered(const SegmentDelivery& segment, std::uint32_t bytes, Instant now,
                            AckedDeliveries& acked);
  /// `bytes` were marked lost.
  void on_lost(std::uint32_t bytes) { lost_ += bytes; }
  /// The sample of this ACK, after all its deliveries and losses. Not valid when it delivered nothing, or
  /// within less than min_rtt (0: not known): then something sent again was taken for its first transmission.
  void finish(const AckedDeliveries& acked, Duration min_rtt, RateSample& sample);
  /// Both for an ACK that delivers this segment alone, of `bytes`.
  void on_one_delivered(const SegmentDelivery& segment, std::uint32_t bytes, Duration min_rtt, Instant now,
                        RateSample& sample);
  /// The sender has nothing to send, nothing lost to send again, and room in its window: samples of what is
  /// in flight now and of what is sent before it is acknowledged say less than the path can do.
  void mark_app_limited(std::uint32_t in_flight);

  [[nodiscard]] bool app_limited() const { return app_limited_until_ != 0; }
  [[nodiscard]] std::uint64_t delivered_total() const { return delivered_; }
  [[nodiscard]] std::uint32_t lost_total() const { return lost_; }
  /// Bytes marked lost since the segment was sent: LostSegment::lost.
  [[nodiscard]] std::uint32_t lost_since(const SegmentDelivery& segment) const {
    return lost_ - segment.lost;
  }

 private:
  void finish(const SegmentDelivery& newest, Duration interval, Duration min_rtt, RateSample& sample);

  std::uint64_t delivered_ = 0;
  std::uint64_t app_limited_until_ = 0;  ///< over when delivered_ is beyond it; 0: not app-limited
  Instant delivered_time_{};
  Instant first_send_time_{};
  std::uint32_t lost_ = 0;    ///< may wrap: only differences are used
  std::uint32_t serial_ = 0;  ///< may wrap
};

}  // namespace millrace::tcp
