#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <boost/intrusive/list.hpp>

#include "base/time.h"
#include "packet/buffer.h"

namespace millrace {

class Packet;
class PacketPool;

/// What a device did for us, or is asked to do (virtio-net and DPDK speak the same terms).
struct Offload {
  enum class RxChecksum : std::uint8_t {
    kUnknown,   ///< nobody looked: verify in software
    kVerified,  ///< the device verified the transport checksum
    kPartial,   ///< sender on the same host: the field holds only the pseudo-header sum; the data never left
                ///< memory
  };
  RxChecksum rx_checksum = RxChecksum::kUnknown;
  bool needs_checksum = false;  ///< on output: transport checksum still to be filled in; the field holds the
                                ///< un-inverted pseudo-header sum
  std::uint16_t checksum_start = 0;   ///< where summing starts, counted from data() of the frame at hand-over
  std::uint16_t checksum_offset = 0;  ///< the field, counted from checksum_start
  std::uint16_t gso_size = 0;         ///< payload bytes a segment (MSS); 0: an ordinary packet
  std::uint16_t gso_segs = 0;         ///< segments in the super-frame; 0 or 1: ordinary
};

/// A piece of a Buffer that belongs to a packet.
struct Fragment {
  BufferRef buffer;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;

  [[nodiscard]] std::span<std::uint8_t> bytes() const { return {buffer->bytes() + offset, length}; }
};

struct PacketDeleter {
  void operator()(Packet* packet) const;
};
using PacketPtr = std::unique_ptr<Packet, PacketDeleter>;

/// A packet, like Linux's sk_buff: a linear region in one Buffer, followed by fragments in others.
///
///      Buffer
///      +----------+-----------------+----------+      +--------+     +--------+
///      | headroom |  linear bytes   | tailroom |  ++  | frag 0 |  ++ | frag 1 | ...
///      +----------+-----------------+----------+      +--------+     +--------+
///      ^head      ^data             ^tail      ^end
///
/// The packet's bytes are [data, tail) and then the fragments in order. Headers lie in the linear region;
/// whoever parses calls gather(n) first. Owned by one holder at a time through PacketPtr; comes from and
/// returns to a PacketPool; not thread-safe.
///
/// Who writes: bytes may be changed only in storage that is not shared (linear_writable()); push and put only
/// move the ends. clone() therefore gives the copy a linear region of its own, and where two packets come to
/// share one Buffer (split, wrap) the room between them belongs to neither. What lies before a payload that
/// others share too may be lent to one packet for its headers (PacketPool::wrap_behind_headers): its own
/// front, which it never shares.
///
/// A recycled Packet stays constructed: its BufferRefs are empty while it lies in the pool, so that taking
/// one costs a few loads. Invariant: spill_ is in use exactly while fragment_count_ > kInlineFragments;
/// entries at and after fragment_count_ hold no Buffer.
class Packet
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
 public:
  static constexpr std::size_t kInlineFragments = 4;
  static constexpr std::size_t kMaxFragments = 64;

  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;

  // --- the linear region
  [[nodiscard]] std::uint8_t* data() const { return base() + data_; }
  [[nodiscard]] std::span<std::uint8_t> linear() const { return {data(), linear_length()}; }
  [[nodiscard]] std::uint32_t linear_length() const { return tail_ - data_; }
  [[nodiscard]] std::uint32_t headroom() const { return data_ - head_; }
  [[nodiscard]] std::uint32_t tailroom() const { return end_ - tail_; }
  [[nodiscard]] bool linear_writable() const { return storage_.unique(); }
  /// Headers may be written in front of data(), as much as there is headroom.
  [[nodiscard]] bool headroom_writable() const { return data_ <= own_end_ || linear_writable(); }
  /// How many bytes from data() on are this packet's alone, whoever shares the storage behind them.
  [[nodiscard]] std::uint32_t own_front() const { return own_end_ > data_ ? own_end_ - data_ : 0; }
  /// The Buffer that holds the linear region; data() lies `data() - storage()->bytes()` into it.
  [[nodiscard]] const BufferRef& storage() const { return storage_; }
  /// All bytes: linear and fragments.
  [[nodiscard]] std::uint32_t length() const { return linear_length() + fragment_length_; }

  /// Prepends n bytes out of the headroom and returns the new data(). Precondition: headroom() >= n.
  std::uint8_t* push(std::uint32_t n) {
    assert(headroom() >= n);
    data_ -= n;
    return data();
  }
  /// Drops n bytes from the front, of fragments too when the linear region is exhausted. Precondition: n <=
  /// length().
  void pull(std::uint32_t n) {
    if (n <= linear_length()) {
      data_ += n;
    } else {
      pull_slow(n);
    }
  }
  /// Appends n bytes out of the tailroom and returns where they start. Precondition: no fragments, tailroom()
  /// >= n.
  std::uint8_t* put(std::uint32_t n) {
    assert(tailroom() >= n && fragment_count_ == 0);
    std::uint8_t* start = base() + tail_;
    tail_ += n;
    return start;
  }
  /// Moves an empty packet's data and tail n bytes on, to make headroom. Precondition: length() == 0,
  /// tailroom() >= n.
  void reserve(std::uint32_t n);
  /// Shortens to new_length bytes, from the end; gives fragments back. No effect when it is not shorter.
  void trim(std::uint32_t new_length) {
    if (new_length < length()) trim_slow(new_length);
  }

  // --- fragments
  [[nodiscard]] std::size_t fragment_count() const { return fragment_count_; }
  [[nodiscard]] std::span<const Fragment> fragments() const { return {fragment_array(), fragment_count_}; }
  /// False (and nothing done) at kMaxFragments or when the pool cannot supply the spill array. A piece that
  /// follows the last one in the same Buffer is merged with it.
  [[nodiscard]] bool append_fragment(BufferRef buffer, std::uint32_t offset, std::uint32_t length);

  /// Appends bytes [offset, offset + length) of `other` as fragments that share its storage. False: as above.
  /// Precondition: they exist, and lie behind its own front.
  [[nodiscard]] bool append_shared(const Packet& other, std::uint32_t offset, std::uint32_t length);

  // --- whole-packet operations
  /// Makes the first n bytes contiguous in the linear region. False when n > length() or no memory; the
  /// packet is then unchanged. Cheap when they already are.
  [[nodiscard]] bool gather(std::uint32_t n) { return n <= linear_length() || gather_slow(n); }
  /// gather(n), and the first n bytes may be written then, as nobody else reads them. What else shared linear
  /// storage held stays shared, as a fragment or behind an own front. False: as above, or too many
  /// fragments; the bytes are unchanged.
  [[nodiscard]] bool make_writable(std::uint32_t n) {
    return gather(n) && (n <= own_front() || linear_writable() || make_writable_slow(n));
  }
  /// Copies bytes [offset, offset + out.size()) to out. Precondition: they exist.
  void copy_out(std::uint32_t offset, std::span<std::uint8_t> out) const;
  /// A packet with the same bytes: the first header_length ones copied into a fresh linear region that has
  /// `headroom` bytes before them, the others shared. Offload, timestamp and the header offsets within those
  /// first bytes are copied (others point to data()). An own front is copied whole.
  /// Precondition: header_length <= length().
  /// Null: no memory.
  [[nodiscard]] PacketPtr clone(std::uint32_t header_length, std::uint32_t headroom) const;
  /// Cuts the packet at n: this one keeps [0, n), the returned one has the rest, sharing storage. Null: no
  /// memory, and nothing has changed. Precondition: n <= length(). The rest has no headroom until it is
  /// gathered or compacted; it may have no linear bytes at all.
  [[nodiscard]] PacketPtr split(std::uint32_t n);
  /// Appends all bytes of `other` as fragments, without copying, and consumes it. False: too many fragments,
  /// or no spill array; nothing done.
  [[nodiscard]] bool append(PacketPtr& other);
  /// visit(std::span<const uint8_t>) over the bytes [offset, offset + length), piece by piece.
  template <typename Visitor>
  void for_each_piece(std::uint32_t offset, std::uint32_t length, Visitor&& visit) const;
  /// In how many pieces the bytes lie: what for_each_piece() over all of them visits.
  [[nodiscard]] std::size_t piece_count() const { return fragment_count_ + (linear_length() != 0 ? 1u : 0u); }
  /// How long the first `count` pieces are together.
  [[nodiscard]] std::uint32_t length_of_pieces(std::size_t count) const;
  /// Storage this packet keeps alive, in bytes: the capacity of its Buffers (shared ones counted in full,
  /// neighbouring pieces of one Buffer once).
  [[nodiscard]] std::size_t storage_held() const;
  /// Copies the bytes, and the headers in front of data(), into storage that fits when the packet holds more
  /// than four times its length and smaller storage exists, or when some of its storage belongs to a driver
  /// and `from_driver` asks for that. False: no memory, unchanged.
  [[nodiscard]] bool compact(bool from_driver = false);

  // --- header offsets, as positions of the linear storage: they stay right under push and pull
  void set_link_header() { link_ = data_; }
  void set_network_header() { network_ = data_; }
  void set_transport_header() { transport_ = data_; }
  /// All of them, the first at data(), the others so many bytes behind it.
  void set_headers(std::uint32_t network, std::uint32_t transport) {
    link_ = data_;
    network_ = data_ + network;
    transport_ = data_ + transport;
  }
  [[nodiscard]] std::uint8_t* link_header() const { return base() + link_; }
  [[nodiscard]] std::uint8_t* network_header() const { return base() + network_; }
  [[nodiscard]] std::uint8_t* transport_header() const { return base() + transport_; }

  Offload offload;
  Instant timestamp{};             ///< ingress time; kEpoch when not taken
  std::uint32_t charge = 0;        ///< for a queue that accounts for storage: what it charged for this packet
  std::uint32_t queued_after = 0;  ///< for a transmit queue: the bytes that joined it before, which wrap
  std::uint8_t interface_id = 0;   ///< which Interface it came in by
  bool link_broadcast =
      false;  ///< came to a broadcast or multicast link address (RFC 1122 §3.2.2: no ICMP error)

  [[nodiscard]] PacketPool& pool() const { return *pool_; }

 private:
  friend class PacketPool;
  friend struct PacketDeleter;
  explicit Packet(PacketPool& pool) : pool_(&pool) {}
  ~Packet() = default;

  [[nodiscard]] std::uint8_t* base() const { return storage_ ? storage_->bytes() : nullptr; }
  [[nodiscard]] const Fragment* fragment_array() const { return spill_ != nullptr ? spill_ : inline_.data(); }
  [[nodiscard]] Fragment* fragment_array() { return spill_ != nullptr ? spill_ : inline_.data(); }
  void pull_slow(std::uint32_t n);
  void trim_slow(std::uint32_t new_length);
  [[nodiscard]] bool gather_slow(std::uint32_t n);
  [[nodiscard]] bool make_writable_slow(std::uint32_t n);
  /// Makes room for `count` fragments in all: takes a spill array when they are more than the inline ones.
  [[nodiscard]] bool reserve_fragments(std::size_t count);
  /// Goes back to the inline array when the fragments fit there.
  void leave_spill();
  void drop_front_fragments(std::uint32_t bytes);
  void drop_back_fragments(std::uint32_t bytes);
  void clear_fragments();
  void take_fragments(Packet& other);
  /// Adds a piece known to have room, merging it with the last one where it follows it.
  void add_fragment(BufferRef&& buffer, std::uint32_t offset, std::uint32_t length);
  [[nodiscard]] bool follows_last(const Buffer* buffer, std::uint32_t offset) const;
  void copy_metadata(const Packet& other);
  /// Back to the state in which a packet lies in the pool.
  void clear() {
    if (fragment_count_ != 0) clear_fragments();
    storage_.reset();
    head_ = data_ = tail_ = end_ = 0;
    link_ = network_ = transport_ = 0;
    own_end_ = 0;
    offload = Offload{};
    timestamp = Instant{};
    interface_id = 0;
    link_broadcast = false;
  }

  PacketPool* pool_;
  BufferRef storage_;
  std::uint32_t head_ = 0, data_ = 0, tail_ = 0, end_ = 0;
  std::uint32_t link_ = 0, network_ = 0, transport_ = 0;
  std::uint32_t fragment_length_ = 0;
  std::uint32_t own_end_ = 0;  ///< [head_, own_end_) is this packet's alone
  std::uint8_t fragment_count_ = 0;
  Fragment* spill_ = nullptr;    ///< kMaxFragments entries of the pool's, in use instead of inline_
  Packet* next_free_ = nullptr;  ///< pool's free list
  std::array<Fragment, kInlineFragments> inline_;
};

/// A FIFO of packets that owns them.
class PacketQueue {
 public:
  PacketQueue() = default;
  PacketQueue(PacketQueue&& other) noexcept { splice_back(other); }
  PacketQueue& operator=(PacketQueue&& other) noexcept {
    clear();
    splice_back(other);
    return *this;
  }
  ~PacketQueue() { clear(); }

  [[nodiscard]] bool empty() const { return list_.empty(); }
  [[nodiscard]] std::size_t size() const { return list_.size(); }
  [[nodiscard]] Packet& front() { return list_.front(); }
  [[nodiscard]] const Packet& front() const { return list_.front(); }
  [[nodiscard]] Packet& back() { return list_.back(); }
  void push_back(PacketPtr packet) { list_.push_back(*packet.release()); }
  void push_front(PacketPtr packet) { list_.push_front(*packet.release()); }
  /// Null when empty.
  [[nodiscard]] PacketPtr pop_front() {
    if (list_.empty()) return nullptr;
    Packet* packet = &list_.front();
    list_.pop_front();
    return PacketPtr{packet};
  }
  [[nodiscard]] PacketPtr pop_back() {
    if (list_.empty()) return nullptr;
    Packet* packet = &list_.back();
    list_.pop_back();
    return PacketPtr{packet};
  }
  void splice_back(PacketQueue& other) { list_.splice(list_.end(), other.list_); }
  void clear() {
    list_.clear_and_dispose([](Packet* packet) { PacketDeleter{}(packet); });
  }
  auto begin() { return list_.begin(); }
  auto end() { return list_.end(); }

 private:
  boost::intrusive::list<Packet> list_;
};

template <typename Visitor>
void Packet::for_each_piece(std::uint32_t offset, std::uint32_t length, Visitor&& visit) const {
  assert(offset + length <= this->length());
  if (length != 0 && offset < linear_length()) {
    const std::uint32_t n = std::min(length, linear_length() - offset);
    visit(std::span<const std::uint8_t>{data() + offset, n});
    length -= n;
    offset = 0;
  } else {
    offset -= linear_length();
  }
  for (const Fragment& fragment : fragments()) {
    if (length == 0) return;
    if (offset >= fragment.length) {
      offset -= fragment.length;
      continue;
    }
    const std::uint32_t n = std::min(length, fragment.length - offset);
    visit(std::span<const std::uint8_t>{fragment.bytes().data() + offset, n});
    length -= n;
    offset = 0;
  }
}

}  // namespace millrace
