#include "tcp/send_buffer.h"

#include <bit>
#include <limits>

namespace millrace::tcp {

namespace {

/// Linux's for a segment of its own: the largest headers and skb_shared_info around the payload, in a block
/// whose size is a power of two, and an sk_buff.
constexpr std::size_t kAroundPayload = 640, kBuffer = 256;
/// Whatever the window is: initial window (RFC 6928).
constexpr std::size_t kLeastSegments = 10;

/// How many steps there are from `at` up to `end`, the last one perhaps beyond it.
std::size_t steps(std::size_t at, std::size_t end, std::size_t step) {
  return at < end ? (end - at + step - 1) / step : 0;
}

}  // namespace

void SendBuffer::expand(std::size_t segments, std::size_t mss, std::size_t windows, std::size_t maximum) {
  if (fixed_) return;
  const std::size_t each = std::bit_ceil(mss + kAroundPayload) + kBuffer;
  const std::size_t wanted = windows * std::max(segments, kLeastSegments) * each;
  limit_ = std::max(limit_, std::min(wanted, maximum));
}

std::size_t SendBuffer::room(const Queued& queued, std::size_t limit, std::size_t not_sent_low_water) {
  const std::size_t begun = queued.begun();
  const std::size_t size = queued.super_segment;
  std::size_t more = steps(queued.charge() + begun, limit, size + kSegmentOverhead);
  if (not_sent_low_water != 0) more = std::min(more, steps(queued.unsent + begun, not_sent_low_water, size));
  return begun + more * size;
}

}  // namespace millrace::tcp
