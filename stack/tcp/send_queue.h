#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <span>

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
/// Segments refer to slices of the chunks, so neither sending nor sending again copies. The storage that the
/// chunks hold is charged against the context's budget.
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
                     MemoryLender* lender = nullptr);
  /// Forgets the first n bytes. Precondition: n <= bytes().
  void drop_front(std::uint32_t n);
  /// Appends bytes [offset, offset + length) to `packet` as fragments; returns how many fitted.
  /// Precondition: offset + length <= bytes().
  std::uint32_t slice(std::uint32_t offset, std::uint32_t length, Packet& packet) const {
    assert(offset + length <= bytes_);
    if (count_ != 1) return slice_of_many(offset, length, packet);
    const Chunk& chunk = at(0);
    return packet.append_fragment(chunk.buffer, chunk.begin + offset, length) ? length : 0;
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
    if (count_ != 0) prefetch(at(0).buffer->bytes(), kSmallPayload);
  }

 private:
  static constexpr std::size_t kSmallPayload = 128;
  struct Chunk {
    BufferRef buffer;
    std::uint32_t begin = 0, end = 0;  ///< of the buffer's bytes
    std::uint32_t position = 0;        ///< of `begin`, counted since the start of the queue's life (wraps)
  };
  [[nodiscard]] Chunk& at(std::uint32_t i) const { return ring_[(first_ + i) & (capacity_ - 1)]; }
  [[nodiscard]] bool add_chunk(std::size_t wanted);
  void push_chunk(BufferRef buffer);
  /// Shares the bytes in chunks as long as that is worth it; returns how many it took.
  std::size_t append_lent(const std::uint8_t* from, std::size_t left, MemoryLender& lender);
  void pop_chunk();
  std::uint32_t slice_of_many(std::uint32_t offset, std::uint32_t length, Packet& packet) const;
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
