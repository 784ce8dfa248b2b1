#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "packet/pool.h"
#include "socket/socket.h"

namespace millrace::tcp {

/// Bytes in order that the application has not read: payload packets, as they came.
class ReceiveQueue {
 public:
  /// Takes the payload over. Small payloads are copied behind the last one where there is room, and packets
  /// that hold much more storage than payload are compacted, so that storage stays near the payload; but for
  /// the first one, while few packets are in use. Returns true when it coalesced.
  bool push(PacketPtr&& payload);
  /// Copies what wastes storage together; returns how many packets that spared.
  std::uint32_t collapse();
  /// Copies out from `offset` on; returns how much.
  std::size_t copy(std::span<const IoSlice> out, std::size_t offset, std::size_t limit) const;
  /// Copies all there is, and forgets it, when it lies in one piece: returns how much, else 0.
  [[nodiscard]] std::size_t take_whole(IoSlice out) {
    if (packets_.empty()) return 0;
    const Packet& only = packets_.front();
    const std::uint32_t n = only.linear_length();
    if (n != bytes_ || n > out.size) return 0;
    std::memcpy(out.data, only.data(), n);
    bytes_ = 0;
    storage_ -= only.charge;
    packets_.pop_front().reset();
    return n;
  }
  /// Gives out the first `limit` bytes as they lie, in `pieces` pieces at most; returns how much. Less than
  /// all: no piece is left, or no memory to cut a packet.
  std::size_t lend(std::size_t limit, std::size_t pieces, Loan& loan);
  /// When the last byte copied or lent arrived.
  [[nodiscard]] Instant copied_timestamp() const { return copied_timestamp_; }
  void drop_front(std::size_t n);
  void clear();

  [[nodiscard]] std::uint32_t bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  /// Storage that the packets hold; of one read in part all that it came with.
  [[nodiscard]] std::size_t storage() const { return storage_; }

 private:
  mutable PacketQueue packets_;
  mutable Instant copied_timestamp_{};
  std::uint32_t bytes_ = 0;
  std::uint32_t storage_ = 0;
};

}  // namespace millrace::tcp
