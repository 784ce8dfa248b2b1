// Two connections behind a slow device, in virtual time: what one of them queues does not hold up the other.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "stack.h"
#include "support/simulator_link.h"
#include "tcp/counters.h"

namespace millrace::test {
namespace {

constexpr std::uint64_t kBitsPerSecond = 10'000'000;
constexpr Duration kDelay = 1ms;
constexpr std::size_t kDeviceQueue = 3000;  ///< bytes the device itself holds
constexpr std::uint16_t kBulkPort = 1, kTalkPort = 2;
constexpr std::size_t kBudget = 64;

LinkModel slow_link() {
  LinkModel model;
  model.bits_per_second = kBitsPerSecond;
  model.delay = kDelay;
  model.queue_bytes = kDeviceQueue;
  model.backpressure = true;
  return model;
}

Rng::Seed seed_of(std::uint8_t number) {
  Rng::Seed seed{};
  seed[0] = number;
  return seed;
}

/// One end: a stack, its device, and what the programs above it have got.
struct End {
  End(SimulatedLink& link, int end, const DeviceCaps& caps, Instant now) : device(link, end, caps, 1500) {
    stack = std::make_unique<Stack>(StackConfig{}, seed_of(static_cast<std::uint8_t>(end + 1)), now);
    link::InterfaceConfig interface;
    interface.addresses = {IpPrefix{address_of(end), 24}};
    interface.probe_addresses = false;
    stack->add_interface(device, interface, now)
        .neighbours()
        .add_static(address_of(1 - end), SimulatedDevice::mac_of(1 - end), now);
  }
  static IpAddress address_of(int end) {
    return IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(end + 1));
  }

  SimulatedDevice device;
  std::unique_ptr<Stack> stack;
};

class SlowDevice : public testing::TestWithParam<bool> {
 protected:
  SlowDevice() : link_(slow_link(), 1) {
    DeviceCaps caps;
    caps.tx_checksum = caps.scatter = caps.tso = GetParam();
    if (GetParam()) caps.max_gso_bytes = 65'000;
    for (int end = 0; end < 2; ++end)
      ends_[static_cast<std::size_t>(end)] = std::make_unique<End>(link_, end, caps, now_);
  }
  [[nodiscard]] Stack& sender() { return *ends_[0]->stack; }
  [[nodiscard]] Stack& receiver() { return *ends_[1]->stack; }

  static std::unique_ptr<Socket> new_socket(Stack& stack) {
    auto socket = stack.create_socket(SocketType::kStream, IpAddress::Family::kV4);
    return std::move(*socket);
  }
  std::unique_ptr<Socket> accept_from(Socket& listener) {
    auto socket = listener.accept(now_);
    return std::move(*socket);
  }
  /// A connection to this port: its socket at the sender; the other one receives.
  Socket& open(std::uint16_t port) {
    std::unique_ptr<Socket> listener = new_socket(receiver());
    EXPECT_TRUE(listener->bind({IpAddress::any(IpAddress::Family::kV4), port}).ok());
    EXPECT_TRUE(listener->listen(1, now_).ok());
    sockets_.push_back(new_socket(sender()));
    Socket& client = *sockets_.back();
    EXPECT_EQ(client.connect({End::address_of(1), port}, now_).error(), Error::kInProgress);
    while (!listener->readiness()) step(now_ + 1s);
    servers_[port] = accept_from(*listener);
    sockets_.push_back(std::move(listener));
    return client;
  }
  /// Bytes that have come at this port since the last call.
  std::size_t receive(std::uint16_t port) {
    std::size_t got = 0;
    while (true) {
      const IoSlice slice{received_.data(), received_.size()};
      const Result<Received> received = servers_[port]->receive({&slice, 1}, {}, now_);
      if (!received || received->bytes == 0) return got;
      got += received->bytes;
    }
  }
  std::size_t send(Socket& socket, std::size_t bytes) {
    const ConstIoSlice slice{data_.data(), bytes};
    const Result<std::size_t> sent = socket.send({&slice, 1}, nullptr, {}, now_);
    return sent ? *sent : 0;
  }
  /// Until something happens, but for no longer than `until`.
  void step(Instant until) {
    for (const auto& end : ends_) end->stack->flush(now_);
    Instant next = until;
    for (int end = 0; end < 2; ++end)
      next = std::min(
          {next, link_.next_event(end), ends_[static_cast<std::size_t>(end)]->stack->next_deadline()});
    now_ = std::max(now_, next);
    for (const auto& end : ends_) {
      while (end->stack->poll(now_, kBudget) == kBudget) {
      }
    }
  }

  SimulatedLink link_;
  Instant now_ = kEpoch + 1000s;
  std::array<std::unique_ptr<End>, 2> ends_;
  std::map<std::uint16_t, std::unique_ptr<Socket>> servers_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  const std::vector<std::uint8_t> data_ = std::vector<std::uint8_t>(1 << 20);
  std::vector<std::uint8_t> received_ = std::vector<std::uint8_t>(1 << 20);
};

TEST_P(SlowDevice, IsKeptBusyByOneConnectionAndFreeForAnother) {
  Socket& bulk = open(kBulkPort);
  Socket& talk = open(kTalkPort);
  ASSERT_TRUE(talk.set_option(SocketOption::kNoDelay, 1, now_).ok());
  constexpr Duration kWarmUp = 1s, kMeasured = 5s;
  const Instant start = now_;
  std::size_t received = 0, answers = 0;
  Duration longest{0};
  Instant asked = kNever, ask_at = start + kWarmUp;
  while (now_ < start + kWarmUp + kMeasured) {
    while (send(bulk, data_.size()) != 0) {
    }
    if (now_ >= ask_at) {
      ASSERT_EQ(send(talk, 100), 100u);
      asked = now_;
      ask_at = kNever;
    }
    step(std::min(ask_at, start + kWarmUp + kMeasured));
    const std::size_t got = receive(kBulkPort);
    if (now_ >= start + kWarmUp) received += got;
    if (asked != kNever && receive(kTalkPort) != 0) {
      longest = std::max(longest, now_ - asked);
      ++answers;
      asked = kNever;
      ask_at = now_ + 37ms;
    }
  }
  EXPECT_GE(answers, 70u);
  EXPECT_LE(longest, 25ms) << "of " << answers;
  const double capacity = static_cast<double>(kBitsPerSecond) / 8 * 1448 / 1514 * 5;
  EXPECT_GE(static_cast<double>(received), 0.99 * capacity);
  EXPECT_EQ(sender().tcp().counters()[tcp::Counter::kRetransSegs], 0u);
  EXPECT_GT(sender().tcp().counters()[tcp::Counter::kSmallQueueWaits], 0u);
}

TEST_P(SlowDevice, IsSharedByTwoConnectionsAndHoldsLittleOfEach) {
  constexpr std::uint16_t kOther = kTalkPort;
  const std::array<std::uint16_t, 2> ports{kBulkPort, kOther};
  const std::array<Socket*, 2> bulk{&open(kBulkPort), &open(kOther)};
  constexpr Duration kWarmUp = 1s, kMeasured = 5s;
  const Instant start = now_, end = start + kWarmUp + kMeasured;
  const link::Interface& interface = *sender().interfaces().front();
  std::array<std::size_t, 2> received{};
  std::uint32_t most_frames = 0;
  while (now_ < end) {
    for (Socket* socket : bulk) {
      while (send(*socket, data_.size()) != 0) {
      }
    }
    step(end);
    for (std::size_t i = 0; i < ports.size(); ++i) {
      const std::size_t got = receive(ports[i]);
      if (now_ < start + kWarmUp) continue;
      received[i] += got;
      most_frames = std::max(most_frames, interface.tx_queued() - interface.tx_left());
    }
  }
  const double capacity = static_cast<double>(kBitsPerSecond) / 8 * 1448 / 1514 * 5;
  for (const std::size_t got : received) EXPECT_NEAR(static_cast<double>(got), capacity / 2, 0.05 * capacity);
  // Twice two segments each.
  EXPECT_LE(most_frames, 8u);
  EXPECT_EQ(sender().tcp().counters()[tcp::Counter::kRetransSegs], 0u);
}

INSTANTIATE_TEST_SUITE_P(Segmenting, SlowDevice, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "InTheDevice" : "InSoftware"; });

}  // namespace
}  // namespace millrace::test
