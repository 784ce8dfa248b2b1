#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "af_packet/vnet_header.h"
#include "link/net_device.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// The sending half of an AF_PACKET device: a socket of its own, sendmmsg, and before each frame a virtio
/// header that has the kernel fill in checksums and cut super-frames. The kernel copies on sending, so
/// nothing is lent to it.
class TxSocket {
 public:
  /// Why a send() ended.
  enum class Result : std::uint8_t {
    kDone,       ///< all taken
    kFull,       ///< the rest stays; the descriptor becomes writable
    kCongested,  ///< the rest stays; the interface's own queue was full, which no descriptor tells: try again
                 ///< soon
    kDown,       ///< the interface is down or gone: all dropped
  };

  /// Empty, or what failed. `inherited`: a socket that an image of this process before had set up, or -1.
  [[nodiscard]] std::string open(std::uint32_t socket_buffer, int inherited);
  [[nodiscard]] bool bind(int interface_index);
  /// Sends from the front of `packets` and frees what it takes; adds to `taken`.
  [[nodiscard]] Result send(PacketQueue& packets, std::size_t& taken, DeviceStats& stats, Instant now);
  /// After kCongested: when to try again.
  [[nodiscard]] Instant retry_at() const { return retry_at_; }
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kPieces = kBatch * 4 + VnetHeader::kMaxPieces;
  /// How soon a send is tried again after the interface's queue was full.
  static constexpr Duration kRetryAfter = 50us;
  /// After so long a frame is given up: the queue does not move, or a filter refuses the frame for good.
  static constexpr Duration kGiveUpAfter = 20ms;

  void drop_front(PacketQueue& packets, std::size_t& taken, DeviceStats& stats);
  [[nodiscard]] std::size_t prepare(PacketQueue& packets);

  UniqueFd socket_;
  Instant refused_since_ = kNever;  ///< the frame at the front, for want of room in the interface's queue
  Instant retry_at_ = kNever;
  std::array<mmsghdr, kBatch> messages_{};
  std::array<VnetHeader, kBatch> headers_{};
  std::array<iovec, kPieces> pieces_{};
};

}  // namespace millrace::drivers
