#include "tcp/mtu_probe.h"

#include <algorithm>

#include "tcp/config.h"

namespace millrace::tcp {

namespace {

std::uint16_t size16(std::uint32_t size) {
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(size, 65535));
}

}  // namespace

void MtuProbe::enable(std::uint32_t search_low, std::uint32_t effective) {
  enabled_ = true;
  search_low_ = size16(std::min(search_low, effective));
  effective_ = size16(effective);
}

std::uint32_t MtuProbe::next_size(const Config& config, std::uint32_t limit, Instant now) {
  if (limit <= effective_) return 0;
  if (told_) return limit;
  // §7.3: when the timer expires, search_high is again what it was at first. A path may have become wider.
  if (now - last_result_ >= config.mtu_probe_interval && last_result_ != kEpoch) search_high_ = kNoLimit;
  const std::uint32_t high = std::min<std::uint32_t>(search_high_, limit);
  if (high <= effective_) return 0;
  if (high - effective_ >= std::max<std::uint32_t>(config.mtu_probe_threshold, 2)) {
    const std::uint32_t middle = (search_low_ + high) / 2;
    return middle > effective_ ? middle : (effective_ + high) / 2;
  }
  // No probe has failed just above: the limit is as likely a size as any, and mostly the right one.
  return search_high_ >= limit ? limit : 0;
}

void MtuProbe::on_sent(SeqNum start, SeqNum end, std::uint32_t size) {
  in_flight_ = true;
  told_ = false;
  start_ = start;
  end_ = end;
  size_ = size16(size);
}

void MtuProbe::on_delivered(Instant now) {
  // §7.6.1.
  in_flight_ = false;
  last_result_ = now;
  search_low_ = size_;
  effective_ = std::max(effective_, size_);
}

void MtuProbe::on_lost(Duration pause, Instant now) {
  in_flight_ = false;
  last_result_ = now;
  not_before_ = now + pause;
  search_high_ = static_cast<std::uint16_t>(size_ - 1);
}

bool MtuProbe::on_too_big(std::uint32_t mtu, Instant now) {
  if (!enabled_) return false;
  search_low_ = std::min(search_low_, size16(mtu));
  effective_ = std::min(effective_, size16(mtu));
  told_ = mtu > effective_;
  if (!in_flight_ || size_ <= mtu) return false;
  in_flight_ = false;
  last_result_ = now;
  return true;
}

void MtuProbe::on_black_hole(std::uint32_t base, std::uint32_t floor, std::uint32_t limit) {
  in_flight_ = told_ = false;
  const std::uint16_t in_force = std::min(effective_, size16(limit));
  const std::uint16_t initial = std::min(size16(base), in_force);
  if (!enabled_) enable(initial, in_force);
  if (in_force > search_low_) {
    effective_ = search_low_;
  } else if (search_low_ > initial) {
    effective_ = search_low_ = initial;
  } else {
    effective_ = search_low_ = std::min(std::max(size16(floor), size16(in_force / 2u)), in_force);
  }
}

}  // namespace millrace::tcp
