#include "dpdk/vhost_ring.h"

#include <thread>
#include <utility>

namespace millrace::drivers::dpdk {
namespace {

/// So much of each frame: headers, and all of a small one.
constexpr std::uint32_t kFirstBytes = 192;
/// What stands in front of each (virtio 1.2, 5.1.6).
constexpr std::uint32_t kVirtioHeader = 12;

}  // namespace

void VhostRing::attach(Place place) {
  detach();
  place_ = std::move(place);
  attached_.store(true);
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
