#include "tcp/delivery_rate.h"

#include <gtest/gtest.h>

#include <deque>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::AckedDeliveries;
using tcp::DeliveryRate;
using tcp::RateSample;
using tcp::SegmentDelivery;

constexpr Instant at(Duration d) {
  return kEpoch + 1s + d;
}

SegmentDelivery sent(DeliveryRate& rate, Instant now, std::uint32_t bytes, std::uint32_t in_flight) {
  SegmentDelivery segment;
  rate.on_segment_sent(now, bytes, in_flight, segment);
  return segment;
}
RateSample finish(DeliveryRate& rate, const AckedDeliveries& acked, Duration min_rtt) {
  RateSample sample;
  rate.finish(acked, min_rtt, sample);
  return sample;
}

/// A window of segments of 1000 bytes in flight, oldest first.
struct Flight {
  DeliveryRate rate;
  std::deque<SegmentDelivery> segments;

  void send(Instant now) {
    const auto in_flight = static_cast<std::uint32_t>(segments.size() + 1) * 1000;
    segments.push_back(sent(rate, now, 1000, in_flight));
  }
  RateSample deliver(std::size_t count, Instant now, Duration min_rtt = 0ms) {
    AckedDeliveries acked;
    for (std::size_t i = 0; i < count; ++i) {
      rate.on_segment_delivered(segments.front(), 1000, now, acked);
      segments.pop_front();
    }
    return finish(rate, acked, min_rtt);
  }
};

TEST(DeliveryRate, OfAnAckIsWhatArrivedOverTheAckPhase) {
  rfc("draft-ietf-ccwg-bbr", "Delivery Rate Samples", "the ACK rate");
  Flight f;
  for (int i = 0; i < 4; ++i) f.send(at(0ms));
  // The first two come after 10 ms, the others 1 ms later, each sample reaching back to the sending.
  RateSample sample = f.deliver(2, at(10ms));
  EXPECT_TRUE(sample.valid);
  EXPECT_EQ(sample.delivered, 2000u);
  EXPECT_EQ(sample.interval, 10ms);
  EXPECT_EQ(sample.bytes_per_second, 200'000u);
  EXPECT_EQ(sample.prior_delivered, 0u);
  EXPECT_EQ(sample.tx_in_flight, 2000u) << "the second one's";
  f.send(at(10ms));
  sample = f.deliver(2, at(11ms));
  EXPECT_EQ(sample.bytes_per_second, 4000u * 1000 / 11);
  // What was sent after the first ACK starts its interval there.
  sample = f.deliver(1, at(20ms));
  EXPECT_EQ(sample.prior_delivered, 2000u);
  EXPECT_EQ(sample.delivered, 3000u);
  EXPECT_EQ(sample.interval, 10ms);
}

TEST(DeliveryRate, OfCompressedAcksIsBoundedByTheSendRate) {
  rfc("draft-ietf-ccwg-bbr", "Delivery Rate Samples", "the longer of the send and the ACK phase counts");
  Flight f;
  f.send(at(0ms));
  f.deliver(1, at(10ms));
  // Ten segments in 10 ms, whose ACKs come within 1 ms.
  f.send(at(10ms));
  for (int i = 1; i <= 10; ++i) f.send(at(10ms + i * 1ms));
  f.deliver(1, at(29ms));
  const RateSample sample = f.deliver(10, at(30ms));
  EXPECT_EQ(sample.interval, 20ms) << "since the ACK before they were sent";
  // Those sent after the burst's first ACK see an ACK phase of nothing, and the send phase decides.
  f.send(at(30ms));
  f.send(at(30ms));
  EXPECT_EQ(f.deliver(2, at(40ms)).bytes_per_second, 200'000u);
}

TEST(DeliveryRate, TakesTheMostRecentlySentOfWhatAnAckDelivers) {
  Flight f;
  f.send(at(0ms));
  f.send(at(0ms));
  f.send(at(0ms));
  // The first is sent again and is thereby the newest, though first in the stream.
  const SegmentDelivery again = sent(f.rate, at(5ms), 1000, 3000);
  AckedDeliveries acked;
  f.rate.on_segment_delivered(again, 1000, at(15ms), acked);
  f.rate.on_segment_delivered(f.segments[1], 1000, at(15ms), acked);
  const RateSample sample = finish(f.rate, acked, 0ms);
  EXPECT_EQ(sample.tx_in_flight, 3000u);
  EXPECT_EQ(sample.delivered, 2000u);
}

TEST(DeliveryRate, OfAnIntervalShorterThanTheRoundTripIsNone) {
  rfc("draft-ietf-ccwg-bbr", "Delivery Rate Samples", "an implausibly short interval gives no sample");
  Flight f;
  f.send(at(0ms));
  const RateSample sample = f.deliver(1, at(2ms), 10ms);
  EXPECT_FALSE(sample.valid);
  EXPECT_EQ(sample.bytes_per_second, 0u);
  EXPECT_EQ(sample.delivered, 1000u) << "which still tells of the round";
}

TEST(DeliveryRate, OfAnAckThatDeliversNothingIsNone) {
  Flight f;
  f.send(at(0ms));
  EXPECT_FALSE(f.deliver(0, at(5ms)).valid);
  EXPECT_TRUE(f.deliver(1, at(10ms)).valid);
  EXPECT_FALSE(f.deliver(0, at(11ms)).valid) << "nothing is left over for the next";
}

TEST(DeliveryRate, DoesNotCountTimeWithoutAnythingInFlight) {
  rfc("draft-ietf-ccwg-bbr", "Delivery Rate Samples", "from idle the interval starts with the transmission");
  Flight f;
  f.send(at(0ms));
  f.deliver(1, at(10ms));
  f.send(at(5s));
  const RateSample sample = f.deliver(1, at(5s + 10ms));
  EXPECT_EQ(sample.interval, 10ms);
  EXPECT_EQ(sample.bytes_per_second, 100'000u);
}

TEST(DeliveryRate, IsApplicationLimitedUntilTheBubbleIsAcknowledged) {
  rfc("draft-ietf-ccwg-bbr", "Delivery Rate Samples", "application-limited phases are tracked");
  Flight f;
  f.send(at(0ms));
  f.rate.mark_app_limited(1000);
  f.send(at(1ms));
  EXPECT_FALSE(f.deliver(1, at(10ms)).app_limited) << "sent before";
  EXPECT_TRUE(f.rate.app_limited()) << "exactly the bubble's start is delivered";
  EXPECT_TRUE(f.deliver(1, at(11ms)).app_limited);
  EXPECT_FALSE(f.rate.app_limited());
  f.send(at(12ms));
  EXPECT_FALSE(f.deliver(1, at(22ms)).app_limited);
}

TEST(DeliveryRate, OfNothingSentYetCanBeApplicationLimited) {
  Flight f;
  f.rate.mark_app_limited(0);
  EXPECT_TRUE(f.rate.app_limited());
}

TEST(DeliveryRate, CountsWhatWasLostSinceTheSegmentWasSent) {
  Flight f;
  f.send(at(0ms));
  f.rate.on_lost(3000);
  f.send(at(1ms));
  f.rate.on_lost(1000);
  EXPECT_EQ(f.rate.lost_since(f.segments[0]), 4000u);
  EXPECT_EQ(f.rate.lost_since(f.segments[1]), 1000u);
  EXPECT_EQ(f.deliver(2, at(10ms)).lost, 1000u);
}

TEST(DeliveryRate, TakesASuperSegmentThatArrivesInParts) {
  rfc("draft-ietf-ccwg-bbr", "Delivery Rate Samples", "with offload, state is kept for the aggregate");
  DeliveryRate rate;
  const SegmentDelivery segment = sent(rate, at(0ms), 60'000, 60'000);
  AckedDeliveries first, second;
  rate.on_segment_delivered(segment, 20'000, at(10ms), first);
  EXPECT_EQ(finish(rate, first, 0ms).bytes_per_second, 2'000'000u);
  rate.on_segment_delivered(segment, 40'000, at(12ms), second);
  EXPECT_EQ(finish(rate, second, 0ms).bytes_per_second, 5'000'000u);
  EXPECT_EQ(rate.delivered_total(), 60'000u);
}

}  // namespace
}  // namespace millrace::test
