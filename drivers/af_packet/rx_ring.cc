#include "af_packet/rx_ring.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "af_packet/datagrams.h"
#include "af_packet/packet_socket.h"
#include "base/byte_order.h"
#include "frame_headers.h"

namespace millrace::drivers {
namespace {

/// Room before a received frame: for a VLAN tag, and so that the IP header lies on a 16-byte boundary.
constexpr std::uint32_t kRxHeadroom = 18;
constexpr std::uint32_t kLargestFrame = PacketPool::kClassBytes.back() - kRxHeadroom;
constexpr std::uint16_t kEtherTypeVlan = 0x8100;
/// The shared file's first page holds the positions of all queues.
constexpr std::size_t kPositionBytes = 4096;

/// Puts a VLAN tag that the kernel took out back behind the addresses.
void insert_vlan_tag(Packet& packet, std::uint16_t type, std::uint16_t tag) {
  std::uint8_t* frame = packet.push(kVlanTag);
  std::memmove(frame, frame + kVlanTag, 12);
  store_be16(frame + 12, type);
  store_be16(frame + 14, tag);
}

/// A socket that has its ring.
std::string make_ring_socket(const RxRing::Config& config, UniqueFd& socket) {
  std::string error = open_packet_socket(socket);
  if (!error.empty()) return error;
  const int fd = socket.get();
  set_socket_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, config.socket_buffer);
  const int one = 1;
  const int version = TPACKET_V2;
  // PACKET_COPY_THRESH is a switch: any number but 0 has over-sized frames queued.
  if (::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0 ||
      ::setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0 ||
      ::setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &one, sizeof one) != 0) {
    return "this kernel is too old (Linux 4.20 or later is needed): " + std::string(std::strerror(errno));
  }
  tpacket_req request{};
  const std::uint32_t bytes = config.slots * config.slot_bytes;
  request.tp_block_size = std::max(config.slot_bytes, std::min(bytes, 256u << 10));
  request.tp_block_nr = bytes / request.tp_block_size;
  request.tp_frame_size = config.slot_bytes;
  request.tp_frame_nr = config.slots;
  if (::setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) {
    return "cannot make a receive ring of " + std::to_string(bytes >> 10) +
           " KiB: " + std::string(std::strerror(errno));
  }
  return {};
}

}  // namespace

/// One slot of the ring, as the kernel filled it.
struct RxRing::Slot {
  std::uint8_t* start;

  [[nodiscard]] tpacket2_hdr* header() const { return reinterpret_cast<tpacket2_hdr*>(start); }
  [[nodiscard]] std::uint32_t status() const {
    return __atomic_load_n(&header()->tp_status, __ATOMIC_ACQUIRE);
  }
  [[nodiscard]] bool filled() const { return (status() & TP_STATUS_USER) != 0; }
  /// Too large for the slot, and whole in the socket's queue.
  [[nodiscard]] bool queued() const {
    constexpr std::uint32_t kBoth = TP_STATUS_USER | TP_STATUS_COPY;
    return (status() & kBoth) == kBoth;
  }
  [[nodiscard]] std::uint32_t frame_length() const { return header()->tp_len; }
  [[nodiscard]] bool truncated() const { return header()->tp_snaplen < header()->tp_len; }
  [[nodiscard]] const std::uint8_t* frame() const { return start + header()->tp_mac; }
};

RxRing::~RxRing() {
  if (map_ != nullptr) ::munmap(map_, map_bytes_);
  if (position_ != nullptr) ::munmap(position_, kPositionBytes);
}

std::string RxRing::map_ring(int socket) {
  const std::size_t bytes = std::size_t{config_.slots} * config_.slot_bytes;
  void* ring = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket, 0);
  if (ring == MAP_FAILED) return "cannot map the receive ring: " + std::string(std::strerror(errno));
  if (map_ != nullptr) ::munmap(map_, map_bytes_);
  map_ = static_cast<std::uint8_t*>(ring);
  map_bytes_ = bytes;
  slots_ = config_.slots;
  slot_bytes_ = config_.slot_bytes;
  return {};
}

std::string RxRing::map_position() {
  const int kind = config_.shared_file >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
  void* position = ::mmap(nullptr, kPositionBytes, PROT_READ | PROT_WRITE, kind, config_.shared_file, 0);
  if (position == MAP_FAILED) return "cannot map memory: " + std::string(std::strerror(errno));
  position_ = position;
  current_ = static_cast<std::uint32_t*>(position) + config_.queue;
  return {};
}

std::string RxRing::open(const Config& config) {
  config_ = config;
  if (config.inherited >= 0) {
    socket_ = UniqueFd{config.inherited};
  } else if (std::string error = make_ring_socket(config, socket_); !error.empty()) {
    return error;
  }
  if (std::string error = map_ring(socket_.get()); !error.empty()) return error;
  return map_position();
}

std::string RxRing::reopen() {
  UniqueFd made;
  if (std::string error = make_ring_socket(config_, made); !error.empty()) return error;
  if (std::string error = map_ring(made.get()); !error.empty()) return error;
  *current_ = 0;
  // Under the number that others know: an image of this process that comes after, and who guards descriptors.
  const int flags = (::fcntl(socket_.get(), F_GETFD) & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0;
  if (::dup3(made.get(), socket_.get(), flags) < 0) socket_ = std::move(made);
  return {};
}

bool RxRing::bind(int interface_index) {
  return bind_packet_socket(socket_.get(), interface_index, ETH_P_ALL);
}

bool RxRing::set_promiscuous(int interface_index) {
  packet_mreq request{};
  request.mr_ifindex = interface_index;
  request.mr_type = PACKET_MR_PROMISC;
  return ::setsockopt(socket_.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) == 0;
}

RxRing::Slot RxRing::slot(std::uint32_t index) const {
  return Slot{map_ + std::size_t{index} * slot_bytes_};
}

void RxRing::release(std::uint32_t index) {
  __atomic_store_n(&slot(index).header()->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

bool RxRing::ready() const {
  return slot(*current_).filled();
}

std::size_t RxRing::receive(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                            DeviceStats& stats) {
  std::size_t received = 0;
  while (received < budget) {
    if (PacketPtr packet = pending_.pop_front()) {
      out.push_back(std::move(packet));
      ++received;
      continue;
    }
    const Slot from = slot(*current_);
    if (!from.filled()) break;
    if (from.queued()) {
      received += receive_queued(pool, out, budget - received, now, stats);
      continue;
    }
    received += receive_small(from, pool, out, now, stats);
    release(*current_);
    *current_ = after(*current_);
  }
  return received;
}

std::size_t RxRing::receive_small(const Slot& from, PacketPool& pool, PacketQueue& out, Instant now,
                                  DeviceStats& stats) {
  // Too large for the slot and not queued: the socket's receive buffer was full.
  if (from.truncated()) {
    ++stats.rx_dropped;
    return 0;
  }
  const std::uint32_t length = from.frame_length();
  PacketPtr packet = pool.allocate(length, kRxHeadroom);
  if (!packet) {
    ++stats.rx_no_memory;
    return 0;
  }
  std::memcpy(packet->put(length), from.frame(), length);
  VnetHeader header;
  std::memcpy(&header, from.frame() - sizeof header, sizeof header);
  return deliver(std::move(packet), header, from, out, now, stats);
}

std::size_t RxRing::receive_queued(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now,
                                   DeviceStats& stats) {
  // A run of such slots is read with one system call. Without memory a frame is read into nothing.
  const std::size_t limit = std::min(budget, kCopyBatch);
  std::size_t count = 0;
  for (std::uint32_t index = *current_; count < limit && slot(index).queued();
       index = after(index), ++count) {
    const std::uint32_t length = slot(index).frame_length();
    PacketPtr& packet = packets_[count];
    if (length <= kLargestFrame) packet = pool.allocate(length, kRxHeadroom);
    pieces_[count][0] = {&headers_[count], sizeof(VnetHeader)};
    pieces_[count][1] = packet ? iovec{packet->put(length), length} : iovec{nullptr, 0};
    messages_[count] = {};
    messages_[count].msg_hdr.msg_iov = pieces_[count].data();
    messages_[count].msg_hdr.msg_iovlen = packet ? 2 : 1;
  }
  const int taken = read_queue(count);
  std::size_t received = 0;
  for (std::size_t i = 0; i < count; ++i) {
    PacketPtr packet = std::move(packets_[i]);
    // The rest of an interrupted batch stays for the next turn; an empty queue means that the frame is lost.
    if (static_cast<int>(i) >= std::max(taken, 1)) continue;
    const Slot from = slot(*current_);
    if (taken <= 0) {
      ++stats.rx_dropped;
    } else if (!packet) {
      ++(from.frame_length() > kLargestFrame ? stats.rx_truncated : stats.rx_no_memory);
    } else if (messages_[i].msg_len != sizeof(VnetHeader) + from.frame_length()) {
      ++stats.rx_truncated;
    } else {
      received += deliver(std::move(packet), headers_[i], from, out, now, stats);
    }
    release(*current_);
    *current_ = after(*current_);
  }
  return received;
}

int RxRing::read_queue(std::size_t count) {
  // The first call may report an error of the link instead, which is then off the socket.
  for (int attempt = 0; attempt < 3; ++attempt) {
    const int taken =
        ::recvmmsg(socket_.get(), messages_.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
    if (taken > 0) return taken;
    if (errno == EAGAIN) break;
  }
  return 0;
}

std::size_t RxRing::deliver(PacketPtr packet, const VnetHeader& header, const Slot& from, PacketQueue& out,
                            Instant now, DeviceStats& stats) {
  packet->offload = header.to_offload(packet->linear(), packet->length());
  const std::uint32_t status = from.status();
  if ((status & TP_STATUS_VLAN_VALID) != 0) {
    const bool typed = (status & TP_STATUS_VLAN_TPID_VALID) != 0;
    insert_vlan_tag(*packet, typed ? from.header()->tp_vlan_tpid : kEtherTypeVlan,
                    from.header()->tp_vlan_tci);
    if (packet->offload.rx_checksum == Offload::RxChecksum::kPartial) {
      packet->offload.checksum_start = static_cast<std::uint16_t>(packet->offload.checksum_start + kVlanTag);
    }
  }
  packet->timestamp = now;
  return pass_on(std::move(packet), header, pending_, out, stats);
}

std::uint64_t RxRing::read_drops() {
  tpacket_stats counts{};
  socklen_t length = sizeof counts;
  if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &counts, &length) != 0) return 0;
  return counts.tp_drops;
}

void RxRing::clear_error() {
  clear_socket_error(socket_.get());
}

}  // namespace millrace::drivers
