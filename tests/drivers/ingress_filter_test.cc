#include <netinet/in.h>
#include <sys/socket.h>

#include <fstream>
#include <sstream>

#include "af_packet_fixture.h"
#include "unique_fd.h"

namespace millrace::drivers {
namespace {

class IngressFilterTest : public AfPacket {
 protected:
  /// How many packets the kernel's IP has looked at on our side.
  std::uint64_t kernel_packets() {
    const InNamespace inside(*pair_, Side::kLeft);
    std::ifstream file("/proc/thread-self/net/snmp");
    std::string names, values;
    std::getline(file, names);
    std::getline(file, values);
    std::istringstream name(names), value(values);
    std::string a, b;
    while (name >> a && value >> b) {
      if (a == "InReceives") return std::stoull(b);
    }
    return 0;
  }

  void claim(const std::string& prefix) {
    const InNamespace inside(*pair_, Side::kLeft);
    const IpPrefix own{*IpAddress::parse(prefix), 24};
    ours_->own_addresses({&own, 1});
  }

  /// The kernel of the other side sends that many datagrams to the address; the device gets every one.
  void exchange(std::size_t count, const std::string& address = "198.18.0.2") {
    const InNamespace inside(*pair_, Side::kRight);
    const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    to.sin_addr.s_addr = htonl(IpAddress::parse(address)->v4_value());
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(::sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 1);
    }
    ASSERT_TRUE(receive(*ours_, count));
    in_.clear();
  }

  void start_introduced() {
    ASSERT_NO_FATAL_FAILURE(start());
    introduce_ourselves();
  }
};

TEST_F(IngressFilterTest, KeepsOurPacketsFromTheKernelAsLongAsTheDeviceIsOpen) {
  ASSERT_NO_FATAL_FAILURE(start_introduced());
  const std::uint64_t at_start = kernel_packets();
  exchange(20);
  EXPECT_EQ(kernel_packets() - at_start, 20u);
  claim("198.18.0.2");
  const std::uint64_t before = kernel_packets();
  exchange(20);
  const std::uint64_t seen = kernel_packets() - before;
  if (seen == 20) GTEST_SKIP() << "no tcx hook in this kernel (Linux 6.6), or no privilege for it";
  EXPECT_EQ(seen, 0u);
  const InNamespace inside(*pair_, Side::kLeft);
  ours_.reset();
  ours_ = open(Side::kLeft, "af_packet:left0");
  exchange(20);
  EXPECT_EQ(kernel_packets() - before, 20u);
}

TEST_F(IngressFilterTest, LeavesOtherAddressesToTheKernel) {
  ASSERT_NO_FATAL_FAILURE(start_introduced());
  ASSERT_TRUE(pair_->run(Side::kRight,
                         "ip neigh replace 198.18.0.7 lladdr " + ours_->mac().to_string() + " dev right0"));
  claim("198.18.0.2");
  const std::uint64_t before = kernel_packets();
  exchange(10, "198.18.0.7");
  EXPECT_EQ(kernel_packets() - before, 10u);
}

TEST_F(IngressFilterTest, LeavesAnAddressThatIsTheKernelsToo) {
  NetNamespacePair::Options options;
  options.left_address = "198.18.0.2/24";
  ASSERT_NO_FATAL_FAILURE(start(options));
  introduce_ourselves();
  claim("198.18.0.2");
  const std::uint64_t before = kernel_packets();
  exchange(10);
  EXPECT_EQ(kernel_packets() - before, 10u);
}

}  // namespace
}  // namespace millrace::drivers
