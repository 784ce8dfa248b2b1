// More flows than the caches hold: what is fetched ahead of its turn must not change what happens.

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "support/many_connections.h"
#include "tcp/counters.h"
#include "tcp/tcp.h"

namespace millrace::test {
namespace {

constexpr std::size_t kConnections = 4000;

class ManyFlows : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(many_.open(kConnections));
    ASSERT_TRUE(many_.pair.b.stack.tcp().looks_ahead() != 0);
  }

  ManyConnections many_;
  StackPair& pair_ = many_.pair;
  std::vector<std::unique_ptr<Socket>>&clients_ = many_.clients, &servers_ = many_.servers;
};

TEST_F(ManyFlows, EachGetsWhatIsItsOwn) {
  for (int round = 0; round < 3; ++round) {
    ASSERT_NO_FATAL_FAILURE(many_.send_requests());
    for (std::size_t i = 0; i < kConnections; ++i) {
      const auto got = receive_from(*servers_[i], pair_.now, 100);
      ASSERT_TRUE(got.ok());
      ASSERT_EQ(*send_to(*servers_[i], got->data, nullptr, pair_.now), got->data.size());
      many_.end_of(i);
    }
    for (std::size_t i = 0; i < kConnections; ++i)
      ASSERT_EQ(receive_from(*clients_[i], pair_.now, 100)->data, ManyConnections::request(i));
    pair_.advance(100ms);  // delayed ACKs
  }
  EXPECT_EQ(pair_.a.stack.tcp().counters()[tcp::Counter::kRetransSegs], 0u);
}

TEST_F(ManyFlows, SomeEndWhileOthersAreToldOf) {
  for (std::size_t i = 0; i < kConnections; ++i) {
    // A reset, a FIN behind data, data alone, in one burst.
    if (i % 3 != 0) {
      many_.send_request(i);
    } else {
      ASSERT_TRUE(clients_[i]->set_option(SocketOption::kLinger, 0, pair_.now).ok());
    }
    if (i % 3 != 2) {
      clients_[i]->close(pair_.now);
      clients_[i].reset();
    }
    many_.end_of(i);
  }
  std::size_t reset = 0, ended = 0, open = 0;
  for (auto& server : servers_) {
    auto got = receive_from(*server, pair_.now, 100);
    if (got.ok()) got = receive_from(*server, pair_.now, 100);  // behind the request
    if (got.ok()) {
      EXPECT_TRUE(got->data.empty());
      ++ended;
    } else {
      ++(got.error() == Error::kAgain ? open : reset);
    }
  }
  EXPECT_EQ(reset, (kConnections + 2) / 3);
  EXPECT_EQ(ended, (kConnections + 1) / 3);
  EXPECT_EQ(open, kConnections / 3);
  EXPECT_NE(pair_.b.stack.tcp().looks_ahead(), 0u);
  for (auto* sockets : {&servers_, &clients_}) {
    for (std::size_t i = 0; i < kConnections; ++i) {
      if ((*sockets)[i] != nullptr) (*sockets)[i]->close(pair_.now);
      (*sockets)[i].reset();
      many_.end_of(i);
    }
  }
  pair_.advance(120s);
  EXPECT_EQ(pair_.a.stack.tcp().connection_count(), 0u);
  EXPECT_EQ(pair_.b.stack.tcp().connection_count(), 0u);
}

}  // namespace
}  // namespace millrace::test
