#include "dpdk/tx_queue.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_memory.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>
#include <utility>

#include "dpdk/fetch.h"
#include "dpdk/offload.h"

namespace millrace::drivers::dpdk {
namespace {

/// Where the device finds these bytes; RTE_BAD_IOVA when they are not in one page, whose neighbours may be
/// anywhere.
rte_iova_t iova_of(const std::uint8_t* bytes, std::uint32_t length) {
  if (rte_eal_iova_mode() == RTE_IOVA_VA) return reinterpret_cast<rte_iova_t>(bytes);
  const rte_memseg* page = rte_mem_virt2memseg(bytes, nullptr);
  if (page == nullptr || page->iova == RTE_BAD_IOVA) return RTE_BAD_IOVA;
  const auto offset = static_cast<std::size_t>(bytes - static_cast<const std::uint8_t*>(page->addr));
  return offset + length <= page->len ? page->iova + offset : RTE_BAD_IOVA;
}

/// What a small frame takes, and what a device puts in front of it.
void fetch_for_write(const rte_mbuf& mbuf) {
  constexpr std::uint32_t kInFront = 16;
  fetch_to_write(rte_pktmbuf_mtod(&mbuf, const std::uint8_t*) - kInFront, kFirstBytes);
}

}  // namespace

inline rte_mbuf* TxQueue::take_for_copy() {
  rte_mbuf* const fresh = rte_pktmbuf_alloc(pool_);
  if (fresh != nullptr) fetch_for_write(*fresh);
  rte_mbuf* const taken = std::exchange(ready_[next_ready_], fresh);
  next_ready_ = (next_ready_ + 1) % kReady;
  return taken != nullptr ? taken : rte_pktmbuf_alloc(pool_);  // none was there the first time round
}

/// A frame being made.
class TxQueue::Chain {
 public:
  explicit Chain(TxQueue& queue) : queue_(queue) {}
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;
  ~Chain() { rte_pktmbuf_free(head_); }

  /// False: out of mbufs.
  [[nodiscard]] bool copy(const std::uint8_t* bytes, std::uint32_t length) {
    while (length != 0) {
      if (room_ == 0 && !add_copying()) return false;
      const auto n = static_cast<std::uint16_t>(std::min<std::uint32_t>(length, room_));
      std::memcpy(rte_pktmbuf_mtod_offset(tail_, std::uint8_t*, tail_->data_len), bytes, n);
      tail_->data_len = static_cast<std::uint16_t>(tail_->data_len + n);
      head_->pkt_len += n;
      room_ -= n;
      bytes += n;
      length -= n;
    }
    return true;
  }
  [[nodiscard]] bool attach(const BufferRef& buffer, std::uint8_t* bytes, std::uint32_t length) {
    const rte_iova_t iova = iova_of(bytes, length);
    if (iova == RTE_BAD_IOVA) return copy(bytes, length);
    if (!add(rte_pktmbuf_alloc(queue_.pool_))) return false;
    Attachment& to = attachment(tail_);
    to.buffer = buffer;
    ++queue_.attached_;
    rte_mbuf_ext_refcnt_set(&to.shared, 1);
    const auto size = static_cast<std::uint16_t>(length);
    rte_pktmbuf_attach_extbuf(tail_, bytes, iova, size, &to.shared);
    tail_->data_len = size;
    head_->pkt_len += length;
    return true;
  }
  [[nodiscard]] rte_mbuf* head() const { return head_; }
  [[nodiscard]] rte_mbuf* release() { return std::exchange(head_, nullptr); }

 private:
  [[nodiscard]] bool add(rte_mbuf* mbuf) {
    if (mbuf == nullptr) return false;
    if (head_ == nullptr) {
      head_ = mbuf;
    } else {
      tail_->next = mbuf;
      ++head_->nb_segs;
    }
    tail_ = mbuf;
    room_ = 0;
    return true;
  }
  [[nodiscard]] bool add_copying() {
    if (!add(queue_.take_for_copy())) return false;
    room_ = rte_pktmbuf_tailroom(tail_);
    return true;
  }

  TxQueue& queue_;
  rte_mbuf* head_ = nullptr;
  rte_mbuf* tail_ = nullptr;
  std::uint32_t room_ = 0;  ///< left in the last mbuf, when it is not attached
};

TxQueue::~TxQueue() {
  drop_strays();
  rte_mempool_free(pool_);
}

std::string TxQueue::open(const Config& config) {
  config_ = config;
  const std::uint32_t count = 2 * config.slots + 3 * kCacheMbufs + static_cast<std::uint32_t>(kReady);
  const std::string name = "millrace-tx-" + std::to_string(reinterpret_cast<std::uintptr_t>(this));
  static_assert(sizeof(Attachment) % RTE_MBUF_PRIV_ALIGN == 0);
  pool_ = rte_pktmbuf_pool_create(
      name.substr(0, RTE_MEMPOOL_NAMESIZE - 1).c_str(), count, kCacheMbufs, sizeof(Attachment),
      static_cast<std::uint16_t>(config.room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
  if (pool_ == nullptr) {
    return "no memory for " + std::to_string(count) + " mbufs to send with (" + rte_strerror(rte_errno) +
           "); give more with memory=MB, or take fewer tx_slots";
  }
  rte_mempool_obj_iter(pool_, &initialise_mbuf, this);
  return {};
}

void TxQueue::initialise_mbuf(rte_mempool* /*pool*/, void* queue, void* object, unsigned /*index*/) {
  auto& made = *new (&attachment(static_cast<rte_mbuf*>(object))) Attachment{};
  made.shared.free_cb = &on_sent;
  made.shared.fcb_opaque = &made;
  made.queue = static_cast<TxQueue*>(queue);
}

void TxQueue::on_sent(void* /*bytes*/, void* attachment) {
  auto& sent = *static_cast<Attachment*>(attachment);
  if (!sent.buffer) return;  // taken back
  TxQueue& queue = *sent.queue;
  // Under the context's lock only in a burst of this queue: then its number is lent to this thread. Counts of
  // Buffers are not atomic.
  if (rte_lcore_id() == queue.lcore_.id() && queue.lcore_.id() != LCORE_ID_ANY) [[likely]] {
    --queue.attached_;
    sent.buffer.reset();
    return;
  }
  const std::lock_guard guard(queue.strays_mutex_);
  queue.strays_.push_back(std::move(sent.buffer));
  queue.has_strays_.store(true, std::memory_order_release);
}

void TxQueue::drop_strays_slow() {
  const std::lock_guard guard(strays_mutex_);
  attached_ -= strays_.size();
  strays_.clear();
  has_strays_.store(false, std::memory_order_relaxed);
}

void TxQueue::take_back() {
  drop_strays();
  if (attached_ != 0) rte_mempool_obj_iter(pool_, &take_back_one, this);
}

void TxQueue::take_back_one(rte_mempool* /*pool*/, void* queue, void* object, unsigned /*index*/) {
  Attachment& left = attachment(static_cast<rte_mbuf*>(object));
  if (!left.buffer) return;
  left.buffer.reset();
  --static_cast<TxQueue*>(queue)->attached_;
}

void TxQueue::reclaim() {
  const LcoreScope scope(lcore_);
  rte_eth_tx_done_cleanup(port_, queue_, 0);
  drop_strays();
}

inline TxQueue::Built TxQueue::build(const Packet& packet, Frame& frame) {
  // The common case: a small frame in one piece, all of it copied.
  const std::uint32_t length = packet.linear_length();
  if (packet.fragment_count() != 0 || length > kCopyLimit || length == 0) return build_chain(packet, frame);
  rte_mbuf* const mbuf = take_for_copy();
  if (mbuf == nullptr) return Built::kNoMbufs;
  assert(length <= rte_pktmbuf_tailroom(mbuf));
  std::memcpy(rte_pktmbuf_mtod(mbuf, std::uint8_t*), packet.data(), length);
  mbuf->pkt_len = length;
  mbuf->data_len = static_cast<std::uint16_t>(length);
  if (!set_tx_offload(packet, *mbuf)) {
    rte_pktmbuf_free(mbuf);
    return Built::kRefused;
  }
  const std::uint32_t own = packet.own_front();
  frame = {mbuf, 0, own != 0 ? length - own : 0};
  return Built::kYes;
}

TxQueue::Built TxQueue::build_chain(const Packet& packet, Frame& frame) {
  Chain chain(*this);
  frame.bytes_attached = frame.bytes_copied = 0;
  const bool attach = can_attach(packet);
  const auto add = [&](const BufferRef& buffer, std::uint8_t* bytes, std::uint32_t length) {
    if (attach && length > kCopyLimit && buffer->in_device_memory()) {
      frame.bytes_attached += length;
      return chain.attach(buffer, bytes, length);
    }
    frame.bytes_copied += length;
    return chain.copy(bytes, length);
  };
  // Headers are copied: the device, or what it does for us, may write there.
  const std::uint32_t linear = packet.linear_length(), own = packet.own_front();
  const std::uint32_t headers = own != 0 && linear > kCopyLimit ? own : std::min(linear, kCopyLimit);
  if (!chain.copy(packet.data(), headers)) return Built::kNoMbufs;
  if (own != 0) frame.bytes_copied = headers - own;
  if (linear > headers && !add(packet.storage(), packet.data() + headers, linear - headers))
    return Built::kNoMbufs;
  for (const Fragment& fragment : packet.fragments()) {
    if (!add(fragment.buffer, fragment.bytes().data(), fragment.length)) return Built::kNoMbufs;
  }
  if (chain.head() == nullptr || !set_tx_offload(packet, *chain.head()) ||
      (!config_.multi_segment && chain.head()->nb_segs != 1)) {
    return Built::kRefused;
  }
  frame.mbufs = chain.release();
  return Built::kYes;
}

std::size_t TxQueue::build_burst(PacketQueue& packets, PacketLookahead& ahead, std::size_t& taken,
                                 DeviceStats& stats) {
  std::size_t count = 0;
  VhostRing::Ahead free(vhost_ring_);
  for (auto at = packets.begin(); at != packets.end() && count < burst_limit_;) {
    ahead.begin_next();
    // While this frame is made, the places of those before it come.
    if (!free.ended()) free.ask_to_write(at->length());
    switch (build(*at, frames_[count])) {
      case Built::kYes:
        burst_[count] = frames_[count].mbufs;
        ++count;
        ++at;
        break;
      case Built::kNoMbufs:
        ++counters_.no_mbufs;
        if (count == 0) full_ = true;
        return count;
      case Built::kRefused:
        if (count != 0) return count;
        (void)packets.pop_front();
        at = packets.begin();
        ++taken;
        ++stats.tx_errors;
        break;
    }
  }
  return count;
}

std::size_t TxQueue::send(PacketQueue& packets, DeviceStats& stats) {
  std::size_t taken = 0;
  full_ = false;
  PacketLookahead ahead(packets);
  while (!packets.empty()) {
    const std::size_t count = build_burst(packets, ahead, taken, stats);
    if (count == 0) break;
    const auto offered = static_cast<std::uint16_t>(count);
    std::uint16_t ready = offered;
    if (config_.prepare) ready = rte_eth_tx_prepare(port_, queue_, burst_.data(), offered);
    const std::uint16_t sent = ready == 0 ? 0 : rte_eth_tx_burst(port_, queue_, burst_.data(), ready);
    for (std::uint16_t i = 0; i < sent; ++i) {
      stats.tx_bytes += packets.front().length();
      counters_.bytes_attached += frames_[i].bytes_attached;
      counters_.bytes_copied += frames_[i].bytes_copied;
      (void)packets.pop_front();
    }
    for (std::uint16_t i = sent; i < offered; ++i) rte_pktmbuf_free(burst_[i]);
    stats.tx_packets += sent;
    taken += sent;
    if (sent < ready) {
      // What was made for nothing is not to be much more than what the device then takes.
      burst_limit_ = std::clamp<std::size_t>(std::size_t{2} * sent, 4, kBurst);
      full_ = true;
      break;
    }
    burst_limit_ = std::min(kBurst, burst_limit_ * 2);
    if (ready < offered) {  // the device cannot send this one at all
      (void)packets.pop_front();
      ++taken;
      ++stats.tx_errors;
    }
  }
  return taken;
}

}  // namespace millrace::drivers::dpdk
