#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

#include "support/stack_pair.h"

namespace millrace::test {

inline constexpr IpAddress kAny;
inline constexpr IpAddress kLoopback = IpAddress::v4(127, 0, 0, 1);

/// Two hosts with a few shorthands; every test leaves both pools as it found them.
class UdpSocketTest : public ::testing::Test {
 protected:
  ~UdpSocketTest() override {
    for (auto& socket : sockets_) socket.reset();
    for (StackPair::End* end : {&pair.a, &pair.b}) {
      EXPECT_EQ(end->stack.pool().packets_in_use(), 0u);
      EXPECT_EQ(end->stack.pool().buffers_in_use(), 0u);
      EXPECT_EQ(end->stack.udp().bound_sockets(), 0u);
    }
  }

  Socket& socket(StackPair::End& end) {
    sockets_.push_back(std::move(*end.stack.create_socket(SocketType::kDatagram)));
    return *sockets_.back();
  }
  Socket& bound(StackPair::End& end, const Endpoint& local) {
    Socket& made = socket(end);
    EXPECT_TRUE(made.bind(local).ok());
    return made;
  }
  Socket& connected(StackPair::End& end, const Endpoint& remote) {
    Socket& made = socket(end);
    EXPECT_TRUE(made.connect(remote, pair.now).ok());
    return made;
  }
  Error send(Socket& from, const Bytes& data, const Endpoint& to) {
    const auto sent = send_to(from, data, &to, pair.now);
    pair.settle();
    return sent.error();
  }
  Error send(Socket& from, const Bytes& data) {
    const auto sent = send_to(from, data, nullptr, pair.now);
    pair.settle();
    return sent.error();
  }
  /// The next datagram; nullopt when there is none.
  std::optional<Bytes> next(Socket& at) {
    auto datagram = receive_from(at, pair.now);
    if (!datagram) return std::nullopt;
    return datagram->data;
  }
  Error receive_error(Socket& at) { return receive_from(at, pair.now).error(); }
  std::size_t drain(Socket& at) {
    std::size_t count = 0;
    while (next(at)) ++count;
    return count;
  }
  std::uint64_t count(StackPair::End& end, udp::Counter counter) {
    return end.stack.udp().counters()[counter];
  }

  StackPair pair;
  std::vector<std::unique_ptr<Socket>> sockets_;
};

}  // namespace millrace::test
