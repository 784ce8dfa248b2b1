// A client that closes first leaves its ports in TIME-WAIT; when all are, they are taken again.
#include <gtest/gtest.h>

#include <set>

#include "support/stack_pair.h"
#include "tcp/counters.h"
#include "tcp/tcp.h"

namespace millrace::test {
namespace {

/// As many ports as that; as many connections, each closed by the client first.
class PortReuse : public testing::TestWithParam<int> {
 protected:
  static StackConfig config() {
    StackConfig config;
    config.tcp.ephemeral_first = 40'000;
    config.tcp.ephemeral_last = static_cast<std::uint16_t>(40'000 + GetParam() - 1);
    return config;
  }
  /// The local port, or 0 when there was none.
  std::uint16_t connect_and_close() {
    auto client = std::move(*pair_.a.stack.create_socket(SocketType::kStream));
    if (client->connect({pair_.b.address, 80}, pair_.now).error() != Error::kInProgress) return 0;
    pair_.settle();
    auto server = std::move(*listener_->accept(pair_.now));
    const std::uint16_t port = client->local_endpoint().port;
    client->close(pair_.now);
    pair_.settle();
    server->close(pair_.now);
    pair_.settle();
    return port;
  }

  StackPair pair_{{}, 1500, config()};
  std::unique_ptr<Socket> listener_ = [this] {
    auto socket = std::move(*pair_.b.stack.create_socket(SocketType::kStream));
    EXPECT_TRUE(socket->bind({pair_.b.address, 80}).ok());
    EXPECT_TRUE(socket->listen(8, pair_.now).ok());
    return socket;
  }();
};

TEST_P(PortReuse, TakesEachPortOnceAndThenThoseInTimeWait) {
  std::set<std::uint16_t> ports;
  for (int i = 0; i < GetParam(); ++i) {
    ports.insert(connect_and_close());
    pair_.advance(1ms);
  }
  EXPECT_FALSE(ports.contains(0));
  EXPECT_EQ(pair_.a.stack.tcp().counters()[tcp::Counter::kTimeWaitRecycled], 0u)
      << "none is taken again while others are unused and none is old enough";
  EXPECT_EQ(ports.size(), static_cast<std::size_t>(GetParam()));
  pair_.advance(2s);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(ports.contains(connect_and_close()));
    pair_.advance(1ms);
  }
  EXPECT_EQ(pair_.a.stack.tcp().counters()[tcp::Counter::kTimeWaitRecycled], 20u);
}

TEST_P(PortReuse, TakesTheOldestFirst) {
  std::vector<std::uint16_t> used, again;
  for (int i = 0; i < GetParam(); ++i) {
    used.push_back(connect_and_close());
    pair_.advance(1ms);
  }
  pair_.advance(2s);
  for (int i = 0; i < GetParam(); ++i) again.push_back(connect_and_close());
  EXPECT_EQ(again, used) << "what was in TIME-WAIT for longest is the least likely to be confused";
}

TEST_P(PortReuse, PassesOverPortsThatAreBound) {
  const std::uint16_t oldest = connect_and_close();
  for (int i = 1; i < GetParam(); ++i) connect_and_close();
  auto other = std::move(*pair_.a.stack.create_socket(SocketType::kStream));
  EXPECT_TRUE(other->set_option(SocketOption::kReuseAddress, 1, pair_.now).ok());
  EXPECT_TRUE(other->bind({pair_.a.address, oldest}).ok());
  pair_.advance(2s);
  for (int i = 1; i < GetParam(); ++i) {
    const std::uint16_t port = connect_and_close();
    EXPECT_NE(port, 0);
    EXPECT_NE(port, oldest);
  }
}

INSTANTIATE_TEST_SUITE_P(Few, PortReuse, testing::Values(30));
INSTANTIATE_TEST_SUITE_P(MoreThanAreLookedAtForAnUnusedOne, PortReuse, testing::Values(300));

}  // namespace
}  // namespace millrace::test
