// Hugepages, the IOMMU and the binding of PCI devices, on machines made of files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/dpdk_checks.h"
#include "doctor/machine_checks.h"
#include "doctor/pci.h"
#include "made_up.h"

namespace millrace::doctor {
namespace {

using test::MadeUpMachine;
using test::only;
using testing::EndsWith;
using testing::HasSubstr;

constexpr const char* kNic = "0000:3b:00.0";

/// A network device on the bus, with a driver, and one that is none.
class PciMachine : public MadeUpMachine {
 public:
  void add_nic(const std::string& address, const std::string& driver,
               const std::string& interface = "") const {
    const std::string device = "/sys/bus/pci/devices/" + address;
    file(device + "/class", "0x020000");
    file(device + "/vendor", "0x8086");
    file(device + "/device", "0x1572");
    folder("/sys/bus/pci/drivers/" + driver);
    link(device + "/driver", "/sys/bus/pci/drivers/" + driver);
    if (!interface.empty()) folder(device + "/net/" + interface);
  }
  void add_to_group(const std::string& address, const std::string& group) const {
    const std::string place = "/sys/kernel/iommu_groups/" + group;
    link(place + "/devices/" + address, "/sys/bus/pci/devices/" + address);
    link("/sys/bus/pci/devices/" + address + "/iommu_group", place);
  }
  [[nodiscard]] Examination nic() const { return examination(std::string("dpdk:") + kNic); }
};

TEST(Pci, AKernelsDriverIsReplacedWithVfio) {
  PciMachine machine;
  machine.add_nic(kNic, "i40e", "eth1");
  const Finding finding = only(check_pci(machine.nic()));
  EXPECT_EQ(finding.severity, Severity::kBad);
  EXPECT_EQ(finding.subject, "PCI 0000:3b:00.0");
  EXPECT_THAT(finding.message, HasSubstr("8086:1572, driver i40e, interface eth1"));
  EXPECT_EQ(finding.remedy, "modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0");
  machine.folder("/sys/bus/pci/drivers/vfio-pci");
  EXPECT_EQ(only(check_pci(machine.nic())).remedy, "dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0");
}

TEST(Pci, TheInterfaceOfTheDefaultRouteIsNotTakenAway) {
  PciMachine machine;
  machine.add_nic(kNic, "i40e", "eth1");
  machine.file(
      "/proc/net/route",
      "Iface\tDestination\tGateway \tFlags\neth0\t000012C6\t00000000\t0001\neth1\t00000000\t010012C6\t0003");
  const Finding finding = only(check_pci(machine.nic()));
  EXPECT_EQ(finding.severity, Severity::kBad);
  EXPECT_THAT(finding.message, HasSubstr("SSH"));
  EXPECT_THAT(finding.remedy, HasSubstr("af_packet:eth1"));
}

TEST(Pci, OneThatIsHandedOverIsWell) {
  PciMachine machine;
  machine.add_nic(kNic, "vfio-pci");
  machine.add_to_group(kNic, "12");
  machine.file("/dev/vfio/12");
  EXPECT_EQ(only(check_pci(machine.nic())).severity, Severity::kOk);
  machine.add_nic("0000:3b:00.1", "i40e", "eth2");
  machine.add_to_group("0000:3b:00.1", "12");
  const Findings findings = check_pci(machine.nic());
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[1].severity, Severity::kBad);
  EXPECT_EQ(findings[1].remedy, "dpdk-devbind.py --unbind 0000:3b:00.1");
}

TEST(Pci, ItsGroupHasToBeThere) {
  PciMachine machine;
  machine.add_nic(kNic, "vfio-pci");
  machine.add_to_group(kNic, "3");
  machine.file("/sys/kernel/iommu_groups/3/name", "vfio-noiommu");
  Findings findings = check_pci(machine.nic());
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_THAT(findings[1].message, HasSubstr("/dev/vfio/noiommu-3"));
  machine.file("/dev/vfio/noiommu-3");
  EXPECT_EQ(check_pci(machine.nic()).size(), 1u);
}

TEST(Pci, ABifurcatedDriverStays) {
  PciMachine machine;
  machine.add_nic(kNic, "mlx5_core", "eth1");
  machine.folder("/sys/module/mlx5_ib");
  EXPECT_EQ(only(check_pci(machine.nic())).severity, Severity::kOk);
  EXPECT_EQ(only(check_iommu(machine.nic())).severity, Severity::kOk);
  EXPECT_EQ(only(check_hugepages(machine.nic())).severity, Severity::kWarn);
  machine.file("/proc/self/status", "CapEff:\t0");
  const Findings privileges = check_privileges(machine.nic());
  ASSERT_EQ(privileges.size(), 2u);
  EXPECT_THAT(privileges[0].remedy, HasSubstr("cap_net_raw,cap_net_admin+ep"));
}

TEST(Pci, ABifurcatedDriverIsReachedThroughAModule) {
  PciMachine machine;
  machine.add_nic(kNic, "mlx5_core", "eth1");
  const Findings findings = check_pci(machine.nic());
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[1].remedy, "modprobe -a mlx5_ib ib_uverbs");
}

TEST(Pci, AWrongAddressGetsTheListOfRightOnes) {
  PciMachine machine;
  machine.add_nic("0000:00:03.0", "virtio-pci");
  machine.file("/sys/bus/pci/devices/0000:00:04.0/class", "0x018000");
  EXPECT_THAT(only(check_pci(machine.nic())).message,
              EndsWith("is not there; network devices: 0000:00:03.0"));
  EXPECT_THAT(only(check_pci(machine.examination("dpdk:00:04.0"))).message,
              EndsWith("is no network device; network devices: 0000:00:03.0"));
}

TEST(Pci, WithoutADeviceAllAreListed) {
  PciMachine machine;
  EXPECT_EQ(only(check_pci(machine.examination(""))), ok("PCI", "no network device"));
  machine.add_nic("0000:00:03.0", "virtio-pci");
  machine.folder("/sys/bus/pci/devices/0000:00:03.0/virtio2/net/eth0");
  EXPECT_EQ(only(check_pci(machine.examination(""))),
            ok("PCI 0000:00:03.0", "8086:1572, driver virtio-pci, interface eth0"));
}

TEST(Pci, AnInterfaceIsFoundBehindAnotherBus) {
  PciMachine machine;
  machine.folder("/sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0");
  machine.link("/sys/class/net/eth0/device", "/sys/devices/pci0000:00/0000:00:03.0/virtio2");
  EXPECT_EQ(pci_address_of(machine.examination("").files, "eth0"), "0000:00:03.0");
  EXPECT_EQ(pci_address_of(machine.examination("").files, "veth0"), "");
}

TEST(Iommu, WithoutOneVfioNeedsItsUnsafeMode) {
  PciMachine machine;
  machine.add_nic(kNic, "vfio-pci");
  machine.file("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel");
  const Finding off = only(check_iommu(machine.nic()));
  EXPECT_EQ(off.severity, Severity::kBad);
  EXPECT_THAT(off.message, HasSubstr("intel_iommu=on"));
  EXPECT_EQ(off.remedy, "modprobe vfio enable_unsafe_noiommu_mode=1");
  machine.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N");
  EXPECT_EQ(only(check_iommu(machine.nic())).remedy,
            "echo 1 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
  machine.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y");
  EXPECT_EQ(only(check_iommu(machine.nic())).severity, Severity::kOk);
}

TEST(Iommu, WithAVfioThatNeedsOneAnotherDriverGivesTheDeviceAway) {
  PciMachine machine;
  machine.add_nic(kNic, "e1000e", "eth1");
  machine.folder("/sys/module/vfio");
  constexpr const char* kBind =
      "modprobe uio_pci_generic && dpdk-devbind.py --bind=uio_pci_generic 0000:3b:00.0";
  const Finding off = only(check_iommu(machine.nic()));
  EXPECT_EQ(off.severity, Severity::kBad);
  EXPECT_THAT(off.message, HasSubstr("no mode without one"));
  EXPECT_EQ(off.remedy, kBind);
  EXPECT_EQ(only(check_pci(machine.nic())).remedy, kBind);
  machine.folder("/sys/kernel/iommu_groups/1/devices");
  EXPECT_THAT(only(check_pci(machine.nic())).remedy, EndsWith("--bind=vfio-pci 0000:3b:00.0"));
}

TEST(Iommu, GroupsThatVfioMadeUpAreNone) {
  PciMachine machine;
  machine.file("/sys/kernel/iommu_groups/0/name", "vfio-noiommu");
  EXPECT_FALSE(has_iommu(machine.examination("").files));
  machine.folder("/sys/kernel/iommu_groups/1/devices");
  EXPECT_TRUE(has_iommu(machine.examination("").files));
  EXPECT_EQ(only(check_iommu(machine.nic())), ok("IOMMU", "on"));
}

TEST(Hugepages, AreAMustOnlyWhereNoIommuTranslates) {
  PciMachine machine;
  machine.add_nic(kNic, "vfio-pci");
  const std::string pages = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  machine.file(pages + "nr_hugepages", "0");
  machine.file(pages + "free_hugepages", "0");
  EXPECT_EQ(only(check_hugepages(machine.nic())).severity, Severity::kBad);
  EXPECT_EQ(only(check_hugepages(machine.nic())).remedy, "sysctl -w vm.nr_hugepages=512");
  EXPECT_EQ(only(check_hugepages(machine.examination("dpdk:net_memif0"))).severity, Severity::kOk);
  EXPECT_EQ(check_hugepages(machine.examination("af_packet:eth1")), Findings{});
  machine.add_to_group(kNic, "12");
  EXPECT_EQ(only(check_hugepages(machine.nic())).severity, Severity::kWarn);
  machine.file(pages + "nr_hugepages", "512");
  machine.file(pages + "free_hugepages", "500");
  EXPECT_EQ(only(check_hugepages(machine.nic())), ok("hugepages", "512 of 2048kB, 500 free"));
}

TEST(VirtualDevice, TheOtherSideHasToBeThere) {
  MadeUpMachine machine;
  const auto check = [&machine](const std::string& rest) {
    return only(check_virtual_device(machine.examination("dpdk:net_virtio_user0" + rest)));
  };
  EXPECT_EQ(check("").severity, Severity::kBad);
  EXPECT_EQ(check(",path=/tmp/p.sock").severity, Severity::kBad);
  EXPECT_EQ(check(",path=/tmp/p.sock,server=1").severity, Severity::kOk);
  EXPECT_EQ(check(",path=/dev/vhost-net").remedy, "modprobe vhost-net");
  machine.file("/tmp/p.sock");
  EXPECT_EQ(check(",path=/tmp/p.sock,queues=1"), ok("net_virtio_user", "/tmp/p.sock is there"));
  EXPECT_EQ(check_virtual_device(machine.examination("dpdk:net_null0")), Findings{});
}

}  // namespace
}  // namespace millrace::doctor
