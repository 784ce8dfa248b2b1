// Where the kernel would answer in the stack's place.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/address_checks.h"
#include "made_up.h"

namespace millrace::doctor {
namespace {

using test::good_interface;
using test::MadeUpMachine;
using test::only;
using testing::HasSubstr;
using testing::StartsWith;

class AddressChecks : public testing::Test {
 protected:
  AddressChecks() : examination_(machine_.examination("af_packet:eth1")) {
    examination_.interface = good_interface("eth1");
  }
  void give_kernel(const char* address) {
    examination_.interface->addresses.push_back(*IpPrefix::parse(address));
  }
  AddressClaim& claim(const char* given) {
    examination_.claims.push_back({.given = *IpPrefix::parse(given), .route = {}, .interface = "eth1"});
    return examination_.claims.back();
  }

  MadeUpMachine machine_;
  Examination examination_;
};

TEST_F(AddressChecks, AnAddressOfTheKernelsIsTakenFromIt) {
  AddressClaim& owned = claim("198.18.0.2/24");
  owned.configured = true;
  owned.length = 16;
  owned.route.type = Route::Type::kLocal;
  const Finding finding = only(check_claims(examination_));
  EXPECT_EQ(finding.severity, Severity::kBad);
  EXPECT_EQ(finding.subject, "address 198.18.0.2");
  EXPECT_THAT(finding.message, HasSubstr("ARP"));
  EXPECT_THAT(finding.remedy, StartsWith("ip addr del 198.18.0.2/16 dev eth1"));
}

TEST_F(AddressChecks, ALocalRouteOwnsAllOfItsNetwork) {
  AddressClaim& owned = claim("198.18.0.2/24");
  owned.interface = "lo";
  owned.route = {.type = Route::Type::kLocal, .prefix = *IpPrefix::parse("198.18.0.0/16"), .interface = 1};
  EXPECT_EQ(only(check_claims(examination_)).remedy, "ip route del local 198.18.0.0/16 dev lo");
}

TEST_F(AddressChecks, ABroadcastAddressIsNobodys) {
  claim("198.18.0.255/24").route.type = Route::Type::kBroadcast;
  EXPECT_EQ(only(check_claims(examination_)).severity, Severity::kBad);
}

TEST_F(AddressChecks, AFreeAddressIsWell) {
  claim("198.18.0.2/24");
  EXPECT_EQ(only(check_claims(examination_)), ok("address 198.18.0.2", "the kernel does not have it"));
}

TEST_F(AddressChecks, TheKernelsAddressesAreNamedUntilOursIsKnown) {
  EXPECT_EQ(only(check_kernel_addresses(examination_)).severity, Severity::kOk);
  give_kernel("198.18.0.9/24");
  const Finding warning = only(check_kernel_addresses(examination_));
  EXPECT_EQ(warning.severity, Severity::kWarn);
  EXPECT_THAT(warning.remedy, HasSubstr("--addr"));
  claim("198.18.0.2/24");
  EXPECT_EQ(only(check_kernel_addresses(examination_)),
            ok("eth1: addresses", "198.18.0.9/24 stays the kernel's own"));
}

TEST_F(AddressChecks, WhatIsToldOfOurAddressIsNotToldTwice) {
  give_kernel("198.18.0.2/24");
  claim("198.18.0.2/24");
  EXPECT_EQ(check_kernel_addresses(examination_), Findings{});
  examination_.interface->addresses = {*IpPrefix::parse("fe80::1/64")};
  EXPECT_EQ(only(check_kernel_addresses(examination_)).severity, Severity::kOk);
}

TEST_F(AddressChecks, IpV6OfAnInterfaceThatTheKernelDoesNotUse) {
  EXPECT_EQ(only(check_ipv6(examination_)), ok("eth1: IPv6", "the kernel is silent"));
  machine_.file("/proc/sys/net/ipv6/conf/eth1/disable_ipv6", "0");
  Finding finding = only(check_ipv6(examination_));
  EXPECT_EQ(finding.severity, Severity::kWarn);
  EXPECT_EQ(finding.remedy, "sysctl -w net.ipv6.conf.eth1.disable_ipv6=1");
  give_kernel("fe80::1/64");
  finding = only(check_ipv6(examination_));
  EXPECT_EQ(finding.severity, Severity::kWarn);
  EXPECT_THAT(finding.message, HasSubstr("fe80::1/64"));
  give_kernel("198.18.0.2/24");
  claim("198.18.0.2/24");  // which it is to lose
  EXPECT_EQ(only(check_ipv6(examination_)).severity, Severity::kWarn);
  give_kernel("198.18.0.9/24");  // taking IPv6 away would be no favour
  EXPECT_EQ(only(check_ipv6(examination_)).severity, Severity::kOk);
}

TEST_F(AddressChecks, NamesWithDotsAreWrittenWithSlashes) {
  examination_.interface->name = "eth1.7";
  machine_.file("/proc/sys/net/ipv6/conf/eth1.7/disable_ipv6", "0");
  EXPECT_EQ(only(check_ipv6(examination_)).remedy, "sysctl -w net/ipv6/conf/eth1.7/disable_ipv6=1");
}

TEST_F(AddressChecks, ForwardingMattersWhereNoFilterHelps) {
  EXPECT_EQ(only(check_routing(examination_)), ok("eth1: forwarding", "off"));
  machine_.file("/proc/sys/net/ipv4/conf/eth1/forwarding", "1");
  machine_.file("/proc/sys/kernel/osrelease", "6.1.0");
  machine_.file("/proc/self/status", "CapEff:\t000001ffffffffff");
  EXPECT_EQ(only(check_routing(examination_)).remedy, "sysctl -w net.ipv4.conf.eth1.forwarding=0");
  machine_.file("/proc/sys/kernel/osrelease", "6.12.0");
  EXPECT_EQ(only(check_routing(examination_)).severity, Severity::kOk);
  machine_.file("/proc/self/status", "CapEff:\t2000");
  EXPECT_EQ(only(check_routing(examination_)).severity, Severity::kWarn);
  examination_.target.own_mac = true;
  EXPECT_EQ(only(check_routing(examination_)).severity, Severity::kOk);
}

TEST_F(AddressChecks, ProxyArpAnswersForOthers) {
  machine_.file("/proc/sys/net/ipv4/conf/eth1/proxy_arp", "1");
  EXPECT_EQ(check_routing(examination_).front().remedy, "sysctl -w net.ipv4.conf.eth1.proxy_arp=0");
  machine_.file("/proc/sys/net/ipv4/conf/all/proxy_arp", "1");
  EXPECT_EQ(check_routing(examination_).front().remedy, "sysctl -w net.ipv4.conf.all.proxy_arp=0");
}

TEST_F(AddressChecks, AStrictFilterAtTheKernelsEndOfATapDropsWhatTheStackSends) {
  const Examination tap = machine_.examination("tap:mr0");
  machine_.file("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
  machine_.file("/proc/sys/net/ipv4/conf/default/rp_filter", "1");
  EXPECT_EQ(check_routing(tap).front().remedy, "sysctl -w net.ipv4.conf.default.rp_filter=2");
  machine_.file("/proc/sys/net/ipv4/conf/mr0/rp_filter", "2");
  EXPECT_EQ(only(check_routing(tap)).severity, Severity::kOk);
}

}  // namespace
}  // namespace millrace::doctor
