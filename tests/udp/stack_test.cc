#include <set>
#include <string>

#include "udp_fixture.h"

namespace millrace::test {
namespace {

TEST(Stack, EveryCounterHasANameOfItsOwn) {
  const StackPair pair;
  std::set<std::string> names;
  std::size_t count = 0;
  pair.a.stack.for_each_counter([&](std::string_view, std::string_view name, std::uint64_t) {
    EXPECT_FALSE(name.empty());
    names.insert(std::string{name});
    ++count;
  });
  EXPECT_GT(count, 100u);
  EXPECT_EQ(names.size(), count);
}

TEST(Stack, WithNothingToDoItNeedsNoTurn) {
  StackPair pair;
  EXPECT_EQ(pair.a.stack.next_deadline(), kNever);
  EXPECT_EQ(pair.a.stack.poll(pair.now, 256), 0u);
  EXPECT_EQ(pair.a.stack.next_deadline(), kNever);
}

TEST(Stack, WhatItSendsItselfIsDueAtOnce) {
  StackPair pair;
  const auto socket = std::move(*pair.a.stack.create_socket(SocketType::kDatagram));
  const Endpoint self{IpAddress::v4(127, 0, 0, 1), 1000};
  ASSERT_TRUE(socket->bind(self).ok());
  ASSERT_TRUE(send_to(*socket, pattern(5), &self, pair.now).ok());
  EXPECT_LE(pair.a.stack.next_deadline(), pair.now);
  pair.a.stack.poll(pair.now, 256);
  EXPECT_EQ(pair.a.stack.next_deadline(), kNever);
  EXPECT_EQ(receive_from(*socket, pair.now)->data, pattern(5));
}

TEST(Stack, UnansweredNeighbourIsADeadline) {
  StackPair pair;
  const auto socket = std::move(*pair.a.stack.create_socket(SocketType::kDatagram));
  const Endpoint nobody{IpAddress::v4(198, 18, 0, 77), 9};
  ASSERT_TRUE(send_to(*socket, pattern(5), &nobody, pair.now).ok());
  EXPECT_EQ(pair.a.stack.next_deadline(), pair.now + 1s);
  for (int i = 0; i < 3; ++i) pair.advance(1s);
  EXPECT_EQ(pair.a.stack.next_deadline(), kNever);
  EXPECT_EQ(pair.a.stack.pool().packets_in_use(), 0u);
}

TEST(Stack, TwoInterfacesEachHaveTheirSubnet) {
  FakeDevice second;  // outlives the stack that uses it
  StackPair pair;
  second.address.bytes[5] = 9;
  link::InterfaceConfig config;
  config.addresses = {*IpPrefix::parse("198.19.0.1/24")};
  config.probe_addresses = false;
  link::Interface& interface = pair.a.stack.add_interface(second, config, pair.now);
  EXPECT_EQ(interface.id(), 1);
  const auto here = pair.a.stack.ip().route(pair.b.address, pair.now);
  const auto there = pair.a.stack.ip().route(IpAddress::v4(198, 19, 0, 2), pair.now);
  ASSERT_TRUE(here.ok() && there.ok());
  EXPECT_EQ(here->interface, pair.a.interface);
  EXPECT_EQ(there->interface, &interface);
  EXPECT_EQ(there->source, IpAddress::v4(198, 19, 0, 1));
}

}  // namespace
}  // namespace millrace::test
