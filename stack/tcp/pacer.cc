#include "tcp/pacer.h"

#include <algorithm>
#include <limits>

namespace millrace::tcp {

namespace {

/// Credit of a byte. At a byte a second it is earned in a second, and so at any rate `rate` a nanosecond
/// earns `rate`.
constexpr std::int64_t kByte = 1'000'000'000;
constexpr std::uint32_t kMaxQuantum = 65536;
/// A TB/s; bounds the products below.
constexpr std::uint64_t kMaxRate = 1'000'000'000'000;

/// 1 ms worth of the rate.
std::int64_t per_millisecond(std::uint64_t rate) {
  return static_cast<std::int64_t>(rate / 1000);
}

}  // namespace

std::uint32_t Pacer::quantum_of(std::uint64_t bytes_per_second, std::uint32_t mss) {
  const std::int64_t worth = per_millisecond(std::min(bytes_per_second, kMaxRate));
  return std::max(static_cast<std::uint32_t>(std::min<std::int64_t>(worth, kMaxQuantum)), 2 * mss);
}

void Pacer::set_rate(std::uint64_t bytes_per_second, std::uint32_t mss, Instant now) {
  const bool was_paced = rate_ != 0;
  if (!was_paced && bytes_per_second == 0) return;
  if (was_paced) credit_ = credit_at(now);
  time_ = now;
  rate_ = std::min(bytes_per_second, kMaxRate);
  quantum_ = quantum_of(rate_, mss);
  if (!was_paced) credit_ = quantum_ * kByte;
}

std::int64_t Pacer::credit_at(Instant now) const {
  std::int64_t most = std::int64_t{quantum_};
  if (waiting_) most += std::max(most, per_millisecond(rate_) * (kLateness / 1ms));
  most *= kByte;
  if (now <= time_) return std::min(credit_, most);
  if (credit_ >= most) return most;
  // Compared by time, as the product of rate and time may not fit.
  const std::int64_t elapsed = (now - time_).count();
  const auto rate = static_cast<std::int64_t>(rate_);
  if (elapsed > (most - credit_) / rate) return most;
  return credit_ + rate * elapsed;
}

std::uint32_t Pacer::allowed(Instant now) const {
  if (rate_ == 0) return std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(credit_at(now) / kByte, 0, std::numeric_limits<std::uint32_t>::max()));
}

Instant Pacer::wait(std::uint32_t wanted, Instant now) {
  if (rate_ == 0) return now;
  credit_ = credit_at(now);
  time_ = std::max(time_, now);
  waiting_ = true;
  const std::int64_t missing = std::min(wanted, quantum_) * kByte - credit_;
  if (missing <= 0) return now;
  const auto rate = static_cast<std::int64_t>(rate_);
  return time_ + Duration{(missing + rate - 1) / rate};
}

void Pacer::on_sent(std::uint32_t bytes, Instant now) {
  if (rate_ == 0) return;
  credit_ = std::max(credit_at(now) - bytes * kByte, -std::int64_t{quantum_} * kByte);
  time_ = std::max(time_, now);
  // What was earned by waiting stays until it is spent; then time without anything to send earns a quantum.
  if (credit_ < quantum_ * kByte) waiting_ = false;
}

}  // namespace millrace::tcp
