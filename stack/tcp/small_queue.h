#pragma once

#include <array>
#include <cstdint>

namespace millrace::tcp {

/// How much of a connection waits in the transmit queue of its interface (Linux's TCP small queues). The
/// queue is a FIFO, so it is enough to know which frame of all was the last of each segment:
///
///     ... taken by the device | frame 71 ... frame 115 | ... 160 | others' frames ...
///                                 1 segment, {115, 65160}  {160, 65160}
///
/// Few entries do: when they are used up, the last one takes what comes, which then counts as waiting for as
/// long as any of it waits.
class SmallQueue {
 public:
  /// A segment of so many bytes went into the queue, which all frames up to `left` have left. Its last frame
  /// has this number.
  void add(std::uint32_t bytes, std::uint32_t frame, std::uint32_t left) {
    if (!is_after(newest_, left)) clear();
    newest_ = frame;
    if (count_ == kEntries) {
      Entry& last = at(count_ - 1u);
      last.frame = frame;
      last.bytes += bytes;
    } else {
      at(count_++) = {frame, bytes};
    }
    bytes_ += bytes;
  }
  /// What waits, now that all frames up to this one have left the queue.
  [[nodiscard]] std::uint32_t waiting(std::uint32_t left) {
    while (count_ != 0 && !is_after(at(0).frame, left)) {
      bytes_ -= at(0).bytes;
      first_ = static_cast<std::uint8_t>((first_ + 1) % kEntries);
      --count_;
    }
    if (count_ == 0) first_ = 0;  // the first entries again, and no other cache line
    return bytes_;
  }
  void clear() {
    count_ = first_ = 0;
    bytes_ = 0;
  }

 private:
  static constexpr std::uint32_t kEntries = 8;
  struct Entry {
    std::uint32_t frame = 0;
    std::uint32_t bytes = 0;
  };
  [[nodiscard]] static bool is_after(std::uint32_t frame, std::uint32_t left) {
    return static_cast<std::int32_t>(frame - left) > 0;
  }
  [[nodiscard]] Entry& at(std::uint32_t i) { return entries_[(first_ + i) % kEntries]; }

  std::uint32_t bytes_ = 0;
  std::uint32_t newest_ = 0;
  std::uint8_t first_ = 0, count_ = 0;
  std::array<Entry, kEntries> entries_{};
};

}  // namespace millrace::tcp
