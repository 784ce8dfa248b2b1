#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::drivers::dpdk {

/// What is known of a process's devices when DPDK is started.
struct EalOptions {
  std::string arguments;            ///< more of them, separated by spaces
  std::string pci_address;          ///< empty: no PCI device is looked at
  bool physical_addresses = false;  ///< the device knows no others, as no IOMMU stands before it
  std::uint64_t memory_mb = 0;      ///< without hugepages
};

/// Of a machine: what the EAL is to find there.
struct EalMachine {
  std::string cpus;                ///< as the EAL writes lists: "0,1,5"
  std::uint64_t free_huge_mb = 0;  ///< in free hugepages
};

/// The EAL's command line. Nothing is mounted, created or shared: other processes with an EAL are none of our
/// business.
[[nodiscard]] std::vector<std::string> eal_arguments(const EalOptions& options, const EalMachine& machine);
/// Empty, or what the device needs of the machine's memory and does not find: only hugepages have physical
/// addresses that stay.
[[nodiscard]] std::string missing_memory(const EalOptions& options, const EalMachine& machine);

}  // namespace millrace::drivers::dpdk
