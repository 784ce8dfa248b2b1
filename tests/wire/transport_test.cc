#include <gtest/gtest.h>

#include "random_fields.h"
#include "wire/pseudo_header.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace millrace::wire {
namespace {

TEST(UdpHeader, RoundTripsAndRejectsTruncation) {
  RandomFields random{40};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(UdpHeader{random.u16(), random.u16(), random.u16(), random.u16()});
    if (HasFatalFailure()) return;
  }
}

TcpHeader random_tcp(RandomFields& random) {
  return {random.u16(), random.u16(), SeqNum{random.u32()}, SeqNum{random.u32()}, random.u8(),
          random.u16(), random.u16(), random.u16(),         TcpHeader::kSize};
}

TEST(TcpHeader, RoundTripsAndRejectsTruncation) {
  RandomFields random{41};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(random_tcp(random));
    if (HasFatalFailure()) return;
  }
}

TEST(TcpHeader, LiesOnTheWireAsInRfc9293) {
  const TcpHeader header{
      0x0102, 0x0304, SeqNum{0x05060708}, SeqNum{0x090a0b0c}, TcpFlags::kSyn | TcpFlags::kAck, 0x0e0f, 0x1011,
      0x1213, 32};
  std::array<std::uint8_t, 20> out;
  header.emit(out);
  EXPECT_EQ(out, (std::array<std::uint8_t, 20>{1,  2,  3,    4,    5,  6,  7,  8,  9,  10,
                                               11, 12, 0x80, 0x12, 14, 15, 16, 17, 18, 19}));
}

TEST(TcpHeader, OptionsMustLieInTheSpan) {
  RandomFields random{42};
  for (unsigned words = 0; words < 16; ++words) {
    for (std::size_t size = 0; size <= 64; ++size) {
      auto bytes = random.bytes(size);
      if (size > 12) bytes[12] = static_cast<std::uint8_t>(words << 4 | (bytes[12] & 0xf));
      const auto header = TcpHeader::parse(bytes);
      ASSERT_EQ(header.has_value(), size >= 20 && words >= 5 && words * 4 <= size) << words << " " << size;
      if (!header) continue;
      ASSERT_EQ(header->header_length, words * 4);
      ASSERT_EQ(header->options(bytes).size(), words * 4 - 20);
    }
  }
}

TEST(TcpHeader, ReservedBitsAreIgnored) {
  RandomFields random{43};
  const TcpHeader header = random_tcp(random);
  std::array<std::uint8_t, 20> bytes;
  header.emit(bytes);
  EXPECT_EQ(bytes[12] & 0xf, 0);
  bytes[12] |= 0xf;
  EXPECT_EQ(TcpHeader::parse(bytes), header);
}

TEST(TcpFlags, EachBitHasItsPlace) {
  EXPECT_TRUE(TcpFlags{0x01}.fin());
  EXPECT_TRUE(TcpFlags{0x02}.syn());
  EXPECT_TRUE(TcpFlags{0x04}.rst());
  EXPECT_TRUE(TcpFlags{0x08}.psh());
  EXPECT_TRUE(TcpFlags{0x10}.ack());
  EXPECT_TRUE(TcpFlags{0x20}.urg());
  EXPECT_TRUE(TcpFlags{0x40}.ece());
  EXPECT_TRUE(TcpFlags{0x80}.cwr());
  EXPECT_FALSE(TcpFlags{0xfe}.fin());
}

/// The pseudo-header written out as RFC 768 and RFC 8200 §8.1 draw it.
std::vector<std::uint8_t> pseudo_header_bytes(const IpAddress& source, const IpAddress& destination,
                                              std::uint8_t protocol, std::uint32_t length) {
  const std::size_t n = source.is_v4() ? 4 : 16;
  std::vector<std::uint8_t> out(source.bytes().begin(), source.bytes().begin() + static_cast<int>(n));
  out.insert(out.end(), destination.bytes().begin(), destination.bytes().begin() + static_cast<int>(n));
  if (source.is_v4()) {
    out.insert(out.end(),
               {0, protocol, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
  } else {
    for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::uint8_t>(length >> shift));
    out.insert(out.end(), {0, 0, 0, protocol});
  }
  return out;
}

TEST(PseudoHeader, SumsAsTheBytesThatTheStandardsDraw) {
  RandomFields random{44};
  for (int i = 0; i < 2000; ++i) {
    const bool six = random.flag();
    const IpAddress source = six ? random.ipv6() : random.ipv4();
    const IpAddress destination = six ? random.ipv6() : random.ipv4();
    const std::uint8_t protocol = random.u8();
    const std::uint32_t length = six ? random.u32() : random.u16();
    const auto bytes = pseudo_header_bytes(source, destination, protocol, length);
    ASSERT_EQ(pseudo_header_sum(source, destination, protocol, length).folded(),
              static_cast<std::uint16_t>(~internet_checksum(bytes)));
  }
}

TEST(PseudoHeader, MessageWithItsChecksumSumsToZeroAndASwapOfFamiliesDoesNot) {
  RandomFields random{45};
  for (int i = 0; i < 500; ++i) {
    auto message = random.bytes(8 + random.rng().below(200));
    const IpAddress source = i % 2 == 0 ? random.ipv4() : random.ipv6();
    const IpAddress destination = i % 2 == 0 ? random.ipv4() : random.ipv6();
    store_be16(&message[6], 0);
    store_be16(&message[6], transport_checksum(source, destination, kProtocolUdp, message));
    ASSERT_EQ(transport_checksum(source, destination, kProtocolUdp, message), 0);
    ASSERT_NE(transport_checksum(source, destination, kProtocolTcp, message), 0);
  }
}

}  // namespace
}  // namespace millrace::wire
