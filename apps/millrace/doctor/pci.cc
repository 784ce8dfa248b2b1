#include "doctor/pci.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "dpdk/device_arguments.h"

namespace millrace::doctor {

namespace {

constexpr const char* kDevices = "/sys/bus/pci/devices/";
constexpr const char* kGroups = "/sys/kernel/iommu_groups/";
constexpr std::array<std::string_view, 3> kUserDrivers{"vfio-pci", "igb_uio", "uio_pci_generic"};

bool gives_to_programs(std::string_view driver) {
  return std::find(kUserDrivers.begin(), kUserDrivers.end(), driver) != kUserDrivers.end();
}

/// "0x8086" → "8086"
std::string hexadecimal(const Files& files, const std::string& path) {
  const std::string text = files.read(path).value_or("");
  return text.starts_with("0x") ? text.substr(2) : text;
}

std::vector<std::string> interfaces_of(const Files& files, const std::string& folder) {
  std::vector<std::string> names = files.list(folder + "/net");
  for (const std::string& entry : files.list(folder)) {
    if (!entry.starts_with("virtio")) continue;
    for (std::string& name : files.list(folder + "/" + entry + "/net")) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace

bool PciNic::handed_over() const {
  return gives_to_programs(driver);
}

bool PciNic::bifurcated() const {
  return driver == "mlx5_core" || driver == "mlx4_core";
}

bool is_unsafe_group(const Files& files, const std::string& group) {
  return files.read(kGroups + group + "/name") == "vfio-noiommu";
}

bool has_iommu(const Files& files) {
  const std::vector<std::string> groups = files.list(kGroups);
  return std::any_of(groups.begin(), groups.end(),
                     [&files](const std::string& group) { return !is_unsafe_group(files, group); });
}

bool is_network_device(const Files& files, const std::string& address) {
  return files.read(kDevices + address + "/class").value_or("").starts_with("0x02");
}

std::optional<PciNic> pci_device(const Files& files, const std::string& address) {
  const std::string folder = kDevices + address;
  if (!files.exists(folder)) return std::nullopt;
  return PciNic{.address = address,
                .id = hexadecimal(files, folder + "/vendor") + ":" + hexadecimal(files, folder + "/device"),
                .driver = files.link_name(folder + "/driver"),
                .interfaces = interfaces_of(files, folder),
                .iommu_group = files.link_name(folder + "/iommu_group")};
}

std::vector<PciNic> pci_nics(const Files& files) {
  std::vector<PciNic> nics;
  for (const std::string& address : files.list(kDevices)) {
    if (!is_network_device(files, address)) continue;
    if (std::optional<PciNic> nic = pci_device(files, address)) nics.push_back(std::move(*nic));
  }
  return nics;
}

std::string pci_address_of(const Files& files, const std::string& interface) {
  std::string path = files.resolve("/sys/class/net/" + interface + "/device");
  while (!path.empty()) {
    const std::size_t slash = path.rfind('/');
    if (drivers::dpdk::is_pci_address(std::string_view(path).substr(slash + 1)))
      return path.substr(slash + 1);
    path.resize(slash == std::string::npos ? 0 : slash);
  }
  return {};
}

std::vector<std::string> held_by_kernel(const Files& files, const PciNic& nic) {
  std::vector<std::string> held;
  if (nic.iommu_group.empty()) return held;
  for (const std::string& address : files.list(kGroups + nic.iommu_group + "/devices")) {
    const std::string driver = files.link_name(kDevices + address + "/driver");
    // A bridge on the way belongs to the group, too, and may keep its driver.
    if (address != nic.address && !driver.empty() && driver != "pcieport" && !gives_to_programs(driver))
      held.push_back(address);
  }
  return held;
}

}  // namespace millrace::doctor
