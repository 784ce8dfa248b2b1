#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "support/stack_pair.h"
#include "tcp/tcp.h"

namespace millrace::test {

/// Thousands of connections from `a` of a pair to its `b`, used in bursts as a turn takes them.
struct ManyConnections {
  static constexpr std::size_t kBurst = 200;

  /// The first by itself, as it finds the neighbour.
  void open(std::size_t count) {
    listener = stream(pair.b);
    ASSERT_TRUE(listener->bind({pair.b.address, 80}).ok());
    ASSERT_TRUE(listener->listen(4096, pair.now).ok());
    while (clients.size() < count) {
      clients.push_back(stream(pair.a));
      ASSERT_EQ(clients.back()->connect({pair.b.address, 80}, pair.now).error(), Error::kInProgress);
      if (clients.size() % kBurst > 1) continue;
      pair.settle();
      while (auto accepted = listener->accept(pair.now)) servers.push_back(std::move(*accepted));
    }
    ASSERT_EQ(servers.size(), count);
  }
  /// Two bytes, so that they tell whose they are.
  [[nodiscard]] static Bytes request(std::size_t i) {
    return {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8)};
  }
  void send_request(std::size_t i) { ASSERT_EQ(*send_to(*clients[i], request(i), nullptr, pair.now), 2u); }
  void end_of(std::size_t i) {
    if (i % kBurst == kBurst - 1) pair.settle();
  }
  void send_requests() {
    for (std::size_t i = 0; i < clients.size(); ++i) {
      send_request(i);
      end_of(i);
    }
  }

  StackPair pair;
  std::unique_ptr<Socket> listener;
  std::vector<std::unique_ptr<Socket>> clients, servers;

 private:
  static std::unique_ptr<Socket> stream(StackPair::End& end) {
    return std::move(*end.stack.create_socket(SocketType::kStream));
  }
};

}  // namespace millrace::test
