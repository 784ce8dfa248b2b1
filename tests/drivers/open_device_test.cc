#include "open_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_namespace.h"

namespace millrace::drivers {
namespace {

using test::InNamespace;
using test::NetNamespacePair;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Side = NetNamespacePair::Side;

std::string error_of(std::string_view spec) {
  const OpenResult result = open_device(spec);
  EXPECT_FALSE(result.ok()) << spec;
  EXPECT_THAT(result.error, AllOf(Not(""), Not(HasSubstr("\n")))) << spec;
  return result.error;
}

TEST(OpenDevice, ListsTheKnownDriversWhenTheDriverIsUnknown) {
  EXPECT_THAT(error_of("af_paket:eth0"),
              AllOf(HasSubstr("unknown driver \"af_paket\""), HasSubstr("af_packet")));
}

TEST(OpenDevice, KnowsWhatIsBuiltIn) {
  for (const char* driver : {"af_packet", "pcap", "pipe", "fault"})
    EXPECT_TRUE(is_built_in(driver)) << driver;
  for (const char* driver : {"", "af", "packet", "pipe, fault", "carrier-pigeon"})
    EXPECT_FALSE(is_built_in(driver)) << driver;
}

TEST(OpenDevice, KnowsWhatALauncherMustLeaveToTheProgram) {
  EXPECT_TRUE(can_hand_over("af_packet:eth0"));
  EXPECT_TRUE(can_hand_over("fault(loss=1%):af_packet:eth0"));
  EXPECT_FALSE(can_hand_over("dpdk:net_null0"));
  EXPECT_FALSE(can_hand_over("xdp:eth0"));
  EXPECT_FALSE(can_hand_over("fault(loss=1%):dpdk:net_null0"));
}

TEST(OpenDevice, ListsTheInterfacesWhenTheOneAskedForIsMissing) {
  const NetNamespacePair pair;
  ASSERT_TRUE(pair.ok());
  const InNamespace inside(pair, Side::kLeft);
  EXPECT_THAT(error_of("af_packet:veth9"),
              AllOf(HasSubstr("no interface \"veth9\""), HasSubstr("lo, left0")));
  EXPECT_THAT(error_of("af_packet:a-name-too-long-for-an-interface"), HasSubstr("no interface"));
}

TEST(OpenDevice, SaysHowToBringAnInterfaceUp) {
  const NetNamespacePair pair;
  ASSERT_TRUE(pair.ok());
  ASSERT_TRUE(pair.run(Side::kLeft, "ip link set left0 down"));
  const InNamespace inside(pair, Side::kLeft);
  EXPECT_THAT(error_of("af_packet:left0"), AllOf(HasSubstr("is down"), HasSubstr("ip link set left0 up")));
}

TEST(OpenDevice, RefusesWhatIsNotEthernet) {
  EXPECT_THAT(error_of("af_packet:lo"), HasSubstr("not an Ethernet"));
}

TEST(OpenDevice, RefusesUnknownAndWrongOptions) {
  EXPECT_THAT(error_of("af_packet(mtu=1):lo"), HasSubstr("unknown option \"mtu\""));
  EXPECT_THAT(error_of("af_packet(slots=1):lo"), HasSubstr("slots=1"));
  EXPECT_THAT(error_of("af_packet(mac=1):lo"), HasSubstr("mac=1"));
}

TEST(OpenDevice, NamesThePrivilegeThatIsMissing) {
  const NetNamespacePair pair;
  ASSERT_TRUE(pair.ok());
  const InNamespace inside(pair, Side::kLeft);
  // In a child without capabilities, which answers with its exit code.
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    if (::syscall(SYS_capset, &header, none) != 0) ::_exit(2);
    const OpenResult result = open_device("af_packet:left0");
    ::_exit(!result.ok() && result.error.find("CAP_NET_RAW") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace millrace::drivers
