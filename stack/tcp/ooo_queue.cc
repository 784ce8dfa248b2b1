#include "tcp/ooo_queue.h"

#include <algorithm>
#include <array>
#include <span>

namespace millrace::tcp {

std::uint32_t OutOfOrderQueue::insert(SeqNum seq, PacketPtr payload) {
  ++clock_;
  SeqNum end = seq + payload->length();
  // The first range that ends behind seq, or right at it: the only one that can hold the start.
  auto it = std::lower_bound(ranges_.begin(), ranges_.end(), seq,
                             [](const Range& range, SeqNum s) { return range.right < s; });
  const bool touches_left = it != ranges_.end() && it->left <= seq;
  if (touches_left) {
    it->touched = clock_;
    if (end <= it->right) return 0;
    payload->pull(SeqNum::distance(seq, it->right));
    seq = it->right;
  }
  // Ranges behind: those covered whole go, one covered in part stays and cuts the new data.
  auto next = touches_left ? it + 1 : it;
  while (next != ranges_.end() && next->right <= end) {
    bytes_ -= SeqNum::distance(next->left, next->right);
    storage_ -= next->storage;
    next = ranges_.erase(next);
    it = touches_left ? next - 1 : next;
  }
  bool touches_right = next != ranges_.end() && next->left <= end;
  if (touches_right && next->left < end) {
    end = next->left;
    payload->trim(SeqNum::distance(seq, end));
  }
  const std::uint32_t length = SeqNum::distance(seq, end);
  if (length == 0) return 0;
  static_cast<void>(payload->compact());
  const std::size_t held = payload->storage_held();
  bytes_ += length;
  storage_ += held;
  if (touches_left) {
    it->packets.push_back(std::move(payload));
    it->right = end;
    it->storage += held;
    if (touches_right) {
      it->packets.splice_back(next->packets);
      it->right = next->right;
      it->storage += next->storage;
      ranges_.erase(next);
    }
  } else if (touches_right) {
    next->packets.push_front(std::move(payload));
    next->left = seq;
    next->storage += held;
    next->touched = clock_;
  } else {
    Range range;
    range.left = seq;
    range.right = end;
    range.touched = clock_;
    range.storage = held;
    range.packets.push_back(std::move(payload));
    ranges_.insert(next, std::move(range));
  }
  return length;
}

bool OutOfOrderQueue::touches(SeqNum seq, std::uint32_t length) const {
  const auto it = std::lower_bound(ranges_.begin(), ranges_.end(), seq,
                                   [](const Range& range, SeqNum s) { return range.right < s; });
  return it != ranges_.end() && it->left <= seq + length;
}

bool OutOfOrderQueue::take_ready(SeqNum rcv_nxt, PacketQueue& out, SeqNum& right) {
  while (!ranges_.empty() && ranges_.front().left <= rcv_nxt) {
    Range& range = ranges_.front();
    bytes_ -= SeqNum::distance(range.left, range.right);
    storage_ -= range.storage;
    if (range.right > rcv_nxt) {
      std::uint32_t known = SeqNum::distance(range.left, rcv_nxt);
      while (known != 0) {
        Packet& first = range.packets.front();
        if (first.length() > known) {
          first.pull(known);
          break;
        }
        known -= first.length();
        range.packets.pop_front().reset();
      }
      right = range.right;
      out.splice_back(range.packets);
      ranges_.erase(ranges_.begin());
      return true;
    }
    ranges_.erase(ranges_.begin());
  }
  return false;
}

std::uint8_t OutOfOrderQueue::sack_blocks(std::span<wire::SackBlock> out) const {
  // The most recently touched ones, the latest first: one walk, as there may be thousands.
  constexpr std::size_t kMost = 4;
  std::array<const Range*, kMost + 1> latest{};
  const std::size_t wanted = std::min(out.size(), kMost);
  std::size_t count = 0;
  for (const Range& range : ranges_) {
    std::size_t place = count;
    for (; place != 0; --place) {
      if (static_cast<std::int32_t>(range.touched - latest[place - 1]->touched) <= 0) break;
      latest[place] = latest[place - 1];
    }
    latest[place] = &range;
    count = std::min(count + 1, wanted);
  }
  for (std::size_t i = 0; i < count; ++i) out[i] = {latest[i]->left, latest[i]->right};
  return static_cast<std::uint8_t>(count);
}

void OutOfOrderQueue::clear() {
  ranges_.clear();
  bytes_ = 0;
  storage_ = 0;
}

}  // namespace millrace::tcp
