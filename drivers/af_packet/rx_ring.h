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

/// The receiving half of an AF_PACKET device: a TPACKET_V2 ring of small slots, and the same socket's queue
/// for the frames that do not fit into one.
///
///     slot  | 60 B | 1514 B | COPY, 64 KB | 60 B | COPY, 42 KB | free ...
///                               |                    |
///     socket queue           [ 64 KB frame ]     [ 42 KB frame ]
///
/// The kernel queues what is larger than a slot whole (PACKET_COPY_THRESH) and marks its slot TP_STATUS_COPY,
/// both under one lock: so slots and queue are in the same order, and reading one entry of the queue for each
/// such slot keeps frames in the order in which they came. Small frames cost no system call; super-frames
/// cost one copy, from the kernel's pages straight into a Buffer. Each frame leaves its slot at once: no slot
/// is ever lent.
class RxRing {
 public:
  struct Config {
    std::uint32_t slots = 2048;
    std::uint32_t slot_bytes = 2048;
    std::uint32_t socket_buffer = 32u << 20;
    int inherited = -1;       ///< the socket of the process image before, its ring and all
    int shared_file = -1;     ///< where the position in the ring is kept; -1: in memory of our own
    std::uint32_t queue = 0;  ///< of several that have one such file
  };

  RxRing() = default;
  RxRing(const RxRing&) = delete;
  RxRing& operator=(const RxRing&) = delete;
  ~RxRing();

  /// Opens the socket and maps the ring; no frame comes before bind(). Empty, or what failed.
  [[nodiscard]] std::string open(const Config& config);
  /// Another socket and ring in the place of the old ones, under the same descriptor; no frame comes before
  /// bind(). What was in the old ring is lost. Empty, or what failed: all is as it was.
  [[nodiscard]] std::string reopen();
  /// Attaches to an interface, also after it was deleted and made again. False: errno says why.
  [[nodiscard]] bool bind(int interface_index);
  /// Also takes frames for other stations than the interface's own address.
  [[nodiscard]] bool set_promiscuous(int interface_index);

  std::size_t receive(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                      DeviceStats& stats);
  /// True when receive() would find something.
  [[nodiscard]] bool ready() const;
  /// Gives back the packets it still holds.
  void release_packets() { pending_.clear(); }
  /// Frames the kernel dropped since the last call, for want of a free slot.
  [[nodiscard]] std::uint64_t read_drops();
  /// Takes a pending error (the link went down) off the socket, so that it stops waking sleepers.
  void clear_error();
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  static constexpr std::size_t kCopyBatch = 16;
  struct Slot;

  [[nodiscard]] std::string map_ring(int socket);
  [[nodiscard]] std::string map_position();
  [[nodiscard]] Slot slot(std::uint32_t index) const;
  [[nodiscard]] std::uint32_t after(std::uint32_t index) const { return index + 1 == slots_ ? 0 : index + 1; }
  void release(std::uint32_t index);
  [[nodiscard]] std::size_t receive_small(const Slot& from, PacketPool& pool, PacketQueue& out, Instant now,
                                          DeviceStats& stats);
  std::size_t receive_queued(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                             DeviceStats& stats);
  int read_queue(std::size_t count);
  [[nodiscard]] std::size_t deliver(PacketPtr packet, const VnetHeader& header, const Slot& from,
                                    PacketQueue& out, Instant now, DeviceStats& stats);

  UniqueFd socket_;
  std::uint8_t* map_ = nullptr;
  std::size_t map_bytes_ = 0;
  std::uint32_t slots_ = 0;
  std::uint32_t slot_bytes_ = 0;
  /// The slot the next frame comes in. In memory that a forked child shares, as it shares the ring: whichever
  /// of the two goes on reading knows where.
  std::uint32_t* current_ = nullptr;
  void* position_ = nullptr;  ///< the mapping that it lies in

  /// Received, and kept for the next turn: a UDP super-frame becomes more frames than the budget may allow,
  /// and what came behind it waits behind it.
  PacketQueue pending_;

  // Scratch of receive_queued.
  std::array<mmsghdr, kCopyBatch> messages_{};
  std::array<std::array<iovec, 2>, kCopyBatch> pieces_{};
  std::array<VnetHeader, kCopyBatch> headers_{};
  std::array<PacketPtr, kCopyBatch> packets_;

  Config config_;
};

}  // namespace millrace::drivers
