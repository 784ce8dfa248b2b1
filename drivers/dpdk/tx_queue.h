#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "dpdk/lcore.h"
#include "dpdk/vhost_ring.h"
#include "link/net_device.h"
#include "packet/packet_lookahead.h"

namespace millrace::drivers::dpdk {

/// The sending half of one queue. A packet becomes a chain of mbufs: its headers are copied into the first,
/// payload that lies in DPDK's memory is attached and shared with the send queue:
///
///      mbuf [headers] -> mbuf - - -> Buffer of the send queue    (a share of which the mbuf holds)
///                     -> mbuf - - -> Buffer ...
///
/// Small pieces are copied behind the headers, as that costs less than another mbuf; so are pieces in other
/// memory. Devices free what they have sent some time later, in a later burst; nothing waits for that.
class TxQueue {
 public:
  struct Config {
    std::uint32_t slots = 0;
    std::uint32_t room = 0;  ///< bytes in one mbuf; of a whole frame where the device takes only single mbufs
    bool multi_segment = false;
    std::uint16_t max_segments = 0;  ///< 0: any number
    bool prepare = false;            ///< the device wants to look at frames with offloads first
  };
  struct Counters {
    std::uint64_t bytes_attached = 0;
    std::uint64_t bytes_copied = 0;  ///< payload in fragments, or behind headers of its own
    std::uint64_t no_mbufs = 0;      ///< a burst ended because all mbufs were on their way
  };

  explicit TxQueue(const Lcore& lcore) : lcore_(lcore) {}
  TxQueue(const TxQueue&) = delete;
  TxQueue& operator=(const TxQueue&) = delete;
  /// The device has given everything back.
  ~TxQueue();

  /// Makes the pool. Empty, or what failed.
  [[nodiscard]] std::string open(const Config& config);
  void attach(std::uint16_t port, std::uint16_t queue) { port_ = port, queue_ = queue; }
  void set_prepare(bool prepare) { config_.prepare = prepare; }

  /// Of a net_vhost port: where frames are written.
  [[nodiscard]] VhostRing& vhost_ring() { return vhost_ring_; }

  /// As NetDevice::tx_burst.
  std::size_t send(PacketQueue& packets, DeviceStats& stats);
  [[nodiscard]] bool full() const { return full_; }
  /// The link went down or came up: what the device refused is nobody's business any more.
  void forget_full() { full_ = false; }
  /// Buffers that the device still holds shares of.
  [[nodiscard]] std::size_t attached() const { return attached_; }
  /// Has the device look for what it has sent.
  void reclaim();
  /// Drops the shares that other threads took out of mbufs (closing a port). Cheap when there are none.
  void drop_strays() {
    if (has_strays_.load(std::memory_order_acquire)) drop_strays_slow();
  }
  /// The port is closed: drops the shares of mbufs that it did not give back.
  void take_back();
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  static constexpr std::size_t kBurst = 32;
  /// What a packet was made into; it counts when the device takes it.
  struct Frame {
    rte_mbuf* mbufs = nullptr;
    std::uint32_t bytes_attached = 0, bytes_copied = 0;
  };
  /// Pieces up to this size are copied.
  static constexpr std::uint32_t kCopyLimit = 256;
  /// What stands behind each mbuf's header: the share that it holds while payload is attached to it.
  struct Attachment {
    rte_mbuf_ext_shared_info shared;
    BufferRef buffer;
    TxQueue* queue;
  };
  class Chain;

  static void initialise_mbuf(rte_mempool* pool, void* queue, void* object, unsigned index);
  static void take_back_one(rte_mempool* pool, void* queue, void* object, unsigned index);
  static void on_sent(void* bytes, void* attachment);
  [[nodiscard]] static Attachment& attachment(rte_mbuf* mbuf) {
    return *static_cast<Attachment*>(rte_mbuf_to_priv(mbuf));
  }

  /// An mbuf whose bytes will be written; null: all are on their way.
  [[nodiscard]] inline rte_mbuf* take_for_copy();

  enum class Built : std::uint8_t { kYes, kNoMbufs, kRefused };
  [[nodiscard]] inline Built build(const Packet& packet, Frame& frame);
  [[nodiscard]] Built build_chain(const Packet& packet, Frame& frame);
  [[nodiscard]] bool can_attach(const Packet& packet) const {
    return config_.multi_segment &&
           (config_.max_segments == 0 || packet.fragment_count() + 2 <= config_.max_segments);
  }
  [[nodiscard]] std::size_t build_burst(PacketQueue& packets, PacketLookahead& ahead, std::size_t& taken,
                                        DeviceStats& stats);
  void drop_strays_slow();

  const Lcore& lcore_;
  Config config_;
  rte_mempool* pool_ = nullptr;
  std::uint16_t port_ = 0, queue_ = 0;
  bool full_ = false;
  std::size_t burst_limit_ = kBurst;  ///< how many frames are made at a time: few when the device is full
  std::size_t attached_ = 0;
  Counters counters_;
  VhostRing vhost_ring_;
  /// The next mbufs to copy into, round and round. Who reads a frame may be another core; what it has read it
  /// gives back only when asked, which takes as long as all the rest of sending. So that is asked for early.
  static constexpr std::size_t kReady = 8;
  std::array<rte_mbuf*, kReady> ready_{};
  std::size_t next_ready_ = 0;
  std::array<Frame, kBurst> frames_{};
  std::array<rte_mbuf*, kBurst> burst_{};  ///< of frames_

  std::atomic<bool> has_strays_{false};
  std::mutex strays_mutex_;
  std::vector<BufferRef> strays_;
};

}  // namespace millrace::drivers::dpdk
