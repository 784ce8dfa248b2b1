#include "dpdk/vhost_peer.h"

#include <fcntl.h>
#include <rte_eth_vhost.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include <climits>

#include "dpdk/wake_fd.h"

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

bool has_ring(int vid, std::uint16_t number) {
  rte_vhost_vring ring{};
  return rte_vhost_get_vhost_vring(vid, number, &ring) == 0 && ring.desc != nullptr &&
         ring.avail != nullptr && ring.used != nullptr;
}

/// Its socket is this one, and its first pair of queues is set up: without, no peer is a port's.
bool may_be_at(int vid, const std::string& socket) {
  std::array<char, PATH_MAX> name{};
  return rte_vhost_get_ifname(vid, name.data(), name.size()) == 0 && socket == name.data() &&
         has_ring(vid, 0) && has_ring(vid, 1);
}

/// So much of a region, mapped from the file's beginning, the file has: the peer may say more.
std::uint64_t bytes_there(const rte_vhost_mem_region& region, std::uint64_t skipped) {
  struct stat file {};
  if (::fstat(region.fd, &file) != 0 || !S_ISREG(file.st_mode)) return region.size;
  const auto end = static_cast<std::uint64_t>(file.st_size);
  return end > skipped ? std::min(region.size, end - skipped) : 0;
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
    memory.add({region.guest_phys_addr, bytes_there(region, skipped), mapped + skipped});
  }
  return memory;
}

}  // namespace

void VhostPeer::meet(std::uint16_t port, bool started) {
  lose();
  // Before the start the port says the wrong one.
  const int vid = started ? rte_eth_vhost_get_vid_from_port_id(port) : find();
  if (vid < 0) return;
  const rte_vhost_user_extern_ops hooks{&before_message, &after_message};
  if (rte_vhost_extern_callback_register(vid, &hooks, nullptr) != 0) return;
  const std::lock_guard guard(peers().mutex);
  peers().by_number[vid] = this;
  vid_ = vid;
  messages_ = Messages::none;
  take_kicks();
  attach_rings();
}

void VhostPeer::lose() {
  const std::lock_guard guard(peers().mutex);
  if (vid_ < 0) return;
  detach();
  for (UniqueFd& kick : kicks_) kick = UniqueFd();
  if (const auto at = peers().by_number.find(vid_); at != peers().by_number.end() && at->second == this)
    peers().by_number.erase(at);
  vid_ = -1;
}

int VhostPeer::find() const {
  int found = -1;
  for (int vid = 0; vid < kMostPeers; ++vid) {
    if (!may_be_at(vid, socket_)) continue;
    // There is one whom the port does not serve.
    if (found >= 0) return -1;
    found = vid;
  }
  return found;
}

void VhostPeer::take_kick(std::uint16_t queue) {
  const std::lock_guard guard(peers().mutex);
  (void)take_wake(kicks_[queue].get());
}

void VhostPeer::take_kicks() {
  for (std::uint16_t queue = 0; UniqueFd & kick : kicks_) {
    rte_vhost_vring ring{};
    const auto number = static_cast<std::uint16_t>(2 * queue++ + 1);
    const bool there = rte_vhost_get_vhost_vring(vid_, number, &ring) == 0 && ring.kickfd >= 0;
    kick = UniqueFd(there ? ::fcntl(ring.kickfd, F_DUPFD_CLOEXEC, 0) : -1);
  }
}

void VhostPeer::attach_rings() {
  if (!has_split_rings(vid_)) return;
  const PeerMemory memory = memory_of(vid_);
  for (std::uint16_t number = 0; VhostRing* const ring : rings_) {
    rte_vhost_vring vring{};
    if (rte_vhost_get_vhost_vring(vid_, number++, &vring) != 0) continue;
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
  if (at == peers().by_number.end()) return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
  VhostPeer& peer = *at->second;
  peer.take_kicks();
  if (peer.messages_ == Messages::one) {
    peer.messages_ = Messages::none;
    peer.attach_rings();
  }
  return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

}  // namespace millrace::drivers::dpdk
