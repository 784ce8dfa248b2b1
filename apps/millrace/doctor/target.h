#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::doctor {

/// What a device spec names, taken apart for the checks.
struct Target {
  enum class Kind : std::uint8_t {
    kMachine,   ///< no device was named
    kAfPacket,  ///< af_packet:eth1
    kXdp,       ///< xdp:eth1
    kTap,       ///< tap:mr0, an interface that opening makes
    kPci,       ///< dpdk:0000:3b:00.0
    kVirtual,   ///< dpdk:net_virtio_user0,path=...
    kMemory,    ///< pipe:a, pcap:file: nothing of the machine's
  };

  Kind kind = Kind::kMachine;
  std::string spec;
  std::string driver;          ///< of the spec's innermost layer: "af_packet"
  std::string interface;       ///< of the kernel, which the device stands on or makes; empty: none
  std::string pci;             ///< with its domain
  std::string virtual_driver;  ///< of a virtual DPDK device, without its number: "net_virtio_user"
  std::vector<std::string> virtual_arguments;  ///< "path=/tmp/p.sock"
  bool own_mac = false;                        ///< another hardware address than the interface's

  /// The value of a virtual device's argument; empty: it was not given.
  [[nodiscard]] std::string virtual_argument(std::string_view name) const;
  /// Takes frames from a kernel interface in a way that says nothing of unfinished checksums.
  [[nodiscard]] bool needs_finished_checksums() const;
  [[nodiscard]] bool uses_af_xdp() const { return kind == Kind::kXdp || virtual_driver == "net_af_xdp"; }
  /// Opening it makes a TAP interface.
  [[nodiscard]] bool makes_tap() const;
  /// Stands on an interface of the kernel that was there before.
  [[nodiscard]] bool on_interface() const;
};

/// Empty, or one line that says what is wrong with the spec. An empty spec is the machine.
[[nodiscard]] std::string parse_target(std::string_view spec, Target& target);

}  // namespace millrace::doctor
