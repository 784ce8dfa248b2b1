#include "dpdk/vhost_ring.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <thread>
#include <utility>

namespace millrace::drivers::dpdk {
namespace {

/// What stands in front of each (virtio 1.2, 5.1.6).
constexpr std::uint32_t kVirtioHeader = 12;
/// Of their descriptors, which lie anywhere.
constexpr std::uint32_t kDescriptorsAhead = 16;
/// The largest (virtio 1.2, 2.7).
constexpr std::uint32_t kMostDescriptors = 32768;

template <typename Part>
bool is_at(const VhostRing::Place& place, const Part* part, std::uint64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(part) % alignof(Part) == 0 && place.memory.holds(part, bytes);
}

/// All that is looked at. A peer may have moved the rings, or enlarged them, since librte_vhost looked.
bool can_be_looked_at(const VhostRing::Place& place) {
  if (!std::has_single_bit(place.size) || place.size > kMostDescriptors) return false;
  return is_at(place, place.descriptors, sizeof(VhostRing::Descriptor) * place.size) &&
         is_at(place, place.available, offsetof(VhostRing::Available, ids) + 2 * place.size) &&
         is_at(place, place.used, sizeof(VhostRing::Used));
}

}  // namespace

bool VhostRing::attach(Place place) {
  detach();
  if (!can_be_looked_at(place)) return false;
  place_ = std::move(place);
  attached_.store(true);
  return true;
}

void VhostRing::detach() {
  attached_.store(false);
  while (looking_.load()) std::this_thread::yield();
}

void VhostRing::Ahead::begin() {
  // In this order: who detaches looks here after it has taken attached_ away.
  ring_.looking_.store(true);
  if (!ring_.attached_.load()) return;
  const Place& place = ring_.place_;
  next_ = load(place.used->index);
  const std::uint16_t there = load(place.available->index) - next_;
  left_ = std::min<std::uint32_t>(there, place.size);
  for (std::uint16_t i = 0; i < std::min(left_, kDescriptorsAhead); ++i)
    __builtin_prefetch(&descriptor(next_ + i));
}

VhostRing::Ahead::Bytes VhostRing::Ahead::take() {
  if (left_ > kDescriptorsAhead) __builtin_prefetch(&descriptor(next_ + kDescriptorsAhead));
  const Descriptor at = descriptor(next_++);
  --left_;
  const std::uint8_t* const first = ring_.place_.memory.find(at.address);
  if (first == nullptr) return {};
  ++ring_.asked_;
  return {first, at.length};
}

void VhostRing::Ahead::ask_to_read(std::size_t frames) {
  for (; frames != 0 && !ended(); --frames) {
    const Bytes at = take();
    fetch_to_read(at.first, std::min(at.length, kFirstBytes));
  }
}

void VhostRing::Ahead::ask_to_write(std::uint32_t bytes) {
  for (std::uint64_t rest = std::uint64_t{bytes} + kVirtioHeader; rest != 0 && !ended();) {
    const Bytes at = take();
    const auto part = static_cast<std::uint32_t>(std::min<std::uint64_t>(rest, at.length));
    if (part == 0) break;
    fetch_to_write(at.first, part);
    rest -= part;
  }
}

}  // namespace millrace::drivers::dpdk
