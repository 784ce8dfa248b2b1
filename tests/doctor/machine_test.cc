// Privileges, limits, the kernel's features and the CPUs, on machines made of files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/machine_checks.h"
#include "made_up.h"

namespace millrace::doctor {
namespace {

using test::MadeUpMachine;
using test::only;
using testing::HasSubstr;

constexpr std::string_view kAllButRaw = "CapEff:\t000001ffffffdfff";
constexpr std::string_view kOnlyRaw = "Name:\tx\nCapEff:\t0000000000002000";
constexpr std::string_view kAll = "CapEff:\t000001ffffffffff";

TEST(Privileges, AreAllNamedWhenNoneIsMissing) {
  MadeUpMachine machine;
  machine.file("/proc/self/status", kAll);
  EXPECT_EQ(only(check_privileges(machine.examination("af_packet:eth1"))),
            ok("privileges", "CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF"));
}

TEST(Privileges, WithoutRawSocketsNothingCanBeOpened) {
  MadeUpMachine machine;
  machine.file("/proc/self/status", kAllButRaw);
  machine.file("/usr/bin/millrace");
  machine.link("/proc/self/exe", "/usr/bin/millrace");
  const Findings findings = check_privileges(machine.examination("af_packet:eth1"));
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[1].severity, Severity::kBad);
  EXPECT_EQ(findings[1].remedy, "setcap cap_net_raw,cap_net_admin,cap_bpf+ep /usr/bin/millrace");
}

TEST(Privileges, TheFilterOfAPacketSocketIsOptionalAndThatOfXdpIsNot) {
  MadeUpMachine machine;
  machine.file("/proc/self/status", kOnlyRaw);
  const Findings packet = check_privileges(machine.examination("af_packet:eth1"));
  ASSERT_EQ(packet.size(), 3u);
  EXPECT_EQ(packet[0], ok("privileges", "CAP_NET_RAW"));
  EXPECT_EQ(packet[1].severity, Severity::kWarn);
  EXPECT_EQ(packet[2].severity, Severity::kWarn);
  const Findings xdp = check_privileges(machine.examination("xdp:eth1"));
  ASSERT_EQ(xdp.size(), 3u);
  EXPECT_EQ(xdp[1].severity, Severity::kBad);
  EXPECT_EQ(xdp[2].severity, Severity::kBad);
}

TEST(Privileges, AdministratorsMayLoadPrograms) {
  MadeUpMachine machine;
  machine.file("/proc/self/status", "CapEff:\t0000000000200000");  // CAP_SYS_ADMIN alone
  EXPECT_TRUE(has_capability(machine.examination("").files, kCapabilityBpf));
  EXPECT_FALSE(has_capability(machine.examination("").files, 12));
}

TEST(Privileges, AWireInMemoryAsksForNone) {
  const MadeUpMachine machine;
  EXPECT_EQ(check_privileges(machine.examination("pipe:a")), Findings{});
  EXPECT_EQ(check_privileges(machine.examination("dpdk:net_memif0,role=client")), Findings{});
}

TEST(Memlock, ALowLimitIsNamedInItsUnit) {
  MadeUpMachine machine;
  machine.file("/proc/self/status", kOnlyRaw);
  machine.file("/proc/self/limits",
               "Limit                     Soft Limit           Hard Limit           Units     \n"
               "Max locked memory         8388608              8388608              bytes     ");
  const Finding finding = only(check_memlock(machine.examination("xdp:eth1")));
  EXPECT_EQ(finding.severity, Severity::kWarn);
  EXPECT_THAT(finding.message, HasSubstr("8192 KiB"));
  EXPECT_EQ(finding.remedy, "prlimit --pid $$ --memlock=unlimited:unlimited");
  EXPECT_EQ(check_memlock(machine.examination("af_packet:eth1")), Findings{});
  machine.file("/proc/self/status", kAll);
  EXPECT_EQ(only(check_memlock(machine.examination("xdp:eth1"))).severity, Severity::kOk);
}

TEST(Kernel, TcxIsThereFromSixSixOn) {
  MadeUpMachine machine;
  for (const auto& [release, has] : {std::pair("6.6.0", true),
                                     {"6.18.44", true},
                                     {"7.0", true},
                                     {"6.5.9", false},
                                     {"5.10.0-31-amd64", false}}) {
    machine.file("/proc/sys/kernel/osrelease", release);
    EXPECT_EQ(has_tcx(machine.examination("").files), has) << release;
  }
  EXPECT_THAT(only(check_kernel(machine.examination("af_packet:eth1"))).message,
              HasSubstr("without the tcx hook"));
}

TEST(Kernel, WithoutAfXdpThereIsNoSuchDevice) {
  MadeUpMachine machine;
  machine.file("/proc/self/net/protocols", "protocol  size sockets\nPACKET   1472      0\nXDPLIKE 1 1");
  EXPECT_EQ(only(check_kernel(machine.examination("xdp:eth1"))).severity, Severity::kBad);
  machine.file("/proc/self/net/protocols",
               "protocol  size sockets\nPACKET   1472      0\nXDP       960      0");
  EXPECT_EQ(only(check_kernel(machine.examination("xdp:eth1"))).severity, Severity::kOk);
}

TEST(Kernel, ATapNeedsItsFile) {
  MadeUpMachine machine;
  EXPECT_EQ(only(check_kernel(machine.examination("tap:mr0"))).remedy, "modprobe tun");
  machine.file("/dev/net/tun");
  EXPECT_EQ(only(check_kernel(machine.examination("tap:mr0"))).severity, Severity::kOk);
  EXPECT_EQ(only(check_kernel(machine.examination("dpdk:net_virtio_user0,path=/dev/vhost-net"))).severity,
            Severity::kOk);
}

TEST(Cpus, IsolationMattersToDevicesThatPoll) {
  MadeUpMachine machine;
  machine.file("/sys/devices/system/cpu/online", "0-3");
  machine.file("/sys/devices/system/cpu/isolated", "");
  EXPECT_EQ(only(check_cpus(machine.examination("af_packet:eth1"))).severity, Severity::kOk);
  const Finding polling = only(check_cpus(machine.examination("dpdk:0000:3b:00.0")));
  EXPECT_EQ(polling.severity, Severity::kWarn);
  EXPECT_THAT(polling.remedy, HasSubstr("isolcpus=3 nohz_full=3"));
  machine.file("/sys/devices/system/cpu/isolated", "2-3");
  const Finding isolated = only(check_cpus(machine.examination("dpdk:0000:3b:00.0")));
  EXPECT_EQ(isolated, ok("CPUs", "4 CPUs, of them isolated: 2-3; a program gets there by taskset -c 2"));
}

TEST(Frequency, AnyGovernorButPerformanceIsSlowToWake) {
  MadeUpMachine machine;
  EXPECT_EQ(only(check_frequency(machine.examination("af_packet:eth1"))).severity, Severity::kOk);
  machine.file("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "performance");
  EXPECT_EQ(only(check_frequency(machine.examination("af_packet:eth1"))).severity, Severity::kOk);
  machine.file("/sys/devices/system/cpu/cpufreq/policy1/scaling_governor", "schedutil");
  const Finding finding = only(check_frequency(machine.examination("af_packet:eth1")));
  EXPECT_EQ(finding.severity, Severity::kWarn);
  EXPECT_THAT(finding.message, HasSubstr("schedutil"));
}

TEST(Irqbalance, IsSeenByItsProcess) {
  MadeUpMachine machine;
  machine.file("/proc/self/comm", "irqbalance");  // not a process of its own
  machine.file("/proc/17/comm", "sshd");
  EXPECT_EQ(only(check_irqbalance(machine.examination("af_packet:eth1"))).severity, Severity::kOk);
  machine.file("/proc/812/comm", "irqbalance");
  EXPECT_EQ(only(check_irqbalance(machine.examination("af_packet:eth1"))).remedy,
            "systemctl disable --now irqbalance");
  EXPECT_EQ(check_irqbalance(machine.examination("pipe:a")), Findings{});
}

TEST(Driver, OneThatThisVersionLacksIsBad) {
  const MadeUpMachine machine;
  Examination examination = machine.examination("xdp:eth1");
  EXPECT_EQ(check_driver(examination), Findings{});
  examination.driver_built_in = false;
  EXPECT_EQ(only(check_driver(examination)).severity, Severity::kBad);
}

}  // namespace
}  // namespace millrace::doctor
