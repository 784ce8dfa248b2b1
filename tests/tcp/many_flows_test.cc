// More flows than the caches hold: what is fetched ahead of its turn must not change what happens.

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "support/stack_pair.h"
#include "tcp/counters.h"
#include "tcp/tcp.h"

namespace millrace::test {
namespace {

constexpr std::size_t kConnections = 4000, kBurst = 250;  // which a turn takes

class ManyFlows : public testing::Test {
 protected:
  static std::unique_ptr<Socket> stream(StackPair::End& end) {
    return std::move(*end.stack.create_socket(SocketType::kStream));
  }
  /// In bursts, but for the first, which finds the neighbour.
  void connect_all() {
    listener_ = stream(pair_.b);
    ASSERT_TRUE(listener_->bind({pair_.b.address, 80}).ok());
    ASSERT_TRUE(listener_->listen(4096, pair_.now).ok());
    while (clients_.size() < kConnections) {
      clients_.push_back(stream(pair_.a));
      ASSERT_EQ(clients_.back()->connect({pair_.b.address, 80}, pair_.now).error(), Error::kInProgress);
      if (clients_.size() % kBurst > 1) continue;
      pair_.settle();
      while (auto accepted = listener_->accept(pair_.now)) servers_.push_back(std::move(*accepted));
    }
    ASSERT_EQ(servers_.size(), kConnections);
    ASSERT_TRUE(pair_.b.stack.tcp().looks_ahead() != 0);
  }
  static Bytes request(std::size_t i) {
    return {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8)};
  }

  StackPair pair_;
  std::unique_ptr<Socket> listener_;
  std::vector<std::unique_ptr<Socket>> clients_, servers_;
};

TEST_F(ManyFlows, EachGetsWhatIsItsOwn) {
  connect_all();
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < kConnections; ++i) {
      ASSERT_EQ(*send_to(*clients_[i], request(i), nullptr, pair_.now), 2u);
      if (i % kBurst == kBurst - 1) pair_.settle();
    }
    for (std::size_t i = 0; i < kConnections; ++i) {
      const auto got = receive_from(*servers_[i], pair_.now, 100);
      ASSERT_TRUE(got.ok());
      ASSERT_EQ(*send_to(*servers_[i], got->data, nullptr, pair_.now), got->data.size());
      if (i % kBurst == kBurst - 1) pair_.settle();
    }
    for (std::size_t i = 0; i < kConnections; ++i)
      ASSERT_EQ(receive_from(*clients_[i], pair_.now, 100)->data, request(i));
    pair_.advance(100ms);  // delayed ACKs
  }
  EXPECT_EQ(pair_.a.stack.tcp().counters()[tcp::Counter::kRetransSegs], 0u);
}

TEST_F(ManyFlows, SomeEndWhileOthersAreToldOf) {
  connect_all();
  for (std::size_t i = 0; i < kConnections; ++i) {
    // A reset, a FIN behind data, data alone, in one burst.
    if (i % 3 != 0) {
      ASSERT_EQ(*send_to(*clients_[i], request(i), nullptr, pair_.now), 2u);
    } else {
      ASSERT_TRUE(clients_[i]->set_option(SocketOption::kLinger, 0, pair_.now).ok());
    }
    if (i % 3 != 2) {
      clients_[i]->close(pair_.now);
      clients_[i].reset();
    }
    if (i % kBurst == kBurst - 1) pair_.settle();
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
      if (i % kBurst == kBurst - 1) pair_.settle();
    }
  }
  pair_.advance(120s);
  EXPECT_EQ(pair_.a.stack.tcp().connection_count(), 0u);
  EXPECT_EQ(pair_.b.stack.tcp().connection_count(), 0u);
}

}  // namespace
}  // namespace millrace::test
