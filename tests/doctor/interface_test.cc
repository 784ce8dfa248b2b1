// What is made of an interface's state: no interface of the machine is looked at.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/link_checks.h"
#include "made_up.h"

namespace millrace::doctor {
namespace {

using test::good_interface;
using test::MadeUpMachine;
using test::only;
using testing::HasSubstr;

class InterfaceChecks : public testing::Test {
 protected:
  Examination with(const std::string& driver, InterfaceFacts interface) {
    Examination examination = machine_.examination(driver + interface.name);
    examination.interface = std::move(interface);
    return examination;
  }
  /// A veth, and a peer with offloads on or off.
  Examination with_peer(const std::string& driver, bool offloads) {
    InterfaceFacts veth = good_interface("left0", "veth");
    veth.link.kind = "veth";
    Examination examination = with(driver, veth);
    InterfaceFacts peer = good_interface("right0", "veth");
    peer.offloads->tx_checksum = peer.offloads->tso = peer.offloads->gso = offloads;
    examination.peer = PeerFacts{"ip netns exec blue ", " in the network namespace blue", peer};
    return examination;
  }

  MadeUpMachine machine_;
};

TEST_F(InterfaceChecks, AGoodOneIsWellInEveryRespect) {
  const Examination examination = with("af_packet:", good_interface("eth1"));
  for (const Check check :
       {check_interface, check_link, check_mtu, check_rings, check_channels, check_offloads}) {
    for (const Finding& finding : check(examination))
      EXPECT_EQ(finding.severity, Severity::kOk) << finding.message;
  }
  EXPECT_EQ(check_peer(examination), Findings{});
}

TEST_F(InterfaceChecks, OneThatIsNotThereIsBad) {
  const Examination examination = machine_.examination("af_packet:eth9");
  EXPECT_EQ(only(check_interface(examination)).severity, Severity::kBad);
  EXPECT_EQ(check_link(examination), Findings{});
}

TEST_F(InterfaceChecks, OneWhoseDeviceIsHandedOverIsBoundBack) {
  machine_.file("/sys/bus/pci/devices/0000:3b:00.0/class", "0x020000");
  machine_.folder("/sys/bus/pci/drivers/vfio-pci");
  machine_.link("/sys/bus/pci/devices/0000:3b:00.0/driver", "/sys/bus/pci/drivers/vfio-pci");
  const Finding finding = only(check_interface(machine_.examination("af_packet:eth9")));
  EXPECT_THAT(finding.remedy,
              HasSubstr("echo 0000:3b:00.0 >/sys/bus/pci/devices/0000:3b:00.0/driver/unbind"));
  EXPECT_THAT(finding.remedy, HasSubstr("drivers_probe"));
}

TEST_F(InterfaceChecks, WhatIsNotEthernetOrASlaveWillNotDo) {
  InterfaceFacts interface = good_interface("lo");
  interface.ethernet = false;
  EXPECT_EQ(only(check_interface(with("af_packet:", interface))).severity, Severity::kBad);
  interface = good_interface("eth1");
  interface.master = "br0";
  const Findings findings = check_interface(with("af_packet:", interface));
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[1].remedy, "ip link set dev eth1 nomaster");
}

TEST_F(InterfaceChecks, XdpHasRoomForOneProgram) {
  InterfaceFacts interface = good_interface("eth1");
  interface.link.xdp = true;
  EXPECT_EQ(check_interface(with("af_packet:", interface)).size(), 1u);
  const Findings findings = check_interface(with("xdp:", interface));
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_THAT(findings[1].remedy, HasSubstr("ip link set dev eth1 xdp off"));
}

TEST_F(InterfaceChecks, ALinkThatIsDownIsSetUp) {
  InterfaceFacts interface = good_interface("eth1");
  interface.up = interface.carrier = false;
  EXPECT_EQ(only(check_link(with("af_packet:", interface))),
            bad("eth1: link", "is down", "ip link set dev eth1 up"));
}

TEST_F(InterfaceChecks, APeerThatIsDownIsSetUpWhereItIs) {
  Examination examination = with_peer("af_packet:", true);
  examination.interface->carrier = false;
  examination.peer->interface.up = false;
  const Finding finding = only(check_link(examination));
  EXPECT_EQ(finding.severity, Severity::kBad);
  EXPECT_EQ(finding.remedy, "ip netns exec blue ip link set dev right0 up");
}

TEST_F(InterfaceChecks, TheMtuHasToFitTheDevice) {
  InterfaceFacts interface = good_interface("eth1");
  interface.mtu = 9000;
  EXPECT_EQ(only(check_mtu(with("af_packet:", interface))), ok("eth1: MTU", "9000"));
  EXPECT_EQ(only(check_mtu(with("xdp:", interface))).remedy, "ip link set dev eth1 mtu 1500");
  EXPECT_EQ(only(check_mtu(with("dpdk:net_af_packet0,iface=", interface))).severity, Severity::kBad);
  interface.mtu = 500;
  EXPECT_EQ(only(check_mtu(with("af_packet:", interface))).severity, Severity::kBad);
}

TEST_F(InterfaceChecks, ShortRingsGrow) {
  InterfaceFacts interface = good_interface("eth1");
  interface.rings->rx = 256;
  EXPECT_EQ(only(check_rings(with("af_packet:", interface))).remedy, "ethtool -G eth1 rx 1024");
  interface.rings->rx_max = 512;
  EXPECT_EQ(only(check_rings(with("af_packet:", interface))).remedy, "ethtool -G eth1 rx 512");
  interface.rings->rx = 512;
  EXPECT_EQ(only(check_rings(with("af_packet:", interface))).severity, Severity::kOk);
  interface.rings.reset();
  EXPECT_EQ(only(check_rings(with("af_packet:", interface))).severity, Severity::kOk);
}

TEST_F(InterfaceChecks, AfXdpSeesTheQueuesThatItTakes) {
  InterfaceFacts interface = good_interface("eth1");
  interface.channels->combined = 8;
  EXPECT_EQ(only(check_channels(with("af_packet:", interface))).severity, Severity::kOk);
  EXPECT_EQ(only(check_channels(with("xdp:", interface))).remedy,
            "ethtool -L eth1 combined 1  # or run with: --queues 8");
  interface.channels = Channels{.rx = 2, .tx = 2, .combined = 0};
  EXPECT_EQ(only(check_channels(with("xdp:", interface))).remedy,
            "ethtool -L eth1 rx 1  # or run with: --queues 2");
}

TEST_F(InterfaceChecks, PacketSocketsProfitFromOffloads) {
  InterfaceFacts interface = good_interface("eth1");
  interface.offloads = Offloads{
      .rx_checksum = true, .tx_checksum = true, .tso = false, .gso = true, .gro = false, .lro = true};
  const Findings findings = check_offloads(with("af_packet:", interface));
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_EQ(findings[0].remedy, "ethtool -K eth1 lro off gro on");
  EXPECT_EQ(findings[1].remedy, "ethtool -K eth1 tx on sg on tso on");
  EXPECT_EQ(findings[2].remedy, "ethtool -K eth1 gro on");
  for (const Finding& finding : findings) EXPECT_EQ(finding.severity, Severity::kWarn);
}

TEST_F(InterfaceChecks, ThePacketSocketsOfDpdkCutMergedFrames) {
  const Finding finding = only(check_offloads(with("dpdk:net_af_packet0,iface=", good_interface("eth1"))));
  EXPECT_EQ(finding.severity, Severity::kBad);
  EXPECT_EQ(finding.remedy, "ethtool -K eth1 gro off lro off");
  EXPECT_EQ(only(check_offloads(with("xdp:", good_interface("eth1")))).severity, Severity::kOk);
}

TEST_F(InterfaceChecks, APeersUnfinishedChecksumsAreNamedAsTheCause) {
  for (const std::string driver : {"xdp:", "dpdk:net_af_packet0,iface=", "dpdk:net_af_xdp0,iface="}) {
    const Finding finding = only(check_peer(with_peer(driver, true)));
    EXPECT_EQ(finding.severity, Severity::kBad) << driver;
    EXPECT_THAT(finding.message, HasSubstr("checksum")) << driver;
    EXPECT_EQ(finding.remedy, "ip netns exec blue ethtool -K right0 tx off tso off gso off") << driver;
    EXPECT_EQ(only(check_peer(with_peer(driver, false))).severity, Severity::kOk) << driver;
  }
}

TEST_F(InterfaceChecks, PacketSocketsTakeUnfinishedChecksumsAndWantSuperFrames) {
  EXPECT_EQ(only(check_peer(with_peer("af_packet:", true))).severity, Severity::kOk);
  const Finding finding = only(check_peer(with_peer("af_packet:", false)));
  EXPECT_EQ(finding.severity, Severity::kWarn);
  EXPECT_EQ(finding.remedy, "ip netns exec blue ethtool -K right0 tx on sg on tso on gso on");
}

TEST_F(InterfaceChecks, APeerOutOfReachMayBeTheCause) {
  Examination examination = with_peer("xdp:", true);
  examination.peer.reset();
  EXPECT_EQ(only(check_peer(examination)).severity, Severity::kWarn);
  examination.target.kind = Target::Kind::kAfPacket;
  EXPECT_EQ(only(check_peer(examination)).severity, Severity::kOk);
}

TEST_F(InterfaceChecks, InterruptsStayAwayFromIsolatedCpus) {
  machine_.folder("/sys/devices/pci0000:3a/0000:3b:00.0/net/eth1");
  machine_.link("/sys/class/net/eth1/device", "/sys/devices/pci0000:3a/0000:3b:00.0");
  machine_.file("/sys/bus/pci/devices/0000:3b:00.0/msi_irqs/24");
  machine_.file("/sys/bus/pci/devices/0000:3b:00.0/msi_irqs/25");
  machine_.file("/proc/irq/24/smp_affinity_list", "0-1");
  machine_.file("/proc/irq/25/smp_affinity_list", "2-3");
  machine_.file("/sys/devices/system/cpu/online", "0-3");
  const Examination examination = with("af_packet:", good_interface("eth1"));
  EXPECT_EQ(only(check_interrupts(examination)), ok("eth1: interrupts", "2 interrupts, on CPUs 0-3"));
  machine_.file("/sys/devices/system/cpu/isolated", "3");
  const Finding finding = only(check_interrupts(examination));
  EXPECT_EQ(finding.severity, Severity::kWarn);
  EXPECT_EQ(finding.remedy, "for i in 24 25; do echo 0-2 >/proc/irq/$i/smp_affinity_list; done");
}

TEST_F(InterfaceChecks, EachInterfaceGetsALine) {
  Examination examination = machine_.examination("");
  InterfaceFacts loopback = good_interface("lo");
  loopback.ethernet = false;
  InterfaceFacts down = good_interface("eth2");
  down.up = down.carrier = false;
  InterfaceFacts used = good_interface("eth0");
  used.addresses = {*IpPrefix::parse("198.18.0.9/24")};
  examination.interfaces = {loopback, down, used};
  const Findings findings = check_all_interfaces(examination);
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_THAT(findings[0].message, HasSubstr("will not do"));
  EXPECT_EQ(findings[1].remedy, "ip link set dev eth2 up");
  EXPECT_THAT(findings[2].message, HasSubstr("af_packet:eth0"));
  EXPECT_THAT(findings[2].message, HasSubstr("198.18.0.9/24"));
}

}  // namespace
}  // namespace millrace::doctor
