#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dpdk/fetch.h"

namespace millrace::drivers::dpdk {

/// The memory of a vhost port's peer, where librte_vhost has it mapped.
class PeerMemory {
 public:
  struct Region {
    std::uint64_t address = 0;  ///< as the peer's descriptors have it
    std::uint64_t size = 0;
    const std::uint8_t* here = nullptr;
  };

  void add(const Region& region) { regions_.push_back(region); }
  /// Null: the peer has told of no such memory.
  [[nodiscard]] const std::uint8_t* find(std::uint64_t address) const {
    for (const Region& region : regions_) {
      if (const std::uint64_t offset = address - region.address; offset < region.size)
        return region.here + offset;
    }
    return nullptr;
  }
  /// All of it is in one piece of that memory.
  [[nodiscard]] bool holds(const void* first, std::uint64_t bytes) const {
    for (const Region& region : regions_) {
      const std::uint64_t offset = static_cast<const std::uint8_t*>(first) - region.here;
      if (offset < region.size && region.size - offset >= bytes) return true;
    }
    return false;
  }

 private:
  std::vector<Region> regions_;
};

/// One of the peer's virtqueues (virtio 1.2, 2.7: a split one), which librte_vhost works on; here it is only
/// looked at, to ask for the frames' bytes ahead. The peer's core had them last, and librte_vhost would wait
/// for those of one frame after the other.
///
/// attach() and detach() are the vhost thread's, or of whoever knows that nobody bursts; the others are those
/// of the queue's user. What is in the rings and descriptors is the peer's: it is believed nothing.
class VhostRing {
 public:
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags, next;
  };
  struct Available {
    std::uint16_t flags;
    std::uint16_t index;  ///< counts all descriptors that were ever put here
    std::uint16_t ids[1];
  };
  struct Used {
    std::uint16_t flags;
    std::uint16_t index;
  };
  struct Place {
    const Descriptor* descriptors = nullptr;
    const Available* available = nullptr;
    const Used* used = nullptr;
    std::uint32_t size = 0;  ///< descriptors: a power of two
    PeerMemory memory;
  };

  VhostRing() = default;
  VhostRing(const VhostRing&) = delete;
  VhostRing& operator=(const VhostRing&) = delete;

  /// False: it does not lie whole in the peer's memory, or not as virtio has it, and is left alone.
  bool attach(Place place);
  /// When it returns nobody looks at the place any more.
  void detach();

  /// Asks for the first bytes of frames that wait to be read, so many at most.
  void ask_for_waiting(std::size_t frames) {
    if (attached_.load(std::memory_order_relaxed)) ask_to_read(frames);
  }
  /// Asks for where the next frames will be written, so many of so many bytes each.
  void ask_for_free(std::size_t frames, std::uint32_t bytes) {
    if (attached_.load(std::memory_order_relaxed)) ask_to_write(frames, bytes);
  }
  /// Frames for which was asked.
  [[nodiscard]] std::uint64_t asked() const { return asked_; }

  /// Calls `use(bytes, length)` for the next descriptors that the peer has made available, `most` at most and
  /// in their order; not for those of memory that it has not told of. Nothing of it need be mapped.
  template <typename Use>
  void for_available(std::size_t most, const Use& use) {
    const Look look(*this);
    if (!look) return;
    const std::uint32_t mask = place_.size - 1;
    const std::uint16_t first = load(place_.used->index);
    const std::size_t there = static_cast<std::uint16_t>(load(place_.available->index) - first);
    const std::size_t count = std::min<std::size_t>({most, there, place_.size});
    const auto descriptor = [&](std::size_t i) {
      return &place_.descriptors[load(place_.available->ids[(first + i) & mask]) & mask];
    };
    for (std::size_t i = 0; i < count; ++i) __builtin_prefetch(descriptor(i));
    for (std::size_t i = 0; i < count; ++i) {
      const Descriptor at = *descriptor(i);
      const std::uint8_t* const bytes = place_.memory.find(at.address);
      if (bytes == nullptr) continue;
      use(bytes, at.length);
      ++asked_;
    }
  }

 private:
  /// While it exists and is true, the ring stays attached.
  class Look {
   public:
    explicit Look(VhostRing& ring) : looking_(ring.looking_) {
      // In this order: who detaches looks here after it has taken attached_ away.
      looking_.store(true);
      attached_ = ring.attached_.load();
    }
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;
    ~Look() { looking_.store(false, std::memory_order_release); }
    [[nodiscard]] explicit operator bool() const { return attached_; }

   private:
    std::atomic<bool>& looking_;
    bool attached_ = false;
  };

  static std::uint16_t load(const std::uint16_t& shared) {
    return __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
  }
  void ask_to_read(std::size_t frames);
  void ask_to_write(std::size_t frames, std::uint32_t bytes);

  Place place_;
  std::atomic<bool> attached_{false};
  std::atomic<bool> looking_{false};
  std::uint64_t asked_ = 0;
};

}  // namespace millrace::drivers::dpdk
