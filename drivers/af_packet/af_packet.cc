#include "af_packet/af_packet.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "frame_headers.h"

namespace millrace::drivers {
namespace {

/// How often a busy poller, which never calls arm(), looks for news of the link.
constexpr Duration kLinkCheckInterval = 20ms;

}  // namespace

std::unique_ptr<AfPacketDevice> AfPacketDevice::open(const AfPacketConfig& config, std::string& error) {
  std::unique_ptr<AfPacketDevice> device{new AfPacketDevice};
  error = device->initialise(config);
  if (!error.empty()) {
    error = "af_packet: " + error;
    device.reset();
  }
  return device;
}

std::string AfPacketDevice::initialise(const AfPacketConfig& config) {
  interface_ = config.interface;
  name_ = "af_packet:" + interface_;
  InterfaceInfo info;
  if (!query_interface(interface_, info)) {
    return "there is no interface \"" + interface_ + "\" here; there are: " + interface_names();
  }
  if (!info.ethernet) return "interface " + interface_ + " is not an Ethernet device";
  if (!info.up) return "interface " + interface_ + " is down; do: ip link set " + interface_ + " up";
  if (std::string error = rx_.open(config.rx); !error.empty()) return error;
  if (std::string error = tx_.open(config.tx_buffer, config.inherited_tx); !error.empty()) return error;
  if (!link_.open(interface_, info.index)) {
    return "cannot watch the link (rtnetlink): " + std::string(std::strerror(errno));
  }
  own_mac_ = info.mac;
  mac_ = config.mac.value_or(info.mac);
  mtu_ = info.mtu;
  inherited_ = config.rx.inherited >= 0;  // attached already
  if (!inherited_ && (!tx_.bind(info.index) || !rx_.bind(info.index) ||
                      (mac_ != own_mac_ && !rx_.set_promiscuous(info.index)))) {
    return "cannot attach to " + interface_ + ": " + std::string(std::strerror(errno));
  }
  fanout_ = config.fanout;
  queue_ = config.rx.queue;
  if (!inherited_ && fanout_ != nullptr) {
    const auto turn = fanout_->take_turn();
    if (std::string error = fanout_->join(rx_.fd(), queue_, info.index); !error.empty()) return error;
  }
  caps_.tx_checksum = caps_.rx_checksum = caps_.tso = caps_.lro = caps_.scatter = caps_.can_sleep = true;
  caps_.max_gso_bytes = kMaxGsoBytes;
  return {};
}

void AfPacketDevice::own_addresses(std::span<const IpPrefix> addresses) {
  // Whoever handed the device over has done it, and outlives this process.
  if (inherited_) return;
  addresses_.assign(addresses.begin(), addresses.end());
  filter_ = IngressFilter{};
  filter_.attach(link_.attached(), addresses_);
}

std::size_t AfPacketDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  const std::size_t received = rx_.receive(pool, out, budget, now, stats_);
  if (received != 0) {
    received_since_arm_ = true;
  } else if (now >= next_link_check_) {
    next_link_check_ = now + kLinkCheckInterval;
    check_link();
  }
  return received;
}

std::size_t AfPacketDevice::tx_burst(PacketQueue& packets, Instant now) {
  std::size_t taken = 0;
  tx_result_ = tx_.send(packets, taken, stats_, now);
  if (tx_full()) ++stats_.tx_full;
  if (tx_result_ == TxSocket::Result::kDown) check_link();
  return taken;
}

std::span<const WaitFd> AfPacketDevice::wait_fds() {
  wait_fds_[0] = {rx_.fd(), true, false};
  wait_fds_[1] = {link_.fd(), true, false};
  wait_fds_[2] = {tx_.fd(), false, true};
  return {wait_fds_.data(), tx_result_ == TxSocket::Result::kFull ? 3u : 2u};
}

bool AfPacketDevice::arm() {
  if (rx_.ready()) return true;
  // Woken, and not by a frame: by news of the link, or by an error that would wake again and again. On the
  // way of frames this costs nothing.
  if (!received_since_arm_) {
    check_link();
    rx_.clear_error();
  }
  received_since_arm_ = false;
  return rx_.ready() || link_.has_event();
}

Duration AfPacketDevice::max_sleep(Instant now) const {
  return congested() ? std::max(tx_.retry_at() - now, Duration::zero()) : Duration::max();
}

void AfPacketDevice::check_link() {
  link_.update();
  if (!link_.must_attach()) return;
  // Deleted and made again under the same name.
  InterfaceInfo info;
  if (!query_interface(tx_.fd(), interface_, info) || info.index != link_.index()) return;
  if (!attach_again(info)) return;
  link_.set_attached(info.index);
  own_addresses(std::vector<IpPrefix>(addresses_));
  if (mac_ != info.mac) (void)rx_.set_promiscuous(info.index);
  rx_.clear_error();
}

bool AfPacketDevice::attach_again(const InterfaceInfo& info) {
  if (!tx_.bind(info.index)) return false;
  if (fanout_ == nullptr) return rx_.bind(info.index);
  stats_.rx_dropped += rx_.read_drops();
  const auto turn = fanout_->take_turn();
  // A socket is made where its thread is: it must see the same interface.
  InterfaceInfo here;
  return rx_.reopen().empty() && query_interface(rx_.fd(), interface_, here) && here.index == info.index &&
         rx_.bind(info.index) && fanout_->join(rx_.fd(), queue_, info.index).empty();
}

DeviceStats AfPacketDevice::stats() {
  stats_.rx_dropped += rx_.read_drops();
  return stats_;
}

}  // namespace millrace::drivers
