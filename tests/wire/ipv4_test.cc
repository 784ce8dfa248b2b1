#include "wire/ipv4.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "random_fields.h"
#include "wire/icmpv4.h"

namespace millrace::wire {
namespace {

Ipv4Header random_header(RandomFields& random) {
  Ipv4Header header;
  header.tos = random.u8();
  header.total_length = static_cast<std::uint16_t>(20 + random.rng().below(65516));
  header.identification = random.u16();
  header.dont_fragment = random.flag();
  header.more_fragments = random.flag();
  header.fragment_offset = static_cast<std::uint16_t>(random.u16() & 0xfff8);
  header.ttl = random.u8();
  header.protocol = random.u8();
  header.source = random.ipv4();
  header.destination = random.ipv4();
  return header;
}

TEST(Ipv4Header, RoundTripsAndRejectsTruncation) {
  RandomFields random{30};
  for (int i = 0; i < 1000; ++i) {
    expect_round_trip(random_header(random));
    if (HasFatalFailure()) return;
  }
}

TEST(Ipv4Header, LiesOnTheWireAsInRfc791) {
  Ipv4Header header;
  header.tos = 0x10;
  header.total_length = 0x1234;
  header.identification = 0xabcd;
  header.more_fragments = true;
  header.fragment_offset = 8 * 0x0123;
  header.ttl = 64;
  header.protocol = kProtocolTcp;
  header.source = IpAddress::v4(198, 18, 0, 1);
  header.destination = IpAddress::v4(198, 19, 255, 254);
  std::array<std::uint8_t, 20> out;
  header.emit(out);
  EXPECT_EQ(out,
            (std::array<std::uint8_t, 20>{0x45,    0x10,    0x12, 0x34, 0xab, 0xcd, 0x21, 0x23, 0x40, 0x06,
                                          out[10], out[11], 198,  18,   0,    1,    198,  19,   255,  254}));
  EXPECT_EQ(internet_checksum(out), 0);
}

TEST(Ipv4Header, ReservedBitIsIgnored) {
  std::array<std::uint8_t, 20> bytes;
  Ipv4Header header;
  header.total_length = 20;
  header.emit(bytes);
  bytes[6] |= 0x80;
  EXPECT_EQ(Ipv4Header::parse(bytes), header);
}

TEST(Ipv4Header, ChecksumCoversOptions) {
  RandomFields random{31};
  for (std::uint8_t length = 20; length <= 60; length = static_cast<std::uint8_t>(length + 4)) {
    auto bytes = random.bytes(length);
    const auto options = std::vector<std::uint8_t>(bytes.begin() + 20, bytes.end());
    Ipv4Header header = random_header(random);
    header.header_length = length;
    header.total_length = length;
    header.emit(bytes);
    const auto view = Ipv4View::parse(bytes);
    ASSERT_TRUE(view);
    EXPECT_TRUE(view->checksum_ok());
    EXPECT_TRUE(std::equal(options.begin(), options.end(), view->options().begin(), view->options().end()));
    EXPECT_EQ(Ipv4Header::parse(bytes), header);
  }
}

TEST(Ipv4View, GivesTheSameFieldsAsTheStruct) {
  RandomFields random{32};
  for (int i = 0; i < 500; ++i) {
    Ipv4Header header = random_header(random);
    header.total_length = static_cast<std::uint16_t>(20 + random.rng().below(200));
    auto bytes = random.bytes(header.total_length + random.rng().below(30));  // padding may follow
    header.emit(bytes);
    const auto view = Ipv4View::parse(bytes);
    ASSERT_TRUE(view);
    ASSERT_EQ(Ipv4Header::from(*view), header);
    ASSERT_EQ(view->payload().size(), header.total_length - 20u);
    ASSERT_EQ(view->payload().data(), bytes.data() + 20);
    ASSERT_EQ(view->is_fragment(), header.more_fragments || header.fragment_offset != 0);
    ASSERT_TRUE(view->checksum_ok());
    bytes[random.rng().below(20)] ^= static_cast<std::uint8_t>(1u << random.rng().below(8));
    if (const auto broken = Ipv4View::parse(bytes)) {
      ASSERT_FALSE(broken->checksum_ok());
    }
  }
}

TEST(Ipv4View, RejectsWhatDoesNotHoldTogether) {
  std::vector<std::uint8_t> good(40, 0);
  Ipv4Header header;
  header.total_length = 40;
  header.header_length = 24;
  header.emit(good);
  ASSERT_TRUE(Ipv4View::parse(good));
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(Ipv4View::parse(std::vector<std::uint8_t>(good.begin(), good.begin() + static_cast<int>(n))))
        << n;
  }
  for (unsigned version = 0; version < 16; ++version) {
    auto bytes = good;
    bytes[0] = static_cast<std::uint8_t>(version << 4 | 6);
    EXPECT_EQ(Ipv4View::parse(bytes).has_value(), version == 4) << version;
    EXPECT_EQ(Ipv4Header::parse(bytes).has_value(), version == 4) << version;
  }
  for (unsigned words = 0; words < 16; ++words) {
    auto bytes = good;
    bytes[0] = static_cast<std::uint8_t>(0x40 | words);
    EXPECT_EQ(Ipv4View::parse(bytes).has_value(), words >= 5 && words <= 10) << words;
    EXPECT_EQ(Ipv4Header::parse(bytes).has_value(), words >= 5 && words <= 10) << words;
  }
  for (std::uint16_t length = 0; length < 60; ++length) {
    auto bytes = good;
    store_be16(&bytes[2], length);
    EXPECT_EQ(Ipv4View::parse(bytes).has_value(), length >= 24 && length <= 40) << length;
    EXPECT_EQ(Ipv4Header::parse(bytes).has_value(), length >= 24) << length;
  }
}

TEST(Icmpv4Header, RoundTripsAndRejectsTruncation) {
  RandomFields random{33};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(Icmpv4Header{random.u8(), random.u8(), random.u16(), random.u32()});
    if (HasFatalFailure()) return;
  }
}

TEST(Icmpv4Header, RestIsWhatTheTypeMakesOfIt) {
  const std::array<std::uint8_t, 8> bytes{8, 0, 0xaa, 0xbb, 0x12, 0x34, 0x56, 0x78};
  const auto header = *Icmpv4Header::parse(bytes);
  EXPECT_EQ(header.checksum, 0xaabb);
  EXPECT_EQ(header.identifier(), 0x1234);
  EXPECT_EQ(header.sequence(), 0x5678);
  EXPECT_EQ(header.next_hop_mtu(), 0x5678);
  EXPECT_EQ(header.pointer(), 0x12);
  EXPECT_EQ(Icmpv4Header::echo_rest(0x1234, 0x5678), header.rest);
}

TEST(Icmpv4Header, KnowsWhichTypesAreErrors) {
  for (unsigned type = 0; type < 256; ++type) {
    const Icmpv4Header header{static_cast<std::uint8_t>(type), 0, 0, 0};
    EXPECT_EQ(header.is_error(), type == 3 || type == 4 || type == 5 || type == 11 || type == 12) << type;
  }
}

}  // namespace
}  // namespace millrace::wire
