#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "dpdk/lcore.h"
#include "dpdk/vhost_ring.h"
#include "link/net_device.h"

namespace millrace::drivers::dpdk {

/// The receiving half of one queue. A received mbuf becomes the storage of a Packet without a copy:
///
///      rte_mbuf | Lent (our Buffer, inline) | headroom | frame ...
///
/// It travels to recv(), and its last reader gives it back here; mbufs are returned to their pool in batches.
/// So that sockets with full receive buffers never starve the device, at most `Config::lendable` mbufs are
/// lent; frames beyond that are copied into the stack's own memory.
class RxQueue {
 public:
  struct Config {
    std::uint32_t slots = 0;     ///< descriptors of the device's ring
    std::uint32_t lendable = 0;  ///< mbufs on top of these
    std::uint32_t room = 0;      ///< bytes of a frame in one mbuf
  };
  struct Counters {
    std::uint64_t lent = 0;        ///< mbufs that travel now
    std::uint64_t copied_out = 0;  ///< frames copied, as too many were lent
    std::uint64_t bad_checksum = 0;
  };

  explicit RxQueue(const Lcore& lcore) : lcore_(lcore) {}
  RxQueue(const RxQueue&) = delete;
  RxQueue& operator=(const RxQueue&) = delete;
  /// The stack that got the mbufs is gone.
  ~RxQueue();

  /// Makes the pool. Empty, or what failed.
  [[nodiscard]] std::string open(const Config& config);
  void attach(std::uint16_t port, std::uint16_t queue) { port_ = port, queue_ = queue; }
  [[nodiscard]] rte_mempool* pool() const { return pool_; }

  /// Of a net_vhost port: where frames wait.
  [[nodiscard]] VhostRing& vhost_ring() { return vhost_ring_; }

  /// As NetDevice::rx_burst.
  std::size_t receive(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                      DeviceStats& stats);
  /// True when receive() would find something: looks into the device, and keeps what it finds.
  [[nodiscard]] bool look();
  /// Drops what look() found.
  void forget();
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  static constexpr std::size_t kBurst = 64;
  /// What stands behind each mbuf's header.
  struct Lent {
    Buffer buffer;
    RxQueue* queue;
  };

  static void initialise_mbuf(rte_mempool* pool, void* queue, void* object, unsigned index);
  static void give_back(Buffer* buffer);
  [[nodiscard]] static Lent& lent(rte_mbuf* mbuf) { return *static_cast<Lent*>(rte_mbuf_to_priv(mbuf)); }

  [[nodiscard]] bool deliver(rte_mbuf* frame, PacketPool& pool, PacketQueue& out, Instant now,
                             DeviceStats& stats);
  /// Some devices (net_ring) hand over mbufs of other pools, or with buffers of their own (net_vhost with
  /// ext-buffer): those go back at once.
  [[nodiscard]] bool is_ours(const rte_mbuf* frame) const;
  [[nodiscard]] PacketPtr lend(rte_mbuf* frame, PacketPool& pool);
  [[nodiscard]] PacketPtr copy_out(const rte_mbuf* frame, PacketPool& pool, DeviceStats& stats);
  void return_mbufs();

  const Lcore& lcore_;
  rte_mempool* pool_ = nullptr;
  std::uint16_t port_ = 0, queue_ = 0;
  std::uint32_t lendable_ = 0;
  Counters counters_;
  VhostRing vhost_ring_;
  std::size_t found_count_ = 0, found_next_ = 0;  ///< of burst_: what look() found
  std::array<rte_mbuf*, kBurst> burst_{};
  std::size_t returned_count_ = 0;
  std::array<void*, kBurst> returned_{};
};

}  // namespace millrace::drivers::dpdk
