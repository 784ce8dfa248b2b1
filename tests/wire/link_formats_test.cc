#include <gtest/gtest.h>

#include "random_fields.h"
#include "wire/arp.h"
#include "wire/ethernet.h"

namespace millrace::wire {
namespace {

TEST(MacAddress, TextRoundTrips) {
  RandomFields random{20};
  for (int i = 0; i < 1000; ++i) {
    const MacAddress mac = random.mac();
    ASSERT_EQ(MacAddress::parse(mac.to_string()), mac);
  }
  EXPECT_EQ((MacAddress{{0x02, 0, 0, 0xab, 0xcd, 0xef}}.to_string()), "02:00:00:ab:cd:ef");
  EXPECT_EQ(MacAddress::parse("02:00:00:AB:cd:EF"), (MacAddress{{0x02, 0, 0, 0xab, 0xcd, 0xef}}));
}

TEST(MacAddress, RejectsEverythingElse) {
  for (const char* text : {"", "02:00:00:00:00", "02:00:00:00:00:0", "02:00:00:00:00:001",
                           "02-00-00-00-00-01", "2:00:00:00:00:01", "02:00:00:00:00:0g", "02:00:00:00:00:01 ",
                           "020:0:00:00:00:01", "02:00:00:00:00:+1", ":02:00:00:00:00:1"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

TEST(MacAddress, KnowsGroupAddresses) {
  EXPECT_TRUE(MacAddress::broadcast().is_group());
  EXPECT_TRUE((MacAddress{{0x33, 0x33, 0, 0, 0, 1}}.is_group()));
  EXPECT_FALSE((MacAddress{{0x02, 0, 0, 0, 0, 1}}.is_group()));
  EXPECT_TRUE(MacAddress{}.is_zero());
}

TEST(EthernetHeader, RoundTripsAndRejectsTruncation) {
  RandomFields random{21};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(EthernetHeader{random.mac(), random.mac(), random.u16()});
    if (HasFatalFailure()) return;
  }
}

TEST(EthernetHeader, LiesOnTheWireAsInTheStandard) {
  const EthernetHeader header{{{1, 2, 3, 4, 5, 6}}, {{7, 8, 9, 10, 11, 12}}, kEtherTypeIpv6};
  std::array<std::uint8_t, EthernetHeader::kSize> out;
  header.emit(out);
  EXPECT_EQ(out, (std::array<std::uint8_t, 14>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x86, 0xdd}));
}

TEST(VlanTag, RoundTripsAndRejectsTruncation) {
  RandomFields random{22};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(VlanTag{static_cast<std::uint8_t>(random.u8() & 7), random.flag(),
                              static_cast<std::uint16_t>(random.u16() & 0xfff), random.u16()});
    if (HasFatalFailure()) return;
  }
}

TEST(VlanTag, HasPriorityAboveDropEligibleAboveId) {
  std::array<std::uint8_t, VlanTag::kSize> out;
  VlanTag{5, true, 0x123, kEtherTypeIpv4}.emit(out);
  EXPECT_EQ(out, (std::array<std::uint8_t, 4>{0xb1, 0x23, 0x08, 0x00}));
}

TEST(ArpPacket, RoundTripsAndRejectsTruncation) {
  RandomFields random{23};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(ArpPacket{random.u16(), random.mac(), random.ipv4(), random.mac(), random.ipv4()});
    if (HasFatalFailure()) return;
  }
}

TEST(ArpPacket, RejectsOtherKindsOfAddresses) {
  std::array<std::uint8_t, ArpPacket::kSize> good;
  ArpPacket{ArpPacket::kRequest, {}, {}, {}, {}}.emit(good);
  ASSERT_TRUE(ArpPacket::parse(good));
  for (std::size_t i = 0; i < 6; ++i) {  // hardware type, protocol type, their lengths
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto bad = good;
      bad[i] ^= static_cast<std::uint8_t>(1u << bit);
      EXPECT_FALSE(ArpPacket::parse(bad)) << i;
    }
  }
}

}  // namespace
}  // namespace millrace::wire
