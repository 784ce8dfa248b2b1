#pragma once

#include "doctor/examination.h"

namespace millrace::doctor {

// What DPDK needs: memory, and the device itself.

[[nodiscard]] Findings check_hugepages(const Examination& examination);
[[nodiscard]] Findings check_iommu(const Examination& examination);
/// Network devices on the PCI bus: the one that was named, or all.
[[nodiscard]] Findings check_pci(const Examination& examination);
/// The other side of a virtual device.
[[nodiscard]] Findings check_virtual_device(const Examination& examination);

}  // namespace millrace::doctor
