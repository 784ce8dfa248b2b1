#pragma once

#include <memory>
#include <string>

#include "fault/impairment.h"
#include "link/net_device.h"

namespace millrace::drivers {

struct FaultOptions {
  ImpairmentOptions rx;
  ImpairmentOptions tx;
  std::uint64_t seed = 1;
  /// Cuts super-frames and completes checksums before anything happens to a frame, as a wire does: faults
  /// then hit single segments, and bit errors can be told by their checksum. Off: frames go through as they
  /// are.
  bool segment = true;
  std::string name;  ///< empty: "fault:" and the inner device's
};

/// A bad network in front of any device: loss, duplication, reordering, bit errors, delay, a bottleneck;
/// seeded. It reports no offloads (with `segment`), and marks what it delivers kUnknown. Delayed frames come
/// out of the next rx_burst or tx_burst after max_sleep().
class FaultDevice final : public NetDevice {
 public:
  FaultDevice(std::unique_ptr<NetDevice> inner, const FaultOptions& options);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  void own_addresses(std::span<const IpPrefix> addresses) override { inner_->own_addresses(addresses); }
  [[nodiscard]] std::vector<int> handover() const override { return inner_->handover(); }
  void release_packets() override;
  [[nodiscard]] std::span<const WaitFd> wait_fds() override { return inner_->wait_fds(); }
  [[nodiscard]] bool arm() override;
  [[nodiscard]] Duration max_sleep(Instant now) const override;
  [[nodiscard]] bool tx_full() const override { return tx_full_; }
  [[nodiscard]] DeviceEvent take_event() override { return inner_->take_event(); }

  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return inner_->mac(); }
  [[nodiscard]] std::uint32_t mtu() const override { return inner_->mtu(); }
  [[nodiscard]] std::string_view name() const override { return name_; }
  /// The inner device's: what was lost here is told by the counters below.
  [[nodiscard]] DeviceStats stats() override { return inner_->stats(); }
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> extended_stats() override {
    return inner_->extended_stats();
  }
  [[nodiscard]] std::uint32_t queue_for(std::uint32_t local_address, std::uint16_t local_port,
                                        std::uint32_t remote_address,
                                        std::uint16_t remote_port) const override {
    return inner_->queue_for(local_address, local_port, remote_address, remote_port);
  }
  [[nodiscard]] SlabSource* slab_source() override { return inner_->slab_source(); }

  [[nodiscard]] const CounterSet<ImpairmentCounter>& rx_counters() const { return rx_.counters(); }
  [[nodiscard]] const CounterSet<ImpairmentCounter>& tx_counters() const { return tx_.counters(); }
  /// Frames dropped because they could not be cut or completed: not TCP, or no memory.
  [[nodiscard]] std::uint64_t unsegmentable() const { return unsegmentable_; }
  /// Super-frames that were cut.
  [[nodiscard]] std::uint64_t segmented() const { return segmented_; }

 private:
  void add(Impairment& direction, PacketPtr frame, Instant now);
  void flush_tx(Instant now);

  std::unique_ptr<NetDevice> inner_;
  bool segment_;
  DeviceCaps caps_;
  std::string name_;
  Impairment rx_;
  Impairment tx_;
  PacketQueue arrived_;  ///< scratch of rx_burst
  PacketQueue pieces_;   ///< scratch of add
  PacketQueue ready_;    ///< to be sent now, refused by the inner device so far
  Instant last_now_{};
  bool tx_full_ = false;
  std::uint64_t unsegmentable_ = 0;
  std::uint64_t segmented_ = 0;
};

}  // namespace millrace::drivers
