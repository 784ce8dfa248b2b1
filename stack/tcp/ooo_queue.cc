#include "tcp/ooo_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "tcp/payload.h"

namespace millrace::tcp {

OutOfOrderQueue::Ranges::const_iterator OutOfOrderQueue::find(SeqNum seq) const {
  // Disjoint ranges end in the order in which they start.
  return ranges_.lower_bound(seq, [this](const Range& range, SeqNum s) {
    ++steps_;
    return range.right < s;
  });
}

OutOfOrderQueue::Ranges::iterator OutOfOrderQueue::find(SeqNum seq) {
  return std::as_const(*this).find(seq).unconst();
}

void OutOfOrderQueue::touch(Range& range) {
  recent_.splice(recent_.begin(), recent_, recent_.iterator_to(range));
}

OutOfOrderQueue::Range& OutOfOrderQueue::make(const Ranges::iterator& before, SeqNum left, SeqNum right) {
  Range* range = spare_ ? spare_.release() : new Range;
  range->left = left;
  range->right = right;
  range->storage = 0;
  ranges_.insert_before(before, *range);
  recent_.push_front(*range);
  return *range;
}

OutOfOrderQueue::Ranges::iterator OutOfOrderQueue::remove(const Ranges::iterator& it) {
  Range& range = *it;
  bytes_ -= SeqNum::distance(range.left, range.right);
  storage_ -= range.storage;
  range.packets.clear();
  recent_.erase(recent_.iterator_to(range));
  const auto next = ranges_.erase(it);
  spare_.reset(&range);
  return next;
}

void OutOfOrderQueue::append(Range& range, PacketPtr payload) {
  const std::uint32_t length = payload->length();
  bytes_ += length;
  range.right += length;
  if (!range.packets.empty() && coalesce(range.packets.back(), *payload)) return;
  charge(*payload);
  range.storage += payload->charge;
  storage_ += payload->charge;
  range.packets.push_back(std::move(payload));
}

void OutOfOrderQueue::join(Range& range, const Ranges::iterator& next) {
  const std::uint32_t length = SeqNum::distance(next->left, next->right);
  range.packets.splice_back(next->packets);
  range.right = next->right;
  range.storage += next->storage;
  // They are counted once, with the range they joined.
  bytes_ += length;
  storage_ += next->storage;
  remove(next);
}

std::uint32_t OutOfOrderQueue::insert(SeqNum seq, PacketPtr payload) {
  SeqNum end = seq + payload->length();
  auto next = find(seq);
  Range* holder = nullptr;
  if (next != ranges_.end() && next->left <= seq) {
    holder = &*next++;
    touch(*holder);
    if (end <= holder->right) return 0;
    payload->pull(SeqNum::distance(seq, holder->right));
    seq = holder->right;
  }
  // Ranges behind: those covered whole go, one covered in part stays and cuts the new data.
  while (next != ranges_.end() && next->right <= end) next = remove(next);
  const bool touches_right = next != ranges_.end() && next->left <= end;
  if (touches_right && next->left < end) {
    end = next->left;
    payload->trim(SeqNum::distance(seq, end));
  }
  const std::uint32_t length = SeqNum::distance(seq, end);
  if (length == 0) return 0;
  if (holder == nullptr && touches_right) {
    Range& range = *next;
    touch(range);
    charge(*payload);
    range.storage += payload->charge;
    storage_ += payload->charge;
    bytes_ += length;
    range.left = seq;
    range.packets.push_front(std::move(payload));
    return length;
  }
  Range& range = holder != nullptr ? *holder : make(next, seq, seq);
  append(range, std::move(payload));
  if (touches_right) join(range, next);
  return length;
}

bool OutOfOrderQueue::touches(SeqNum seq, std::uint32_t length) const {
  const auto it = find(seq);
  return it != ranges_.end() && it->left <= seq + length;
}

bool OutOfOrderQueue::take_ready(SeqNum rcv_nxt, PacketQueue& out, SeqNum& right) {
  if (empty()) return false;
  while (!ranges_.empty() && ranges_.begin()->left <= rcv_nxt) {
    Range& range = *ranges_.begin();
    if (range.right <= rcv_nxt) {
      remove(ranges_.begin());
      continue;
    }
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
    remove(ranges_.begin());
    return true;
  }
  return false;
}

std::uint8_t OutOfOrderQueue::sack_blocks(std::span<wire::SackBlock> out) const {
  std::uint8_t count = 0;
  if (empty()) return count;
  for (const Range& range : recent_) {
    if (count == out.size()) break;
    out[count++] = {range.left, range.right};
  }
  return count;
}

std::uint32_t OutOfOrderQueue::collapse() {
  std::uint32_t packets = 0;
  for (Range& range : ranges_) {
    const Collapsed result = tcp::collapse(range.packets);
    storage_ -= range.storage;
    range.storage = static_cast<std::uint32_t>(result.storage);
    storage_ += range.storage;
    packets += result.packets;
  }
  return packets;
}

bool OutOfOrderQueue::prune(std::size_t most, SeqNum from) {
  bool dropped = false;
  while (storage_ > most && !ranges_.empty()) {
    Range& range = *ranges_.rbegin();
    const Packet& last = range.packets.back();
    const std::uint32_t length = last.length(), held = last.charge;
    if (range.right - length < from) break;
    dropped = true;
    if (range.left == range.right - length) {
      remove(std::prev(ranges_.end()));
      continue;
    }
    range.packets.pop_back().reset();
    range.right = range.right - length;
    range.storage -= held;
    storage_ -= held;
    bytes_ -= length;
  }
  return dropped;
}

void OutOfOrderQueue::clear() {
  recent_.clear();
  ranges_.clear_and_dispose([](Range* range) { delete range; });
  spare_.reset();
  bytes_ = 0;
  storage_ = 0;
}

}  // namespace millrace::tcp
