#include "tcp/delivery_rate.h"

#include <algorithm>
#include <limits>

namespace millrace::tcp {

SegmentDelivery DeliveryRate::on_segment_sent(Instant now, std::uint32_t bytes, std::uint32_t in_flight) {
  // With nothing in flight the intervals begin here: the time before was the application's.
  if (in_flight <= bytes) first_send_time_ = delivered_time_ = now;
  SegmentDelivery segment;
  segment.delivered = delivered_;
  segment.delivered_time = delivered_time_;
  segment.first_send_time = first_send_time_;
  segment.sent_time = now;
  segment.lost = lost_;
  segment.tx_in_flight = in_flight;
  segment.serial = ++serial_;
  segment.app_limited = app_limited();
  return segment;
}

void DeliveryRate::on_segment_delivered(const SegmentDelivery& segment, std::uint32_t bytes, Instant now) {
  delivered_ += bytes;
  delivered_time_ = now;
  if (has_data_ && static_cast<std::int32_t>(segment.serial - newest_.serial) <= 0) return;
  has_data_ = true;
  newest_ = segment;
  send_elapsed_ = segment.sent_time - segment.first_send_time;
  ack_elapsed_ = now - segment.delivered_time;
  first_send_time_ = segment.sent_time;
}

RateSample DeliveryRate::finish(Duration min_rtt) {
  if (app_limited() && delivered_ > app_limited_until_) app_limited_until_ = 0;
  RateSample sample;
  if (!has_data_) return sample;
  has_data_ = false;
  sample.app_limited = newest_.app_limited;
  sample.prior_delivered = newest_.delivered;
  sample.tx_in_flight = newest_.tx_in_flight;
  sample.lost = lost_ - newest_.lost;
  sample.interval = std::max(send_elapsed_, ack_elapsed_);
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  sample.delivered = static_cast<std::uint32_t>(std::min(delivered_ - newest_.delivered, kMost));
  if (sample.interval <= Duration{0} || sample.interval < min_rtt) return sample;
  // 2^32 times 10^9 fits.
  sample.bytes_per_second =
      sample.delivered * std::uint64_t{1'000'000'000} / static_cast<std::uint64_t>(sample.interval.count());
  sample.valid = true;
  return sample;
}

void DeliveryRate::mark_app_limited(std::uint32_t in_flight) {
  app_limited_until_ = std::max<std::uint64_t>(delivered_ + in_flight, 1);
}

}  // namespace millrace::tcp
