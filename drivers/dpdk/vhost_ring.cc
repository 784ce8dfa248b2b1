#include "dpdk/vhost_ring.h"

#include <bit>
#include <thread>
#include <utility>

namespace millrace::drivers::dpdk {
namespace {

/// So much of each frame: headers, and all of a small one.
constexpr std::uint32_t kFirstBytes = 192;
/// What stands in front of each (virtio 1.2, 5.1.6).
constexpr std::uint32_t kVirtioHeader = 12;
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

void VhostRing::ask_to_read(std::size_t frames) {
  for_available(frames, [](const std::uint8_t* bytes, std::uint32_t length) {
    fetch_to_read(bytes, std::min(length, kFirstBytes));
  });
}

void VhostRing::ask_to_write(std::size_t frames, std::uint32_t bytes) {
  const std::uint32_t wanted = kVirtioHeader + std::min(bytes, kFirstBytes);
  for_available(frames, [wanted](const std::uint8_t* at, std::uint32_t length) {
    fetch_to_write(at, std::min(length, wanted));
  });
}

}  // namespace millrace::drivers::dpdk
