// Device specs taken apart, and findings written out.

#include "doctor/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/cpu_list.h"
#include "doctor/target.h"

namespace millrace::doctor {
namespace {

using testing::HasSubstr;
using Kind = Target::Kind;

Target target_of(std::string_view spec) {
  Target target;
  EXPECT_EQ(parse_target(spec, target), "") << spec;
  return target;
}

TEST(Target, KnowsEveryDriver) {
  EXPECT_EQ(target_of("").kind, Kind::kMachine);
  EXPECT_EQ(target_of("af_packet:eth1").interface, "eth1");
  EXPECT_EQ(target_of("xdp(queue=1):eth1").kind, Kind::kXdp);
  EXPECT_EQ(target_of("tap:mr0").kind, Kind::kTap);
  EXPECT_EQ(target_of("pipe:a").kind, Kind::kMemory);
  EXPECT_FALSE(target_of("tap:mr0").on_interface());
}

TEST(Target, LooksBehindABadLine) {
  const Target target = target_of("fault(loss=0.1):fault(seed=1):af_packet(mac=02:00:00:00:00:07):eth1");
  EXPECT_EQ(target.kind, Kind::kAfPacket);
  EXPECT_EQ(target.interface, "eth1");
  EXPECT_TRUE(target.own_mac);
}

TEST(Target, TellsPciFromVirtualDevices) {
  EXPECT_EQ(target_of("dpdk:0000:3b:00.0").pci, "0000:3b:00.0");
  EXPECT_EQ(target_of("dpdk:3b:00.1").pci, "0000:3b:00.1");
  EXPECT_EQ(target_of("dpdk:0000:3b:00.0,arg=1").pci, "0000:3b:00.0");
  const Target virtio = target_of("dpdk:net_virtio_user0,path=/tmp/p.sock,queues=1");
  EXPECT_EQ(virtio.kind, Kind::kVirtual);
  EXPECT_EQ(virtio.virtual_driver, "net_virtio_user");
  EXPECT_EQ(virtio.virtual_argument("path"), "/tmp/p.sock");
  EXPECT_EQ(virtio.virtual_argument("pat"), "");
  const Target packet = target_of("dpdk:net_af_packet1,iface=veth1");
  EXPECT_EQ(packet.interface, "veth1");
  EXPECT_TRUE(packet.on_interface());
  EXPECT_TRUE(packet.needs_finished_checksums());
  EXPECT_FALSE(target_of("dpdk:net_tap0,iface=dtap0").on_interface());
}

TEST(Target, RefusesWhatIsNone) {
  Target target;
  EXPECT_THAT(parse_target("eth1", target), HasSubstr("eth1"));
  EXPECT_THAT(parse_target("foo:bar", target), HasSubstr("unknown driver \"foo\""));
  EXPECT_THAT(parse_target("dpdk:eth1", target), HasSubstr("PCI address"));
  EXPECT_THAT(parse_target("fault(loss=1):", target), HasSubstr("nothing follows"));
}

TEST(CpuList, IsReadAndWritten) {
  EXPECT_EQ(parse_cpu_list("0-2,5"), (std::set<unsigned>{0, 1, 2, 5}));
  EXPECT_EQ(parse_cpu_list(""), std::set<unsigned>{});
  EXPECT_EQ(parse_cpu_list("(null)"), std::set<unsigned>{});
  EXPECT_EQ(format_cpu_list({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(format_cpu_list({}), "");
}

TEST(Report, AlignsItsColumns) {
  EXPECT_EQ(as_text({ok("CPUs", "2"), bad("eth1: link", "is down", "ip link set dev eth1 up")}),
            "ok    CPUs        2\n"
            "bad   eth1: link  is down -> ip link set dev eth1 up\n");
}

TEST(Report, EscapesWhatJsonCannotHold) {
  EXPECT_EQ(as_json("pipe:\"a\\b\x01", {warn("x", "y\n", "z")}),
            "{\"device\":\"pipe:\\\"a\\\\b\\u0001\",\"bad\":0,\"warn\":1,\"findings\":["
            "{\"severity\":\"warn\",\"subject\":\"x\",\"message\":\"y\\u000a\",\"remedy\":\"z\"}]}\n");
  EXPECT_EQ(as_json("", {}), "{\"device\":\"\",\"bad\":0,\"warn\":0,\"findings\":[]}\n");
}

}  // namespace
}  // namespace millrace::doctor
