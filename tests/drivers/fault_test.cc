#include "fault/fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <set>

#include "frames.h"
#include "open_device.h"
#include "pipe/pipe.h"
#include "pipe/pipe_registry.h"

namespace millrace::drivers {
namespace {

using testing::HasSubstr;
using Counter = ImpairmentCounter;

constexpr Instant kStart = kEpoch + 100s;

/// A pipe with a FaultDevice at end a. Frames carry their number in their payload.
class Fault : public testing::Test {
 protected:
  void make(const FaultOptions& options) {
    PipeOptions pipe;
    pipe.queue = 1'000'000;
    PipeEnds ends = make_pipe(pipe);
    fault_ = std::make_unique<FaultDevice>(std::move(ends.a), options);
    far_ = std::move(ends.b);
  }

  static Bytes numbered(std::uint32_t number, std::size_t payload = 100) {
    FrameSpec spec;
    spec.udp = true;
    spec.payload = pattern(payload, number);
    spec.payload[0] = static_cast<std::uint8_t>(number >> 16);
    spec.payload[1] = static_cast<std::uint8_t>(number >> 8);
    spec.payload[2] = static_cast<std::uint8_t>(number);
    return make_frame(spec);
  }
  static std::uint32_t number_of(const Packet& packet) {
    const Bytes bytes = bytes_of(packet);
    return std::uint32_t{bytes[42]} << 16 | std::uint32_t{bytes[43]} << 8 | bytes[44];
  }

  /// Sends `count` frames through the fault device, a millisecond apart, and returns the numbers that come
  /// out at the far end in the order in which they do; `look` sees each frame.
  std::vector<std::uint32_t> transmit(
      std::uint32_t count, const std::function<void(const Packet&)>& look = [](const Packet&) {}) {
    std::vector<std::uint32_t> numbers;
    Instant now = kStart;
    const auto collect = [&] {
      PacketQueue in;
      far_->rx_burst(pool_, in, 1000, now);
      while (PacketPtr packet = in.pop_front()) {
        look(*packet);
        numbers.push_back(number_of(*packet));
      }
    };
    for (std::uint32_t i = 0; i < count; ++i, now += 1ms) {
      PacketQueue queue;
      queue.push_back(to_packet(pool_, numbered(i)));
      EXPECT_EQ(fault_->tx_burst(queue, now), 1u);
      collect();
    }
    while (fault_->max_sleep(now) != Duration::max()) {
      now += fault_->max_sleep(now);
      PacketQueue none;
      fault_->tx_burst(none, now);
      collect();
    }
    return numbers;
  }

  static FaultOptions tx(const ImpairmentOptions& impairment, std::uint64_t seed = 7) {
    FaultOptions options;
    options.tx = impairment;
    options.seed = seed;
    return options;
  }

  PacketPool pool_;
  std::unique_ptr<FaultDevice> fault_;
  std::unique_ptr<NetDevice> far_;
};

std::vector<std::uint32_t> counting(std::uint32_t count) {
  std::vector<std::uint32_t> numbers(count);
  for (std::uint32_t i = 0; i < count; ++i) numbers[i] = i;
  return numbers;
}

TEST_F(Fault, ChangesNothingWithoutOptions) {
  make({});
  EXPECT_EQ(transmit(100), counting(100));
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(Fault, LosesAboutTheShareItWasAskedTo) {
  make(tx({.loss = 0.1}));
  const auto numbers = transmit(10'000);
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  // Five standard deviations (30 each).
  EXPECT_NEAR(static_cast<double>(numbers.size()), 9000, 150);
  EXPECT_EQ(fault_->tx_counters()[Counter::kLost], 10'000 - numbers.size());
  EXPECT_EQ(fault_->tx_counters()[Counter::kFrames], 10'000u);
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(Fault, LosesEverythingAtProbabilityOne) {
  make(tx({.loss = 1}));
  EXPECT_TRUE(transmit(100).empty());
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(Fault, DuplicatesAboutTheShareItWasAskedTo) {
  make(tx({.duplicate = 0.1}));
  auto numbers = transmit(10'000);
  EXPECT_NEAR(static_cast<double>(numbers.size()), 11'000, 150);
  EXPECT_EQ(fault_->tx_counters()[Counter::kDuplicated], numbers.size() - 10'000);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  EXPECT_EQ(numbers, counting(10'000));
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(Fault, TurnsExactlyOneBitBehindTheEthernetHeader) {
  make(tx({.corrupt = 0.2}));
  std::uint32_t index = 0;
  std::uint32_t corrupted = 0;
  std::vector<bool> hit(142 * 8);
  transmit(5000, [&](const Packet& packet) {
    const Bytes sent = numbered(index++);
    const Bytes got = bytes_of(packet);
    ASSERT_EQ(got.size(), sent.size());
    int bits = 0;
    for (std::size_t i = 0; i < sent.size(); ++i) {
      const auto difference = static_cast<std::uint8_t>(sent[i] ^ got[i]);
      bits += std::popcount(difference);
      if (difference != 0) {
        EXPECT_GE(i, 14u);
        hit[i * 8 + static_cast<std::size_t>(std::countr_zero(difference))] = true;
      }
    }
    EXPECT_LE(bits, 1);
    corrupted += static_cast<std::uint32_t>(bits);
  });
  EXPECT_NEAR(corrupted, 1000, 145);
  EXPECT_EQ(fault_->tx_counters()[Counter::kCorrupted], corrupted);
  // 1000 throws at 1024 bits hit about 63 % of them, headers included.
  EXPECT_NEAR(static_cast<double>(std::count(hit.begin(), hit.end(), true)), 645, 80);
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(Fault, LeavesTheSendersStorageAloneWhenItCorrupts) {
  make(tx({.corrupt = 1}));
  const Bytes original = numbered(1);
  PacketPtr kept = to_packet(pool_, original);
  PacketQueue queue;
  queue.push_back(kept->clone(14, 0));  // shares all but the Ethernet header
  EXPECT_EQ(fault_->tx_burst(queue, kStart), 1u);
  EXPECT_EQ(bytes_of(*kept), original);
  PacketQueue in;
  far_->rx_burst(pool_, in, 1, kStart);
  ASSERT_EQ(in.size(), 1u);
  EXPECT_NE(bytes_of(in.front()), original);
}

TEST_F(Fault, HoldsReorderedFramesBackForTheGap) {
  make(tx({.reorder = 0.05, .gap = 3, .hold = 1s}));
  const auto numbers = transmit(5000);
  auto sorted = numbers;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, counting(5000));
  std::uint32_t late = 0;
  std::uint32_t highest = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    highest = std::max(highest, numbers[i]);
    if (numbers[i] >= highest) continue;
    ++late;
    // Frames that passed it: it comes three places later, or a little more where others were held back too.
    const auto passed = static_cast<std::size_t>(
        std::count_if(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(i),
                      [&](std::uint32_t n) { return n > numbers[i]; }));
    EXPECT_GE(passed, 3u);
    EXPECT_LE(passed, 6u);
  }
  EXPECT_NEAR(late, 250, 78);
  EXPECT_NEAR(static_cast<double>(fault_->tx_counters()[Counter::kReordered]), 250, 78);
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(Fault, LetsTheLastFrameGoWhenNoneComesToPassIt) {
  make(tx({.reorder = 1, .gap = 3, .hold = 10ms}));
  PacketQueue queue;
  queue.push_back(to_packet(pool_, numbered(1)));
  fault_->tx_burst(queue, kStart);
  EXPECT_EQ(fault_->max_sleep(kStart), 10ms);
  PacketQueue in;
  PacketQueue scratch;
  fault_->rx_burst(pool_, scratch, 10, kStart + 10ms - 1ns);
  EXPECT_EQ(far_->rx_burst(pool_, in, 10, kStart + 10ms - 1ns), 0u);
  fault_->rx_burst(pool_, scratch, 10, kStart + 10ms);
  EXPECT_EQ(far_->rx_burst(pool_, in, 10, kStart + 10ms), 1u) << "rx_burst sends delayed frames too";
}

TEST_F(Fault, DelaysByTheTimeAskedFor) {
  make(tx({.delay = 20ms}));
  PacketQueue queue;
  queue.push_back(to_packet(pool_, numbered(1)));
  fault_->tx_burst(queue, kStart);
  EXPECT_EQ(fault_->max_sleep(kStart + 5ms), 15ms);
  PacketQueue in;
  fault_->tx_burst(queue, kStart + 20ms - 1ns);
  EXPECT_EQ(far_->rx_burst(pool_, in, 10, kStart + 20ms), 0u);
  fault_->tx_burst(queue, kStart + 20ms);
  EXPECT_EQ(far_->rx_burst(pool_, in, 10, kStart + 20ms), 1u);
}

TEST_F(Fault, JitterSpreadsDelaysOverItsRange) {
  make(tx({.delay = 10ms, .jitter = 50ms}));
  const auto numbers = transmit(1000);
  EXPECT_FALSE(std::is_sorted(numbers.begin(), numbers.end()));
  auto sorted = numbers;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, counting(1000));
  // Sent 1 ms apart: nobody can be overtaken by one that was sent 50 ms or more later.
  for (std::size_t i = 0; i < numbers.size(); ++i)
    EXPECT_LE(std::abs(static_cast<int>(i) - static_cast<int>(numbers[i])), 51);
}

TEST_F(Fault, SpreadVariesTheDelayInOrder) {
  make(tx({.delay = 10ms, .spread = 20ms}));
  // One frame a millisecond; when each arrives, to the millisecond.
  std::vector<std::uint32_t> numbers;
  std::set<std::size_t> delays;
  PacketQueue queue, in;
  for (std::uint32_t ms = 0; ms < 1040; ++ms) {
    if (ms < 1000) queue.push_back(to_packet(pool_, numbered(ms)));
    const Instant now = kStart + std::chrono::milliseconds(ms);
    fault_->tx_burst(queue, now);
    far_->rx_burst(pool_, in, 100, now);
    while (PacketPtr frame = in.pop_front()) {
      numbers.push_back(number_of(*frame));
      delays.insert(ms - numbers.back());
    }
  }
  EXPECT_EQ(numbers, counting(1000)) << "in order, and none is left";
  EXPECT_GE(*delays.begin(), 10u);
  EXPECT_LE(*delays.rbegin(), 31u);
  EXPECT_GT(delays.size(), 10u) << "they vary";
}

TEST_F(Fault, LosesWhatFindsTheQueueOfTheRateFull) {
  make(tx({.rate = 1'136'000, .queue = 5}));  // a frame of 142 bytes each millisecond
  PacketQueue queue;
  for (std::uint32_t i = 0; i < 20; ++i) queue.push_back(to_packet(pool_, numbered(i)));
  EXPECT_EQ(fault_->tx_burst(queue, kStart), 20u);
  EXPECT_EQ(fault_->tx_counters()[Counter::kQueueFull], 15u);
  EXPECT_EQ(fault_->max_sleep(kStart), 1ms);
  PacketQueue in;
  fault_->tx_burst(queue, kStart + 3ms);
  EXPECT_EQ(far_->rx_burst(pool_, in, 10, kStart + 3ms), 3u);
}

TEST_F(Fault, LosesWhatFindsTheBytesOfTheQueueTaken) {
  make(tx({.rate = 1'136'000, .queue_bytes = 1000}));  // frames of 142 bytes
  PacketQueue queue;
  for (std::uint32_t i = 0; i < 20; ++i) queue.push_back(to_packet(pool_, numbered(i)));
  EXPECT_EQ(fault_->tx_burst(queue, kStart), 20u);
  EXPECT_EQ(fault_->tx_counters()[Counter::kQueueFull], 13u);
  // Half a frame has left; another fits when a whole one has.
  queue.push_back(to_packet(pool_, numbered(20)));
  fault_->tx_burst(queue, kStart + 500us);
  EXPECT_EQ(fault_->tx_counters()[Counter::kQueueFull], 14u);
  queue.push_back(to_packet(pool_, numbered(21)));
  fault_->tx_burst(queue, kStart + 1ms);
  EXPECT_EQ(fault_->tx_counters()[Counter::kQueueFull], 14u);
}

TEST_F(Fault, LosesNoTcpSegmentsSmallerThanItWasTold) {
  make(tx({.loss = 1, .loss_from = 1000}));
  FrameSpec tcp;
  tcp.payload = pattern(999, 1);
  FrameSpec full = tcp;
  full.payload = pattern(1000, 2);
  FrameSpec udp = full;
  udp.udp = true;
  PacketQueue queue;
  for (const FrameSpec& spec : {tcp, full, udp}) queue.push_back(to_packet(pool_, make_frame(spec)));
  fault_->tx_burst(queue, kStart);
  PacketQueue in;
  ASSERT_EQ(far_->rx_burst(pool_, in, 10, kStart), 2u);
  EXPECT_EQ(bytes_of(*in.pop_front()), make_frame(tcp));
  EXPECT_EQ(bytes_of(*in.pop_front()), make_frame(udp));
}

TEST_F(Fault, DoesTheSameAgainWithTheSameSeedAndOtherwiseWithAnother) {
  const ImpairmentOptions bad{
      .loss = 0.05, .duplicate = 0.05, .corrupt = 0.05, .reorder = 0.05, .jitter = 5ms};
  std::vector<std::vector<Bytes>> runs;
  for (const std::uint64_t seed : {1u, 1u, 2u}) {
    make(tx(bad, seed));
    std::vector<Bytes> frames;
    transmit(1000, [&frames](const Packet& packet) { frames.push_back(bytes_of(packet)); });
    runs.push_back(std::move(frames));
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
  fault_.reset();
  EXPECT_EQ(pool_.packets_in_use(), 0u);
}

TEST_F(Fault, GivesBackWhatIsUnderWayWhenItCloses) {
  make(tx({.reorder = 0.5, .delay = 1s}));
  PacketQueue queue;
  for (std::uint32_t i = 0; i < 20; ++i) queue.push_back(to_packet(pool_, numbered(i)));
  fault_->tx_burst(queue, kStart);
  EXPECT_EQ(pool_.packets_in_use(), 20u);
  fault_.reset();
  EXPECT_EQ(pool_.packets_in_use(), 0u);
  EXPECT_EQ(pool_.buffers_in_use(), 0u);
}

TEST_F(Fault, OffersNoOffloads) {
  make({});
  const DeviceCaps& caps = fault_->caps();
  EXPECT_FALSE(caps.tso || caps.lro || caps.tx_checksum || caps.rx_checksum);
  EXPECT_TRUE(caps.scatter);
  EXPECT_EQ(caps.max_gso_bytes, 0u);
}

TEST_F(Fault, CutsReceivedSuperFramesAndCompletesTheirChecksums) {
  make({});
  FrameSpec spec;
  spec.payload = pattern(10 * 1000 + 1, 3);
  PacketQueue queue;
  queue.push_back(to_offload_packet(pool_, spec, 1000));
  FrameSpec small;
  small.payload = pattern(10, 4);
  queue.push_back(to_offload_packet(pool_, small, 0));
  EXPECT_EQ(far_->tx_burst(queue, kStart), 2u);
  PacketQueue in;
  EXPECT_EQ(fault_->rx_burst(pool_, in, 100, kStart), 12u);
  Bytes payload;
  while (in.size() > 1) {
    const PacketPtr packet = in.pop_front();
    const Bytes frame = bytes_of(*packet);
    EXPECT_TRUE(transport_checksum_ok(frame));
    EXPECT_EQ(packet->offload.rx_checksum, Offload::RxChecksum::kUnknown);
    EXPECT_EQ(packet->offload.gso_size, 0);
    EXPECT_FALSE(packet->offload.needs_checksum);
    EXPECT_LE(frame.size(), 1054u);
    payload.insert(payload.end(), frame.begin() + 54, frame.end());
  }
  EXPECT_EQ(payload, spec.payload);
  EXPECT_EQ(bytes_of(in.front()), make_frame(small));
  EXPECT_EQ(in.front().offload.rx_checksum, Offload::RxChecksum::kUnknown);
}

TEST_F(Fault, ReceivesNoMoreThanTheBudgetAndKeepsTheRest) {
  make({});
  FrameSpec spec;
  spec.payload = pattern(10 * 1000, 3);
  PacketQueue queue;
  queue.push_back(to_offload_packet(pool_, spec, 1000));
  far_->tx_burst(queue, kStart);
  PacketQueue in;
  EXPECT_EQ(fault_->rx_burst(pool_, in, 4, kStart), 4u);
  EXPECT_TRUE(fault_->arm());
  EXPECT_EQ(fault_->max_sleep(kStart), 0ns);
  EXPECT_EQ(fault_->rx_burst(pool_, in, 100, kStart), 6u);
  EXPECT_FALSE(fault_->arm());
}

TEST_F(Fault, LosesSingleSegmentsOfASuperFrame) {
  FaultOptions options;
  options.rx.loss = 0.5;
  make(options);
  FrameSpec spec;
  spec.payload = pattern(60 * 1000, 3);
  PacketQueue queue;
  queue.push_back(to_offload_packet(pool_, spec, 1000));
  far_->tx_burst(queue, kStart);
  PacketQueue in;
  const std::size_t received = fault_->rx_burst(pool_, in, 100, kStart);
  EXPECT_NEAR(static_cast<double>(received), 30, 19);
  EXPECT_EQ(fault_->segmented(), 1u);
  EXPECT_EQ(fault_->rx_counters()[Counter::kFrames], 60u);
  EXPECT_EQ(fault_->tx_counters()[Counter::kFrames], 0u);
}

TEST_F(Fault, PassesSuperFramesWholeWhenItShallNotSegment) {
  FaultOptions options;
  options.segment = false;
  make(options);
  EXPECT_TRUE(fault_->caps().tso);
  FrameSpec spec;
  spec.payload = pattern(10 * 1000, 3);
  PacketQueue queue;
  queue.push_back(to_offload_packet(pool_, spec, 1000));
  fault_->tx_burst(queue, kStart);
  PacketQueue in;
  ASSERT_EQ(far_->rx_burst(pool_, in, 100, kStart), 1u);
  EXPECT_EQ(in.front().offload.gso_segs, 10);
}

TEST_F(Fault, IsFullWhileTheInnerDeviceIs) {
  PipeOptions pipe;
  pipe.queue = 2;
  PipeEnds ends = make_pipe(pipe);
  fault_ = std::make_unique<FaultDevice>(std::move(ends.a), FaultOptions{});
  far_ = std::move(ends.b);
  std::uint32_t next = 0;
  std::vector<std::uint32_t> numbers;
  PacketQueue queue;
  for (; next < 2000; ++next) queue.push_back(to_packet(pool_, numbered(next)));
  for (int turn = 0; turn < 2000 && numbers.size() < 2000; ++turn) {
    fault_->tx_burst(queue, kStart);
    EXPECT_EQ(fault_->tx_full(), !queue.empty());
    PacketQueue in;
    far_->rx_burst(pool_, in, 100, kStart);
    while (const PacketPtr packet = in.pop_front()) numbers.push_back(number_of(*packet));
  }
  EXPECT_EQ(numbers, counting(2000));
}

TEST(FaultSpec, OpensOverAnotherDeviceAndAppliesOptionsToTheDirectionNamed) {
  PipeRegistry pipes;
  const DeviceOptions options{.pipes = &pipes};
  PacketPool pool;
  const OpenResult a = open_device("fault(tx.loss=1,seed=3):fault(delay=0):pipe:x", options);
  ASSERT_TRUE(a.ok()) << a.error;
  EXPECT_EQ(a.device->name(), "fault(tx.loss=1,seed=3):fault(delay=0):pipe:x");
  const OpenResult b = open_device("pipe:x", options);
  PacketQueue queue;
  queue.push_back(to_packet(pool, raw_frame(100, 1, {}, {})));
  a.device->tx_burst(queue, kStart);
  queue.push_back(to_packet(pool, raw_frame(100, 1, {}, {})));
  b.device->tx_burst(queue, kStart);
  PacketQueue in;
  EXPECT_EQ(b.device->rx_burst(pool, in, 10, kStart), 0u);
  EXPECT_EQ(a.device->rx_burst(pool, in, 10, kStart), 1u);
}

TEST(FaultSpec, SaysWhatIsWrongWithItsOptionsOrTheDeviceBelow) {
  EXPECT_THAT(open_device("fault(loss=2):pipe:x").error, HasSubstr("loss=2"));
  EXPECT_THAT(open_device("fault(loss_from=65536):pipe:x").error, HasSubstr("loss_from=65536"));
  EXPECT_THAT(open_device("fault(queue_bytes=-1):pipe:x").error, HasSubstr("queue_bytes=-1"));
  EXPECT_THAT(open_device("fault(rx.delay=5):pipe:x").error, HasSubstr("rx.delay=5"));
  EXPECT_THAT(open_device("fault(los=0.1):pipe:x").error, HasSubstr("unknown option \"los\""));
  EXPECT_THAT(open_device("fault(loss=0.1):nothing:x").error, HasSubstr("unknown driver \"nothing\""));
  EXPECT_THAT(open_device("fault(loss=0.1):x").error, HasSubstr("nothing follows"));
}

}  // namespace
}  // namespace millrace::drivers
