#include "dpdk/dpdk_device.h"

#include <algorithm>

#include "dpdk/xstats.h"

namespace millrace::drivers::dpdk {
namespace {

/// How long may be slept without an interrupt: short while there is traffic, up to a millisecond as it stays
/// away, and more once it has been away for long, when a wake-up each millisecond is all that a program does.
constexpr Duration kShortestSleep = 20us;
constexpr Duration kLongSleep = 1ms;
constexpr Duration kLongestSleep = 4ms;
/// When a full device is tried again at first, as no descriptor tells.
constexpr Duration kRetryFull = 50us;
constexpr Duration kAwaitPeer = 100ms;

}  // namespace

std::unique_ptr<DpdkDevice> DpdkDevice::open(const DpdkConfig& config, std::string& error) {
  std::shared_ptr<Port> port = config.queue == 0 ? Port::open(config, error) : Port::find(config, error);
  if (!port) {
    error = "dpdk: " + error;
    return nullptr;
  }
  return std::make_unique<DpdkDevice>(std::move(port), config.queue, config.device);
}

DpdkDevice::DpdkDevice(std::shared_ptr<Port> port, std::uint16_t queue, std::string device)
    : port_(std::move(port)),
      queue_(queue),
      queues_(port_->queue(queue)),
      name_("dpdk:" + std::move(device)) {}

std::size_t DpdkDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  const Port::Use use(*port_, queues_);
  if (!use) return 0;
  if (armed_) disarm();
  queues_.tx.drop_strays();
  const LcoreScope scope(queues_.lcore);
  const std::size_t received = queues_.rx.receive(pool, out, budget, now, stats_);
  if (received != 0) {
    last_frame_ = now;
  } else if (owns_link()) {
    port_->watch_link(now);
  }
  return received;
}

std::size_t DpdkDevice::tx_burst(PacketQueue& packets, Instant now) {
  const Port::Use use(*port_, queues_);
  if (!use) {
    const std::size_t dropped = packets.size();
    packets.clear();
    stats_.tx_errors += dropped;
    return dropped;
  }
  const LcoreScope scope(queues_.lcore);
  const std::size_t taken = queues_.tx.send(packets, stats_);
  if (taken != 0) last_taken_ = now;
  if (queues_.tx.full()) ++stats_.tx_full;
  return taken;
}

void DpdkDevice::release_packets() {
  if (const Port::Use use(*port_, queues_); use) {
    queues_.rx.forget();
    queues_.tx.reclaim();
  }
  queues_.tx.drop_strays();  // of a port that the user of another queue has closed
  // Devices free what they have sent in a later burst, and there is none to come.
  if (queues_.tx.attached() == 0) return;
  port_->close_and_reopen();
  queues_.tx.take_back();
}

std::span<const WaitFd> DpdkDevice::wait_fds() {
  const Port::Use use(*port_, queues_);
  wait_fds_[0] = {queues_.event_fd.get(), true, false};
  wait_fds_[1] = {use && !interrupt_stuck_ ? port_->interrupts().fd(queue_) : -1, true, false};
  return {wait_fds_.data(), wait_fds_[1].fd >= 0 ? 2u : 1u};
}

bool DpdkDevice::arm() {
  const Port::Use use(*port_, queues_);
  if (!use) return false;
  if (!armed_) {
    interrupt_stuck_ = !port_->interrupts().clear(queue_);
    port_->interrupts().set(queue_, true);
    armed_ = true;
  }
  const LcoreScope scope(queues_.lcore);
  const bool frames = queues_.rx.look();
  if (interrupt_stuck_ && !frames) ++stuck_sleeps_;
  return frames;
}

void DpdkDevice::disarm() {
  armed_ = false;
  if (!interrupt_seen_ && !interrupt_stuck_) interrupt_seen_ = port_->interrupts().pending(queue_);
  port_->interrupts().set(queue_, false);
}

Duration DpdkDevice::max_sleep(Instant now) const {
  // Of a peer that takes nothing at all, a paused virtual machine, less is expected as time goes by.
  if (tx_full()) return std::clamp<Duration>((now - last_taken_) / 8, kRetryFull, kLongestSleep);
  if (owns_link() && port_->ready() && port_->awaits_peer()) return kAwaitPeer;
  if (!port_->ready() || (wait_fds_[1].fd >= 0 && interrupt_seen_ && !interrupt_stuck_))
    return Duration::max();
  const Duration quiet = now - last_frame_;
  return std::clamp<Duration>(quiet / 8, kShortestSleep,
                              std::clamp<Duration>(quiet / 256, kLongSleep, kLongestSleep));
}

DeviceEvent DpdkDevice::take_event() {
  if (!Port::take_link_change(queues_)) return DeviceEvent::kNone;
  const bool up = owns_link() ? look_at_link() : port_->link_seen_up();
  if (up == link_told_) return DeviceEvent::kNone;
  link_told_ = up;
  queues_.tx.forget_full();
  return up ? DeviceEvent::kLinkUp : DeviceEvent::kLinkDown;
}

bool DpdkDevice::look_at_link() {
  const Port::Use use(*port_, queues_);
  const bool up = use && port_->link_up();
  if (use && !up && port_->lost_peer()) port_->reopen();
  port_->saw_link(up);
  return up;
}

DeviceStats DpdkDevice::stats() {
  return stats_;
}

std::vector<std::pair<std::string, std::uint64_t>> DpdkDevice::extended_stats() {
  const RxQueue::Counters& rx = queues_.rx.counters();
  const TxQueue::Counters& tx = queues_.tx.counters();
  std::vector<std::pair<std::string, std::uint64_t>> all{
      {"RxMbufsLent", rx.lent},           {"RxCopiedOut", rx.copied_out},
      {"RxBadChecksum", rx.bad_checksum}, {"TxBytesAttached", tx.bytes_attached},
      {"TxBytesCopied", tx.bytes_copied}, {"TxNoMbufs", tx.no_mbufs},
      {"RxInterruptStuck", stuck_sleeps_}};
  if (port_->is_vhost()) {
    all.emplace_back("RxAskedAhead", queues_.rx.vhost_ring().asked());
    all.emplace_back("TxAskedAhead", queues_.tx.vhost_ring().asked());
  }
  if (queue_ != 0) return all;
  // What counts for the whole port, once.
  all.emplace_back("PortReopened", port_->reopened());
  const Port::Use use(*port_, queues_);
  if (!use) return all;
  const auto device = read_xstats(port_->id());
  all.insert(all.end(), device.begin(), device.end());
  return all;
}

}  // namespace millrace::drivers::dpdk
