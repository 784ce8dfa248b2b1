#pragma once

#include <string>

namespace millrace::drivers::dpdk {

/// What the kernel has done with a PCI device.
struct PciBinding {
  bool there = false;
  std::string driver;     ///< empty: none
  bool has_iommu = true;  ///< false: a program has to give it physical addresses
  /// There is one interrupt for frames and link together (UIO; VFIO on a device without MSI-X). DPDK's
  /// drivers then give one of the two up, or both.
  bool one_interrupt = false;

  /// `sysfs`: where the kernel's files are, for tests.
  [[nodiscard]] static PciBinding of(const std::string& address, const std::string& sysfs = "/sys");
  /// Why DPDK does not find the device at this address, when that is the reason; empty otherwise.
  [[nodiscard]] std::string obstacle(const std::string& address) const;
};

}  // namespace millrace::drivers::dpdk
