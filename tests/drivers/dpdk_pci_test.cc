// What is found out about a PCI device, on /sys made of files, and how DPDK is started for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <fstream>

#include "dpdk/eal_arguments.h"
#include "dpdk/pci_binding.h"
#include "temporary_directory.h"

namespace millrace::drivers::dpdk {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

constexpr const char* kAddress = "0000:3b:00.0";

/// A PCI device bound to a driver.
class PciBindingTest : public testing::Test {
 protected:
  void bind(const std::string& driver) const {
    std::filesystem::create_directories(device());
    std::filesystem::create_symlink("../../drivers/" + driver, device() / "driver");
  }
  void file(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((device() / name).parent_path());
    std::ofstream(device() / name, std::ios::binary) << bytes;
  }
  /// A configuration space of 256 bytes with capabilities of these kinds.
  [[nodiscard]] static std::string configuration(const std::vector<char>& capabilities) {
    std::string bytes(256, '\0');
    std::size_t link = 0x34, at = 0x40;
    if (!capabilities.empty()) bytes[6] = 0x10;
    for (const char kind : capabilities) {
      bytes[link] = static_cast<char>(at);
      bytes[at] = kind;
      link = at + 1;
      at += 0x10;
    }
    return bytes;
  }
  [[nodiscard]] PciBinding binding() const { return PciBinding::of(kAddress, sysfs_.path()); }

 private:
  [[nodiscard]] std::filesystem::path device() const {
    return std::filesystem::path(sysfs_.path()) / "bus/pci/devices" / kAddress;
  }

  TemporaryDirectory sysfs_;
};

TEST_F(PciBindingTest, SaysWhyDpdkDoesNotFindIt) {
  EXPECT_THAT(binding().obstacle(kAddress), HasSubstr("no such PCI device"));
  file("class", "0x020000");
  EXPECT_THAT(binding().obstacle(kAddress), HasSubstr("no driver gives it to programs"));
  bind("e1000e");
  EXPECT_THAT(binding().obstacle(kAddress),
              testing::AllOf(HasSubstr("driver e1000e"), HasSubstr("millrace doctor dpdk:0000:3b:00.0")));
}

TEST_F(PciBindingTest, VfioHasAnIommu) {
  bind("vfio-pci");
  file("iommu_group/name", "");
  EXPECT_TRUE(binding().has_iommu);
  EXPECT_EQ(binding().obstacle(kAddress), "");
}

TEST_F(PciBindingTest, VfioInItsUnsafeModeHasNone) {
  bind("vfio-pci");
  file("iommu_group/name", "vfio-noiommu\n");
  EXPECT_FALSE(binding().has_iommu);
}

TEST_F(PciBindingTest, UioHasNoIommuAndOneInterrupt) {
  bind("uio_pci_generic");
  file("config", configuration({0x01, 0x11}));
  EXPECT_FALSE(binding().has_iommu);
  EXPECT_TRUE(binding().one_interrupt);
  EXPECT_EQ(binding().obstacle(kAddress), "");
}

TEST_F(PciBindingTest, VfioHasManyInterruptsWhereTheDeviceHasMsix) {
  bind("vfio-pci");
  EXPECT_FALSE(binding().one_interrupt) << "nothing known";
  file("config", configuration({}).substr(0, 64));
  EXPECT_FALSE(binding().one_interrupt) << "not all of it may be read";
  file("config", configuration({0x01, 0x05, 0x11}));
  EXPECT_FALSE(binding().one_interrupt);
  file("config", configuration({0x01, 0x05}));
  EXPECT_TRUE(binding().one_interrupt);
  file("config", configuration({}));
  EXPECT_TRUE(binding().one_interrupt);
  std::string endless = configuration({0x01});
  endless[0x41] = 0x40;
  file("config", endless);
  EXPECT_TRUE(binding().one_interrupt);
}

EalOptions without_iommu() {
  EalOptions options;
  options.pci_address = kAddress;
  options.physical_addresses = true;
  return options;
}

TEST(EalArguments, WithoutAnIommuThereHaveToBeHugepages) {
  EXPECT_THAT(
      missing_memory(without_iommu(), {"0", 126}),
      testing::AllOf(HasSubstr("128 MB"), HasSubstr("126 MB are free"), HasSubstr("vm.nr_hugepages")));
  EXPECT_EQ(missing_memory(without_iommu(), {"0", 128}), "");
  EalOptions with_iommu = without_iommu();
  with_iommu.physical_addresses = false;
  EXPECT_EQ(missing_memory(with_iommu, {"0", 0}), "");
}

TEST(EalArguments, WhoeverChoosesTheMemoryHasChosen) {
  EalOptions options = without_iommu();
  options.arguments = "--huge-dir=/mnt/huge  -v";
  EXPECT_EQ(missing_memory(options, {"0", 0}), "");
  const std::vector<std::string> all = eal_arguments(options, {"0", 4096});
  EXPECT_THAT(all, IsSupersetOf({"--huge-dir=/mnt/huge", "-v"}));
  EXPECT_THAT(all, Not(Contains("--in-memory")));
  EXPECT_THAT(all, Not(Contains("--no-huge")));
}

TEST(EalArguments, HugepagesAreTakenWhereThereAreEnough) {
  EXPECT_THAT(eal_arguments({}, {"0,1", 128}),
              IsSupersetOf({"0@(0,1)", "--in-memory", "--no-pci", "--iova-mode=va"}));
  EalOptions small;
  small.memory_mb = 512;
  EXPECT_THAT(eal_arguments(small, {"0", 127}), IsSupersetOf({"--no-huge", "-m", "512"}));
}

TEST(EalArguments, APciDeviceHasTheAddressesThatDpdkFindsRight) {
  const std::vector<std::string> all = eal_arguments(without_iommu(), {"0", 128});
  EXPECT_THAT(all, IsSupersetOf({"-a", kAddress, "--in-memory"}));
  EXPECT_THAT(all, Not(Contains("--no-pci")));
  EXPECT_THAT(all, Not(Contains(HasSubstr("--iova-mode"))));
}

}  // namespace
}  // namespace millrace::drivers::dpdk
