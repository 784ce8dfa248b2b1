#include "tcp/receive_queue.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "tcp/payload.h"

namespace millrace::tcp {

bool ReceiveQueue::push(PacketPtr&& payload) {
  bytes_ += payload->length();
  if (packets_.empty()) {
    charge_first(*payload);
  } else if (coalesce(packets_.back(), *payload)) {
    return true;
  } else {
    charge(*payload);
  }
  storage_ += payload->charge;
  packets_.push_back(std::move(payload));
  return false;
}

std::uint32_t ReceiveQueue::collapse() {
  const Collapsed result = tcp::collapse(packets_);
  storage_ = static_cast<std::uint32_t>(result.storage);
  return result.packets;
}

std::size_t ReceiveQueue::copy(std::span<const IoSlice> out, std::size_t offset, std::size_t limit) const {
  // Most of the time all lies in one piece, and goes into one.
  if (out.size() == 1 && !packets_.empty()) {
    const Packet& front = packets_.front();
    const std::size_t n = std::min(limit, out.front().size);
    if (offset + n <= front.linear_length()) {
      std::memcpy(out.front().data, front.data() + offset, n);
      copied_timestamp_ = front.timestamp;
      return n;
    }
  }
  std::size_t copied = 0;
  std::size_t slice = 0, slice_offset = 0;
  for (Packet& packet : packets_) {
    if (copied == limit || slice == out.size()) break;
    const std::uint32_t length = packet.length();
    if (offset >= length) {
      offset -= length;
      continue;
    }
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(length - offset, limit - copied));
    packet.for_each_piece(static_cast<std::uint32_t>(offset), n, [&](std::span<const std::uint8_t> piece) {
      while (!piece.empty() && slice != out.size()) {
        const std::size_t room = std::min(out[slice].size - slice_offset, piece.size());
        if (room != 0) std::memcpy(out[slice].data + slice_offset, piece.data(), room);
        piece = piece.subspan(room);
        copied += room;
        slice_offset += room;
        if (slice_offset == out[slice].size) {
          ++slice;
          slice_offset = 0;
        }
      }
    });
    copied_timestamp_ = packet.timestamp;
    offset = 0;
  }
  return copied;
}

std::size_t ReceiveQueue::lend(std::size_t limit, std::size_t pieces, Loan& loan) {
  std::size_t lent = 0;
  while (lent != limit && !packets_.empty()) {
    const Packet& front = packets_.front();
    const std::uint32_t length = front.length();
    const auto n = static_cast<std::uint32_t>(
        std::min<std::size_t>({length, limit - lent, front.length_of_pieces(pieces)}));
    if (n == 0) break;
    PacketPtr packet = packets_.pop_front();
    if (n < length) {
      PacketPtr rest = packet->split(n);
      if (!rest) {
        packets_.push_front(std::move(packet));
        break;
      }
      rest->charge = packet->charge;  // both keep the storage
      packets_.push_front(std::move(rest));
    } else {
      storage_ -= packet->charge;
    }
    copied_timestamp_ = packet->timestamp;
    pieces -= packet->piece_count();
    lent += n;
    loan.storage += packet->charge;
    loan.packets.push_back(std::move(packet));
  }
  bytes_ -= static_cast<std::uint32_t>(lent);
  return lent;
}

void ReceiveQueue::drop_front(std::size_t n) {
  assert(n <= bytes_);
  bytes_ -= static_cast<std::uint32_t>(n);
  while (n != 0) {
    Packet& packet = packets_.front();
    const std::uint32_t length = packet.length();
    if (n < length) {
      packet.pull(static_cast<std::uint32_t>(n));
      return;
    }
    n -= length;
    storage_ -= packet.charge;
    packets_.pop_front().reset();
  }
}

void ReceiveQueue::clear() {
  packets_.clear();
  bytes_ = 0;
  storage_ = 0;
}

}  // namespace millrace::tcp
