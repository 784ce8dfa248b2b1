#include "packet/packet.h"

#include <cstring>

#include "packet/pool.h"

namespace millrace {

void Packet::reserve(std::uint32_t n) {
  assert(length() == 0 && tailroom() >= n);
  data_ += n;
  tail_ += n;
}

void Packet::pull_slow(std::uint32_t n) {
  assert(n <= length());
  const std::uint32_t from_fragments = n - linear_length();
  data_ = tail_;
  drop_front_fragments(from_fragments);
}

void Packet::trim_slow(std::uint32_t new_length) {
  if (new_length >= linear_length()) {
    drop_back_fragments(length() - new_length);
  } else {
    if (fragment_count_ != 0) clear_fragments();
    tail_ = data_ + new_length;
    own_end_ = std::min(own_end_, tail_);
  }
}

// --- fragments

bool Packet::reserve_fragments(std::size_t count) {
  if (count <= kInlineFragments || spill_ != nullptr) return count <= kMaxFragments;
  if (count > kMaxFragments) return false;
  Fragment* spill = pool_->take_spill();
  if (spill == nullptr) return false;
  for (std::size_t i = 0; i < fragment_count_; ++i) spill[i] = std::move(inline_[i]);
  spill_ = spill;
  return true;
}

void Packet::leave_spill() {
  if (spill_ == nullptr || fragment_count_ > kInlineFragments) return;
  for (std::size_t i = 0; i < fragment_count_; ++i) inline_[i] = std::move(spill_[i]);
  pool_->give_spill(std::exchange(spill_, nullptr));
}

bool Packet::follows_last(const Buffer* buffer, std::uint32_t offset) const {
  if (fragment_count_ == 0) return false;
  const Fragment& last = fragment_array()[fragment_count_ - 1];
  return last.buffer.get() == buffer && last.offset + last.length == offset;
}

void Packet::add_fragment(BufferRef&& buffer, std::uint32_t offset, std::uint32_t length) {
  fragment_length_ += length;
  if (follows_last(buffer.get(), offset)) {
    fragment_array()[fragment_count_ - 1].length += length;
    buffer.reset();
    return;
  }
  Fragment& fragment = fragment_array()[fragment_count_++];
  fragment.buffer = std::move(buffer);
  fragment.offset = offset;
  fragment.length = length;
}

bool Packet::append_fragment(BufferRef buffer, std::uint32_t offset, std::uint32_t length) {
  assert(buffer && offset <= buffer->capacity() && length <= buffer->capacity() - offset);
  if (length == 0) return true;
  if (!follows_last(buffer.get(), offset) && !reserve_fragments(fragment_count_ + std::size_t{1}))
    return false;
  add_fragment(std::move(buffer), offset, length);
  return true;
}

bool Packet::append_shared(const Packet& other, std::uint32_t offset, std::uint32_t length) {
  assert(offset <= other.length() && length <= other.length() - offset && &other != this);
  assert(offset >= other.own_front());
  const std::uint32_t before = this->length();
  const auto share = [&](const BufferRef& buffer, std::uint32_t from, std::uint32_t available) {
    if (offset >= available) {
      offset -= available;
      return true;
    }
    const std::uint32_t n = std::min(length, available - offset);
    if (!append_fragment(buffer, from + offset, n)) return false;
    length -= n;
    offset = 0;
    return true;
  };
  bool shared = share(other.storage_, other.data_, other.linear_length());
  for (const Fragment& fragment : other.fragments()) {
    if (!shared || length == 0) break;
    shared = share(fragment.buffer, fragment.offset, fragment.length);
  }
  if (!shared) trim(before);
  return shared;
}

void Packet::clear_fragments() {
  Fragment* const fragments = fragment_array();
  for (std::size_t i = 0; i < fragment_count_; ++i) fragments[i].buffer.reset();
  fragment_count_ = 0;
  fragment_length_ = 0;
  if (spill_ != nullptr) pool_->give_spill(std::exchange(spill_, nullptr));
}

void Packet::drop_front_fragments(std::uint32_t bytes) {
  fragment_length_ -= bytes;
  Fragment* const fragments = fragment_array();
  std::size_t first = 0;
  while (first < fragment_count_ && bytes >= fragments[first].length) {
    bytes -= fragments[first].length;
    fragments[first++].buffer.reset();
  }
  if (bytes != 0) {
    fragments[first].offset += bytes;
    fragments[first].length -= bytes;
  }
  if (first == 0) return;
  for (std::size_t i = first; i < fragment_count_; ++i) fragments[i - first] = std::move(fragments[i]);
  fragment_count_ = static_cast<std::uint8_t>(fragment_count_ - first);
  leave_spill();
}

void Packet::drop_back_fragments(std::uint32_t bytes) {
  fragment_length_ -= bytes;
  Fragment* const fragments = fragment_array();
  while (fragment_count_ != 0 && bytes >= fragments[fragment_count_ - 1].length) {
    bytes -= fragments[--fragment_count_].length;
    fragments[fragment_count_].buffer.reset();
  }
  if (bytes != 0) fragments[fragment_count_ - 1].length -= bytes;
  leave_spill();
}

/// Precondition: this packet has no fragments.
void Packet::take_fragments(Packet& other) {
  assert(fragment_count_ == 0 && spill_ == nullptr);
  fragment_count_ = std::exchange(other.fragment_count_, std::uint8_t{0});
  fragment_length_ = std::exchange(other.fragment_length_, 0U);
  spill_ = std::exchange(other.spill_, nullptr);
  if (spill_ != nullptr) return;
  for (std::size_t i = 0; i < fragment_count_; ++i) inline_[i] = std::move(other.inline_[i]);
}

void Packet::copy_metadata(const Packet& other) {
  offload = other.offload;
  timestamp = other.timestamp;
  interface_id = other.interface_id;
  link_broadcast = other.link_broadcast;
}

// --- whole-packet operations

bool Packet::gather_slow(std::uint32_t n) {
  if (n > length()) return false;
  const std::uint32_t missing = n - linear_length();
  if (storage_.unique() && tailroom() >= missing) {
    copy_out(linear_length(), {base() + tail_, missing});
    tail_ += missing;
    drop_front_fragments(missing);
    return true;
  }
  // Into a new Buffer, with all that lies before data(): the headers pulled already are read through their
  // offsets.
  const std::uint32_t front = storage_ ? headroom() : PacketPool::kHeadroom;
  BufferRef fresh = pool_->allocate_buffer(std::size_t{front} + n);
  if (!fresh) return false;
  if (storage_ && front != 0) std::memcpy(fresh->bytes(), base() + head_, front);
  copy_out(0, {fresh->bytes() + front, n});
  const auto moved = [&](std::uint32_t position) {
    return storage_ && position >= head_ ? position - head_ : front;
  };
  link_ = moved(link_);
  network_ = moved(network_);
  transport_ = moved(transport_);
  head_ = 0;
  data_ = front;
  tail_ = front + n;
  end_ = fresh->capacity();
  own_end_ = 0;
  storage_ = std::move(fresh);
  drop_front_fragments(missing);
  return true;
}

/// Precondition: the first n bytes are linear.
bool Packet::make_writable_slow(std::uint32_t n) {
  PacketPtr copy = clone(n, headroom());
  if (copy == nullptr) return false;
  // The headers pulled already come along.
  if (headroom() != 0) std::memcpy(copy->base(), base() + head_, headroom());
  const auto moved = [&](std::uint32_t position) {
    return position >= head_ && position - head_ <= copy->tail_ ? position - head_ : copy->data_;
  };
  link_ = moved(link_);
  network_ = moved(network_);
  transport_ = moved(transport_);
  if (fragment_count_ != 0) clear_fragments();
  storage_ = std::move(copy->storage_);
  head_ = copy->head_;
  data_ = copy->data_;
  tail_ = copy->tail_;
  end_ = copy->end_;
  own_end_ = 0;
  take_fragments(*copy);
  return true;
}

void Packet::copy_out(std::uint32_t offset, std::span<std::uint8_t> out) const {
  std::uint8_t* to = out.data();
  for_each_piece(offset, static_cast<std::uint32_t>(out.size()), [&to](std::span<const std::uint8_t> piece) {
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  });
}

PacketPtr Packet::clone(std::uint32_t header_length, std::uint32_t headroom) const {
  assert(header_length <= length());
  std::uint32_t copied = std::max(header_length, own_front());
  // One fragment too many to share the rest of the linear region as well: copy it.
  if (copied < linear_length() && fragment_count_ == kMaxFragments) copied = linear_length();

  PacketPtr copy = pool_->allocate(copied, headroom);
  if (copy == nullptr) return nullptr;
  copy_out(0, {copy->put(copied), copied});

  std::uint32_t skip = 0;  // bytes of the fragments that were copied
  std::size_t count = fragment_count_;
  if (copied < linear_length()) {
    if (!copy->reserve_fragments(count + 1)) return nullptr;
    copy->add_fragment(BufferRef{storage_}, data_ + copied, linear_length() - copied);
  } else {
    if (!copy->reserve_fragments(count)) return nullptr;
    skip = copied - linear_length();
  }
  for (const Fragment& fragment : fragments()) {
    const std::uint32_t skipped = std::min(skip, fragment.length);
    skip -= skipped;
    if (skipped == fragment.length) continue;
    copy->add_fragment(BufferRef{fragment.buffer}, fragment.offset + skipped, fragment.length - skipped);
  }
  copy->leave_spill();

  copy->copy_metadata(*this);
  const auto moved = [&](std::uint32_t position) {
    return position >= data_ && position - data_ <= header_length ? copy->data_ + (position - data_)
                                                                  : copy->data_;
  };
  copy->link_ = moved(link_);
  copy->network_ = moved(network_);
  copy->transport_ = moved(transport_);
  return copy;
}

PacketPtr Packet::split(std::uint32_t n) {
  assert(n <= length());
  PacketPtr rest{pool_->take_packet()};
  if (rest == nullptr) return nullptr;

  if (n <= linear_length()) {
    if (n < linear_length()) {
      rest->storage_ = storage_;
      rest->head_ = rest->data_ = data_ + n;
      rest->tail_ = tail_;
      rest->end_ = end_;
      rest->link_ = rest->network_ = rest->transport_ = rest->data_;
      tail_ = end_ = data_ + n;
      own_end_ = std::min(own_end_, tail_);
    }
    rest->take_fragments(*this);
  } else {
    std::uint32_t within = n - linear_length();
    const Fragment* const fragments = fragment_array();
    std::size_t first = 0;  // of the rest; it keeps its bytes before `within`
    while (first < fragment_count_ && within >= fragments[first].length) within -= fragments[first++].length;
    if (!rest->reserve_fragments(fragment_count_ - first)) return nullptr;
    for (std::size_t i = first; i < fragment_count_; ++i) {
      const std::uint32_t skipped = i == first ? within : 0;
      rest->add_fragment(BufferRef{fragments[i].buffer}, fragments[i].offset + skipped,
                         fragments[i].length - skipped);
    }
    drop_back_fragments(length() - n);
  }
  rest->copy_metadata(*this);
  return rest;
}

bool Packet::append(PacketPtr& other) {
  assert(other != nullptr && other.get() != this);
  const std::uint32_t from_linear = other->linear_length();
  const Fragment* const pieces = other->fragment_array();
  // A merge can happen only at the seams; adjacent pieces of the other one are merged already.
  std::size_t count = std::size_t{fragment_count_} + other->fragment_count_;
  if (from_linear != 0) {
    if (!follows_last(other->storage_.get(), other->data_)) ++count;
    if (other->fragment_count_ != 0 && pieces[0].buffer.get() == other->storage_.get() &&
        pieces[0].offset == other->tail_) {
      --count;
    }
  } else if (other->fragment_count_ != 0 && follows_last(pieces[0].buffer.get(), pieces[0].offset)) {
    --count;
  }
  if (!reserve_fragments(count)) return false;

  if (from_linear != 0) add_fragment(std::move(other->storage_), other->data_, from_linear);
  for (std::size_t i = 0; i < other->fragment_count_; ++i) {
    Fragment& piece = other->fragment_array()[i];
    add_fragment(std::move(piece.buffer), piece.offset, piece.length);
  }
  other.reset();
  return true;
}

std::uint32_t Packet::length_of_pieces(std::size_t count) const {
  if (count >= piece_count()) return length();
  if (count == 0) return 0;
  std::uint32_t sum = linear_length();
  if (sum != 0) --count;
  for (const Fragment& fragment : fragments().first(count)) sum += fragment.length;
  return sum;
}

std::size_t Packet::storage_held() const {
  const Buffer* last = storage_.get();
  std::size_t held = last != nullptr ? last->capacity() : 0;
  for (const Fragment& fragment : fragments()) {
    if (fragment.buffer.get() == last) continue;
    last = fragment.buffer.get();
    held += last->capacity();
  }
  return held;
}

bool Packet::compact(bool from_driver) {
  bool move_out = false;
  if (from_driver) {
    move_out = storage_ && !PacketPool::is_pooled(*storage_);
    for (const Fragment& fragment : fragments())
      move_out = move_out || !PacketPool::is_pooled(*fragment.buffer);
  }
  const std::size_t held = storage_held();
  if (!move_out && held <= std::size_t{4} * length()) return true;

  std::uint32_t first_header = data_;
  for (const std::uint32_t position : {link_, network_, transport_}) {
    if (position >= head_) first_header = std::min(first_header, position);
  }
  const std::uint32_t front = data_ - first_header;
  constexpr std::uint32_t kLargest = PacketPool::kClassBytes.back();
  if (front >= kLargest) return false;
  const std::uint32_t total = length();
  std::uint32_t done = std::min(total, kLargest - front);
  if (!move_out && total == done && PacketPool::capacity_for(front + done) >= held) return true;

  PacketPtr fresh = pool_->allocate(done, front);
  if (fresh == nullptr) return false;
  if (front != 0) std::memcpy(fresh->base(), base() + first_header, front);
  copy_out(0, {fresh->put(done), done});
  while (done < total) {
    const std::uint32_t n = std::min(total - done, kLargest);
    BufferRef buffer = pool_->allocate_buffer(n);
    if (!buffer) return false;
    copy_out(done, {buffer->bytes(), n});
    if (!fresh->append_fragment(std::move(buffer), 0, n)) return false;
    done += n;
  }

  const auto moved = [&](std::uint32_t position) {
    return position >= first_header ? position - first_header : front;
  };
  link_ = moved(link_);
  network_ = moved(network_);
  transport_ = moved(transport_);
  if (fragment_count_ != 0) clear_fragments();
  storage_ = std::move(fresh->storage_);
  head_ = 0;
  data_ = front;
  tail_ = fresh->tail_;
  end_ = fresh->end_;
  own_end_ = 0;
  take_fragments(*fresh);
  return true;
}

}  // namespace millrace
