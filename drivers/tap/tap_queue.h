#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "af_packet/vnet_header.h"
#include "link/net_device.h"

namespace millrace::drivers {

/// One queue of a TAP interface, behind its descriptor: a frame a system call, with a virtio header in front.
///
/// How large the next frame is shows only once it is read. So it is read into storage for every size, and
/// takes as much of it as it needs; what it does not need waits for the next one:
///
///     | virtio header | 2 KiB: any frame of MTU 1500 | 10 KiB: a jumbo frame | 68 KiB: super-frames |
///
/// The kernel copies on both ways, so nothing is lent.
class TapQueue {
 public:
  /// Why a send() ended.
  enum class Result : std::uint8_t {
    kDone,  ///< all taken
    kFull,  ///< the rest stays; the descriptor becomes writable
    kDown,  ///< the interface is down or gone: all dropped
  };

  explicit TapQueue(int fd = -1) : fd_(fd) {}

  std::size_t receive(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                      DeviceStats& stats);
  [[nodiscard]] Result send(PacketQueue& packets, std::size_t& taken, DeviceStats& stats);
  /// There are frames that receive() had no budget for, and that the descriptor does not tell of.
  [[nodiscard]] bool pending() const { return !pending_.empty(); }
  /// The interface was deleted: the descriptor would wake a sleeper for ever.
  [[nodiscard]] bool gone() const { return gone_; }
  void set_attached() { gone_ = false; }
  /// Gives back what it holds of the stack's pool.
  void release_packets();
  [[nodiscard]] int fd() const { return fd_; }

 private:
  static constexpr std::size_t kSpills = 2;

  /// Where the next frame goes; returns how many bytes of a frame there is room for.
  [[nodiscard]] std::size_t prepare(PacketPool& pool);
  /// The frame just read. Null: no memory.
  [[nodiscard]] PacketPtr take(std::size_t length);

  int fd_;
  bool gone_ = false;
  PacketPtr linear_;                       ///< for the next frame, and for what does not fit:
  std::array<BufferRef, kSpills> spills_;  ///< fragments
  PacketQueue pending_;                    ///< received, and kept for the next turn
  VnetHeader header_;
  std::uint8_t beyond_ = 0;
  std::array<iovec, kSpills + 3> into_{};
  std::array<iovec, VnetHeader::kMaxPieces> from_{};
};

}  // namespace millrace::drivers
