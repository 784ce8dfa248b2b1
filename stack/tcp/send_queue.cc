#include "tcp/send_queue.h"

#include <algorithm>
#include <cassert>

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kFirstChunks = 4;
constexpr std::uint32_t kLargestChunk = PacketPool::kClassBytes.back();
constexpr std::uint32_t kScarceChunk = PacketPool::kClassBytes[2];
/// Below this a copy costs less than a piece more in every packet. What is lent comes back in chunks.
constexpr std::uint32_t kWorthLending = 4096, kLentChunk = 65536;

}  // namespace

std::uint32_t SendQueue::tail_room() const {
  if (count_ == 0) return 0;
  const Chunk& last = at(count_ - 1);
  return PacketPool::is_pooled(*last.buffer) ? last.buffer->capacity() - last.end : 0;
}

std::size_t SendQueue::append_each(std::span<const ConstIoSlice> data, std::size_t skip, std::size_t most,
                                   MemoryLender* lender) {
  std::size_t taken = 0;
  for (const ConstIoSlice& slice : data) {
    if (skip >= slice.size) {
      skip -= slice.size;
      continue;
    }
    const std::uint8_t* from = slice.data + skip;
    std::size_t left = std::min(slice.size - skip, most - taken);
    skip = 0;
    if (lender != nullptr) {
      const std::size_t lent = append_lent(from, left, *lender);
      from += lent;
      left -= lent;
      taken += lent;
    }
    while (left != 0) {
      if (tail_room() == 0 && !add_chunk(most - taken)) return taken;
      const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(left, tail_room()));
      fill_last(from, n);
      from += n;
      left -= n;
      taken += n;
    }
  }
  return taken;
}

bool SendQueue::add_chunk(std::size_t wanted) {
  // A writer of small pieces that are not acknowledged at once gets larger chunks as its queue grows; but
  // none of the largest while memory is scarce, of which it could not use much.
  const std::uint32_t largest = budget_.under_pressure() ? kScarceChunk : kLargestChunk;
  const std::size_t bytes = std::clamp<std::size_t>(std::max<std::size_t>(wanted, bytes_), 1, largest);
  const std::uint32_t size = PacketPool::capacity_for(bytes);
  BufferRef buffer = pool_.allocate_buffer(size);
  if (!buffer && size > PacketPool::kClassBytes[1])
    buffer = pool_.allocate_buffer(PacketPool::kClassBytes[1]);
  // Headers get no larger Buffer than the bytes need.
  const bool room_in_front = buffer && bytes + PacketPool::kHeadroom <= buffer->capacity();
  return add_charged(std::move(buffer), room_in_front ? PacketPool::kHeadroom : 0);
}

std::size_t SendQueue::append_lent(const std::uint8_t* from, std::size_t left, MemoryLender& lender) {
  std::size_t taken = 0;
  while (left - taken >= kWorthLending) {
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(left - taken, kLentChunk));
    BufferRef buffer = lender.lend(from + taken, n);
    if (!buffer) break;
    push_chunk(std::move(buffer), 0);
    at(count_ - 1).end = n;
    bytes_ += n;
    taken += n;
  }
  return taken;
}

void SendQueue::grow() {
  const std::uint32_t capacity = std::max(capacity_ * 2, kFirstChunks);
  auto ring = std::make_unique<Chunk[]>(capacity);
  for (std::uint32_t i = 0; i < count_; ++i) ring[i] = std::move(at(i));
  grown_ = std::move(ring);
  ring_ = grown_.get();
  capacity_ = capacity;
  first_ = 0;
}

void SendQueue::drop_chunks(std::uint32_t n) {
  while (n != 0) {
    Chunk& chunk = at(0);
    const std::uint32_t length = chunk.end - chunk.begin;
    if (n < length) {
      chunk.begin += n;
      chunk.position += n;
      return;
    }
    n -= length;
    pop_chunk();
  }
}

PacketPtr SendQueue::slice_of_many(std::uint32_t offset, std::uint32_t& length) const {
  // The last chunk that starts at or before the offset.
  std::uint32_t low = 0, high = count_;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (at(middle).position - front_position_ <= offset) {
      low = middle;
    } else {
      high = middle;
    }
  }
  PacketPtr packet;
  std::uint32_t done = 0, i = low;
  if (length != 0 && at(low).position - front_position_ == offset && has_front(at(low))) {
    const Chunk& chunk = at(i++);
    done = std::min(length, chunk.end - chunk.begin);
    packet = pool_.wrap_behind_headers(chunk.buffer, chunk.begin, done);
  } else {
    packet = pool_.allocate(0, PacketPool::kHeadroom, Priority::kControl);
  }
  if (packet == nullptr) return packet;
  for (; i < count_ && done < length; ++i) {
    const Chunk& chunk = at(i);
    const std::uint32_t start = offset + done - (chunk.position - front_position_);
    const std::uint32_t n = std::min(length - done, chunk.end - chunk.begin - start);
    if (!packet->append_fragment(chunk.buffer, chunk.begin + start, n)) break;
    done += n;
  }
  if (done == 0 && length != 0) packet.reset();
  length = done;
  return packet;
}

void SendQueue::clear() {
  front_position_ += bytes_;
  bytes_ = 0;
  while (count_ != 0) pop_chunk();
}

}  // namespace millrace::tcp
