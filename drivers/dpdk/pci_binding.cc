#include "dpdk/pci_binding.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace millrace::drivers::dpdk {
namespace {

namespace fs = std::filesystem;

/// Where a link points to, its last part; empty: it is none.
std::string link_name(const fs::path& path) {
  std::error_code none;
  return fs::read_symlink(path, none).filename();
}

bool is_uio(const std::string& driver) {
  return driver == "uio_pci_generic" || driver == "igb_uio";
}

/// By the list of capabilities in the device's configuration space (PCI 3.0, 6.7). Without privileges only
/// its first 64 bytes can be read, which say nothing about that.
bool lacks_msix(const fs::path& config) {
  constexpr std::size_t kStatus = 6, kFirst = 0x34, kHeader = 64;
  constexpr std::uint8_t kHasList = 0x10, kMsix = 0x11;
  std::ifstream file(config, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto byte = [&](std::size_t at) {
    return std::size_t{at < bytes.size() ? static_cast<std::uint8_t>(bytes[at]) : std::uint8_t{0}};
  };
  if (bytes.size() <= kHeader) return false;
  if ((byte(kStatus) & kHasList) == 0) return true;
  std::size_t at = byte(kFirst);
  for (int steps = 0; at >= kHeader && steps < 64; ++steps) {
    if (byte(at) == kMsix) return false;
    at = byte(at + 1);
  }
  return true;
}

}  // namespace

PciBinding PciBinding::of(const std::string& address, const std::string& sysfs) {
  const fs::path device = fs::path(sysfs) / "bus/pci/devices" / address;
  PciBinding binding;
  std::error_code none;
  binding.there = fs::exists(device, none);
  binding.driver = link_name(device / "driver");
  // VFIO's unsafe mode makes groups up, which say so.
  std::string group;
  std::getline(std::ifstream(device / "iommu_group/name"), group);
  binding.has_iommu = !is_uio(binding.driver) && group != "vfio-noiommu";
  binding.one_interrupt =
      is_uio(binding.driver) || (binding.driver == "vfio-pci" && lacks_msix(device / "config"));
  return binding;
}

std::string PciBinding::obstacle(const std::string& address) const {
  if (!there) return "there is no such PCI device; millrace doctor lists the machine's";
  if (driver == "vfio-pci" || is_uio(driver)) return {};
  return (driver.empty() ? "no driver gives it" : "the kernel's driver " + driver + " does not give it") +
         " to programs; millrace doctor dpdk:" + address + " says how to bind it";
}

}  // namespace millrace::drivers::dpdk
