#include "fault/impairment.h"

#include <algorithm>
#include <array>

#include "frame_headers.h"
#include "packet/pool.h"
#include "pipe/pipe_frame.h"

namespace millrace::drivers {
namespace {

/// Frames under way at most, so that a long delay cannot take all memory.
constexpr std::size_t kMaxUnderWay = std::size_t{1} << 17;

Duration part_of(Duration whole, double part) {
  return Duration{static_cast<Duration::rep>(part * static_cast<double>(whole.count()))};
}

/// The same bytes in storage of their own.
PacketPtr copy_of(const Packet& frame) {
  PacketPtr copy = frame.pool().allocate(frame.length());
  if (!copy) return nullptr;
  frame.copy_out(0, {copy->put(frame.length()), frame.length()});
  copy->offload = frame.offload;
  copy->timestamp = frame.timestamp;
  return copy;
}

}  // namespace

std::string_view name_of(ImpairmentCounter counter) {
  switch (counter) {
    case ImpairmentCounter::kFrames:
      return "frames";
    case ImpairmentCounter::kLost:
      return "lost";
    case ImpairmentCounter::kDuplicated:
      return "duplicated";
    case ImpairmentCounter::kCorrupted:
      return "corrupted";
    case ImpairmentCounter::kReordered:
      return "reordered";
    case ImpairmentCounter::kQueueFull:
      return "queue_full";
    case ImpairmentCounter::kNoMemory:
      return "no_memory";
    case ImpairmentCounter::kCount:
      break;
  }
  return "?";
}

void Impairment::add(PacketPtr frame, Instant now) {
  counters_.add(ImpairmentCounter::kFrames);
  if (is_lost(*frame)) {
    counters_.add(ImpairmentCounter::kLost);
    return;
  }
  PacketPtr twin;
  if (rng_.chance(options_.duplicate)) {
    twin = copy_of(*frame);
    counters_.add(twin ? ImpairmentCounter::kDuplicated : ImpairmentCounter::kNoMemory);
  }
  pass(std::move(frame), now);
  if (twin) pass(std::move(twin), now);
}

bool Impairment::is_lost(const Packet& frame) {
  if (options_.loss_from != 0) {
    constexpr std::size_t kHeaders = kEthernetHeader + kVlanTag + 60 + 60;
    std::array<std::uint8_t, kHeaders> start;
    const std::size_t length = std::min<std::size_t>(frame.length(), kHeaders);
    frame.copy_out(0, {start.data(), length});
    const auto headers = FrameHeaders::parse({start.data(), length});
    if (!headers || !headers->tcp || frame.length() - headers->payload < options_.loss_from) return false;
  }
  return rng_.chance(options_.loss);
}

/// For the rate's queue to take a frame.
bool Impairment::has_room(std::uint64_t bytes, Instant now) {
  while (departed_ < departures_.size() && departures_[departed_] <= now) ++departed_;
  if (departures_.size() - departed_ >= options_.queue) return false;
  if (departed_ > departures_.size() / 2) {
    departures_.erase(departures_.begin(), departures_.begin() + static_cast<std::ptrdiff_t>(departed_));
    departed_ = 0;
  }
  if (options_.queue_bytes == 0 || departed_ == departures_.size()) return true;
  const Duration waiting = departures_.back() - now;
  return waiting + transmitter_.time_for(bytes) <= transmitter_.time_for(options_.queue_bytes);
}

void Impairment::pass(PacketPtr frame, Instant now) {
  if (rng_.chance(options_.corrupt)) corrupt(frame);
  const bool hold_back = rng_.chance(options_.reorder);
  const double jitter = options_.jitter > Duration::zero() ? rng_.unit() : 0;
  if (!frame) return;
  Instant left = now;
  if (options_.rate != 0) {
    const std::uint64_t bytes = pipe_wire_bytes(*frame);
    if (!has_room(bytes, now)) {
      counters_.add(ImpairmentCounter::kQueueFull);
      return;
    }
    left = transmitter_.send(bytes, now);
    departures_.push_back(left);
  }
  if (wire_.size() + held_.size() >= kMaxUnderWay) {
    counters_.add(ImpairmentCounter::kQueueFull);
    return;
  }
  Instant arrival = left + options_.delay + part_of(options_.jitter, jitter);
  if (options_.spread > Duration::zero()) {
    arrival = std::max(arrival + part_of(options_.spread, rng_.unit()), last_spread_);
    last_spread_ = arrival;
  }
  if (hold_back) {
    counters_.add(ImpairmentCounter::kReordered);
    held_.push_back({arrival + options_.hold, options_.gap, std::move(frame)});
    return;
  }
  put_on_wire(std::move(frame), arrival);
  let_go_overtaken(arrival);
}

void Impairment::corrupt(PacketPtr& frame) {
  if (frame->length() <= kEthernetHeader) return;
  // The payload may be shared with a sender's queue: the bit is turned in a copy.
  frame = copy_of(*frame);
  if (!frame) {
    counters_.add(ImpairmentCounter::kNoMemory);
    return;
  }
  const std::uint32_t bit = rng_.below((frame->length() - kEthernetHeader) * 8);
  std::uint8_t& byte = frame->data()[kEthernetHeader + bit / 8];
  byte = static_cast<std::uint8_t>(byte ^ (1u << (bit % 8)));
  counters_.add(ImpairmentCounter::kCorrupted);
}

void Impairment::put_on_wire(PacketPtr frame, Instant arrival) {
  wire_.push_back({arrival, sequence_++, std::move(frame)});
  std::push_heap(wire_.begin(), wire_.end(), later);
}

/// A frame that arrives then has passed those held back.
void Impairment::let_go_overtaken(Instant arrival) {
  for (HeldBack& held : held_) {
    if (held.gap > 1) {
      --held.gap;
    } else {
      put_on_wire(std::move(held.frame), arrival);
    }
  }
  std::erase_if(held_, [](const HeldBack& held) { return held.frame == nullptr; });
}

void Impairment::let_go_expired(Instant now) {
  for (HeldBack& held : held_) {
    if (held.until <= now) put_on_wire(std::move(held.frame), held.until);
  }
  std::erase_if(held_, [](const HeldBack& held) { return held.frame == nullptr; });
}

std::size_t Impairment::release(PacketQueue& out, std::size_t budget, Instant now) {
  if (!held_.empty()) let_go_expired(now);
  std::size_t released = 0;
  for (; released < budget && !wire_.empty() && wire_.front().arrival <= now; ++released) {
    std::pop_heap(wire_.begin(), wire_.end(), later);
    out.push_back(std::move(wire_.back().frame));
    wire_.pop_back();
  }
  return released;
}

Instant Impairment::next() const {
  Instant next = wire_.empty() ? kNever : wire_.front().arrival;
  for (const HeldBack& held : held_) next = std::min(next, held.until);
  return next;
}

}  // namespace millrace::drivers
