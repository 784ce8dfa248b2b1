#pragma once

#include <memory>

#include "link/net_device.h"

namespace millrace::drivers {

/// A device in front of another one, which it owns: does what that one does, but for what the derived class
/// says.
class DecoratorDevice : public NetDevice {
 public:
  explicit DecoratorDevice(std::unique_ptr<NetDevice> inner) : inner_(std::move(inner)) {}

  void own_addresses(std::span<const IpPrefix> addresses) override { inner_->own_addresses(addresses); }
  [[nodiscard]] std::vector<int> handover() const override { return inner_->handover(); }
  [[nodiscard]] std::vector<int> descriptors() const override { return inner_->descriptors(); }
  void release_packets() override { inner_->release_packets(); }
  [[nodiscard]] std::span<const WaitFd> wait_fds() override { return inner_->wait_fds(); }
  [[nodiscard]] bool arm() override { return inner_->arm(); }
  [[nodiscard]] Duration max_sleep(Instant now) const override { return inner_->max_sleep(now); }
  [[nodiscard]] bool tx_full() const override { return inner_->tx_full(); }
  [[nodiscard]] DeviceEvent take_event() override { return inner_->take_event(); }

  [[nodiscard]] const DeviceCaps& caps() const override { return inner_->caps(); }
  [[nodiscard]] MacAddress mac() const override { return inner_->mac(); }
  [[nodiscard]] std::uint32_t mtu() const override { return inner_->mtu(); }
  [[nodiscard]] std::string_view name() const override { return inner_->name(); }
  [[nodiscard]] DeviceStats stats() override { return inner_->stats(); }
  [[nodiscard]] std::uint64_t tx_errors() override { return inner_->tx_errors(); }
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> extended_stats() override {
    return inner_->extended_stats();
  }
  [[nodiscard]] std::uint32_t queue_for(std::uint32_t local_address, std::uint16_t local_port,
                                        std::uint32_t remote_address,
                                        std::uint16_t remote_port) const override {
    return inner_->queue_for(local_address, local_port, remote_address, remote_port);
  }
  [[nodiscard]] const link::RssHash* rss() const override { return inner_->rss(); }
  [[nodiscard]] std::uint32_t queue_index() const override { return inner_->queue_index(); }
  [[nodiscard]] bool take_reassembled(const Packet& packet) override {
    return inner_->take_reassembled(packet);
  }
  [[nodiscard]] SlabSource* slab_source() override { return inner_->slab_source(); }

 protected:
  [[nodiscard]] NetDevice& inner() { return *inner_; }
  [[nodiscard]] const NetDevice& inner() const { return *inner_; }

 private:
  std::unique_ptr<NetDevice> inner_;
};

}  // namespace millrace::drivers
