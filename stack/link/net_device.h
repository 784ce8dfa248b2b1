#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/apart.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/time.h"
#include "packet/packet.h"
#include "packet/pool.h"

namespace millrace {

namespace link {
class RssHash;
}

/// A file descriptor to sleep on, with directions. The pure part only hands it through.
struct WaitFd {
  int fd = -1;
  bool readable = true;
  bool writable = false;
  friend bool operator==(const WaitFd&, const WaitFd&) = default;
};

/// What a device can do.
struct DeviceCaps {
  bool tx_checksum = false;         ///< fills in TCP and UDP checksums of packets with needs_checksum
  bool rx_checksum = false;         ///< sets rx_checksum to kVerified or kPartial where it can
  bool tso = false;                 ///< takes IPv4 TCP super-frames (gso_size != 0)
  bool lro = false;                 ///< may deliver super-frames
  bool scatter = false;             ///< takes packets with fragments
  std::uint32_t max_gso_bytes = 0;  ///< largest super-frame payload, when tso
  bool senders_wait = false;        ///< with what finds no room in the receive ring, instead of losing it
  bool can_sleep = false;           ///< wait_fds() become readable on arrival; else poll at max_sleep()
};

/// Something happened to the device, told once.
enum class DeviceEvent : std::uint8_t { kNone, kLinkUp, kLinkDown, kGone };

struct DeviceStats {
  std::uint64_t rx_packets = 0, rx_bytes = 0;
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  std::uint64_t rx_dropped =
      0;  ///< lost before we saw them: ring or socket buffer full (read back from the kernel)
  std::uint64_t rx_truncated = 0;  ///< larger than we could take
  std::uint64_t rx_no_memory = 0;  ///< pool empty
  std::uint64_t tx_errors = 0;     ///< refused for good by the device and dropped
  std::uint64_t tx_full = 0;       ///< tx_burst ended early
};

/// The driver boundary: one queue of a packet device. Frames are Ethernet without FCS. Called only under the
/// context's lock, by one thread at a time. No call blocks. A driver knows nothing of the layers above.
class alignas(kApart) NetDevice {
 public:
  virtual ~NetDevice() = default;

  /// Receives up to `budget` frames and appends them to `out`, with offload, timestamp (= now) and one linear
  /// region or more set. Packets come from `pool`. Returns how many came; fewer than the budget means none is
  /// left for now.
  virtual std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) = 0;

  /// Sends from the front of `packets` and removes what was taken; what stays was not sent (the device is
  /// full). Returns how many were taken. A frame the device refuses for good is dropped and counted as
  /// tx_errors.
  virtual std::size_t tx_burst(PacketQueue& packets, Instant now) = 0;

  /// Descriptors with which another image of this process can go on where this one is (see DeviceOptions);
  /// empty where that cannot be.
  [[nodiscard]] virtual std::vector<int> handover() const { return {}; }

  /// These addresses are the stack's. A device that somebody else looks at too may keep what is sent to them
  /// for us alone.
  virtual void own_addresses(std::span<const IpPrefix> addresses) { (void)addresses; }

  /// True for a device that records frames. It then hears what became of each: frame_done() for every frame
  /// of an rx_burst, in their order, once it has been dealt with. Fixed once the device is open.
  [[nodiscard]] virtual bool wants_fates() const { return false; }
  /// Dropped, or what it asked for refused, and counted by `counters` ("TcpInErrs, TcpInCsumErrors"); empty:
  /// neither.
  virtual void frame_done(std::string_view counters) { (void)counters; }
  /// A frame that should have been sent was dropped before tx_burst, and counted by `counter`.
  virtual void frame_not_sent(const Packet& frame, std::string_view counter) { (void)frame, (void)counter; }

  /// The stack that used the device goes away: gives back every packet of its pool that the device still
  /// holds (delayed, waiting, being sent). The device stays usable.
  virtual void release_packets() {}

  /// Descriptors to sleep on; may change between calls (writable only while TX is full).
  [[nodiscard]] virtual std::span<const WaitFd> wait_fds() = 0;
  /// Before a sleep: arms notification. True when frames came meanwhile: do not sleep, poll.
  [[nodiscard]] virtual bool arm() = 0;
  /// The longest sleep that is safe, where no fd tells of arrivals (or of delayed frames to come);
  /// Duration::max() otherwise.
  [[nodiscard]] virtual Duration max_sleep(Instant now) const {
    (void)now;
    return Duration::max();
  }
  /// True while the last tx_burst left something because the device was full.
  [[nodiscard]] virtual bool tx_full() const = 0;
  [[nodiscard]] virtual DeviceEvent take_event() { return DeviceEvent::kNone; }

  /// Fixed once the device is open, but for can_sleep.
  [[nodiscard]] virtual const DeviceCaps& caps() const = 0;
  [[nodiscard]] virtual MacAddress mac() const = 0;
  /// Largest IP packet (not frame) the link carries.
  [[nodiscard]] virtual std::uint32_t mtu() const = 0;
  /// "af_packet:veth1", as a user would write it.
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual DeviceStats stats() = 0;
  /// stats().tx_errors, where that can be told without asking the system.
  [[nodiscard]] virtual std::uint64_t tx_errors() { return stats().tx_errors; }
  /// Descriptors of the device's own, which the program must not close.
  [[nodiscard]] virtual std::vector<int> descriptors() const { return handover(); }
  /// What the device counts besides, under its own names.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::uint64_t>> extended_stats() { return {}; }
  /// Which of the device's receive queues the answers to this flow will come in by (RSS). One-queue devices:
  /// 0.
  [[nodiscard]] virtual std::uint32_t queue_for(std::uint32_t local_address, std::uint16_t local_port,
                                                std::uint32_t remote_address,
                                                std::uint16_t remote_port) const {
    (void)local_address, (void)local_port, (void)remote_address, (void)remote_port;
    return 0;
  }
  /// How the device itself picks a receive queue for TCP and UDP over IPv4, where that is known; null: it is
  /// not, or there is one queue. Fixed once the device is open, and lives as long.
  [[nodiscard]] virtual const link::RssHash* rss() const { return nullptr; }
  /// Which of them this one is.
  [[nodiscard]] virtual std::uint32_t queue_index() const { return 0; }
  /// A packet that was put together from fragments, data() behind its IP header. True: it belongs to another
  /// queue, which has a copy now.
  [[nodiscard]] virtual bool take_reassembled(const Packet& packet) {
    (void)packet;
    return false;
  }
  /// Memory for the stack's Buffers (send queues, headers) that the device can send from without a copy.
  /// Null: it copies, or can send from any memory.
  [[nodiscard]] virtual SlabSource* slab_source() { return nullptr; }
};

}  // namespace millrace
