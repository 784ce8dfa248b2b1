#pragma once

#include <optional>
#include <string>
#include <vector>

#include "doctor/files.h"

namespace millrace::doctor {

/// A network device on the PCI bus, as sysfs tells of it.
struct PciNic {
  std::string address;  ///< 0000:3b:00.0
  std::string id;       ///< 8086:1572
  std::string driver;   ///< i40e, vfio-pci; empty: none has it
  std::vector<std::string> interfaces;
  std::string iommu_group;  ///< empty: no IOMMU

  /// Bound to a driver that hands it to programs.
  [[nodiscard]] bool handed_over() const;
  /// DPDK uses it through the kernel's driver, which keeps it.
  [[nodiscard]] bool bifurcated() const;
};

[[nodiscard]] std::vector<PciNic> pci_nics(const Files& files);
/// An IOMMU is there and on.
[[nodiscard]] bool has_iommu(const Files& files);
/// A group that VFIO made up in its unsafe mode, for a device behind no IOMMU.
[[nodiscard]] bool is_unsafe_group(const Files& files, const std::string& group);
/// Nullopt: there is no such device; one that is no network device is answered.
[[nodiscard]] std::optional<PciNic> pci_device(const Files& files, const std::string& address);
[[nodiscard]] bool is_network_device(const Files& files, const std::string& address);
/// The PCI device behind an interface, also one on a bus between (virtio); empty: none.
[[nodiscard]] std::string pci_address_of(const Files& files, const std::string& interface);
/// The other devices of an IOMMU group that a driver of the kernel's still has.
[[nodiscard]] std::vector<std::string> held_by_kernel(const Files& files, const PciNic& nic);

}  // namespace millrace::doctor
