#include <gtest/gtest.h>

#include "dpdk/device_arguments.h"

namespace millrace::drivers::dpdk {
namespace {

TEST(DpdkArguments, NameStandsBeforeTheFirstComma) {
  EXPECT_EQ(device_name("net_memif0,role=server,id=1"), "net_memif0");
  EXPECT_EQ(device_name("0000:3b:00.0"), "0000:3b:00.0");
}

TEST(DpdkArguments, ArgumentsAreFoundByTheirWholeName) {
  EXPECT_EQ(argument_of("net_memif0,role=server,id=1", "role"), "server");
  EXPECT_EQ(argument_of("net_memif0,role=server,id=1", "id"), "1");
  EXPECT_EQ(argument_of("net_memif0,role=server", "rol"), "");
  EXPECT_EQ(argument_of("role=x", "role"), "");
  EXPECT_EQ(argument_of("net_tap0,persist", "persist"), "");
}

TEST(DpdkArguments, PciAddressesHaveADomainOrNot) {
  EXPECT_TRUE(is_pci_address("0000:3b:00.0"));
  EXPECT_TRUE(is_pci_address("3b:00.0"));
  EXPECT_TRUE(is_pci_address("0000:3B:1f.7,txq_inline=1"));
  EXPECT_TRUE(is_pci_address("10000:01:00.0"));
  EXPECT_FALSE(is_pci_address("000:01:00.0"));
  EXPECT_FALSE(is_pci_address("123456789:01:00.0"));
  EXPECT_FALSE(is_pci_address("0000:3b:00.8"));
  EXPECT_FALSE(is_pci_address("0000:3b:00.10"));
  EXPECT_FALSE(is_pci_address("net_null0"));
  EXPECT_FALSE(is_pci_address("0000:3b:00"));
  EXPECT_FALSE(is_pci_address("000g:3b:00.0"));
  EXPECT_FALSE(is_pci_address(""));
}

TEST(DpdkArguments, PciAddressesAreMadeWhole) {
  EXPECT_EQ(with_whole_address("3b:00.0"), "0000:3b:00.0");
  EXPECT_EQ(with_whole_address("0000:3B:1F.7"), "0000:3b:1f.7");
  EXPECT_EQ(with_whole_address("3b:00.0,name=A:B"), "0000:3b:00.0,name=A:B");
  EXPECT_EQ(with_whole_address("net_ring0,path=/A"), "net_ring0,path=/A");
}

TEST(DpdkArguments, DefaultsAreAddedWhereTheUserIsSilent) {
  EXPECT_EQ(with_defaults("net_virtio_user0,path=/p", 1024, 1), "net_virtio_user0,path=/p,queue_size=2048");
  EXPECT_EQ(with_defaults("net_virtio_user0,path=/p", 32768, 1), "net_virtio_user0,path=/p,queue_size=32768");
  EXPECT_EQ(with_defaults("net_virtio_user0,queue_size=256,path=/p", 1024, 1),
            "net_virtio_user0,queue_size=256,path=/p");
  EXPECT_EQ(with_defaults("net_vhost0,iface=/p", 1024, 1), "net_vhost0,iface=/p,tso=1");
  EXPECT_EQ(with_defaults("net_vhost0,iface=/p,tso=0", 1024, 1), "net_vhost0,iface=/p,tso=0");
  EXPECT_EQ(with_defaults("net_null0", 1024, 1), "net_null0");
}

TEST(DpdkArguments, VirtualDevicesAreMadeWithTheQueuesThatAreUsed) {
  EXPECT_EQ(with_defaults("net_virtio_user0,path=/p,queue_size=256", 1024, 2),
            "net_virtio_user0,path=/p,queue_size=256,queues=2,cq=1");
  EXPECT_EQ(with_defaults("net_virtio_user0,path=/p,queue_size=256,queues=4,cq=1", 1024, 2),
            "net_virtio_user0,path=/p,queue_size=256,queues=4,cq=1");
  EXPECT_EQ(with_defaults("net_vhost0,iface=/p,tso=1", 1024, 3), "net_vhost0,iface=/p,tso=1,queues=3");
  EXPECT_EQ(with_defaults("net_vhost0,iface=/p,tso=1,queues=1", 1024, 3),
            "net_vhost0,iface=/p,tso=1,queues=1");
  EXPECT_EQ(with_defaults("net_af_packet0,iface=eth1", 1024, 2), "net_af_packet0,iface=eth1,qpairs=2");
  EXPECT_EQ(with_defaults("net_af_packet0,iface=eth1", 1024, 1), "net_af_packet0,iface=eth1");
  EXPECT_EQ(with_defaults("net_ring0", 1024, 2), "net_ring0");
}

TEST(DpdkArguments, OnlyEndsThatConnectDieWithTheirPeer) {
  EXPECT_TRUE(dies_with_peer("net_virtio_user0,path=/p"));
  EXPECT_FALSE(dies_with_peer("net_virtio_user0,path=/p,server=1"));
  EXPECT_FALSE(dies_with_peer("net_vhost0,iface=/p"));
  EXPECT_TRUE(dies_with_peer("net_memif0,id=1"));
  EXPECT_TRUE(dies_with_peer("net_memif0,role=client"));
  EXPECT_FALSE(dies_with_peer("net_memif0,role=server"));
}

TEST(DpdkArguments, TheSocketsFileIsThatOfTheEndThatListens) {
  EXPECT_EQ(listening_socket("net_vhost0,iface=/p"), "/p");
  EXPECT_EQ(listening_socket("net_vhost0,iface=/p,client=1"), "");
  EXPECT_EQ(listening_socket("net_virtio_user0,path=/p"), "");
  EXPECT_EQ(listening_socket("net_virtio_user0,path=/p,server=1"), "/p");
  EXPECT_EQ(listening_socket("net_memif0,role=server,socket=/p,socket-abstract=no"), "/p");
  EXPECT_EQ(listening_socket("net_memif0,role=server,socket=/p"), "");
  EXPECT_EQ(listening_socket("net_memif0,role=client,socket=/p,socket-abstract=no"), "");
  EXPECT_EQ(listening_socket("net_null0"), "");
}

}  // namespace
}  // namespace millrace::drivers::dpdk
