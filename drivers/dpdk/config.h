#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/mac_address.h"

namespace millrace::drivers {

/// What a `dpdk:` spec says. Known on both sides of the plugin's border; no header of DPDK's is needed.
struct DpdkConfig {
  /// A PCI address ("0000:3b:00.0") or a virtual device with its arguments
  /// ("net_virtio_user0,path=/run/p.sock").
  std::string device;
  std::string eal;  ///< more arguments for the EAL, separated by spaces
  /// Of the process, where there are no hugepages, for each queue; touched only when used.
  static constexpr std::uint64_t kMemoryMb = 512;
  std::uint64_t memory_mb = kMemoryMb;  ///< of all queues
  std::uint32_t rx_slots = 1024;
  std::uint32_t tx_slots = 1024;
  std::uint32_t pool = 8192;  ///< received mbufs that may wait in sockets; what comes beyond is copied out
  std::uint32_t mtu = 0;      ///< 0: the device's
  std::optional<MacAddress> mac;
  std::uint16_t queue = 0,
                queues = 1;  ///< which one this is, and of how many: they are opened in their order
};

}  // namespace millrace::drivers
