// Random and mutated frames into a stack that has live sockets: nothing crashes, every frame is counted, and
// when all is over no buffer, packet, connection or timer is left.

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "fuzz/frame_generator.h"
#include "stack.h"

namespace millrace::test {
namespace {

const IpAddress kOwn = IpAddress::v4(198, 18, 0, 1);

std::size_t frames_to_send() {
  return std::getenv("MILLRACE_SOAK") != nullptr ? 50'000'000 : 1'000'000;
}

/// Uses its sockets as a careless program does.
class Application {
 public:
  Application(Stack& stack, std::uint64_t seed, Instant now) : stack_(stack), rng_(seed) {
    listener_ = std::move(*stack.create_socket(SocketType::kStream));
    EXPECT_TRUE(listener_->bind({IpAddress{}, 80}).ok());
    EXPECT_TRUE(listener_->listen(64, now).ok());
    udp_ = std::move(*stack.create_socket(SocketType::kDatagram));
    EXPECT_TRUE(udp_->bind({IpAddress{}, 53}).ok());
  }

  void act(Instant now) {
    while (auto accepted = listener_->accept(now)) add(std::move(*accepted), now);
    if (sockets_.size() < 32 && rng_.chance(0.2)) {
      auto socket = std::move(*stack_.create_socket(SocketType::kStream));
      const auto host = static_cast<std::uint8_t>(2 + rng_.below(4));
      static_cast<void>(socket->connect({IpAddress::v4(198, 18, 0, host), 80}, now));
      add(std::move(socket), now);
    }
    std::uint8_t buffer[4096];
    const IoSlice in{buffer, sizeof buffer};
    const ConstIoSlice out{buffer, 1 + rng_.below(sizeof buffer)};
    while (auto datagram = udp_->receive({&in, 1}, {}, now)) {
      if (rng_.chance(0.5)) static_cast<void>(udp_->send({&out, 1}, &datagram->from, {}, now));
    }
    for (auto& socket : sockets_) {
      switch (rng_.below(16)) {
        case 0:
          static_cast<void>(socket->shutdown(Shutdown::kWrite, now));
          break;
        case 1:
          socket.reset();
          break;
        case 2:
          static_cast<void>(socket->receive({&in, 1}, {.peek = true}, now));
          break;
        case 3:
          static_cast<void>(socket->receive({&in, 1}, {.out_of_band = true}, now));
          break;
        case 4:
          static_cast<void>(socket->send({&out, 1}, nullptr, {.out_of_band = true}, now));
          break;
        case 5:
          static_cast<void>(socket->set_option(SocketOption::kLinger, 0, now));
          break;
        case 6:
        case 7:
        case 8:
          static_cast<void>(socket->receive({&in, 1}, {}, now));
          break;
        case 9:
        case 10:
          static_cast<void>(socket->send({&out, 1}, nullptr, {}, now));
          break;
        default:
          break;
      }
      if (socket != nullptr) {
        static_cast<void>(socket->readiness());
        TcpInfo info;
        static_cast<void>(socket->tcp_info(info, now));
      }
    }
    std::erase(sockets_, nullptr);
    while (Socket* ready = stack_.ready().pop()) static_cast<void>(ready->take_events());
  }

 private:
  void add(std::unique_ptr<Socket> socket, Instant now) {
    if (rng_.chance(0.3)) static_cast<void>(socket->set_option(SocketOption::kOutOfBandInline, 1, now));
    if (rng_.chance(0.3)) static_cast<void>(socket->set_option(SocketOption::kKeepalive, 1, now));
    sockets_.push_back(std::move(socket));
  }

  Stack& stack_;
  Rng rng_;
  std::unique_ptr<Socket> listener_, udp_;
  std::vector<std::unique_ptr<Socket>> sockets_;
};

std::uint64_t accounted(const link::Interface& interface, link::NeighbourCache& neighbours,
                        const ip::IpLayer& ip) {
  const auto& link = interface.counters();
  using enum link::Counter;
  return link[kRxTooShort] + link[kRxOtherHost] + link[kRxUnknownProtocol] + link[kRxVlanDropped] +
         link[kRxMulticastIgnored] + link[kRxNoMemory] +
         neighbours.counters()[link::NeighbourCounter::kArpReceived] +
         ip.counters()[ip::Counter::kInReceives] - ip.counters()[ip::Counter::kLoopback];
}

TEST(FrameFuzz, AMillionBadFramesAreAllCountedAndLeaveNothingBehind) {
  const std::size_t frames = frames_to_send();
  constexpr std::size_t kRoundFrames = 50'000;
  for (std::uint64_t seed = 1; seed <= frames / kRoundFrames; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Instant now = kEpoch + 1000s;
    FakeDevice device;
    device.capabilities = {
        .tx_checksum = seed % 2 == 0, .tso = seed % 2 == 0, .scatter = seed % 3 == 0, .max_gso_bytes = 64000};
    StackConfig config;
    config.pool.bytes = 16 << 20;
    config.tcp.max_time_wait = 256;
    Rng::Seed secret{};
    secret[0] = static_cast<std::uint8_t>(seed);
    Stack stack(config, secret, now);
    link::InterfaceConfig interface_config;
    interface_config.addresses = {*IpPrefix::parse("198.18.0.1/24")};
    link::Interface& interface = stack.add_interface(device, interface_config, now);
    FrameGenerator generator(seed, kOwn, device.mac());
    Rng rng(seed ^ 0xabcdef);
    {
      Application application(stack, seed, now);
      for (std::size_t i = 0; i < kRoundFrames; ++i) {
        const FrameGenerator::Frame frame = generator.next();
        device.inject(frame.bytes, frame.offload);
        now += Duration{rng.below(200'000)};
        if (rng.chance(0.0005)) now += Duration{1ms} * rng.below(20'000);
        stack.poll(now, 64);
        if (i % 8 == 0) {
          application.act(now);
          stack.flush(now);
        }
        for (const SentFrame& sent : device.take_sent()) generator.learn(sent);
      }
      EXPECT_EQ(interface.counters()[link::Counter::kRxFrames], kRoundFrames);
      EXPECT_EQ(accounted(interface, interface.neighbours(), stack.ip()), kRoundFrames);
    }
    stack.flush(now);
    // Nobody is left to answer: retransmissions give up, TIME-WAIT ends, fragments time out.
    for (int i = 0; i < 5000 && stack.next_deadline() != kNever &&
                    stack.pool().packets_in_use() + stack.tcp().flows().size() != 0;
         ++i) {
      now = std::max(now + 1ms, stack.next_deadline());
      stack.poll(now, 64);
      static_cast<void>(device.take_sent());
    }
    EXPECT_EQ(stack.tcp().flows().size(), 0u);
    EXPECT_EQ(stack.tcp().connection_count(), 0u);
    EXPECT_EQ(stack.tcp().request_count(), 0u);
    EXPECT_EQ(stack.tcp().send_budget().used(), 0u);
    EXPECT_EQ(stack.tcp().receive_budget().used(), 0u);
    EXPECT_EQ(stack.pool().packets_in_use(), 0u);
    EXPECT_EQ(stack.pool().buffers_in_use(), 0u);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace millrace::test
