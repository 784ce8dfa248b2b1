#pragma once

#include <cstddef>
#include <utility>

#include "base/prefetch.h"
#include "packet/packet.h"

namespace millrace {

/// Goes through a queue some packets ahead of who works it off from the front, and brings near what that will
/// read: the packet, then its Buffers, then their bytes. The packets of a short queue were made just now, and
/// are near: those are left alone.
class PacketLookahead {
 public:
  /// Meanwhile the queue may lose only packets for which begin_next() was called.
  explicit PacketLookahead(PacketQueue& queue)
      : end_(queue.end()), packet_(queue.begin()), buffers_(packet_), bytes_(packet_) {
    if (queue.size() < kLong) {
      packet_ = buffers_ = bytes_ = end_;
      return;
    }
    for (std::size_t i = 0; i < kPacketAhead; ++i) move_on();
  }

  /// Work on the next packet begins. Where that is one for which it was called before, it goes further ahead.
  void begin_next() {
    if (bytes_ != end_) move_on();
  }

 private:
  using Iterator = decltype(std::declval<PacketQueue&>().end());
  /// So many packets, each of them some cache lines, are more than what is near.
  static constexpr std::size_t kLong = 64;
  static constexpr std::size_t kPacketAhead = 7, kBuffersAhead = 5, kBytesAhead = 3;
  static constexpr std::size_t kFirstBytes = 128;

  void move_on() {
    ++moves_;
    if (packet_ != end_) {
      const Packet& packet = *packet_++;
      prefetch(&packet, sizeof packet);
    }
    if (moves_ > kPacketAhead - kBuffersAhead && buffers_ != end_) {
      const Packet& packet = *buffers_++;
      prefetch(packet.storage().get());
      if (!packet.fragments().empty()) prefetch(packet.fragments().front().buffer.get());
    }
    if (moves_ > kPacketAhead - kBytesAhead && bytes_ != end_) {
      const Packet& packet = *bytes_++;
      prefetch(packet.data(), kFirstBytes);
      if (!packet.fragments().empty()) prefetch(packet.fragments().front().bytes().data(), kFirstBytes);
    }
  }

  Iterator end_;
  Iterator packet_, buffers_, bytes_;  ///< the next of which that is fetched
  std::size_t moves_ = 0;
};

}  // namespace millrace
