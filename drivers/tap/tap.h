#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "af_packet/link_monitor.h"
#include "link/net_device.h"
#include "tap/tap_interface.h"
#include "tap/tap_queue.h"

namespace millrace::drivers {

struct TapConfig {
  std::string interface;
  TapInterfaceOptions options;
  /// The stack's address; else one that follows from the interface's, which is the kernel's.
  std::optional<MacAddress> mac;
  int inherited = -1;  ///< the queue of the process image before
};

/// A TAP interface: the kernel is the peer, or what it bridges or routes to. Checksums are not computed
/// between the two, and super-frames travel whole, in both directions.
class TapDevice final : public NetDevice {
 public:
  /// Null, and `error` says what is wrong and what to do.
  [[nodiscard]] static std::unique_ptr<TapDevice> open(const TapConfig& config, std::string& error);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  [[nodiscard]] std::vector<int> handover() const override { return {queue_.fd()}; }
  void release_packets() override { queue_.release_packets(); }
  [[nodiscard]] std::span<const WaitFd> wait_fds() override;
  [[nodiscard]] bool arm() override;
  [[nodiscard]] bool tx_full() const override { return tx_full_; }
  [[nodiscard]] DeviceEvent take_event() override { return link_.take_event(); }

  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return mac_; }
  [[nodiscard]] std::uint32_t mtu() const override { return mtu_; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] DeviceStats stats() override;
  [[nodiscard]] std::uint64_t tx_errors() override { return stats_.tx_errors; }
  [[nodiscard]] std::vector<int> descriptors() const override {
    return {queue_.fd(), link_.fd(), interface_.control()};
  }

 private:
  TapDevice() = default;
  [[nodiscard]] std::string initialise(const TapConfig& config);
  void check_link();

  TapInterface interface_;
  TapQueue queue_;
  LinkMonitor link_;
  Instant next_link_check_{};
  bool received_since_arm_ = true;
  bool tx_full_ = false;
  DeviceCaps caps_;
  DeviceStats stats_;
  std::uint64_t dropped_before_ = 0;  ///< by an interface that was there before us
  MacAddress mac_;
  std::uint32_t mtu_ = 0;
  std::string name_;
  std::array<WaitFd, 2> wait_fds_;
};

}  // namespace millrace::drivers
