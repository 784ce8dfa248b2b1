#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/counters.h"
#include "packet/packet.h"

namespace millrace {

/// Who asks for memory. Control traffic (ARP, SYN-ACK, ACK, RST, answers of the tools) may dip into a reserve, so that
/// a full pool never freezes the stack.
enum class Priority : std::uint8_t { kNormal, kControl };

enum class PoolCounter : std::uint8_t {
  kBufferRefused,   ///< an allocation at the limit
  kReserveUsed,     ///< a control allocation that lived off the reserve
  kSpillRefused,    ///< no fragment array left
  kCount,
};
[[nodiscard]] std::string_view name_of(PoolCounter counter);

/// All packet memory of one context: Buffers of a few size classes, Packet objects, spill arrays, each recycled
/// through LIFO free lists (the warmest first). Grows on demand up to its limit and never asks the system for
/// memory on a warm path. Must outlive every Packet and Buffer taken from it. Not thread-safe.
class PacketPool {
 public:
  struct Limits {
    std::size_t bytes = std::size_t{256} << 20;  ///< storage of Buffers in use, kNormal
    std::size_t reserve = std::size_t{2} << 20;  ///< on top, kControl only
  };
  /// Capacities of the size classes: a header or small message, an MTU 1500 frame, a 9000 jumbo frame, a super-frame.
  static constexpr std::array<std::uint32_t, 4> kClassBytes{512, 2048, 10240, 69632};
  /// Room that packets made for output leave for the headers below TCP's payload.
  static constexpr std::uint32_t kHeadroom = 128;

  explicit PacketPool(const Limits& limits);
  PacketPool() : PacketPool(Limits{}) {}
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;
  ~PacketPool();

  /// Storage of at least `capacity` bytes (at most the largest class). Empty at the limit.
  [[nodiscard]] BufferRef allocate_buffer(std::size_t capacity, Priority priority = Priority::kNormal);
  /// A Buffer object around memory of somebody else; `release` is called with it when the last share goes, and
  /// must end with free_external(). Does not count against the limit.
  [[nodiscard]] BufferRef adopt(std::uint8_t* bytes, std::uint32_t capacity, Buffer::Release release, void* owner);
  void free_external(Buffer* buffer);

  /// An empty packet with `headroom` bytes before and at least `room` bytes after its data().
  [[nodiscard]] PacketPtr allocate(std::size_t room, std::size_t headroom = kHeadroom,
                                   Priority priority = Priority::kNormal);
  /// A packet whose linear region is `buffer`, with data() at offset and `length` bytes.
  [[nodiscard]] PacketPtr wrap(BufferRef buffer, std::uint32_t offset, std::uint32_t length);

  [[nodiscard]] std::size_t bytes_in_use() const { return bytes_in_use_; }
  [[nodiscard]] std::size_t packets_in_use() const { return packets_in_use_; }
  [[nodiscard]] std::size_t buffers_in_use() const { return buffers_in_use_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }
  /// How many bytes kNormal may still take.
  [[nodiscard]] std::size_t available() const {
    return bytes_in_use_ < limits_.bytes ? limits_.bytes - bytes_in_use_ : 0;
  }
  [[nodiscard]] const CounterSet<PoolCounter>& counters() const { return counters_; }

 private:
  friend class Packet;
  friend struct PacketDeleter;
  [[nodiscard]] Packet* take_packet();
  void give_packet(Packet* packet);
  [[nodiscard]] Fragment* take_spill();
  void give_spill(Fragment* spill);
  static void release_pooled(Buffer* buffer);

  Limits limits_;
  std::size_t bytes_in_use_ = 0;
  std::size_t packets_in_use_ = 0;
  std::size_t buffers_in_use_ = 0;
  std::array<Buffer*, kClassBytes.size()> free_buffers_{};
  Buffer* free_external_ = nullptr;
  boost::intrusive::list<Packet> free_packets_;
  struct SpillNode;
  SpillNode* free_spills_ = nullptr;
  CounterSet<PoolCounter> counters_;
};

}  // namespace millrace
