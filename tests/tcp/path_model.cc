#include "path_model.h"

#include <algorithm>

namespace millrace::test {

namespace {

constexpr Duration kRto = 1s;

Duration time_for(std::uint64_t bytes, std::uint64_t rate) {
  return Duration{static_cast<std::int64_t>(bytes * 1'000'000'000 / rate)};
}

}  // namespace

PathModel::PathModel(tcp::CongestionControl& control, const Config& config)
    : control_(control), config_(config), rng_(config.seed) {}

std::uint32_t PathModel::queued() const {
  if (free_at_ <= now_) return 0;
  const auto wait = static_cast<std::uint64_t>((free_at_ - now_).count());
  return static_cast<std::uint32_t>(wait * config_.rate / 1'000'000'000);
}

void PathModel::transmit() {
  pacer_.set_rate(control_.pacing_rate(), config_.mss, now_);
  release_ = kNever;
  if (paused_) {
    if (in_flight_ < control_.cwnd()) delivery_.mark_app_limited(in_flight_);
    cwnd_limited_ = false;
    return;
  }
  if (in_flight_ == 0 && now_ - idle_since_ > kRto) control_.on_idle_restart(now_ - idle_since_, kRto);
  const std::uint32_t mss = config_.mss;
  for (;;) {
    cwnd_limited_ = in_flight_ + mss > control_.cwnd();
    // One segment always may be in flight.
    if (cwnd_limited_ && in_flight_ != 0) return;
    const std::uint32_t room = std::max(control_.cwnd(), in_flight_ + mss) - in_flight_;
    const std::uint32_t burst = std::min(room / mss * mss, std::max(pacer_.quantum() / mss * mss, mss));
    if (pacer_.allowed(now_) < burst) {
      release_ = pacer_.wait(burst, now_);
      return;
    }
    for (std::uint32_t left = burst; left != 0; left -= mss) {
      Segment segment;
      const std::uint32_t waiting = queued();
      in_flight_ += mss;
      delivery_.on_segment_sent(now_, mss, in_flight_, segment.delivery);
      if (config_.mark_above != 0 && waiting > config_.mark_above) segment.marked = true;
      if (waiting + mss > config_.queue + mss || rng_.chance(config_.loss)) {
        segment.arrival = kNever;
        ++dropped_;
      } else {
        free_at_ = std::max(free_at_, now_) + time_for(mss, config_.rate);
        segment.arrival = free_at_ + config_.rtt;
      }
      segments_.push_back(segment);
      sent_total_ += mss;
      pacer_.on_sent(mss, now_);
      control_.on_sent(now_, mss, in_flight_);
    }
  }
}

Instant PathModel::next_ack() const {
  // The ACK of a receiver that gathers comes with the last segment it gathers, or when nothing else is
  // coming.
  unsigned count = 0;
  Instant at = kNever;
  for (const Segment& segment : segments_) {
    if (segment.arrival == kNever) continue;
    at = segment.arrival;
    if (++count == config_.segments_per_ack) break;
  }
  return at;
}

void PathModel::lose(const Segment& segment) {
  delivery_.on_lost(config_.mss);
  in_flight_ -= config_.mss;
  lost_now_ += config_.mss;
  control_.on_segment_lost({now_, config_.mss, segment.delivery.tx_in_flight,
                            delivery_.lost_since(segment.delivery), segment.delivery.app_limited});
}

void PathModel::begin_reduction(bool loss) {
  if (in_recovery_) return;
  in_recovery_ = true;
  ++recoveries_;
  recovery_end_ = sent_total_;
  const tcp::LossSample sample{now_, in_flight_ + lost_now_, sent_total_};
  if (loss) {
    control_.on_loss(sample);
  } else {
    control_.on_ecn(sample);
  }
}

void PathModel::acknowledge() {
  tcp::AckSample sample;
  sample.now = now_;
  sample.prior_in_flight = in_flight_;
  sample.cwnd_limited = cwnd_limited_;
  lost_now_ = 0;
  bool marked = false;
  unsigned count = 0;
  tcp::AckedDeliveries acked;
  while (count < config_.segments_per_ack && !segments_.empty()) {
    const Segment segment = segments_.front();
    if (segment.arrival != kNever && segment.arrival > now_) break;
    if (segment.arrival == kNever && next_ack() == kNever) break;
    segments_.pop_front();
    sample.acked += config_.mss;
    if (segment.arrival == kNever) {
      lose(segment);
      continue;
    }
    ++count;
    in_flight_ -= config_.mss;
    delivery_.on_segment_delivered(segment.delivery, config_.mss, now_, acked);
    sample.delivered += config_.mss;
    sample.rtt = now_ - segment.delivery.sent_time;
    if (segment.marked) {
      marked = true;
      ++marked_;
    }
  }
  acked_total_ += sample.acked;
  sample.lost = lost_now_;
  sample.in_flight = in_flight_;
  sample.delivered_total = delivery_.delivered_total();
  sample.acked_total = acked_total_;
  sample.sent_total = sent_total_;
  sample.ece = marked;
  if (min_rtt_ == Duration{0} || sample.rtt < min_rtt_) min_rtt_ = sample.rtt;
  delivery_.finish(acked, min_rtt_, sample.rate);
  last_progress_ = now_;
  if (in_recovery_ && acked_total_ >= recovery_end_) {
    in_recovery_ = false;
    control_.on_recovery_exit(now_, in_flight_);
  }
  if (lost_now_ != 0) begin_reduction(true);
  if (marked && !control_.needs_accurate_ecn()) begin_reduction(false);
  lost_now_ = 0;
  sample.in_recovery = in_recovery_;
  control_.on_ack(sample);
  if (watch) watch(sample);
  if (in_flight_ == 0) idle_since_ = now_;
}

void PathModel::time_out() {
  ++timeouts_;
  in_recovery_ = false;
  control_.on_rto({now_, in_flight_, sent_total_}, true);
  while (!segments_.empty()) {
    acked_total_ += config_.mss;
    lose(segments_.front());
    segments_.pop_front();
  }
  lost_now_ = 0;
  last_progress_ = now_;
}

void PathModel::run(Duration by) {
  const Instant end = now_ + by;
  transmit();
  for (;;) {
    const Instant ack = next_ack();
    const Instant timeout = ack == kNever && in_flight_ != 0 ? last_progress_ + kRto : kNever;
    const Instant next = std::min({ack, release_, timeout, end});
    now_ = std::max(now_, next);
    if (now_ >= end) return;
    if (next == ack) {
      acknowledge();
    } else if (next == timeout) {
      time_out();
    }
    transmit();
  }
}

}  // namespace millrace::test
