#include "packet/pool.h"

#include <algorithm>
#include <cassert>
#include <new>

#include "base/object_slabs.h"

namespace millrace {

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kSlabBytes = ObjectSlabs::kSlabBytes;  // what large pages are given out by

constexpr std::size_t round_up(std::size_t n) {
  return (n + kCacheLine - 1) / kCacheLine * kCacheLine;
}
constexpr std::size_t per_slab(std::size_t block_bytes) {
  const std::size_t slab = block_bytes > kSlabBytes / 2 ? 2 * kSlabBytes : kSlabBytes;
  return (slab - kCacheLine) / block_bytes;
}

/// Where the bytes of a pooled Buffer begin, counted from the Buffer object.
constexpr std::size_t kBufferBytes = round_up(sizeof(Buffer));

}  // namespace

std::string_view name_of(PoolCounter counter) {
  switch (counter) {
    case PoolCounter::kBufferRefused:
      return "PoolBufferRefused";
    case PoolCounter::kReserveUsed:
      return "PoolReserveUsed";
    case PoolCounter::kSpillRefused:
      return "PoolSpillRefused";
    case PoolCounter::kPacketRefused:
      return "PoolPacketRefused";
    case PoolCounter::kCount:
      break;
  }
  return "";
}

/// In front of the blocks of each slab, so that the destructor finds them all.
struct PacketPool::Slab {
  Slab* next;
  SlabSource* source;  ///< null: the system
};

/// The array comes first: a pointer to its first element is one to the node.
struct PacketPool::SpillNode {
  std::array<Fragment, Packet::kMaxFragments> fragments;
  SpillNode* next = nullptr;
};

PacketPool::PacketPool(const Limits& limits, SlabSource* memory) : limits_(limits), memory_(memory) {
  for (const std::uint32_t bytes : kClassBytes) {
    assert(bytes % kCacheLine == 0);
    (void)bytes;
  }
}

PacketPool::~PacketPool() {
  assert(packets_in_use_ == 0 && buffers_in_use_ == 0);
  // What lies in the slabs owns nothing while it is free, so no destructor needs to run.
  while (slabs_ != nullptr) {
    Slab* next = slabs_->next;
    if (slabs_->source != nullptr) {
      slabs_->source->give_slab(slabs_);
    } else {
      ::operator delete (slabs_, std::align_val_t{kCacheLine});
    }
    slabs_ = next;
  }
}

void PacketPool::take_slabs_from(SlabSource& device) {
  device_ = &device;
  for (Uncut& uncut : uncut_buffers_) uncut = Uncut{};
}

void* PacketPool::cut(Uncut& uncut, std::size_t block_bytes, std::size_t blocks_per_slab,
                      SlabSource* device) {
  if (uncut.blocks == 0) {
    const std::size_t slab_bytes = kCacheLine + block_bytes * blocks_per_slab;
    void* memory = nullptr;
    SlabSource* source = nullptr;
    for (SlabSource* candidate : {device, memory_}) {
      if (memory != nullptr || candidate == nullptr) continue;
      source = candidate;
      memory = candidate->take_slab(slab_bytes);
    }
    if (memory == nullptr) {
      source = nullptr;
      memory = ::operator new (slab_bytes, std::align_val_t{kCacheLine}, std::nothrow);
    }
    if (memory == nullptr) return nullptr;
    slabs_ = new (memory) Slab{slabs_, source};
    bytes_grown_ += slab_bytes;
    uncut = Uncut{static_cast<std::uint8_t*>(memory) + kCacheLine, blocks_per_slab,
                  source != nullptr && source == device};
  }
  --uncut.blocks;
  void* block = uncut.next;
  uncut.next += block_bytes;
  return block;
}

// --- buffers

bool PacketPool::may_exceed(std::size_t size_class, Priority priority) {
  if (size_class == kClassBytes.size() || priority != Priority::kControl ||
      bytes_in_use_ + kClassBytes[size_class] > limits_.bytes + limits_.reserve) {
    counters_.add(PoolCounter::kBufferRefused);
    return false;
  }
  counters_.add(PoolCounter::kReserveUsed);
  return true;
}

Buffer* PacketPool::grow_buffers(std::size_t size_class) {
  const std::uint32_t capacity = kClassBytes[size_class];
  const std::size_t block_bytes = kBufferBytes + capacity;
  Uncut& uncut = uncut_buffers_[size_class];
  void* block = cut(uncut, block_bytes, per_slab(block_bytes), device_);
  if (block == nullptr) {
    counters_.add(PoolCounter::kBufferRefused);
    return nullptr;
  }
  auto* buffer =
      new (block) Buffer{static_cast<std::uint8_t*>(block) + kBufferBytes, capacity, &release_pooled, this};
  buffer->size_class_ = static_cast<std::uint8_t>(size_class);
  buffer->in_device_memory_ = uncut.in_device_memory;
  return buffer;
}

BufferRef PacketPool::adopt(std::uint8_t* bytes, std::uint32_t capacity, Buffer::Release release,
                            void* owner) {
  assert(release != nullptr);
  void* place = free_external_;
  if (place != nullptr) {
    free_external_ = free_external_->next_free_;
  } else {
    place = cut(uncut_external_, kBufferBytes, per_slab(kBufferBytes));
    if (place == nullptr) {
      counters_.add(PoolCounter::kBufferRefused);
      return {};
    }
  }
  ++buffers_in_use_;
  return BufferRef{new (place) Buffer{bytes, capacity, release, owner}};
}

void PacketPool::free_external(Buffer* buffer) {
  assert(buffer->references_ == 0 && !is_pooled(*buffer));
  --buffers_in_use_;
  buffer->next_free_ = free_external_;
  free_external_ = buffer;
}

// --- packets

Packet* PacketPool::grow_packets() {
  constexpr std::size_t kBlock = round_up(sizeof(Packet));
  static_assert(kBlock <= 3 * kCacheLine);
  void* block = packets_made_ < limits_.packets ? cut(uncut_packets_, kBlock, per_slab(kBlock)) : nullptr;
  if (block == nullptr) {
    counters_.add(PoolCounter::kPacketRefused);
    return nullptr;
  }
  ++packets_made_;
  return new (block) Packet{*this};
}

void PacketDeleter::operator()(Packet* packet) const {
  packet->clear();
  packet->pool_->give_packet(packet);
}

PacketPtr PacketPool::wrap(BufferRef buffer, std::uint32_t offset, std::uint32_t length) {
  assert(buffer && offset <= buffer->capacity() && length <= buffer->capacity() - offset);
  Packet* packet = take_packet();
  if (packet == nullptr) return nullptr;
  packet->data_ = offset;
  packet->tail_ = offset + length;
  // Other holders may have their bytes on either side.
  const bool alone = buffer.unique();
  packet->head_ = alone ? 0 : packet->data_;
  packet->end_ = alone ? buffer->capacity() : packet->tail_;
  packet->storage_ = std::move(buffer);
  return PacketPtr{packet};
}

// --- spill arrays

Fragment* PacketPool::take_spill() {
  SpillNode* node = free_spills_;
  if (node != nullptr) {
    free_spills_ = node->next;
    return node->fragments.data();
  }
  constexpr std::size_t kBlock = round_up(sizeof(SpillNode));
  void* block = spills_made_ < limits_.spills ? cut(uncut_spills_, kBlock, per_slab(kBlock)) : nullptr;
  if (block == nullptr) {
    counters_.add(PoolCounter::kSpillRefused);
    return nullptr;
  }
  ++spills_made_;
  return (new (block) SpillNode)->fragments.data();
}

void PacketPool::give_spill(Fragment* spill) {
  auto* node = reinterpret_cast<SpillNode*>(spill);
  node->next = free_spills_;
  free_spills_ = node;
}

}  // namespace millrace
