#include "tcp/delivery_rate.h"

#include <algorithm>
#include <limits>

namespace millrace::tcp {

void DeliveryRate::on_segment_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight,
                                   SegmentDelivery& segment) {
  // With nothing in flight the intervals begin here: the time before was the application's.
  if (in_flight <= bytes) first_send_time_ = delivered_time_ = now;
  segment.delivered = delivered_;
  segment.delivered_time = delivered_time_;
  segment.first_send_time = first_send_time_;
  segment.sent_time = now;
  segment.lost = lost_;
  segment.tx_in_flight = in_flight;
  segment.serial = ++serial_;
  segment.app_limited = app_limited();
}

void DeliveryRate::on_segment_delivered(const SegmentDelivery& segment, std::uint32_t bytes, Instant now,
                                        AckedDeliveries& acked) {
  delivered_ += bytes;
  delivered_time_ = now;
  if (acked.any && static_cast<std::int32_t>(segment.serial - acked.newest.serial) <= 0) return;
  acked.any = true;
  acked.newest = segment;
  acked.send_elapsed = segment.sent_time - segment.first_send_time;
  acked.ack_elapsed = now - segment.delivered_time;
  first_send_time_ = segment.sent_time;
}

void DeliveryRate::finish(const AckedDeliveries& acked, Duration min_rtt, RateSample& sample) {
  if (acked.any) finish(acked.newest, std::max(acked.send_elapsed, acked.ack_elapsed), min_rtt, sample);
}

void DeliveryRate::on_one_delivered(const SegmentDelivery& segment, std::uint32_t bytes, Duration min_rtt,
                                    Instant now, RateSample& sample) {
  delivered_ += bytes;
  delivered_time_ = now;
  first_send_time_ = segment.sent_time;
  finish(segment, std::max(segment.sent_time - segment.first_send_time, now - segment.delivered_time),
         min_rtt, sample);
}

void DeliveryRate::finish(const SegmentDelivery& newest, Duration interval, Duration min_rtt,
                          RateSample& sample) {
  if (app_limited() && delivered_ > app_limited_until_) app_limited_until_ = 0;
  sample.app_limited = newest.app_limited;
  sample.prior_delivered = newest.delivered;
  sample.tx_in_flight = newest.tx_in_flight;
  sample.lost = lost_ - newest.lost;
  sample.interval = interval;
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  sample.delivered = static_cast<std::uint32_t>(std::min(delivered_ - newest.delivered, kMost));
  if (sample.interval <= Duration{0} || sample.interval < min_rtt) return;
  // 2^32 times 10^9 fits.
  sample.bytes_per_second =
      sample.delivered * std::uint64_t{1'000'000'000} / static_cast<std::uint64_t>(sample.interval.count());
  sample.valid = true;
}

void DeliveryRate::mark_app_limited(std::uint32_t in_flight) {
  app_limited_until_ = std::max<std::uint64_t>(delivered_ + in_flight, 1);
}

}  // namespace millrace::tcp
