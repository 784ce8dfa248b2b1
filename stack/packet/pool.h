#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/counters.h"
#include "base/slab_source.h"
#include "packet/packet.h"

namespace millrace {

/// Who asks for memory. Control traffic (ARP, SYN-ACK, ACK, RST, answers of the tools) may dip into a
/// reserve, so that a full pool never freezes the stack.
enum class Priority : std::uint8_t { kNormal, kControl };

enum class PoolCounter : std::uint8_t {
  kBufferRefused,  ///< an allocation at the limit
  kReserveUsed,    ///< a control allocation that lived off the reserve
  kSpillRefused,   ///< no fragment array left
  kPacketRefused,  ///< no Packet object left
  kCount,
};
[[nodiscard]] std::string_view name_of(PoolCounter counter);

/// All packet memory of one context: Buffers of a few size classes, Packet objects, spill arrays, each
/// recycled through LIFO free lists (the warmest first). Grows on demand up to its limit and never asks the
/// system for memory on a warm path; what it has grown to it keeps. Must outlive every Packet and Buffer
/// taken from it. Not thread-safe.
///
/// A pooled Buffer is one block, cut from a slab of many:
///
///      +---------------+------------------------------+
///      | Buffer object |  capacity bytes              |   both aligned to a cache line
///      +---------------+------------------------------+
class PacketPool {
 public:
  struct Limits {
    std::size_t bytes = std::size_t{256} << 20;  ///< storage of Buffers in use, kNormal
    std::size_t reserve = std::size_t{2} << 20;  ///< on top, kControl only
    std::size_t packets = std::size_t{1} << 20;  ///< Packet objects (about 200 bytes each)
    std::size_t spills = std::size_t{1} << 14;   ///< arrays for packets of many fragments (1 KiB each)
  };
  /// Capacities of the size classes: a header or small message, an MTU 1500 frame, a 9000 jumbo frame, a
  /// super-frame.
  static constexpr std::array<std::uint32_t, 4> kClassBytes{512, 2048, 10240, 69632};
  /// Room that packets made for output leave for the headers below TCP's payload.
  static constexpr std::uint32_t kHeadroom = 128;

  /// Slabs come from `memory`, where it has any; null: from the system.
  explicit PacketPool(const Limits& limits, SlabSource* memory = nullptr);
  PacketPool() : PacketPool(Limits{}) {}
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;
  ~PacketPool();

  /// What a Buffer of at least `capacity` bytes really has; 0 when no class is that large.
  [[nodiscard]] static constexpr std::uint32_t capacity_for(std::size_t capacity) {
    const std::size_t size_class = class_for(capacity);
    return size_class < kClassBytes.size() ? kClassBytes[size_class] : 0;
  }

  /// Storage of at least `capacity` bytes (at most the largest class). Empty at the limit.
  [[nodiscard]] BufferRef allocate_buffer(std::size_t capacity, Priority priority = Priority::kNormal);
  /// From now on Buffers are cut from slabs of a device, which must outlive the pool.
  void take_slabs_from(SlabSource& device);
  [[nodiscard]] bool takes_slabs() const { return device_ != nullptr; }
  /// A Buffer object around memory of somebody else; `release` is called with it when the last share goes,
  /// and must end with free_external(). Does not count against the limit.
  [[nodiscard]] BufferRef adopt(std::uint8_t* bytes, std::uint32_t capacity, Buffer::Release release,
                                void* owner);
  void free_external(Buffer* buffer);

  /// An empty packet with `headroom` bytes before and at least `room` bytes after its data().
  [[nodiscard]] PacketPtr allocate(std::size_t room, std::size_t headroom = kHeadroom,
                                   Priority priority = Priority::kNormal);
  /// A packet whose linear region is `buffer`, with data() at offset and `length` bytes. The rest of the
  /// Buffer is its headroom and tailroom, unless others hold shares in it: then there is none. Null: no
  /// Packet object; the share is dropped.
  [[nodiscard]] PacketPtr wrap(BufferRef buffer, std::uint32_t offset, std::uint32_t length);
  /// The same, with up to kHeadroom bytes before `offset` as headroom, which the packet alone may write to,
  /// though others hold shares: they must leave it alone until the packet is gone. No tailroom.
  [[nodiscard]] PacketPtr wrap_behind_headers(const BufferRef& buffer, std::uint32_t offset,
                                              std::uint32_t length);

  [[nodiscard]] std::size_t bytes_in_use() const { return bytes_in_use_; }
  [[nodiscard]] std::size_t packets_in_use() const { return packets_in_use_; }
  /// Pooled and adopted ones.
  [[nodiscard]] std::size_t buffers_in_use() const { return buffers_in_use_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }
  /// How many bytes kNormal may still take.
  [[nodiscard]] std::size_t available() const {
    return bytes_in_use_ < limits_.bytes ? limits_.bytes - bytes_in_use_ : 0;
  }
  /// Memory taken from the system so far.
  [[nodiscard]] std::size_t bytes_grown() const { return bytes_grown_; }
  /// False for a driver's memory.
  [[nodiscard]] static bool is_pooled(const Buffer& buffer) {
    return buffer.size_class_ != Buffer::kExternal;
  }
  [[nodiscard]] const CounterSet<PoolCounter>& counters() const { return counters_; }

 private:
  friend class Packet;
  friend struct PacketDeleter;
  struct Slab;
  struct SpillNode;
  /// The uncut end of the newest slab of one kind of block.
  struct Uncut {
    std::uint8_t* next = nullptr;
    std::size_t blocks = 0;
    bool in_device_memory = false;  ///< the newest slab is
  };

  /// The smallest class that holds `capacity`; the number of classes when none does.
  [[nodiscard]] static constexpr std::size_t class_for(std::size_t capacity) {
    std::size_t size_class = 0;
    while (size_class < kClassBytes.size() && kClassBytes[size_class] < capacity) ++size_class;
    return size_class;
  }
  /// What an allocation that finds no class, or all in use, comes to: counted.
  [[nodiscard]] bool may_exceed(std::size_t size_class, Priority priority);
  [[nodiscard]] Packet* take_packet();
  void give_packet(Packet* packet);
  [[nodiscard]] Fragment* take_spill();
  void give_spill(Fragment* spill);
  static void release_pooled(Buffer* buffer);
  [[nodiscard]] Buffer* grow_buffers(std::size_t size_class);
  [[nodiscard]] Packet* grow_packets();
  /// A block for the first time: off `uncut`, which gets a new slab when it is used up, from `device`,
  /// memory_ or the system: the first that is there and has some. Null: nobody has any.
  [[nodiscard]] void* cut(Uncut& uncut, std::size_t block_bytes, std::size_t blocks_per_slab,
                          SlabSource* device = nullptr);

  Limits limits_;
  std::size_t bytes_in_use_ = 0;
  std::size_t packets_in_use_ = 0;
  std::size_t buffers_in_use_ = 0;
  std::array<Buffer*, kClassBytes.size()> free_buffers_{};
  Packet* free_packets_ = nullptr;
  Buffer* free_external_ = nullptr;
  SpillNode* free_spills_ = nullptr;
  CounterSet<PoolCounter> counters_;

  std::array<Uncut, kClassBytes.size()> uncut_buffers_{};
  Uncut uncut_packets_, uncut_external_, uncut_spills_;
  std::size_t packets_made_ = 0;
  std::size_t spills_made_ = 0;
  std::size_t bytes_grown_ = 0;
  Slab* slabs_ = nullptr;
  SlabSource* memory_;
  SlabSource* device_ = nullptr;
};

// What each packet needs, where its callers see it.

inline BufferRef PacketPool::allocate_buffer(std::size_t capacity, Priority priority) {
  const std::size_t size_class = class_for(capacity);
  if (size_class == kClassBytes.size() || bytes_in_use_ + kClassBytes[size_class] > limits_.bytes)
      [[unlikely]] {
    if (!may_exceed(size_class, priority)) return {};
  }
  Buffer* buffer = free_buffers_[size_class];
  if (buffer != nullptr) [[likely]] {
    free_buffers_[size_class] = buffer->next_free_;
  } else {
    buffer = grow_buffers(size_class);
    if (buffer == nullptr) return {};
  }
  bytes_in_use_ += kClassBytes[size_class];
  ++buffers_in_use_;
  return BufferRef{buffer};
}

inline void PacketPool::release_pooled(Buffer* buffer) {
  auto& pool = *static_cast<PacketPool*>(buffer->owner_);
  pool.bytes_in_use_ -= buffer->capacity_;
  --pool.buffers_in_use_;
  Buffer*& free = pool.free_buffers_[buffer->size_class_];
  buffer->next_free_ = free;
  free = buffer;
}

inline Packet* PacketPool::take_packet() {
  Packet* packet = free_packets_;
  if (packet != nullptr) [[likely]] {
    free_packets_ = packet->next_free_;
  } else {
    packet = grow_packets();
    if (packet == nullptr) return nullptr;
  }
  ++packets_in_use_;
  return packet;
}

inline void PacketPool::give_packet(Packet* packet) {
  packet->next_free_ = free_packets_;
  free_packets_ = packet;
  --packets_in_use_;
}

inline PacketPtr PacketPool::allocate(std::size_t room, std::size_t headroom, Priority priority) {
  BufferRef buffer = allocate_buffer(room + headroom, priority);
  if (!buffer) return nullptr;
  Packet* packet = take_packet();
  if (packet == nullptr) return nullptr;
  packet->data_ = packet->tail_ = static_cast<std::uint32_t>(headroom);
  packet->end_ = buffer->capacity();
  packet->storage_ = std::move(buffer);
  return PacketPtr{packet};
}

inline PacketPtr PacketPool::wrap_behind_headers(const BufferRef& buffer, std::uint32_t offset,
                                                 std::uint32_t length) {
  assert(buffer && offset <= buffer->capacity() && length <= buffer->capacity() - offset);
  Packet* packet = take_packet();
  if (packet == nullptr) return nullptr;
  packet->head_ = offset - std::min(offset, kHeadroom);
  packet->data_ = packet->own_end_ = offset;
  packet->tail_ = packet->end_ = offset + length;
  packet->storage_ = buffer;
  return PacketPtr{packet};
}

}  // namespace millrace
