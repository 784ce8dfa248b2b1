#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::drivers::dpdk {

/// "net_memif0,role=server,id=1" or "0000:3b:00.0": a name, and arguments after commas.
[[nodiscard]] std::string device_name(std::string_view device);
/// The value of an argument; empty when it is not there.
[[nodiscard]] std::string argument_of(std::string_view device, std::string_view name);
/// "0000:3b:00.0", "10000:01:00.0" or "3b:00.0".
[[nodiscard]] bool is_pci_address(std::string_view device);
/// A PCI address as the kernel and DPDK write it, "0000:3b:00.0"; other devices as they are.
[[nodiscard]] std::string with_whole_address(std::string_view device);
/// Adds what is better than the device's own defaults, where the user has not said otherwise: a ring for
/// `slots` (virtio_user), super-frames (vhost); and what makes a virtual device have so many queues.
[[nodiscard]] std::string with_defaults(std::string_view device, std::uint32_t slots, std::uint32_t queues);
/// The file of the socket on which the device will wait for its peer; empty: none.
[[nodiscard]] std::string listening_socket(std::string_view device);
/// A device that connects to its peer's socket, and does so only once (virtio_user, memif): when the peer
/// goes, it is of no use any more.
[[nodiscard]] bool dies_with_peer(std::string_view device);

}  // namespace millrace::drivers::dpdk
