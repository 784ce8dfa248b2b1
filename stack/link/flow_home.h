#pragma once

#include <cstdint>

namespace millrace::link {

/// Which of a device's queues a flow is at home in, where Millrace decides that: the same number for both
/// directions, so that the answers to what a queue sends come in by that queue. Whoever steers frames (a
/// program in the kernel, a driver, connect() when it picks a port) computes this and nothing else.
///
/// Addresses are IPv4 in host byte order. Only 32-bit arithmetic without a carry into anything wider: classic
/// BPF has no more.
struct FlowHome {
  static constexpr std::uint32_t kAddressFactor = 0x9e3779b1;
  static constexpr std::uint32_t kPortFactor = 0x85ebca6b;
  static constexpr std::uint32_t kMixFactor = 0xc2b2ae35;
  static constexpr std::uint32_t kFirstShift = 15, kLastShift = 16;

  [[nodiscard]] static constexpr std::uint32_t hash(std::uint32_t address_a, std::uint16_t port_a,
                                                    std::uint32_t address_b, std::uint16_t port_b) {
    const auto ports = static_cast<std::uint32_t>(port_a ^ port_b);
    std::uint32_t mixed = (address_a ^ address_b) * kAddressFactor + ports * kPortFactor;
    mixed ^= mixed >> kFirstShift;
    mixed *= kMixFactor;
    return mixed ^ (mixed >> kLastShift);
  }
  [[nodiscard]] static constexpr std::uint32_t queue(std::uint32_t address_a, std::uint16_t port_a,
                                                     std::uint32_t address_b, std::uint16_t port_b,
                                                     std::uint32_t queues) {
    return hash(address_a, port_a, address_b, port_b) % queues;
  }
};

}  // namespace millrace::link
