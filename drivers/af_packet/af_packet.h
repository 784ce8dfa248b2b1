#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "af_packet/fanout.h"
#include "af_packet/ingress_filter.h"
#include "af_packet/interface_info.h"
#include "af_packet/link_monitor.h"
#include "af_packet/rx_ring.h"
#include "af_packet/tx_socket.h"
#include "link/net_device.h"

namespace millrace::drivers {

struct AfPacketConfig {
  std::string interface;
  RxRing::Config rx;
  std::uint32_t tx_buffer = 32u << 20;
  int inherited_tx = -1;  ///< the sending socket of the process image before; with rx.inherited
  /// Another address than the interface's own; the interface is then made promiscuous.
  std::optional<MacAddress> mac;
  /// This device is one queue of several (rx.queue), opened in their order, which all have this; null: it is
  /// alone.
  std::shared_ptr<Fanout> fanout = nullptr;
};

/// An interface of the kernel, by packet sockets: works on any Ethernet-like interface and needs CAP_NET_RAW.
/// With a kernel peer on the same host, checksums are not computed and super-frames travel whole, in both
/// directions.
class AfPacketDevice final : public NetDevice {
 public:
  /// Null, and `error` says what is wrong and what to do.
  [[nodiscard]] static std::unique_ptr<AfPacketDevice> open(const AfPacketConfig& config, std::string& error);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  [[nodiscard]] std::vector<int> handover() const override { return {rx_.fd(), tx_.fd()}; }
  void own_addresses(std::span<const IpPrefix> addresses) override;
  void release_packets() override { rx_.release_packets(); }
  [[nodiscard]] std::span<const WaitFd> wait_fds() override;
  [[nodiscard]] bool arm() override;
  [[nodiscard]] Duration max_sleep(Instant now) const override;
  [[nodiscard]] bool tx_full() const override { return tx_result_ == TxSocket::Result::kFull || congested(); }
  [[nodiscard]] DeviceEvent take_event() override { return link_.take_event(); }

  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return mac_; }
  [[nodiscard]] std::uint32_t mtu() const override { return mtu_; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] DeviceStats stats() override;
  [[nodiscard]] std::uint64_t tx_errors() override { return stats_.tx_errors; }
  [[nodiscard]] std::vector<int> descriptors() const override { return {rx_.fd(), tx_.fd(), link_.fd()}; }

 private:
  AfPacketDevice() = default;
  [[nodiscard]] std::string initialise(const AfPacketConfig& config);
  [[nodiscard]] bool congested() const { return tx_result_ == TxSocket::Result::kCongested; }
  void check_link();
  [[nodiscard]] bool attach_again(const InterfaceInfo& info);

  RxRing rx_;
  TxSocket tx_;
  LinkMonitor link_;
  IngressFilter filter_;
  std::shared_ptr<Fanout> fanout_;
  std::uint32_t queue_ = 0;
  std::vector<IpPrefix> addresses_;
  bool inherited_ = false;  ///< the process that opened it is still there
  Instant next_link_check_{};
  TxSocket::Result tx_result_ = TxSocket::Result::kDone;
  bool received_since_arm_ = true;
  DeviceCaps caps_;
  DeviceStats stats_;
  MacAddress mac_;
  MacAddress own_mac_;  ///< the interface's
  std::uint32_t mtu_ = 0;
  std::string interface_;
  std::string name_;
  std::array<WaitFd, 3> wait_fds_;
};

}  // namespace millrace::drivers
