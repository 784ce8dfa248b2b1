#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "device_clock.h"
#include "frames.h"
#include "net_namespace.h"
#include "open_device.h"

namespace millrace::drivers {

using test::InNamespace;
using test::NetNamespacePair;
using Side = NetNamespacePair::Side;

inline constexpr MacAddress kOurMac{{0x02, 0, 0, 0, 0, 0x17}};
inline const IpAddress kOurAddress = IpAddress::v4(198, 18, 0, 2);
inline const IpAddress kKernelAddress = IpAddress::v4(198, 18, 0, 1);

/// A device at one end of a veth in namespaces of its own, and the kernel (or a second device) at the other.
class AfPacket : public testing::Test {
 protected:
  void start(const NetNamespacePair::Options& options = {}) {
    pair_.emplace(options);
    ASSERT_TRUE(pair_->ok()) << "needs root and iproute2";
    ours_ = open(Side::kLeft, "af_packet:left0");
    ASSERT_NE(ours_, nullptr);
  }

  std::unique_ptr<NetDevice> open(Side side, const std::string& spec) {
    const InNamespace inside(*pair_, side);
    OpenResult result = open_device(spec);
    EXPECT_TRUE(result.ok()) << result.error;
    return std::move(result.device);
  }

  /// Receives until `done` says so; false after 5 s.
  bool receive_until(NetDevice& device, const std::function<bool()>& done) {
    const Instant end = now() + 5s;
    while (!done()) {
      if (now() > end) return false;
      device.rx_burst(pool_, in_, 64, now());
    }
    return true;
  }
  bool receive(NetDevice& device, std::size_t count) {
    return receive_until(device, [this, count] { return in_.size() >= count; });
  }

  bool event_comes(NetDevice& device, DeviceEvent expected) {
    DeviceEvent event = DeviceEvent::kNone;
    return receive_until(device, [&] { return (event = device.take_event()) != DeviceEvent::kNone; }) &&
           event == expected;
  }

  /// The link comes up. An interface made anew is perhaps down first: the kernel tells of its carrier in its
  /// own time.
  bool link_comes_up(NetDevice& device) {
    return receive_until(device, [&] { return device.take_event() == DeviceEvent::kLinkUp; });
  }

  void send(NetDevice& device, PacketPtr packet) {
    PacketQueue queue;
    queue.push_back(std::move(packet));
    EXPECT_EQ(device.tx_burst(queue, now()), 1u);
  }

  /// The kernel's side, with its ARP entry for us.
  void introduce_ourselves(const std::string& route_options = "") {
    const std::string mac = ours_->mac().to_string();
    ASSERT_TRUE(pair_->run(Side::kRight, "ip neigh replace 198.18.0.2 lladdr " + mac + " dev right0 && " +
                                             "ip route replace 198.18.0.0/24 dev right0 " + route_options));
  }

  FrameSpec to_kernel() const {
    FrameSpec spec;
    spec.source_mac = ours_->mac();
    spec.destination_mac = kernel_mac_;
    spec.source = kOurAddress;
    spec.destination = kKernelAddress;
    return spec;
  }

  PacketPool pool_;
  std::optional<NetNamespacePair> pair_;
  std::unique_ptr<NetDevice> ours_;
  MacAddress kernel_mac_;
  PacketQueue in_;
};

}  // namespace millrace::drivers
