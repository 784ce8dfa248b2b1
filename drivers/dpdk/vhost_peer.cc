#include "dpdk/vhost_peer.h"

#include <rte_eth_vhost.h>

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include <climits>

namespace millrace::drivers::dpdk {
namespace {

/// VIRTIO_F_RING_PACKED, and VIRTIO_F_ACCESS_PLATFORM, with which the peer's IOMMU translates addresses.
constexpr std::uint64_t kPacked = std::uint64_t{1} << 34;
constexpr std::uint64_t kTranslated = std::uint64_t{1} << 33;

/// So many peers, of all ports, are looked through for one.
constexpr int kMostPeers = 64;

/// The peers that are there, by librte_vhost's numbers for them, which is all that it passes on.
struct Peers {
  std::mutex mutex;
  std::map<int, VhostPeer*> by_number;
};
Peers& peers() {
  static auto* const all = new Peers;
  return *all;
}

bool has_split_rings(int vid) {
  std::uint64_t features = 0;
  return rte_vhost_get_negotiated_features(vid, &features) == 0 && (features & (kPacked | kTranslated)) == 0;
}

PeerMemory memory_of(int vid) {
  PeerMemory memory;
  rte_vhost_memory* table = nullptr;
  if (rte_vhost_get_mem_table(vid, &table) != 0) return memory;
  const std::unique_ptr<rte_vhost_memory, decltype(&std::free)> owned(table, &std::free);
  for (std::uint32_t i = 0; i < table->nregions; ++i) {
    const rte_vhost_mem_region& region = table->regions[i];
    const auto* const mapped = static_cast<const std::uint8_t*>(region.mmap_addr);
    const std::uint64_t skipped = region.host_user_addr - reinterpret_cast<std::uintptr_t>(mapped);
    memory.add({region.guest_phys_addr, region.size, mapped + skipped});
  }
  return memory;
}

}  // namespace

void VhostPeer::link_changed(std::uint16_t port, bool up) {
  lose();
  const int vid = up ? number(port) : -1;
  if (vid < 0 || !has_split_rings(vid)) return;
  const rte_vhost_user_extern_ops hooks{&before_message, &after_message};
  if (rte_vhost_extern_callback_register(vid, &hooks, nullptr) != 0) return;
  const std::lock_guard guard(peers().mutex);
  peers().by_number[vid] = this;
  vid_ = vid;
  messages_ = Messages::none;
  attach(vid);
}

void VhostPeer::lose() {
  const std::lock_guard guard(peers().mutex);
  if (vid_ < 0) return;
  detach();
  if (const auto at = peers().by_number.find(vid_); at != peers().by_number.end() && at->second == this)
    peers().by_number.erase(at);
  vid_ = -1;
}

int VhostPeer::number(std::uint16_t port) const {
  if (const int vid = rte_eth_vhost_get_vid_from_port_id(port); is_number(vid)) return vid;
  // It says the wrong one of a peer that came before the port had started.
  for (int vid = 0; vid < kMostPeers; ++vid) {
    if (is_number(vid)) return vid;
  }
  return -1;
}

bool VhostPeer::is_number(int vid) const {
  std::array<char, PATH_MAX> socket{};
  return vid >= 0 && rte_vhost_get_ifname(vid, socket.data(), socket.size()) == 0 && socket_ == socket.data();
}

void VhostPeer::attach(int vid) {
  const PeerMemory memory = memory_of(vid);
  for (std::uint16_t number = 0; VhostRing* const ring : rings_) {
    rte_vhost_vring vring{};
    if (rte_vhost_get_vhost_vring(vid, number++, &vring) != 0) continue;
    (void)ring->attach({reinterpret_cast<const VhostRing::Descriptor*>(vring.desc),
                        reinterpret_cast<const VhostRing::Available*>(vring.avail),
                        reinterpret_cast<const VhostRing::Used*>(vring.used), vring.size, memory});
  }
}

void VhostPeer::detach() {
  for (VhostRing* const ring : rings_) ring->detach();
}

rte_vhost_msg_result VhostPeer::before_message(int vid, void* /*message*/) {
  const std::lock_guard guard(peers().mutex);
  if (const auto at = peers().by_number.find(vid); at != peers().by_number.end()) {
    VhostPeer& peer = *at->second;
    peer.detach();
    peer.messages_ = peer.messages_ == Messages::none ? Messages::one : Messages::failed;
  }
  return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/// Not called after one that failed.
rte_vhost_msg_result VhostPeer::after_message(int vid, void* /*message*/) {
  const std::lock_guard guard(peers().mutex);
  const auto at = peers().by_number.find(vid);
  if (at != peers().by_number.end() && at->second->messages_ == Messages::one) {
    at->second->messages_ = Messages::none;
    at->second->attach(vid);
  }
  return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

}  // namespace millrace::drivers::dpdk
