#pragma once

#include <cassert>
#include <cstdint>
#include <utility>

namespace millrace {

class PacketPool;

/// Reference-counted storage of bytes: memory of our pool, or a driver's (a umem frame, an mbuf). Who drops
/// the last reference calls `release`, which gives the memory back to where it came from. Counts are not
/// atomic: a Buffer never leaves its context.
class Buffer {
 public:
  using Release = void (*)(Buffer* buffer);

  Buffer(std::uint8_t* bytes, std::uint32_t capacity, Release release, void* owner)
      : bytes_(bytes), capacity_(capacity), release_(release), owner_(owner) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  [[nodiscard]] std::uint8_t* bytes() const { return bytes_; }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  [[nodiscard]] std::uint32_t references() const { return references_; }
  /// Whatever the one who made it wants to know in `release`: a pool, a ring, an mbuf.
  [[nodiscard]] void* owner() const { return owner_; }
  /// The bytes lie in memory that came from the device (see SlabSource), which can send from there.
  [[nodiscard]] bool in_device_memory() const { return in_device_memory_; }

 private:
  friend class BufferRef;
  friend class PacketPool;
  std::uint8_t* bytes_;
  std::uint32_t capacity_;
  std::uint32_t references_ = 0;
  Release release_;
  void* owner_;
  static constexpr std::uint8_t kExternal = 0xff;
  Buffer* next_free_ = nullptr;          ///< pool's free list
  std::uint8_t size_class_ = kExternal;  ///< pool's own
  bool in_device_memory_ = false;        ///< cut from a slab of the device's
};

/// One share in a Buffer.
class BufferRef {
 public:
  BufferRef() = default;
  explicit BufferRef(Buffer* buffer) : buffer_(buffer) {
    if (buffer_ != nullptr) ++buffer_->references_;
  }
  BufferRef(const BufferRef& other) : BufferRef(other.buffer_) {}
  BufferRef(BufferRef&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef() { reset(); }

  void reset() {
    Buffer* buffer = std::exchange(buffer_, nullptr);
    if (buffer != nullptr && --buffer->references_ == 0) buffer->release_(buffer);
  }
  [[nodiscard]] Buffer* get() const { return buffer_; }
  Buffer* operator->() const { return buffer_; }
  Buffer& operator*() const { return *buffer_; }
  explicit operator bool() const { return buffer_ != nullptr; }
  /// True when nobody else holds a share: the bytes may be written.
  [[nodiscard]] bool unique() const { return buffer_ != nullptr && buffer_->references_ == 1; }

 private:
  Buffer* buffer_ = nullptr;
};

}  // namespace millrace
