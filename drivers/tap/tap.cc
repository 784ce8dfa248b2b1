#include "tap/tap.h"

#include <cerrno>
#include <cstring>

#include "af_packet/interface_info.h"
#include "frame_headers.h"

namespace millrace::drivers {
namespace {

/// How often a busy poller, which never calls arm(), looks for news of the link.
constexpr Duration kLinkCheckInterval = 20ms;

/// An address beside the interface's own: the same for every process image that has the queue.
MacAddress neighbour_of(MacAddress mac) {
  mac.bytes[0] = static_cast<std::uint8_t>((mac.bytes[0] | 0x02) & ~0x01);
  mac.bytes[5] ^= 0x01;
  return mac;
}

}  // namespace

std::unique_ptr<TapDevice> TapDevice::open(const TapConfig& config, std::string& error) {
  std::unique_ptr<TapDevice> device{new TapDevice};
  error = device->initialise(config);
  if (!error.empty()) {
    error = "tap: " + error;
    device.reset();
  }
  return device;
}

std::string TapDevice::initialise(const TapConfig& config) {
  std::string error = config.inherited >= 0 ? interface_.adopt(config.inherited)
                                            : interface_.open(config.interface, config.options);
  if (!error.empty()) return error;
  name_ = "tap:" + interface_.name();
  queue_ = TapQueue(interface_.queue());
  InterfaceInfo info;
  if (!query_interface(interface_.control(), interface_.name(), info))
    return "interface " + interface_.name() + " is gone again";
  mac_ = config.mac.value_or(neighbour_of(info.mac));
  if (mac_ == info.mac)
    return "interface " + interface_.name() + " has the address " + mac_.to_string() +
           " itself: it is the kernel's; give the stack another with mac=";
  mtu_ = info.mtu;
  if (!link_.open(interface_.name(), info.index))
    return "cannot watch the link (rtnetlink): " + std::string(std::strerror(errno));
  dropped_before_ = link_.tx_dropped();
  caps_.tx_checksum = caps_.rx_checksum = caps_.tso = caps_.lro = caps_.scatter = caps_.can_sleep = true;
  caps_.max_gso_bytes = kMaxGsoBytes;
  return {};
}

std::size_t TapDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  const std::size_t received = queue_.receive(pool, out, budget, now, stats_);
  if (received != 0) {
    received_since_arm_ = true;
  } else if (now >= next_link_check_) {
    next_link_check_ = now + kLinkCheckInterval;
    check_link();
  }
  return received;
}

std::size_t TapDevice::tx_burst(PacketQueue& packets, Instant) {
  std::size_t taken = 0;
  const TapQueue::Result result = queue_.send(packets, taken, stats_);
  tx_full_ = result == TapQueue::Result::kFull;
  if (tx_full_) ++stats_.tx_full;
  if (result == TapQueue::Result::kDown) check_link();
  return taken;
}

std::span<const WaitFd> TapDevice::wait_fds() {
  wait_fds_[0] = {link_.fd(), true, false};
  wait_fds_[1] = {queue_.fd(), true, tx_full_};
  return {wait_fds_.data(), queue_.gone() ? 1u : 2u};
}

bool TapDevice::arm() {
  // The descriptor is readable as long as there are frames. What wakes without one is news of the link.
  if (!received_since_arm_) check_link();
  received_since_arm_ = false;
  return queue_.pending() || link_.has_event();
}

void TapDevice::check_link() {
  link_.update();
  if (!link_.must_attach() || !interface_.attach_again()) return;
  queue_.set_attached();
  link_.set_attached(link_.index());
}

DeviceStats TapDevice::stats() {
  link_.refresh();
  DeviceStats stats = stats_;
  stats.rx_dropped = link_.tx_dropped() - dropped_before_;
  return stats;
}

}  // namespace millrace::drivers
