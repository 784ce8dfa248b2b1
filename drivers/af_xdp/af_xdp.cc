#include "af_xdp/af_xdp.h"

#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "af_packet/interface_info.h"
#include "af_xdp/channels.h"

namespace millrace::drivers {
namespace {

constexpr std::uint32_t kEthernetHeader = 14, kVlanTag = 4;
/// What the kernel leaves before a frame that it receives (XDP_PACKET_HEADROOM).
constexpr std::uint32_t kKernelHeadroom = 256;
constexpr std::uint32_t kSmallFrame = 2048, kLargeFrame = 4096;
/// A lent frame holds all of its bytes: smaller payloads are copied.
constexpr std::uint32_t kCopyBelow = 512;
/// How often a busy poller, which never calls arm(), looks for news of the link.
constexpr Duration kLinkCheckInterval = 20ms;
/// What the kernel did not take yet although it was told is offered again after that time.
constexpr Duration kKickAgain = 50us;
/// A socket that was just closed keeps the queue busy for a moment.
constexpr auto kBusyFor = std::chrono::milliseconds(1000), kBusyStep = std::chrono::milliseconds(10);

}  // namespace

AfXdpDevice::AfXdpDevice(const AfXdpConfig& config, std::shared_ptr<XdpProgram> program)
    : config_(config), program_(std::move(program)), queue_(config.queue + config.place.index) {
  config_.place.program = nullptr;
}

std::unique_ptr<AfXdpDevice> AfXdpDevice::open(const AfXdpConfig& config, std::string& error) {
  std::shared_ptr<XdpProgram> own;
  std::shared_ptr<XdpProgram>& program = config.place.program != nullptr ? *config.place.program : own;
  if (program == nullptr)
    program = std::make_shared<XdpProgram>(config.interface, config.queue + config.place.count, config.mode);
  std::unique_ptr<AfXdpDevice> device{new AfXdpDevice(config, program)};
  error = device->initialise();
  if (!error.empty()) {
    error = "xdp: " + error;
    device.reset();
  }
  return device;
}

AfXdpDevice::~AfXdpDevice() {
  detach();
}

std::string AfXdpDevice::initialise() {
  const std::string& interface = config_.interface;
  name_ = "xdp:" + interface;
  InterfaceInfo info;
  if (!query_interface(interface, info))
    return "there is no interface \"" + interface + "\" here; there are: " + interface_names();
  if (!info.ethernet) return "interface " + interface + " is not an Ethernet device";
  if (!info.up) return "interface " + interface + " is down; do: ip link set " + interface + " up";
  const std::uint32_t overhead = kEthernetHeader + kVlanTag + kKernelHeadroom;
  const std::uint32_t frame_bytes = info.mtu + overhead <= kSmallFrame ? kSmallFrame : kLargeFrame;
  if (info.mtu + overhead > kLargeFrame)
    return "MTU " + std::to_string(info.mtu) + " of " + interface + " is more than AF_XDP carries (" +
           std::to_string(kLargeFrame - overhead) + "); do: ip link set " + interface + " mtu 1500";
  if (!link_.open(interface, info.index))
    return "cannot watch the link (rtnetlink): " + std::string(std::strerror(errno));
  mtu_ = info.mtu;
  mac_ = config_.mac.value_or(info.mac);
  if (std::string error = check_queues(interface, config_.queue, config_.place.count); !error.empty())
    return error;
  if (std::string error = umem_.open(config_.frames, frame_bytes, config_.slots); !error.empty())
    return error;
  if (std::string error = attach(info.index); !error.empty()) return error;
  caps_.scatter = true;  // what is sent is copied into a frame anyhow
  caps_.can_sleep = true;
  return {};
}

// --- attaching

std::string AfXdpDevice::attach(int interface_index) {
  std::string error = umem_.announce();
  if (error.empty()) error = make_socket();
  if (error.empty()) error = program_->attach(interface_index, queue_, xsk_socket__fd(socket_));
  if (error.empty() && config_.busy_poll != Duration::zero()) error = poll_busily();
  if (error.empty() && config_.mac) error = become_promiscuous(interface_index);
  if (!error.empty()) {
    detach();
    return error;
  }
  link_.set_attached(interface_index);
  umem_.refill(config_.slots);
  ask_for_frames();
  return {};
}

std::string AfXdpDevice::make_socket() {
  xsk_socket_config config{};
  config.rx_size = config.tx_size = config_.slots;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = XDP_USE_NEED_WAKEUP;
  int error = 0;
  for (auto waited = 0 * kBusyStep; waited <= kBusyFor; waited += kBusyStep) {
    error =
        xsk_socket__create(&socket_, config_.interface.c_str(), queue_, umem_.handle(), &rx_, &tx_, &config);
    if (error != -EBUSY) break;
    std::this_thread::sleep_for(kBusyStep);
  }
  if (error == 0) return {};
  socket_ = nullptr;
  const std::string where = config_.interface + ", queue " + std::to_string(queue_);
  switch (error) {
    case -EBUSY:
      return where + " has an AF_XDP socket already";
    case -EINVAL:
      return where + ": there is no such queue; see: ethtool -l " + config_.interface;
    case -EPERM:
      return "CAP_NET_RAW and CAP_NET_ADMIN are needed: run as root";
    default:
      return "cannot open an AF_XDP socket on " + where + ": " + std::strerror(-error);
  }
}

std::string AfXdpDevice::poll_busily() {
  // From Linux 5.11; the numbers are not in older headers.
  constexpr int kPreferBusyPoll = 69, kBusyPollBudget = 70, kBudget = 64;
  const int fd = xsk_socket__fd(socket_), on = 1;
  const auto microseconds =
      static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(config_.busy_poll).count());
  if (::setsockopt(fd, SOL_SOCKET, kPreferBusyPoll, &on, sizeof on) == 0 &&
      ::setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof microseconds) == 0 &&
      ::setsockopt(fd, SOL_SOCKET, kBusyPollBudget, &kBudget, sizeof kBudget) == 0)
    return {};
  return "busy_poll is refused: " + std::string(std::strerror(errno));
}

std::string AfXdpDevice::become_promiscuous(int interface_index) {
  // As long as the descriptor is open.
  promiscuous_ = UniqueFd{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
  packet_mreq request{};
  request.mr_ifindex = interface_index;
  request.mr_type = PACKET_MR_PROMISC;
  if (promiscuous_ &&
      ::setsockopt(promiscuous_.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) == 0)
    return {};
  return "cannot make " + config_.interface + " promiscuous: " + std::strerror(errno);
}

void AfXdpDevice::detach() {
  program_->detach(queue_);
  promiscuous_ = UniqueFd{};
  if (socket_ != nullptr) {
    dropped_before_ = stats().rx_dropped;
    xsk_socket__delete(socket_);
    socket_ = nullptr;
  }
  umem_.withdraw();
}

void AfXdpDevice::own_addresses(std::span<const IpPrefix> addresses) {
  program_->select(addresses);
}

// --- receiving

std::size_t AfXdpDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  if (now >= next_link_check_) {
    next_link_check_ = now + kLinkCheckInterval;
    check_link();
  }
  if (socket_ == nullptr) return 0;
  std::uint32_t at = 0;
  const std::uint32_t count = xsk_ring_cons__peek(
      &rx_, static_cast<std::uint32_t>(std::min<std::size_t>(budget, config_.slots)), &at);
  std::size_t received = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const xdp_desc& from = *xsk_ring_cons__rx_desc(&rx_, at + i);
    PacketPtr packet = receive_one(pool, from);
    if (packet == nullptr) {
      ++stats_.rx_no_memory;
      continue;
    }
    packet->timestamp = now;
    ++stats_.rx_packets;
    stats_.rx_bytes += from.len;
    out.push_back(std::move(packet));
    ++received;
  }
  if (count != 0) {
    xsk_ring_cons__release(&rx_, count);
    received_since_arm_ = true;
  }
  // Half of what is free at first is for sending.
  umem_.refill(std::min<std::size_t>(config_.slots, config_.frames / 4));
  ask_for_frames();
  return received;
}

PacketPtr AfXdpDevice::receive_one(PacketPool& pool, const xdp_desc& from) {
  // Lent, while enough are left for the rings; copied otherwise, so that no reader's delay stops them.
  if (from.len >= kCopyBelow && umem_.available() > config_.frames / 4)
    return pool.wrap(umem_.lend(from.addr), umem_.offset_of(from.addr), from.len);
  constexpr std::uint32_t kHeadroom = 18;
  PacketPtr packet = pool.allocate(from.len, kHeadroom);
  if (packet != nullptr) std::memcpy(packet->put(from.len), umem_.at(from.addr), from.len);
  umem_.give(from.addr);
  return packet;
}

void AfXdpDevice::ask_for_frames() {
  if (xsk_ring_prod__needs_wakeup(&umem_.fill_ring()) != 0)
    static_cast<void>(::recvfrom(xsk_socket__fd(socket_), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr));
}

// --- sending

std::size_t AfXdpDevice::tx_burst(PacketQueue& packets, Instant now) {
  (void)now;
  std::size_t taken = 0;
  if (socket_ == nullptr) {
    for (; !packets.empty(); ++taken) {
      (void)packets.pop_front();
      ++stats_.tx_errors;
    }
    tx_full_ = false;
    return taken;
  }
  umem_.reclaim();
  for (;;) {
    bool room = true;
    std::uint32_t put = 0;
    while (!packets.empty()) {
      const Packet& packet = packets.front();
      if (packet.length() > mtu_ + kEthernetHeader + kVlanTag) {
        ++stats_.tx_errors;
      } else if (put_on_ring(packet)) {
        ++put;
        ++stats_.tx_packets;
        stats_.tx_bytes += packet.length();
      } else {
        room = false;
        break;
      }
      (void)packets.pop_front();
      ++taken;
    }
    if (put != 0) xsk_ring_prod__submit(&tx_, put);
    kick();
    if (room || umem_.reclaim() == 0) break;
  }
  tx_full_ = !packets.empty();
  if (tx_full_) ++stats_.tx_full;
  return taken;
}

bool AfXdpDevice::put_on_ring(const Packet& packet) {
  std::uint32_t at = 0;
  if (umem_.available() == 0 || xsk_ring_prod__reserve(&tx_, 1, &at) != 1) return false;
  xdp_desc& to = *xsk_ring_prod__tx_desc(&tx_, at);
  to.addr = umem_.take();
  to.len = packet.length();
  to.options = 0;
  packet.copy_out(0, {umem_.at(to.addr), to.len});
  return true;
}

std::uint32_t AfXdpDevice::waiting_to_send() const {
  return tx_.cached_prod - __atomic_load_n(tx_.consumer, __ATOMIC_ACQUIRE);
}

void AfXdpDevice::kick() {
  // Without a zero-copy driver the kernel sends from within this call, some tens of frames at a time.
  std::uint32_t waiting = waiting_to_send();
  while (waiting != 0 && xsk_ring_prod__needs_wakeup(&tx_) != 0) {
    const bool done = ::sendto(xsk_socket__fd(socket_), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0;
    const std::uint32_t left = waiting_to_send();
    if (left == waiting || (!done && errno != EAGAIN)) return;
    waiting = left;
  }
}

// --- sleeping, and the link

std::span<const WaitFd> AfXdpDevice::wait_fds() {
  wait_fds_[0] = {link_.fd(), true, false};
  if (socket_ == nullptr) return {wait_fds_.data(), 1};
  wait_fds_[1] = {xsk_socket__fd(socket_), true, tx_full_};
  return wait_fds_;
}

bool AfXdpDevice::arm() {
  if (socket_ != nullptr) {
    if (xsk_cons_nb_avail(&rx_, 1) != 0) return true;
    kick();
    umem_.reclaim();
  }
  // Woken, and not by a frame: perhaps by news of the link.
  if (!received_since_arm_) check_link();
  received_since_arm_ = false;
  return (socket_ != nullptr && xsk_cons_nb_avail(&rx_, 1) != 0) || link_.has_event();
}

Duration AfXdpDevice::max_sleep(Instant now) const {
  (void)now;
  if (socket_ == nullptr || waiting_to_send() == 0) return Duration::max();
  return kKickAgain;
}

void AfXdpDevice::check_link() {
  link_.update();
  if (link_.state() != LinkMonitor::State::kGone) return;
  if (socket_ != nullptr) detach();
  // Deleted and made again under the same name.
  InterfaceInfo info;
  if (!link_.must_attach() || !query_interface(config_.interface, info) || info.index != link_.index() ||
      !info.up)
    return;
  static_cast<void>(attach(info.index));
}

DeviceStats AfXdpDevice::stats() {
  xdp_statistics kernel{};
  socklen_t length = sizeof kernel;
  if (socket_ != nullptr &&
      ::getsockopt(xsk_socket__fd(socket_), SOL_XDP, XDP_STATISTICS, &kernel, &length) == 0)
    stats_.rx_dropped = dropped_before_ + kernel.rx_dropped + kernel.rx_ring_full;
  return stats_;
}

}  // namespace millrace::drivers
