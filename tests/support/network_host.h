#pragma once

#include <memory>
#include <string>
#include <vector>

#include "link/net_device.h"
#include "stack.h"
#include "support/network_link.h"

namespace millrace::test {

/// A device at the end of a link of a Network. It takes super-frames and cuts them at once: what a queue
/// drops, marks or reorders are segments. What arrives is copied to storage of the receiver, a frame each, as
/// a network card does; checksums are left out, as nothing here turns bits.
class NetworkDevice final : public NetDevice {
 public:
  NetworkDevice(NetworkLink& out, NetworkLink& in, std::size_t number, bool super_frames);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  [[nodiscard]] std::span<const WaitFd> wait_fds() override { return {}; }
  [[nodiscard]] bool arm() override { return false; }
  [[nodiscard]] bool tx_full() const override { return false; }
  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return mac_of(number_); }
  [[nodiscard]] std::uint32_t mtu() const override { return out_.spec().mtu; }
  [[nodiscard]] std::string_view name() const override { return "network"; }
  [[nodiscard]] DeviceStats stats() override { return {}; }

  [[nodiscard]] Instant last_frame() const { return last_frame_; }
  [[nodiscard]] static MacAddress mac_of(std::size_t number) {
    return MacAddress{
        {0x02, 0, 0, 0, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number & 0xff)}};
  }

 private:
  NetworkLink& out_;
  NetworkLink& in_;
  std::size_t number_;
  DeviceCaps caps_;
  PacketQueue pieces_;
  Instant last_frame_{};
};

/// A stack at the end of a link.
struct NetworkHost {
  NetworkHost(const StackConfig& config, NetworkLink& out, NetworkLink& in, std::size_t number,
              std::uint64_t seed, bool super_frames, Instant now);
  ~NetworkHost() { listener.reset(); }
  NetworkHost(const NetworkHost&) = delete;
  NetworkHost& operator=(const NetworkHost&) = delete;

  /// By its number among a network's hosts, counted from 1.
  [[nodiscard]] static IpAddress address_of(std::size_t number) {
    return IpAddress::v4(198, 18, static_cast<std::uint8_t>(number >> 8),
                         static_cast<std::uint8_t>(number & 0xff));
  }
  void meet(std::size_t other, Instant now) {
    stack.interfaces().front()->neighbours().add_static(address_of(other), NetworkDevice::mac_of(other), now);
  }
  /// Empty, or what of its memory is still in use although everything is over.
  [[nodiscard]] std::string left_over();

  static constexpr std::uint16_t kPort = 80;

  NetworkDevice device;
  Stack stack;
  std::unique_ptr<Socket> listener;
};

}  // namespace millrace::test
