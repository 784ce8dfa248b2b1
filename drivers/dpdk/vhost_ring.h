#pragma once

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
      const std::uint64_t offset =
          reinterpret_cast<std::uintptr_t>(first) - reinterpret_cast<std::uintptr_t>(region.here);
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
  class Ahead;

  VhostRing() = default;
  VhostRing(const VhostRing&) = delete;
  VhostRing& operator=(const VhostRing&) = delete;

  /// False: it does not lie whole in the peer's memory, or not as virtio has it, and is left alone.
  bool attach(Place place);
  /// When it returns nobody looks at the place any more.
  void detach();

  /// Buffers of the peer's that were looked ahead for.
  [[nodiscard]] std::uint64_t asked() const { return asked_; }

 private:
  Place place_;
  std::atomic<bool> attached_{false};
  std::atomic<bool> looking_{false};
  std::uint64_t asked_ = 0;
};

/// The buffers that the peer has made available, and that are not used yet, in their order. While it exists
/// the ring stays attached: for a burst, no longer.
class VhostRing::Ahead {
 public:
  /// Nothing of it need be mapped.
  struct Bytes {
    const std::uint8_t* first = nullptr;  ///< null: of memory that the peer has not told of
    std::uint32_t length = 0;
  };

  explicit Ahead(VhostRing& ring) : ring_(ring), looking_(ring.attached_.load(std::memory_order_relaxed)) {
    if (looking_) begin();
  }
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;
  ~Ahead() {
    if (looking_) ring_.looking_.store(false, std::memory_order_release);
  }

  [[nodiscard]] bool ended() const { return left_ == 0; }
  /// The next one, or its first part. Not once it has ended().
  Bytes take();

  /// Asks for what comes first of frames that wait to be read, so many at most.
  void ask_to_read(std::size_t frames);
  /// Asks for where the next frame will be written, of so many bytes.
  void ask_to_write(std::uint32_t bytes);

 private:
  static std::uint16_t load(const std::uint16_t& shared) {
    return __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
  }
  void begin();
  [[nodiscard]] const Descriptor& descriptor(std::uint16_t at) const {
    const std::uint32_t mask = ring_.place_.size - 1;
    return ring_.place_.descriptors[load(ring_.place_.available->ids[at & mask]) & mask];
  }

  VhostRing& ring_;
  bool looking_;
  std::uint16_t next_ = 0;  ///< as the ring's indices count
  std::uint32_t left_ = 0;
};

}  // namespace millrace::drivers::dpdk
