#include "wire/ipv6.h"

#include <gtest/gtest.h>

#include "random_fields.h"
#include "wire/icmpv6.h"
#include "wire/ipv6_extensions.h"
#include "wire/neighbor_discovery.h"

namespace millrace::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;
using End = Ipv6ExtensionWalk::End;

Ipv6Header random_header(RandomFields& random) {
  return {random.u8(), random.u32() & 0xfffff, random.u16(), random.u8(),
          random.u8(), random.ipv6(),          random.ipv6()};
}

TEST(Ipv6Header, RoundTripsAndRejectsTruncation) {
  RandomFields random{60};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(random_header(random));
    if (HasFatalFailure()) return;
  }
}

TEST(Ipv6Header, FirstWordHoldsVersionClassAndLabel) {
  Ipv6Header header;
  header.traffic_class = 0xab;
  header.flow_label = 0xcdef1;
  std::array<std::uint8_t, 40> out;
  header.emit(out);
  EXPECT_EQ(load_be32(out.data()), 0x6abcdef1u);
}

TEST(Ipv6View, GivesTheSameFieldsAndRejectsWhatDoesNotHoldTogether) {
  RandomFields random{61};
  for (int i = 0; i < 500; ++i) {
    Ipv6Header header = random_header(random);
    header.payload_length = static_cast<std::uint16_t>(random.rng().below(100));
    Bytes bytes = random.bytes(40u + header.payload_length);
    header.emit(bytes);
    const auto view = Ipv6View::parse(bytes);
    ASSERT_TRUE(view);
    ASSERT_EQ(Ipv6Header::from(*view), header);
    ASSERT_EQ(view->payload().size(), header.payload_length);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      ASSERT_FALSE(Ipv6View::parse(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n))));
    }
    bytes[0] ^= 0x10;
    ASSERT_FALSE(Ipv6View::parse(bytes));
    ASSERT_FALSE(Ipv6Header::parse(bytes));
  }
}

/// An extension header of `size` bytes that names `next`.
void append_extension(Bytes& out, std::uint8_t kind, std::uint8_t next, std::size_t size = 8) {
  const std::size_t at = out.size();
  out.resize(at + size, 0);
  out[at] = next;
  if (kind == kExtensionAuthentication) {
    out[at + 1] = static_cast<std::uint8_t>(size / 4 - 2);
  } else if (kind != kExtensionFragment) {
    out[at + 1] = static_cast<std::uint8_t>(size / 8 - 1);
  }
}

TEST(Ipv6ExtensionWalk, GoesStraightToATransportHeader) {
  for (const std::uint8_t protocol : std::array<std::uint8_t, 5>{6, 17, 58, 50, 200}) {
    const auto walk = Ipv6ExtensionWalk::over(protocol, {});
    EXPECT_EQ(walk.end, End::kUpperLayer);
    EXPECT_EQ(walk.protocol, protocol);
    EXPECT_EQ(walk.offset, 0u);
    EXPECT_FALSE(walk.next_header_at);
  }
  EXPECT_EQ(Ipv6ExtensionWalk::over(kExtensionNone, {}).end, End::kNothing);
}

TEST(Ipv6ExtensionWalk, PassesEveryKindAndTellsWhoNamedTheLast) {
  Bytes payload;
  append_extension(payload, kExtensionHopByHop, kExtensionDestination, 16);
  append_extension(payload, kExtensionDestination, kExtensionRouting);
  append_extension(payload, kExtensionRouting, kExtensionFragment, 24);
  append_extension(payload, kExtensionFragment, kExtensionAuthentication);  // atomic: RFC 6946
  append_extension(payload, kExtensionAuthentication, kProtocolTcp, 12);
  payload.resize(payload.size() + 20);
  const auto walk = Ipv6ExtensionWalk::over(kExtensionHopByHop, payload);
  EXPECT_EQ(walk.end, End::kUpperLayer);
  EXPECT_EQ(walk.protocol, kProtocolTcp);
  EXPECT_EQ(walk.offset, 16u + 8 + 24 + 8 + 12);
  EXPECT_EQ(walk.next_header_at, 16u + 8 + 24 + 8);
  EXPECT_EQ(walk.headers, 5);
  EXPECT_TRUE(walk.routing_header);
  ASSERT_TRUE(walk.fragment);
  EXPECT_TRUE(walk.fragment->is_atomic());
  for (std::size_t n = 0; n < walk.offset; ++n) {
    const Bytes part(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(Ipv6ExtensionWalk::over(kExtensionHopByHop, part).end, End::kTruncated) << n;
  }
}

TEST(Ipv6ExtensionWalk, StopsAtAFragment) {
  Bytes payload;
  append_extension(payload, kExtensionDestination, kExtensionFragment);
  append_extension(payload, kExtensionFragment, kExtensionDestination);
  payload[8 + 3] = 1;  // more fragments
  payload.resize(64, 0xff);
  const auto walk = Ipv6ExtensionWalk::over(kExtensionDestination, payload);
  EXPECT_EQ(walk.end, End::kFragment);
  EXPECT_EQ(walk.protocol, kExtensionDestination);
  EXPECT_EQ(walk.offset, 16u);
  EXPECT_EQ(walk.next_header_at, 8u);
  EXPECT_TRUE(walk.fragment->more_fragments);
}

TEST(Ipv6ExtensionWalk, HopByHopOptionsComeFirstOrNotAtAll) {
  // RFC 8200 §4.1.
  Bytes payload;
  append_extension(payload, kExtensionDestination, kExtensionHopByHop);
  append_extension(payload, kExtensionHopByHop, kProtocolTcp);
  const auto walk = Ipv6ExtensionWalk::over(kExtensionDestination, payload);
  EXPECT_EQ(walk.end, End::kMisplaced);
  EXPECT_EQ(walk.next_header_at, 0u);
}

TEST(Ipv6ExtensionWalk, GivesUpAfterAFewHeaders) {
  for (unsigned count = 0; count < 12; ++count) {
    Bytes payload;
    std::vector<std::uint8_t> kinds(count, kExtensionDestination);
    kinds.push_back(kProtocolTcp);
    for (unsigned i = 0; i < count; ++i) append_extension(payload, kinds[i], kinds[i + 1]);
    const auto walk = Ipv6ExtensionWalk::over(kinds[0], payload);
    EXPECT_EQ(walk.end, count <= Ipv6ExtensionWalk::kMaxHeaders ? End::kUpperLayer : End::kTooMany) << count;
  }
}

TEST(Ipv6ExtensionWalk, StaysInsideOnRandomBytes) {
  RandomFields random{62};
  std::array<int, 6> ends{};
  constexpr std::array<std::uint8_t, 7> kKinds{0, 43, 44, 51, 59, 60, 6};
  for (int i = 0; i < 100000; ++i) {
    Bytes payload = random.bytes(random.rng().below(200));
    // Mostly known kinds and short lengths, so that walks get somewhere.
    for (std::size_t at = 0; at + 1 < payload.size(); at += 8) {
      payload[at] = random.rng().chance(0.8) ? static_cast<std::uint8_t>(kExtensionDestination)
                                             : kKinds[random.rng().below(7)];
      if (random.rng().chance(0.9)) payload[at + 1] &= 1;
    }
    const auto walk = Ipv6ExtensionWalk::over(kKinds[random.rng().below(7)], payload);
    ASSERT_LE(walk.offset, payload.size());
    ASSERT_LE(walk.headers, Ipv6ExtensionWalk::kMaxHeaders);
    if (walk.next_header_at) {
      ASSERT_EQ(payload[*walk.next_header_at], walk.protocol);
    }
    ++ends[static_cast<std::size_t>(walk.end)];
  }
  for (const int count : ends) EXPECT_GT(count, 0);
}

TEST(Ipv6FragmentHeader, RoundTripsAndRejectsTruncation) {
  RandomFields random{63};
  for (int i = 0; i < 500; ++i) {
    expect_round_trip(Ipv6FragmentHeader{random.u8(), static_cast<std::uint16_t>(random.u16() & 0xfff8),
                                         random.flag(), random.u32()});
    if (HasFatalFailure()) return;
  }
}

TEST(Icmpv6Header, RoundTripsAndRejectsTruncation) {
  RandomFields random{64};
  for (int i = 0; i < 500; ++i) {
    const Icmpv6Header header{random.u8(), random.u8(), random.u16(), random.u32()};
    expect_round_trip(header);
    if (HasFatalFailure()) return;
    ASSERT_EQ(header.is_error(), header.type < 128);
  }
}

NeighborOptions random_options(RandomFields& random) {
  NeighborOptions options;
  if (random.flag()) options.source_mac = random.mac();
  if (random.flag()) options.target_mac = random.mac();
  if (random.flag()) options.mtu = random.u32();
  if (random.flag()) random.rng().fill(options.nonce.emplace());
  options.prefix_count = static_cast<std::uint8_t>(random.rng().below(NeighborOptions::kMaxPrefixes + 1));
  for (std::size_t i = 0; i < options.prefix_count; ++i) {
    options.prefixes[i] = {IpPrefix{random.ipv6(), static_cast<std::uint8_t>(random.rng().below(129))},
                           random.flag(), random.flag(), random.u32(), random.u32()};
  }
  if (random.flag()) {
    RecursiveDnsServers& dns = options.dns.emplace();
    dns.lifetime = random.u32();
    dns.count = static_cast<std::uint8_t>(1 + random.rng().below(RecursiveDnsServers::kMaxServers));
    for (std::size_t i = 0; i < dns.count; ++i) dns.servers[i] = random.ipv6();
  }
  return options;
}

TEST(NeighborDiscovery, EveryMessageRoundTripsAndRejectsTruncation) {
  RandomFields random{65};
  for (int i = 0; i < 500; ++i) {
    const NeighborOptions options = random_options(random);
    const NeighborSolicitation solicitation{random.u16(), random.ipv6(), options};
    expect_round_trip(solicitation, solicitation.size());
    const NeighborAdvertisement advertisement{random.u16(),  random.flag(), random.flag(),
                                              random.flag(), random.ipv6(), options};
    expect_round_trip(advertisement, advertisement.size());
    const RouterSolicitation router_solicitation{random.u16(), options};
    expect_round_trip(router_solicitation, router_solicitation.size());
    const RouterAdvertisement router_advertisement{random.u16(), random.u8(),  random.flag(), random.flag(),
                                                   random.u16(), random.u32(), random.u32(),  options};
    expect_round_trip(router_advertisement, router_advertisement.size());
    const NeighborRedirect redirect{random.u16(), random.ipv6(), random.ipv6(), options};
    expect_round_trip(redirect, redirect.size());
    if (HasFatalFailure()) return;
  }
}

TEST(NeighborDiscovery, OptionOfLengthZeroOrBeyondTheEndDropsTheMessage) {
  // RFC 4861 §4.6 and §6.1, §7.1: all included options have a length greater than zero.
  NeighborSolicitation solicitation;
  solicitation.options.source_mac = MacAddress{{2, 0, 0, 0, 0, 1}};
  Bytes bytes(solicitation.size());
  solicitation.emit(bytes);
  ASSERT_TRUE(NeighborSolicitation::parse(bytes));
  bytes[25] = 0;
  EXPECT_FALSE(NeighborSolicitation::parse(bytes));
  bytes[25] = 2;
  EXPECT_FALSE(NeighborSolicitation::parse(bytes));
  bytes[25] = 1;
  for (std::size_t n = 25; n < bytes.size(); ++n) {
    EXPECT_FALSE(NeighborSolicitation::parse(std::span{bytes}.first(n)));
  }
}

TEST(NeighborDiscovery, OtherTypesAndCodesAreRejected) {
  NeighborSolicitation solicitation;
  Bytes bytes(solicitation.size());
  solicitation.emit(bytes);
  EXPECT_FALSE(NeighborAdvertisement::parse(bytes));
  bytes[1] = 1;
  EXPECT_FALSE(NeighborSolicitation::parse(bytes));
}

TEST(NeighborDiscovery, UnknownOptionsAreSkippedAndSurplusOnesNotKept) {
  Bytes bytes{200, 2, 0, 0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0,
              5,   1, 0, 0, 0, 0, 5, 220, 5, 1, 0, 0, 0, 0, 9, 9};
  NeighborOptions prefix;
  prefix.prefix_count = 1;
  for (std::size_t i = 0; i < NeighborOptions::kMaxPrefixes + 2; ++i) {
    bytes.resize(bytes.size() + prefix.size());
    prefix.emit(std::span{bytes}.last(prefix.size()));
  }
  const auto options = NeighborOptions::parse(bytes);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->mtu, 1500u);  // the first counts
  EXPECT_EQ(options->prefix_count, NeighborOptions::kMaxPrefixes);
  EXPECT_FALSE(options->source_mac);
}

}  // namespace
}  // namespace millrace::wire
