#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "base/prefetch.h"
#include "packet/pool.h"
#include "socket/socket.h"
#include "tcp/memory_budget.h"

namespace millrace::tcp {

/// The bytes that the application sent and the peer has not acknowledged, in shared Buffers:
///
///      front (snd_una)                                end (write_seq)
///        |                                              |
///        v                                              v
///     +--------+ +------------------+ +-----------+- - - - -+
///     | chunk  | | chunk            | | chunk     | room    |
///     +--------+ +------------------+ +-----------+- - - - -+
///
/// Segments refer to slices of the chunks, so neither sending nor sending again copies. In front of a chunk
/// whose Buffer has it there is room for the headers of the segment that begins with it: a small request or
/// answer is one piece of one Buffer. The storage that the chunks hold is charged against the context's
/// budget.
class SendQueue {
 public:
  SendQueue(PacketPool& pool, MemoryBudget& budget) : pool_(pool), budget_(budget) {}
  SendQueue(const SendQueue&) = delete;
  SendQueue& operator=(const SendQueue&) = delete;
  ~SendQueue() { clear(); }

  /// Copies at most `most` bytes from the slices, after skipping `skip` bytes of them, until memory runs out.
  /// Returns how many it took. With a lender, large pieces are shared instead: they are not charged, being
  /// the program's memory.
  std::size_t append(std::span<const ConstIoSlice> data, std::size_t skip, std::size_t most,
                     MemoryLender* lender = nullptr) {
    // The common case: a small piece, and nothing waits.
    if (count_ == 0 && data.size() == 1 && skip == 0 && most <= kSmall && lender == nullptr) {
      const std::size_t n = std::min(data.front().size, most);
      return append_only({data.front().data, n}) ? n : 0;
    }
    return append_each(data, skip, most, lender);
  }
  /// The same of a small piece, whole, when nothing else is queued. False: it took none of it.
  [[nodiscard]] bool append_only(ConstIoSlice data) {
    if (count_ != 0 || data.size == 0 || data.size > kSmall) return false;
    if (!add_charged(pool_.allocate_buffer(PacketPool::kClassBytes.front()), PacketPool::kHeadroom))
      return false;
    fill_last(data.data, static_cast<std::uint32_t>(data.size));
    return true;
  }
  /// Forgets the first n bytes. Precondition: n <= bytes().
  void drop_front(std::uint32_t n) {
    assert(n <= bytes_);
    bytes_ -= n;
    front_position_ += n;
    if (count_ == 1 && bytes_ == 0) {
      pop_chunk();
    } else {
      drop_chunks(n);
    }
  }
  /// A packet with bytes [offset, offset + length) and room for headers in front. Fewer where it cannot hold
  /// as many pieces: `length` says how many. Null: no memory. Precondition: offset + length <= bytes().
  [[nodiscard]] PacketPtr slice(std::uint32_t offset, std::uint32_t& length) const {
    assert(offset + length <= bytes_);
    if (count_ == 1 && offset == 0 && length != 0 && has_front(at(0)))
      return pool_.wrap_behind_headers(at(0).buffer, at(0).begin, length);
    return slice_of_many(offset, length);
  }
  void clear();

  [[nodiscard]] std::uint32_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t storage() const { return storage_; }
  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  /// Room left in the last chunk: can be filled whatever the limits say.
  [[nodiscard]] std::uint32_t tail_room() const;

  /// An ACK will come (see Lookahead), which lets go of the first buffer; and into its bytes what is sent
  /// next is likely to be copied.
  void prefetch_front() const {
    if (count_ != 0) prefetch(at(0).buffer.get());
  }
  void prefetch_payload() const {
    if (count_ != 0) prefetch(at(0).buffer->bytes() + PacketPool::kHeadroom / 2, kSmallFrame);
  }

 private:
  static constexpr std::size_t kSmallFrame = 128;
  /// A Buffer of the smallest class holds it, behind headers.
  static constexpr std::size_t kSmall = PacketPool::kClassBytes.front() - PacketPool::kHeadroom;
  static_assert(kSmall == Socket::kMostWhole);
  struct Chunk {
    BufferRef buffer;
    std::uint32_t begin = 0, end = 0;  ///< of the buffer's bytes
    std::uint32_t position = 0;        ///< of `begin`, counted since the start of the queue's life (wraps)
  };
  [[nodiscard]] Chunk& at(std::uint32_t i) const { return ring_[(first_ + i) & (capacity_ - 1)]; }
  [[nodiscard]] bool add_chunk(std::size_t wanted);
  /// A chunk in a Buffer of the pool's, if there is one and the budget has it.
  [[nodiscard]] bool add_charged(BufferRef&& buffer, std::uint32_t begin) {
    if (!buffer || !budget_.take(buffer->capacity())) return false;
    storage_ += buffer->capacity();
    push_chunk(std::move(buffer), begin);
    return true;
  }
  /// There is room in front of it, left free or acknowledged, and no segment on its way has its headers in
  /// it.
  [[nodiscard]] static bool has_front(const Chunk& chunk) {
    return chunk.begin >= PacketPool::kHeadroom && chunk.buffer.unique() &&
           PacketPool::is_pooled(*chunk.buffer);
  }
  /// Its first byte comes `begin` bytes into the Buffer.
  void push_chunk(BufferRef&& buffer, std::uint32_t begin) {
    if (count_ == capacity_) grow();
    Chunk& chunk = at(count_++);
    chunk.buffer = std::move(buffer);
    chunk.begin = chunk.end = begin;
    chunk.position = front_position_ + bytes_;
  }
  /// So many bytes at the end of the last chunk, which has room for them.
  void fill_last(const std::uint8_t* from, std::uint32_t n) {
    Chunk& last = at(count_ - 1);
    std::memcpy(last.buffer->bytes() + last.end, from, n);
    last.end += n;
    bytes_ += n;
  }
  std::size_t append_each(std::span<const ConstIoSlice> data, std::size_t skip, std::size_t most,
                          MemoryLender* lender);
  void drop_chunks(std::uint32_t n);
  /// Shares the bytes in chunks as long as that is worth it; returns how many it took.
  std::size_t append_lent(const std::uint8_t* from, std::size_t left, MemoryLender& lender);
  void pop_chunk() {
    Chunk& chunk = at(0);
    if (PacketPool::is_pooled(*chunk.buffer)) {
      storage_ -= chunk.buffer->capacity();
      budget_.give_back(chunk.buffer->capacity());
    }
    chunk.buffer.reset();
    first_ = (first_ + 1) & (capacity_ - 1);
    --count_;
  }
  [[nodiscard]] PacketPtr slice_of_many(std::uint32_t offset, std::uint32_t& length) const;
  void grow();

  PacketPool& pool_;
  MemoryBudget& budget_;
  Chunk only_chunk_;  ///< the ring of who never has more than one
  std::unique_ptr<Chunk[]> grown_;
  Chunk* ring_ = &only_chunk_;
  std::uint32_t capacity_ = 1, first_ = 0, count_ = 0;
  std::uint32_t bytes_ = 0;
  std::uint32_t front_position_ = 0;
  std::uint32_t storage_ = 0;
};

}  // namespace millrace::tcp
