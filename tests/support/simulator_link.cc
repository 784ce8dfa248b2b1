#include "support/simulator_link.h"

#include <algorithm>

namespace millrace::test {

Instant SimulatedLink::next_event(int end) const {
  const Direction& in = directions_[static_cast<std::size_t>(1 - end)];
  const Direction& out = directions_[static_cast<std::size_t>(end)];
  return std::min(in.in_flight.empty() ? kNever : in.in_flight.top().at, out.room_at);
}

bool SimulatedLink::arrived(int end, Instant now) const {
  const Direction& in = directions_[static_cast<std::size_t>(1 - end)];
  return !in.in_flight.empty() && in.in_flight.top().at <= now;
}

void SimulatedLink::put(Direction& direction, std::size_t index, Frame frame) {
  const LinkModel& model = models_[index];
  if (rng_.chance(model.corrupt) && !frame.bytes.empty() && frame.offload.gso_size == 0 &&
      !frame.offload.needs_checksum && frame.offload.rx_checksum == Offload::RxChecksum::kUnknown) {
    ++stats_[index].corrupted;
    const std::uint32_t bit = rng_.below(static_cast<std::uint32_t>(frame.bytes.size()) * 8);
    frame.bytes[bit / 8] = static_cast<std::uint8_t>(frame.bytes[bit / 8] ^ (1u << (bit % 8)));
  }
  if (rng_.chance(model.reorder)) {
    ++stats_[index].reordered;
    const auto most =
        static_cast<std::uint32_t>(std::max<std::int64_t>(1, model.reorder_delay.count() / 1000));
    frame.at += std::chrono::microseconds(rng_.below(most));
  }
  frame.number = ++number_;
  direction.in_flight.push(std::move(frame));
}

bool SimulatedLink::send(int from, const Packet& packet, Instant now) {
  const auto index = static_cast<std::size_t>(from);
  const LinkModel& model = models_[index];
  Direction& direction = directions_[index];
  Duration serialization{0};
  if (model.bits_per_second != 0) {
    serialization = Duration{static_cast<std::int64_t>(std::uint64_t{packet.length()} * 8 * 1'000'000'000 /
                                                       model.bits_per_second)};
    const Duration queued = std::max(direction.busy_until - now, Duration{0});
    const auto queued_bytes =
        static_cast<std::uint64_t>(queued.count()) * model.bits_per_second / 8 / 1'000'000'000;
    if (queued_bytes > model.queue_bytes) {
      if (model.backpressure) {
        direction.room_at = now + queued / 2;
        return false;
      }
      ++stats_[index].sent;
      ++stats_[index].overflowed;
      return true;
    }
  }
  ++stats_[index].sent;
  direction.busy_until = std::max(direction.busy_until, now) + serialization;
  if (rng_.chance(model.loss)) {
    ++stats_[index].lost;
    return true;
  }
  Frame frame;
  frame.bytes.resize(packet.length());
  packet.copy_out(0, frame.bytes);
  frame.offload = packet.offload;
  if (frame.offload.needs_checksum) {
    // The memory of one host: what is not summed yet arrives so.
    frame.offload.needs_checksum = false;
    frame.offload.rx_checksum = Offload::RxChecksum::kPartial;
  }
  frame.at = direction.busy_until + model.delay;
  if (rng_.chance(model.duplicate)) {
    ++stats_[index].duplicated;
    put(direction, index, frame);
  }
  put(direction, index, std::move(frame));
  return true;
}

SimulatedDevice::SimulatedDevice(SimulatedLink& link, int end, const DeviceCaps& caps, std::uint32_t mtu)
    : link_(link), end_(end), caps_(caps), mtu_(mtu) {}

std::size_t SimulatedDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  auto& in_flight = link_.towards(end_).in_flight;
  std::size_t received = 0;
  for (; received < budget && !in_flight.empty() && in_flight.top().at <= now; ++received) {
    const SimulatedLink::Frame& frame = in_flight.top();
    PacketPtr packet = pool.allocate(frame.bytes.size(), 0);
    if (packet == nullptr) {
      ++stats_.rx_no_memory;
    } else {
      std::copy(frame.bytes.begin(), frame.bytes.end(),
                packet->put(static_cast<std::uint32_t>(frame.bytes.size())));
      packet->offload = frame.offload;
      packet->timestamp = now;
      out.push_back(std::move(packet));
      ++link_.stats_[static_cast<std::size_t>(1 - end_)].delivered;
      if (observer_ != nullptr) observer_(observer_owner_, end_, frame.bytes, true, now);
    }
    in_flight.pop();
  }
  return received;
}

std::size_t SimulatedDevice::tx_burst(PacketQueue& packets, Instant now) {
  std::size_t taken = 0;
  full_ = false;
  link_.directions_[static_cast<std::size_t>(end_)].room_at = kNever;
  while (!packets.empty()) {
    if (!link_.send(end_, packets.front(), now)) {
      full_ = true;
      ++stats_.tx_full;
      break;
    }
    const PacketPtr packet = packets.pop_front();
    ++taken;
    if (observer_ != nullptr) {
      std::vector<std::uint8_t> bytes(std::min<std::uint32_t>(packet->length(), 128));
      packet->copy_out(0, bytes);
      observer_(observer_owner_, end_, bytes, false, now);
    }
  }
  return taken;
}

}  // namespace millrace::test
