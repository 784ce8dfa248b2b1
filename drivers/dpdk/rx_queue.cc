#include "dpdk/rx_queue.h"

#include <rte_errno.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "dpdk/fetch.h"
#include "dpdk/offload.h"

namespace millrace::drivers::dpdk {
namespace {

/// So many frames ahead.
constexpr std::size_t kAhead = 4;
/// What net_vhost takes at once. The bytes of more are gone from the cache again when it comes to them.
constexpr std::size_t kVhostBurst = 32;
/// So that the IP header of a frame copied out lies on a 16-byte boundary.
constexpr std::uint32_t kCopyHeadroom = 18;
constexpr std::uint32_t kLargestCopy = PacketPool::kClassBytes.back() - kCopyHeadroom;

void fetch_ahead(const rte_mbuf& frame) {
  fetch_to_read(rte_pktmbuf_mtod(&frame, const std::uint8_t*),
                std::min<std::uint32_t>(frame.data_len, kFirstBytes));
}

}  // namespace

RxQueue::~RxQueue() {
  forget();
  return_mbufs();
  rte_mempool_free(pool_);
}

std::string RxQueue::open(const Config& config) {
  lendable_ = config.lendable;
  // What caches hold is neither in the device nor lent.
  const std::uint32_t count = config.slots + config.lendable + 3 * kCacheMbufs;
  const std::string name = "millrace-rx-" + std::to_string(reinterpret_cast<std::uintptr_t>(this));
  static_assert(sizeof(Lent) % RTE_MBUF_PRIV_ALIGN == 0);
  pool_ = rte_pktmbuf_pool_create(
      name.substr(0, RTE_MEMPOOL_NAMESIZE - 1).c_str(), count, kCacheMbufs, sizeof(Lent),
      static_cast<std::uint16_t>(config.room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
  if (pool_ == nullptr) {
    return "no memory for " + std::to_string(count) + " mbufs (" + rte_strerror(rte_errno) +
           "); give more with memory=MB, or fewer with pool=N";
  }
  rte_mempool_obj_iter(pool_, &initialise_mbuf, this);
  return {};
}

void RxQueue::initialise_mbuf(rte_mempool* /*pool*/, void* queue, void* object, unsigned /*index*/) {
  auto* mbuf = static_cast<rte_mbuf*>(object);
  new (&lent(mbuf)) Lent{Buffer{static_cast<std::uint8_t*>(mbuf->buf_addr), mbuf->buf_len, &give_back, mbuf},
                         static_cast<RxQueue*>(queue)};
}

void RxQueue::give_back(Buffer* buffer) {
  auto* mbuf = static_cast<rte_mbuf*>(buffer->owner());
  RxQueue& queue = *lent(mbuf).queue;
  --queue.counters_.lent;
  queue.returned_[queue.returned_count_++] = mbuf;
  if (queue.returned_count_ == queue.returned_.size()) queue.return_mbufs();
}

void RxQueue::return_mbufs() {
  if (returned_count_ == 0) return;
  const LcoreScope scope(lcore_);
  rte_mempool_put_bulk(pool_, returned_.data(), static_cast<unsigned>(returned_count_));
  returned_count_ = 0;
}

std::size_t RxQueue::receive(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                             DeviceStats& stats) {
  std::size_t received = 0;
  // Those dropped count as well: else nobody else would have a turn while memory is short.
  for (std::size_t seen = 0; seen < budget;) {
    if (found_next_ == found_count_) {
      found_next_ = 0;
      const auto room = static_cast<std::uint16_t>(std::min(budget - seen, kBurst));
      VhostRing::Ahead(vhost_ring_).ask_to_read(std::min<std::size_t>(room, kVhostBurst));
      found_count_ = rte_eth_rx_burst(port_, queue_, burst_.data(), room);
      if (found_count_ == 0) break;
      for (std::size_t i = 0; i < std::min(kAhead, found_count_); ++i) fetch_ahead(*burst_[i]);
    }
    for (; found_next_ < found_count_ && seen < budget; ++seen) {
      if (found_next_ + kAhead < found_count_) fetch_ahead(*burst_[found_next_ + kAhead]);
      received += deliver(burst_[found_next_++], pool, out, now, stats) ? 1 : 0;
    }
  }
  return received;
}

bool RxQueue::look() {
  if (found_next_ != found_count_) return true;
  found_next_ = 0;
  found_count_ = rte_eth_rx_burst(port_, queue_, burst_.data(), kBurst);
  return found_count_ != 0;
}

void RxQueue::forget() {
  while (found_next_ != found_count_) rte_pktmbuf_free(burst_[found_next_++]);
}

bool RxQueue::deliver(rte_mbuf* frame, PacketPool& pool, PacketQueue& out, Instant now, DeviceStats& stats) {
  const std::uint32_t length = frame->pkt_len;
  if ((frame->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_BAD) ++counters_.bad_checksum;
  PacketPtr packet;
  if (counters_.lent + frame->nb_segs <= lendable_ && is_ours(frame)) {
    packet = lend(frame, pool);
    if (packet) {
      rx_offload(*frame, packet->offload);
    } else {
      ++stats.rx_no_memory;
    }
  } else {
    packet = copy_out(frame, pool, stats);
    if (packet) rx_offload(*frame, packet->offload);
    rte_pktmbuf_free(frame);
  }
  if (!packet) return false;
  packet->timestamp = now;
  ++stats.rx_packets;
  stats.rx_bytes += length;
  out.push_back(std::move(packet));
  return true;
}

bool RxQueue::is_ours(const rte_mbuf* frame) const {
  for (; frame != nullptr; frame = frame->next) {
    if (frame->pool != pool_ || !RTE_MBUF_DIRECT(frame)) return false;
  }
  return true;
}

PacketPtr RxQueue::lend(rte_mbuf* frame, PacketPool& pool) {
  PacketPtr packet;
  for (rte_mbuf* segment = frame; segment != nullptr;) {
    rte_mbuf* const next = segment->next;
    const std::uint32_t offset = segment->data_off;
    const std::uint32_t length = segment->data_len;
    // As it must be when it goes back.
    segment->next = nullptr;
    segment->nb_segs = 1;
    ++counters_.lent;
    BufferRef buffer{&lent(segment).buffer};
    if (segment == frame) {
      packet = pool.wrap(std::move(buffer), offset, length);
    } else if (packet && !packet->append_fragment(std::move(buffer), offset, length)) {
      packet.reset();
    }
    segment = next;
  }
  return packet;
}

PacketPtr RxQueue::copy_out(const rte_mbuf* frame, PacketPool& pool, DeviceStats& stats) {
  if (frame->pkt_len > kLargestCopy) {
    ++stats.rx_truncated;
    return nullptr;
  }
  PacketPtr packet = pool.allocate(frame->pkt_len, kCopyHeadroom);
  if (!packet) {
    ++stats.rx_no_memory;
    return nullptr;
  }
  for (const rte_mbuf* segment = frame; segment != nullptr; segment = segment->next)
    std::memcpy(packet->put(segment->data_len), rte_pktmbuf_mtod(segment, const void*), segment->data_len);
  ++counters_.copied_out;
  return packet;
}

}  // namespace millrace::drivers::dpdk
