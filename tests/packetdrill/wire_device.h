#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "link/net_device.h"

namespace millrace::packetdrill {

/// An IP packet and when it left the stack.
struct SentPacket {
  std::vector<std::uint8_t> bytes;
  Instant at{};
};

/// The device between the stack and a script: raw IP packets on the script's side. Ethernet exists only
/// inside; whoever the script plays is behind kPeerMac, a static neighbour. It can do nothing, so that what
/// comes out is what a plain network card would get: one segment a packet, checksums filled in.
class WireDevice final : public NetDevice {
 public:
  static constexpr MacAddress kOwnMac{{0x02, 0, 0, 0, 0, 1}};
  static constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 2}};

  explicit WireDevice(std::uint32_t mtu) : mtu_(mtu) {}

  // --- the script's side
  void inject(std::span<const std::uint8_t> packet);
  [[nodiscard]] bool has_sent() const { return !sent_.empty(); }
  /// Precondition: has_sent().
  [[nodiscard]] SentPacket take_sent();

  // --- NetDevice
  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  [[nodiscard]] std::span<const WaitFd> wait_fds() override { return {}; }
  [[nodiscard]] bool arm() override { return !incoming_.empty(); }
  [[nodiscard]] bool tx_full() const override { return false; }
  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return kOwnMac; }
  [[nodiscard]] std::uint32_t mtu() const override { return mtu_; }
  [[nodiscard]] std::string_view name() const override { return "packetdrill"; }
  [[nodiscard]] DeviceStats stats() override { return stats_; }

 private:
  std::uint32_t mtu_;
  DeviceCaps caps_;
  DeviceStats stats_;
  std::deque<std::vector<std::uint8_t>> incoming_;  ///< frames
  std::deque<SentPacket> sent_;
};

}  // namespace millrace::packetdrill
