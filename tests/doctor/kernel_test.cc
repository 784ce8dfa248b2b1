// What the kernel is asked, in network namespaces of our own. Needs root.

#include <gtest/gtest.h>

#include "doctor/interface_facts.h"
#include "net_namespace.h"

namespace millrace::doctor {
namespace {

using test::InNamespace;
using test::NetNamespacePair;
using Side = NetNamespacePair::Side;

class KernelFacts : public testing::Test {
 protected:
  void SetUp() override {
    if (!pair_.ok()) GTEST_SKIP() << "needs root and ip(8)";
  }
  [[nodiscard]] std::optional<InterfaceFacts> left() const {
    const InNamespace inside(pair_, Side::kLeft);
    return query_interface_facts("left0");
  }
  [[nodiscard]] AddressClaim claim(const char* address) const {
    const InNamespace inside(pair_, Side::kLeft);
    return query_claim(*IpPrefix::parse(address));
  }

  NetNamespacePair pair_;
};

TEST_F(KernelFacts, AnInterfaceAsItIs) {
  const std::optional<InterfaceFacts> facts = left();
  ASSERT_TRUE(facts.has_value());
  EXPECT_TRUE(facts->up);
  EXPECT_TRUE(facts->carrier);
  EXPECT_TRUE(facts->ethernet);
  EXPECT_EQ(facts->mtu, 1500u);
  EXPECT_EQ(facts->driver, "veth");
  EXPECT_TRUE(facts->is_veth());
  EXPECT_FALSE(facts->link.xdp);
  EXPECT_TRUE(facts->addresses.empty());
  ASSERT_TRUE(facts->offloads.has_value());
  EXPECT_TRUE(facts->offloads->tx_checksum);
  EXPECT_TRUE(facts->offloads->tso);
}

TEST_F(KernelFacts, AddressesMtuAndOffloadsFollow) {
  ASSERT_TRUE(pair_.run(Side::kLeft,
                        "ip addr add 198.18.0.2/24 dev left0 && ip link set left0 mtu 2000 && "
                        "ethtool -K left0 tso off gro on >/dev/null"));
  const std::optional<InterfaceFacts> facts = left();
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->addresses, std::vector{*IpPrefix::parse("198.18.0.2/24")});
  EXPECT_EQ(facts->mtu, 2000u);
  EXPECT_FALSE(facts->offloads->tso);
  EXPECT_TRUE(facts->offloads->gro);
}

TEST_F(KernelFacts, ThePeerIsFoundInItsNamespace) {
  const std::optional<InterfaceFacts> facts = left();
  ASSERT_TRUE(facts.has_value());
  ASSERT_TRUE(pair_.run(Side::kRight, "ethtool -K right0 tx off >/dev/null"));
  const InNamespace inside(pair_, Side::kLeft);
  const std::optional<PeerFacts> peer = find_peer(Files{}, *facts);
  ASSERT_TRUE(peer.has_value());
  EXPECT_EQ(peer->interface.name, "right0");
  EXPECT_EQ(peer->command_prefix, "ip netns exec " + pair_.name(Side::kRight) + " ");
  EXPECT_FALSE(peer->interface.offloads->tx_checksum);
  EXPECT_TRUE(query_interface_facts("left0").has_value()) << "the thread that asks stays where it was";
}

TEST_F(KernelFacts, APeerInTheSameNamespaceIsFoundThere) {
  ASSERT_TRUE(pair_.run(Side::kLeft, "ip link add a0 type veth peer name b0"));
  const InNamespace inside(pair_, Side::kLeft);
  const std::optional<PeerFacts> peer = find_peer(Files{}, query_interface_facts("a0").value());
  ASSERT_TRUE(peer.has_value());
  EXPECT_EQ(peer->interface.name, "b0");
  EXPECT_EQ(peer->command_prefix, "");
}

TEST_F(KernelFacts, WhoOwnsAnAddress) {
  EXPECT_EQ(claim("198.18.0.2/24").route.type, Route::Type::kOther);
  EXPECT_FALSE(claim("198.18.0.2/24").configured);
  ASSERT_TRUE(pair_.run(Side::kLeft, "ip addr add 198.18.0.2/16 dev left0"));
  const AddressClaim owned = claim("198.18.0.2/24");
  EXPECT_TRUE(owned.configured);
  EXPECT_EQ(owned.interface, "left0");
  EXPECT_EQ(owned.length, 16);
  EXPECT_EQ(owned.route.type, Route::Type::kLocal);
  EXPECT_EQ(claim("198.18.255.255/24").route.type, Route::Type::kBroadcast);
  EXPECT_EQ(claim("198.18.0.3/24").route.type, Route::Type::kOther);
}

TEST_F(KernelFacts, ALocalRouteIsFoundWithItsNetwork) {
  ASSERT_TRUE(pair_.run(Side::kLeft, "ip link set lo up && ip route add local 198.19.0.0/16 dev lo"));
  const AddressClaim owned = claim("198.19.7.7/24");
  EXPECT_EQ(owned.route.type, Route::Type::kLocal);
  EXPECT_EQ(owned.route.prefix, *IpPrefix::parse("198.19.0.0/16"));
  EXPECT_EQ(owned.interface, "lo");
  EXPECT_FALSE(owned.configured);
}

TEST_F(KernelFacts, PortsAndLinksThatAreDown) {
  ASSERT_TRUE(pair_.run(Side::kLeft,
                        "ip link set left0 down && ip link add br0 type bridge && "
                        "ip link set left0 master br0"));
  const std::optional<InterfaceFacts> facts = left();
  ASSERT_TRUE(facts.has_value());
  EXPECT_FALSE(facts->up);
  EXPECT_FALSE(facts->carrier);
  EXPECT_EQ(facts->master, "br0");
}

TEST_F(KernelFacts, WhatIsNotThereIsNotFound) {
  const InNamespace inside(pair_, Side::kLeft);
  EXPECT_FALSE(query_interface_facts("nope0").has_value());
  EXPECT_FALSE(query_link(4711).has_value());
  EXPECT_EQ(all_interfaces().size(), 2u);  // lo, left0
}

}  // namespace
}  // namespace millrace::doctor
