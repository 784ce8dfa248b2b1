// The tables and the estimator alone.

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "tcp/flow_table.h"
#include "tcp/port_table.h"
#include "tcp/rtt.h"

namespace millrace::test {
namespace {

using tcp::Flow;
using tcp::FlowKey;
using tcp::FlowTable;
using tcp::PortTable;
using tcp::RttEstimator;

struct TestFlow : Flow {
  explicit TestFlow(const FlowKey& key) : Flow(Kind::kConnection, key) {}
};

FlowKey key(std::uint32_t n) {
  return {{IpAddress::v4(198, 18, 0, 1), static_cast<std::uint16_t>(80 + n % 3)},
          {IpAddress::v4(0xc6120000 + n / 60'000), static_cast<std::uint16_t>(1 + n % 60'000)}};
}

TEST(FlowTable, FindsWhatIsInItAndCountsPorts) {
  FlowTable table(1, 2);
  Rng rng(3);
  constexpr std::uint32_t kFlows = 20'000;
  std::vector<std::unique_ptr<TestFlow>> flows(kFlows);
  std::size_t size = 0;
  std::uint32_t on_port_80 = 0;
  for (int step = 0; step < 200'000; ++step) {
    const std::uint32_t n = rng.below(kFlows);
    if (flows[n] == nullptr) {
      flows[n] = std::make_unique<TestFlow>(key(n));
      table.insert(*flows[n]);
      ++size;
      on_port_80 += n % 3 == 0;
    } else if (rng.chance(0.3)) {
      table.remove(*flows[n]);
      EXPECT_FALSE(flows[n]->in_table());
      table.remove(*flows[n]);  // no effect
      flows[n].reset();
      --size;
      on_port_80 -= n % 3 == 0;
    }
    const std::uint32_t other = rng.below(kFlows);
    ASSERT_EQ(table.find(key(other)), flows[other].get());
    ASSERT_EQ(table.size(), size);
  }
  EXPECT_EQ(table.flows_on_port(80), on_port_80);
  std::size_t seen = 0;
  table.for_each([&](Flow& flow) {
    ++seen;
    table.remove(flow);
  });
  EXPECT_EQ(seen, size);
  EXPECT_EQ(table.size(), 0u);
}

TEST(FlowTable, ASegmentHasTheHashOfItsFlow) {
  const FlowTable table(0x9e3779b97f4a7c15, 0xd1b54a32d192ed03);
  const FlowKey flow{{IpAddress::v4(198, 18, 3, 4), 0x1234}, {IpAddress::v4(198, 19, 5, 6), 0xabcd}};
  constexpr std::array<std::uint8_t, 8> kAddresses{198, 19, 5, 6, 198, 18, 3, 4};
  constexpr std::array<std::uint8_t, 4> kPorts{0xab, 0xcd, 0x12, 0x34};
  EXPECT_EQ(table.hash_of_arrival(kAddresses, kPorts), table.hash_of(flow));
}

TEST(FlowTable, FindsAFlowByItsHashAloneWhileItIsThere) {
  FlowTable table(0x9e3779b97f4a7c15, 0xd1b54a32d192ed03);
  constexpr std::uint32_t kFlows = 900;  // in fewer buckets
  std::vector<std::unique_ptr<TestFlow>> flows;
  for (std::uint32_t n = 0; n < kFlows; ++n) {
    EXPECT_EQ(table.find_likely(table.hash_of(key(n))), nullptr);
    table.insert(*flows.emplace_back(std::make_unique<TestFlow>(key(n))));
  }
  for (std::uint32_t n = 0; n < kFlows; ++n) {
    const std::uint32_t hash = table.hash_of(key(n));
    EXPECT_EQ(table.find_likely(hash), flows[n].get());
    table.remove(*flows[n]);
    EXPECT_EQ(table.find_likely(hash), nullptr);
  }
}

TEST(FlowTable, AWalkInPiecesSeesEachFlowThatStaysExactlyOnceWhileTheTableGrows) {
  for (const std::size_t piece : {1u, 7u, 64u, 5'000u}) {
    FlowTable table(0x9e3779b97f4a7c15, 0xd1b54a32d192ed03);
    Rng rng(3);
    std::vector<std::unique_ptr<TestFlow>> staying, passing;
    std::uint32_t made = 0;
    const auto add = [&](std::vector<std::unique_ptr<TestFlow>>& to) {
      to.push_back(std::make_unique<TestFlow>(key(made++)));
      table.insert(*to.back());
    };
    for (int i = 0; i < 3'000; ++i) add(staying);
    std::map<const Flow*, int> seen;
    std::uint32_t cursor = 0;
    do {
      std::size_t visited = 0;
      cursor = table.visit_from(cursor, piece, 512, [&](const Flow& flow) {
        ++seen[&flow];
        ++visited;
      });
      EXPECT_LE(visited, piece + 16) << "a piece ends with its bucket";
      // Up to eight times the size, so that buckets split three times; and some leave.
      for (int i = 0; i < 40 && made < 24'000; ++i) add(passing);
      if (!passing.empty() && rng.chance(0.5)) {
        table.remove(*passing.front());
        passing.erase(passing.begin());
      }
    } while (cursor != 0);
    for (const auto& flow : staying) ASSERT_EQ(seen[flow.get()], 1) << "pieces of " << piece;
    for (const auto& flow : staying) table.remove(*flow);
    for (const auto& flow : passing) table.remove(*flow);
  }
}

TEST(FlowTable, HashDependsOnTheSecret) {
  const FlowTable one(1, 2), two(3, 4);
  int same = 0;
  for (std::uint32_t n = 0; n < 1000; ++n) same += one.hash_of(key(n)) == two.hash_of(key(n));
  EXPECT_LT(same, 3);
}

/// The port table only compares and hands out the addresses of sockets and listeners.
template <typename T>
T* stand_in(int& storage) {
  return reinterpret_cast<T*>(&storage);
}

class PortTableAlone : public testing::Test {
 protected:
  PortTable::Binding binding(int& socket, const IpAddress& address, bool reuse_address, bool reuse_port) {
    return {stand_in<tcp::TcpSocket>(socket), address, reuse_address, reuse_port, nullptr};
  }
  static constexpr IpAddress kOne = IpAddress::v4(198, 18, 0, 1), kTwo = IpAddress::v4(198, 18, 0, 2);
  PortTable table;
  int a = 0, b = 0, c = 0, listener_a = 0, listener_b = 0;
};

TEST_F(PortTableAlone, OneAddressIsBoundOnceButTwoAddressesShareAPort) {
  EXPECT_TRUE(table.bind(80, binding(a, kOne, false, false), false).ok());
  EXPECT_EQ(table.bind(80, binding(b, kOne, false, false), false).error(), Error::kAddressInUse);
  EXPECT_EQ(table.bind(80, binding(b, IpAddress{}, false, false), false).error(), Error::kAddressInUse)
      << "the wildcard covers every address";
  EXPECT_TRUE(table.bind(80, binding(b, kTwo, false, false), false).ok());
  table.unbind(80, *stand_in<tcp::TcpSocket>(a));
  EXPECT_TRUE(table.bind(80, binding(c, kOne, false, false), false).ok());
}

TEST_F(PortTableAlone, ReuseAddressSharesUntilSomebodyListens) {
  EXPECT_TRUE(table.bind(80, binding(a, kOne, true, false), false).ok());
  EXPECT_TRUE(table.bind(80, binding(b, kOne, true, false), false).ok());
  EXPECT_TRUE(table.set_listener(80, *stand_in<tcp::TcpSocket>(a), stand_in<tcp::Listener>(listener_a)).ok());
  EXPECT_EQ(table.set_listener(80, *stand_in<tcp::TcpSocket>(b), stand_in<tcp::Listener>(listener_b)).error(),
            Error::kAddressInUse);
  EXPECT_EQ(table.bind(80, binding(c, kOne, true, false), false).error(), Error::kAddressInUse);
}

TEST_F(PortTableAlone, InUseByFlowsNeedsReuseAddress) {
  EXPECT_EQ(table.bind(80, binding(a, kOne, false, false), true).error(), Error::kAddressInUse);
  EXPECT_TRUE(table.bind(80, binding(a, kOne, true, false), true).ok());
}

TEST_F(PortTableAlone, DualWildcardTakesWhatTheFamiliesOwnDoNot) {
  const IpAddress any6 = IpAddress::any(IpAddress::Family::kV6), any4;
  int dual = 0, only6 = 0, v4 = 0;
  const auto listener = [](int& socket) { return stand_in<tcp::Listener>(socket); };
  PortTable::Binding first = binding(dual, any6, false, false);
  first.listener = listener(dual);
  ASSERT_TRUE(table.bind(80, first, false));
  EXPECT_EQ(table.find_listener({IpAddress::v4(127, 0, 0, 1), 80}, 0), listener(dual));
  EXPECT_FALSE(table.bind(80, binding(v4, any4, false, false), false));
  EXPECT_FALSE(table.bind(80, binding(v4, IpAddress::v4(127, 0, 0, 1), false, false), false));

  PortTable::Binding second = binding(only6, any6, false, false);
  second.v6_only = true;
  second.listener = listener(only6);
  ASSERT_TRUE(table.bind(81, second, false));
  EXPECT_EQ(table.find_listener({IpAddress::v4(127, 0, 0, 1), 81}, 0), nullptr);
  PortTable::Binding third = binding(v4, any4, false, false);
  third.listener = listener(v4);
  ASSERT_TRUE(table.bind(81, third, false));
  EXPECT_EQ(table.find_listener({IpAddress::v4(127, 0, 0, 1), 81}, 0), listener(v4));
  EXPECT_EQ(table.find_listener({*IpAddress::parse("::1"), 81}, 0), listener(only6));
}

TEST_F(PortTableAlone, ExactAddressGoesBeforeTheWildcardAndGroupsAreSpreadByHash) {
  EXPECT_TRUE(table.bind(80, binding(a, IpAddress{}, false, true), false).ok());
  EXPECT_TRUE(table.bind(80, binding(b, IpAddress{}, false, true), false).ok());
  auto* first = stand_in<tcp::Listener>(listener_a);
  auto* second = stand_in<tcp::Listener>(listener_b);
  EXPECT_TRUE(table.set_listener(80, *stand_in<tcp::TcpSocket>(a), first).ok());
  EXPECT_TRUE(table.set_listener(80, *stand_in<tcp::TcpSocket>(b), second).ok());
  int to_first = 0;
  Rng rng(5);
  for (int i = 0; i < 1000; ++i) {
    tcp::Listener* found = table.find_listener({kOne, 80}, rng.u32());
    ASSERT_TRUE(found == first || found == second);
    to_first += found == first;
  }
  EXPECT_GT(to_first, 400);
  EXPECT_LT(to_first, 600);
  EXPECT_EQ(table.find_listener({kOne, 81}, 0), nullptr);
}

TEST(RoundTripEstimator, ComputesByRfc6298) {
  RttEstimator rtt(1s, 200ms, 120s);
  EXPECT_EQ(rtt.rto(), Duration{1s});
  EXPECT_FALSE(rtt.valid());
  rtt.sample(400ms);
  EXPECT_EQ(rtt.srtt(), Duration{400ms});
  EXPECT_EQ(rtt.rttvar(), Duration{200ms});
  EXPECT_EQ(rtt.rto(), Duration{1200ms});
  rtt.sample(800ms);
  EXPECT_EQ(rtt.rttvar(), Duration{250ms});
  EXPECT_EQ(rtt.srtt(), Duration{450ms});
  EXPECT_EQ(rtt.rto(), Duration{1450ms});
  EXPECT_EQ(rtt.min_rtt(), Duration{400ms});
}

TEST(RoundTripEstimator, BacksOffAndIsBounded) {
  RttEstimator rtt(1s, 200ms, 120s);
  rtt.sample(1ms);
  EXPECT_EQ(rtt.rto(), Duration{201ms});
  EXPECT_EQ(rtt.backed_off(3), Duration{1608ms});
  EXPECT_EQ(rtt.backed_off(200), Duration{120s});
  rtt.sample(1000s);
  EXPECT_EQ(rtt.rto(), Duration{120s});
}

}  // namespace
}  // namespace millrace::test
