#include "base/ip_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>

#include "base/rng.h"

namespace millrace {
namespace {

/// What the C library says about the same text.
std::optional<IpAddress> library_parse(const std::string& text) {
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) {
    return IpAddress::v4(bytes[0], bytes[1], bytes[2], bytes[3]);
  }
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return IpAddress::v6(bytes);
  return std::nullopt;
}

std::string library_print(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.is_v4() ? AF_INET : AF_INET6, address.bytes().data(), text.data(), text.size());
  return text.data();
}

IpAddress random_v6(Rng& rng) {
  std::array<std::uint8_t, 16> bytes{};
  const std::uint32_t zero_groups = rng.u32();  // many zero groups, so that runs of all lengths come up
  for (std::size_t i = 0; i < 8; ++i) {
    if ((zero_groups >> i & 1) != 0) continue;
    const std::uint32_t group = rng.chance(0.1) ? 0xffff : rng.u32() >> (16 + rng.below(4) * 4);
    bytes[2 * i] = static_cast<std::uint8_t>(group >> 8);
    bytes[2 * i + 1] = static_cast<std::uint8_t>(group);
  }
  return IpAddress::v6(bytes);
}

TEST(IpAddress, PrintsAsTheCLibraryAndReadsItBack) {
  Rng rng{11};
  for (int i = 0; i < 20000; ++i) {
    const IpAddress address = i % 4 == 0 ? IpAddress::v4(rng.u32()) : random_v6(rng);
    const std::string text = address.to_string();
    ASSERT_EQ(text, library_print(address));
    ASSERT_EQ(IpAddress::parse(text), address);
  }
}

TEST(IpAddress, AcceptsAndRejectsWhatTheCLibraryDoes) {
  for (const char* text : {"198.18.0.1",
                           "0.0.0.0",
                           "255.255.255.255",
                           "256.1.1.1",
                           "1.2.3",
                           "1.2.3.4.5",
                           "1.2.3.4.",
                           ".1.2.3.4",
                           "1..2.3",
                           "01.2.3.4",
                           "1.2.3.04",
                           "00.0.0.0",
                           "1.2.3.4 ",
                           " 1.2.3.4",
                           "0x1.2.3.4",
                           "1.2.3.-4",
                           "1.2.3.+4",
                           "1234",
                           "",
                           "::",
                           "::1",
                           "1::",
                           "fd00::1",
                           "FD00::AbCd",
                           "1:2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "1:2:3:4:5:6:7::",
                           "::2:3:4:5:6:7:8",
                           "1:2:3:4::5:6:7:8",
                           "1:2:3:4:5:6:7:8::",
                           "::1:2:3:4:5:6:7:8",
                           "1::2::3",
                           ":::",
                           ":1",
                           "1:",
                           ":",
                           "1:::2",
                           ":1::2",
                           "1::2:",
                           "12345::",
                           "g::",
                           "1::g",
                           "::ffff:1.2.3.4",
                           "::1.2.3.4",
                           "1:2:3:4:5:6:1.2.3.4",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "1:2:3:4:5:1.2.3.4",
                           "1.2.3.4::",
                           "::1.2.3.4:5",
                           "::1.2.3",
                           "::01.2.3.4",
                           "1.2.3.4:5::",
                           "::1%eth0",
                           "-1::",
                           "+1::",
                           "0x1::",
                           "::00001"}) {
    EXPECT_EQ(IpAddress::parse(text), library_parse(text)) << '"' << text << '"';
  }
}

TEST(IpAddress, MutatedTextIsJudgedAsByTheCLibrary) {
  Rng rng{12};
  constexpr std::string_view kAlphabet = "0123456789abcdefF:.:.::%/ xg";
  int accepted = 0;
  for (int i = 0; i < 60000; ++i) {
    std::string text = i % 3 == 0 ? IpAddress::v4(rng.u32()).to_string() : random_v6(rng).to_string();
    for (std::uint32_t n = rng.below(3) + 1; n > 0 && !text.empty(); --n) {
      const std::size_t at = rng.below(static_cast<std::uint32_t>(text.size()));
      const char c = kAlphabet[rng.below(kAlphabet.size())];
      switch (rng.below(3)) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        default:
          text.erase(at, 1);
          break;
      }
    }
    const auto ours = IpAddress::parse(text);
    accepted += ours ? 1 : 0;
    ASSERT_EQ(ours, library_parse(text)) << '"' << text << '"';
  }
  EXPECT_GT(accepted, 1000);
}

TEST(IpAddress, NeverReadsATextWithAnEmbeddedZero) {
  EXPECT_EQ(IpAddress::parse(std::string_view{"1.2.3.4\0", 8}), std::nullopt);
  EXPECT_EQ(IpAddress::parse(std::string_view{"::1\0", 4}), std::nullopt);
}

TEST(IpAddress, KnowsItsKinds) {
  EXPECT_TRUE(IpAddress{}.is_unspecified());
  EXPECT_TRUE(IpAddress::parse("::")->is_unspecified());
  EXPECT_NE(IpAddress{}, *IpAddress::parse("::"));
  EXPECT_TRUE(IpAddress::parse("127.9.9.9")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("::2")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("128.0.0.1")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("224.0.0.1")->is_multicast());
  EXPECT_TRUE(IpAddress::parse("239.255.255.255")->is_multicast());
  EXPECT_FALSE(IpAddress::parse("240.0.0.1")->is_multicast());
  EXPECT_TRUE(IpAddress::parse("ff02::1")->is_multicast());
  EXPECT_FALSE(IpAddress::parse("fe80::1")->is_multicast());
  EXPECT_TRUE(IpAddress::parse("255.255.255.255")->is_limited_broadcast());
  EXPECT_FALSE(IpAddress::parse("198.18.0.255")->is_limited_broadcast());
  EXPECT_EQ(IpAddress::v4(198, 18, 0, 1).v4_value(), 0xc6120001u);
}

TEST(IpPrefix, ReadsAddressAndLength) {
  EXPECT_EQ(IpPrefix::parse("198.18.0.2/24"), (IpPrefix{IpAddress::v4(198, 18, 0, 2), 24}));
  EXPECT_EQ(IpPrefix::parse("0.0.0.0/0"), (IpPrefix{IpAddress{}, 0}));
  EXPECT_EQ(IpPrefix::parse("fd00::1/128"), (IpPrefix{*IpAddress::parse("fd00::1"), 128}));
  for (const char* text :
       {"", "/", "/24", "198.18.0.2", "198.18.0.2/", "198.18.0.2/33", "198.18.0.2/024", "fd00::/129",
        "198.18.0.2/-1", "198.18.0.2/2x", "198.18.0/24", "198.18.0.2/24/24", "198.18.0.2/1000"}) {
    EXPECT_EQ(IpPrefix::parse(text), std::nullopt) << text;
  }
}

TEST(IpPrefix, ContainsExactlyTheAddressesThatShareItsBits) {
  Rng rng{13};
  for (int i = 0; i < 5000; ++i) {
    const bool four = rng.chance(0.5);
    const unsigned bits = four ? 32 : 128;
    std::array<std::uint8_t, 16> a{};
    rng.fill(std::span{a}.first(bits / 8));
    const auto make = [four](const std::array<std::uint8_t, 16>& b) {
      return four ? IpAddress::v4(b[0], b[1], b[2], b[3]) : IpAddress::v6(b);
    };
    const unsigned flipped = rng.below(bits);
    auto b = a;
    b[flipped / 8] ^= static_cast<std::uint8_t>(0x80u >> (flipped % 8));
    const auto length = static_cast<std::uint8_t>(rng.below(bits + 1));
    const IpPrefix prefix{make(a), length};
    ASSERT_TRUE(prefix.contains(make(a)));
    ASSERT_EQ(prefix.contains(make(b)), flipped >= length) << flipped << " " << int{length};
  }
  EXPECT_FALSE(IpPrefix::parse("0.0.0.0/0")->contains(*IpAddress::parse("::1")));
  EXPECT_FALSE(IpPrefix::parse("::/0")->contains(IpAddress{}));
}

TEST(IpPrefix, DirectedBroadcastFillsTheHostBits) {
  EXPECT_EQ(IpPrefix::parse("198.18.0.2/24")->directed_broadcast(), IpAddress::v4(198, 18, 0, 255));
  EXPECT_EQ(IpPrefix::parse("198.18.0.2/15")->directed_broadcast(), IpAddress::v4(198, 19, 255, 255));
  EXPECT_EQ(IpPrefix::parse("198.18.0.5/30")->directed_broadcast(), IpAddress::v4(198, 18, 0, 7));
  EXPECT_EQ(IpPrefix::parse("1.2.3.4/0")->directed_broadcast(), IpAddress::v4(255, 255, 255, 255));
  EXPECT_EQ(IpPrefix::parse("198.18.0.2/31")->directed_broadcast(), std::nullopt);  // RFC 3021
  EXPECT_EQ(IpPrefix::parse("198.18.0.2/32")->directed_broadcast(), std::nullopt);
  EXPECT_EQ(IpPrefix::parse("fd00::/64")->directed_broadcast(), std::nullopt);
}

TEST(Endpoint, PrintsWithBracketsForSix) {
  EXPECT_EQ((Endpoint{IpAddress::v4(198, 18, 0, 1), 80}.to_string()), "198.18.0.1:80");
  EXPECT_EQ((Endpoint{*IpAddress::parse("fd00::1"), 65535}.to_string()), "[fd00::1]:65535");
}

}  // namespace
}  // namespace millrace
