#pragma once

#include <array>
#include <memory>
#include <string>

#include "dpdk/config.h"
#include "dpdk/port.h"
#include "dpdk/slabs.h"
#include "link/net_device.h"

namespace millrace::drivers::dpdk {

/// One queue of a port of DPDK's as a NetDevice.
class DpdkDevice final : public NetDevice {
 public:
  /// Null, and `error` says what is wrong and what to do.
  [[nodiscard]] static std::unique_ptr<DpdkDevice> open(const DpdkConfig& config, std::string& error);

  DpdkDevice(std::shared_ptr<Port> port, std::uint16_t queue, std::string device);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  void release_packets() override;
  [[nodiscard]] std::span<const WaitFd> wait_fds() override;
  [[nodiscard]] bool arm() override;
  [[nodiscard]] Duration max_sleep(Instant now) const override;
  [[nodiscard]] bool tx_full() const override { return queues_.tx.full(); }
  [[nodiscard]] DeviceEvent take_event() override;

  [[nodiscard]] const DeviceCaps& caps() const override { return port_->caps(); }
  [[nodiscard]] MacAddress mac() const override { return port_->mac(); }
  [[nodiscard]] std::uint32_t mtu() const override { return port_->mtu(); }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] DeviceStats stats() override;
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> extended_stats() override;
  [[nodiscard]] SlabSource* slab_source() override { return &slabs_; }
  [[nodiscard]] const link::RssHash* rss() const override { return port_->rss(); }

 private:
  void disarm();
  [[nodiscard]] bool owns_link() const { return queue_ == 0; }
  [[nodiscard]] bool look_at_link();

  std::shared_ptr<Port> port_;
  std::uint16_t queue_;
  QueuePair& queues_;
  Slabs slabs_;
  std::string name_;
  DeviceStats stats_;
  bool armed_ = false;
  /// Its interrupt has woken us once. Until then nothing relies on it: with some devices (82574, in
  /// DPDK 22.11) it can be turned on and never comes.
  bool interrupt_seen_ = false;
  /// It could not be taken off its descriptor, which would end each sleep at once: the next is by time.
  bool interrupt_stuck_ = false;
  std::uint64_t stuck_sleeps_ = 0;  ///< that were
  bool link_told_ = true;           ///< what take_event() has told; a stack starts with the link up
  Instant last_frame_{};
  Instant last_taken_{};  ///< when the device took the last frame to send
  std::array<WaitFd, 2> wait_fds_;
};

}  // namespace millrace::drivers::dpdk
