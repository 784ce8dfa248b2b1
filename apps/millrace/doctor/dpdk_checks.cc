#include "doctor/dpdk_checks.h"

#include <algorithm>

#include "doctor/pci.h"

namespace millrace::doctor {

namespace {

using Kind = Target::Kind;
constexpr const char* kHugepages = "/sys/kernel/mm/hugepages";

bool is_intel(const Files& files) {
  return files.read_field("/proc/cpuinfo", "vendor_id").value_or("").find("GenuineIntel") !=
         std::string::npos;
}

bool no_iommu_allowed(const Files& files) {
  return files.read("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode") == "Y";
}

/// The kernel was built without CONFIG_VFIO_NOIOMMU, as Debian's are; seen once the module is there.
bool vfio_needs_iommu(const Files& files) {
  return files.exists("/sys/module/vfio") &&
         !files.exists("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
}

/// The file through which a program opens the device's group.
std::string vfio_file(const Files& files, const PciNic& nic) {
  return "/dev/vfio/" + std::string(is_unsafe_group(files, nic.iommu_group) ? "noiommu-" : "") +
         nic.iommu_group;
}

bool carries_default_route(const Files& files, const std::string& interface) {
  return files.read_field("/proc/net/route", interface).value_or("").starts_with("00000000");
}

std::string text_of(const PciNic& nic) {
  std::string text = nic.id + ", " + (nic.driver.empty() ? "no driver" : "driver " + nic.driver);
  for (const std::string& name : nic.interfaces) text += ", interface " + name;
  return text;
}

std::string bind_command(const Files& files, const PciNic& nic) {
  const std::string driver = !has_iommu(files) && vfio_needs_iommu(files) ? "uio_pci_generic" : "vfio-pci";
  const std::string bind = "dpdk-devbind.py --bind=" + driver + " " + nic.address;
  return files.exists("/sys/bus/pci/drivers/" + driver) ? bind : "modprobe " + driver + " && " + bind;
}

Finding check_binding(const Files& files, const PciNic& nic) {
  const std::string subject = "PCI " + nic.address;
  if (nic.handed_over()) return ok(subject, text_of(nic));
  if (nic.bifurcated())
    return ok(subject, text_of(nic) + ": stays bound, and DPDK shares it with the kernel");
  const auto busy =
      std::find_if(nic.interfaces.begin(), nic.interfaces.end(),
                   [&files](const std::string& name) { return carries_default_route(files, name); });
  if (busy != nic.interfaces.end()) {
    return bad(subject,
               text_of(nic) + ": the machine's default route is there; bound to vfio-pci, " + *busy +
                   " is gone and SSH with it",
               "millrace doctor af_packet:" + *busy + "  # shares it with the kernel");
  }
  return bad(subject, text_of(nic) + ": DPDK cannot have it", bind_command(files, nic));
}

Findings check_named(const Files& files, const std::string& address) {
  const std::string subject = "PCI " + address;
  const std::optional<PciNic> nic = pci_device(files, address);
  if (!nic || !is_network_device(files, address)) {
    std::string others;
    for (const PciNic& one : pci_nics(files)) others += (others.empty() ? "" : ", ") + one.address;
    return {bad(subject,
                std::string(nic ? "is no network device" : "is not there") +
                    "; network devices: " + (others.empty() ? "none" : others),
                "dpdk-devbind.py --status-dev net  # lists them")};
  }
  Findings findings{check_binding(files, *nic)};
  for (const std::string& other : held_by_kernel(files, *nic)) {
    findings.push_back(bad(subject,
                           "IOMMU group " + nic->iommu_group + " also has " + other +
                               ", which a driver of the kernel's holds: VFIO refuses the group",
                           "dpdk-devbind.py --unbind " + other));
  }
  if (nic->driver == "vfio-pci" && !files.exists(vfio_file(files, *nic))) {
    findings.push_back(bad(subject, vfio_file(files, *nic) + " is not there",
                           "udevadm trigger  # in a container: pass /dev/vfio to it"));
  }
  if (nic->driver == "mlx5_core" && !files.exists("/sys/module/mlx5_ib")) {
    findings.push_back(bad(subject, "the module mlx5_ib, by which programs reach it, is not loaded",
                           "modprobe -a mlx5_ib ib_uverbs"));
  }
  return findings;
}

Findings list_all(const Files& files) {
  Findings findings;
  for (const PciNic& nic : pci_nics(files)) findings.push_back(ok("PCI " + nic.address, text_of(nic)));
  if (findings.empty()) findings.push_back(ok("PCI", "no network device"));
  return findings;
}

}  // namespace

Findings check_hugepages(const Examination& examination) {
  const Kind kind = examination.target.kind;
  const Files& files = examination.files;
  if (kind != Kind::kMachine && kind != Kind::kPci && kind != Kind::kVirtual) return {};
  std::string text;
  for (const std::string& size : files.list(kHugepages)) {
    const std::string folder = std::string(kHugepages) + "/" + size;
    const std::uint64_t pages = files.read_number(folder + "/nr_hugepages").value_or(0);
    if (pages == 0) continue;
    text += (text.empty() ? "" : "; ") + std::to_string(pages) + " of " + size.substr(size.find('-') + 1) +
            ", " + std::to_string(files.read_number(folder + "/free_hugepages").value_or(0)) + " free";
  }
  if (!text.empty()) return {ok("hugepages", text)};
  if (kind != Kind::kPci) return {ok("hugepages", "none; only DPDK would use them, and works without")};
  constexpr const char* kReserve = "sysctl -w vm.nr_hugepages=512";
  const std::optional<PciNic> nic = pci_device(files, examination.target.pci);
  if (has_iommu(files) || (nic && nic->bifurcated()))
    return {warn("hugepages", "none: more misses in the address caches", kReserve)};
  return {bad("hugepages", "none: without an IOMMU the device needs memory whose physical address stays",
              kReserve)};
}

Findings check_iommu(const Examination& examination) {
  const Kind kind = examination.target.kind;
  const Files& files = examination.files;
  if (kind != Kind::kMachine && kind != Kind::kPci) return {};
  if (has_iommu(files)) return {ok("IOMMU", "on")};
  if (kind == Kind::kMachine)
    return {ok("IOMMU", "off, or the machine has none; VFIO then needs its unsafe mode")};
  const std::optional<PciNic> nic = pci_device(files, examination.target.pci);
  if (nic && (nic->bifurcated() || (nic->handed_over() && nic->driver != "vfio-pci")))
    return {ok("IOMMU", "off; " + nic->driver + " needs none")};
  if (no_iommu_allowed(files))
    return {ok("IOMMU", "off; VFIO works in its unsafe mode: the device can reach all memory")};
  if (nic && vfio_needs_iommu(files)) {
    return {bad("IOMMU",
                "off, and this kernel's VFIO has no mode without one: another driver gives the device away",
                bind_command(files, *nic))};
  }
  const std::string boot = is_intel(files) ? "intel_iommu=on iommu=pt" : "iommu=pt";
  return {bad("IOMMU",
              "off: VFIO gives the device away only in its unsafe mode, where it can reach all memory "
              "(better, where the machine has an IOMMU: boot with " +
                  boot + ")",
              files.exists("/sys/module/vfio")
                  ? "echo 1 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
                  : "modprobe vfio enable_unsafe_noiommu_mode=1")};
}

Findings check_pci(const Examination& examination) {
  if (examination.target.kind == Kind::kMachine) return list_all(examination.files);
  if (examination.target.kind == Kind::kPci) return check_named(examination.files, examination.target.pci);
  return {};
}

Findings check_virtual_device(const Examination& examination) {
  const Target& target = examination.target;
  if (target.virtual_driver != "net_virtio_user") return {};
  const std::string path = target.virtual_argument("path");
  const std::string subject = target.virtual_driver;
  if (path.empty()) {
    return {bad(subject, "no path= of the other side's socket",
                "millrace doctor " + target.spec + ",path=/tmp/vhost.sock")};
  }
  if (examination.files.exists(path)) return {ok(subject, path + " is there")};
  if (path == "/dev/vhost-net") return {bad(subject, path + " is not there", "modprobe vhost-net")};
  if (target.virtual_argument("server") == "1")
    return {ok(subject, path + " is made when the device is opened")};
  return {bad(subject, path + " is not there: the vhost side makes it, and has to be started first",
              "millrace doctor " + target.spec + ",server=1  # or let this side make it")};
}

}  // namespace millrace::doctor
