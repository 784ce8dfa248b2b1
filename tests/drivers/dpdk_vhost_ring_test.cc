#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "dpdk/vhost_ring.h"

namespace millrace::drivers::dpdk {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// A virtqueue of eight descriptors in this process's memory, each of 256 bytes of the peer's at 0x10000.
class DpdkVhostRing : public testing::Test {
 protected:
  static constexpr std::uint32_t kSize = 8;
  static constexpr std::uint64_t kPeerAddress = 0x10000;
  struct Rings {
    std::array<VhostRing::Descriptor, kSize> descriptors{};
    struct {
      std::uint16_t flags = 0, index = 0;
      std::array<std::uint16_t, kSize> ids{};
    } available;
    VhostRing::Used used{};
  };

  DpdkVhostRing() {
    for (std::uint32_t i = 0; i < kSize; ++i) rings.descriptors[i] = {kPeerAddress + 256 * i, 100 + i, 0, 0};
  }
  [[nodiscard]] VhostRing::Place place() {
    PeerMemory memory;
    memory.add({kPeerAddress, bytes.size(), bytes.data()});
    memory.add({0, sizeof rings, reinterpret_cast<const std::uint8_t*>(&rings)});
    return {rings.descriptors.data(), reinterpret_cast<VhostRing::Available*>(&rings.available), &rings.used,
            kSize, memory};
  }
  /// Which descriptors' bytes are asked for.
  [[nodiscard]] std::vector<std::pair<std::ptrdiff_t, std::uint32_t>> asked(std::size_t most) {
    std::vector<std::pair<std::ptrdiff_t, std::uint32_t>> all;
    VhostRing::Ahead ahead(ring);
    for (std::size_t i = 0; i < most && !ahead.ended(); ++i) {
      if (const VhostRing::Ahead::Bytes at = ahead.take(); at.first != nullptr)
        all.emplace_back(at.first - bytes.data(), at.length);
    }
    return all;
  }

  std::array<std::uint8_t, 256 * kSize> bytes{};
  Rings rings;
  VhostRing ring;
};

TEST_F(DpdkVhostRing, NothingIsLookedAtBeforeItIsThere) {
  rings.available.index = 3;
  EXPECT_THAT(asked(8), IsEmpty());
  VhostRing::Ahead ahead(ring);
  EXPECT_TRUE(ahead.ended());
  ahead.ask_to_read(8);
  ahead.ask_to_write(64);
  EXPECT_EQ(ring.asked(), 0u);
}

TEST_F(DpdkVhostRing, WhatIsAvailableAndNotUsedIsAskedForInItsOrder) {
  ring.attach(place());
  EXPECT_THAT(asked(8), IsEmpty());
  rings.available.ids = {5, 2, 7, 0, 1, 3, 4, 6};
  rings.available.index = 4;
  rings.used.index = 1;
  EXPECT_THAT(asked(8), ElementsAre(std::pair(512, 102u), std::pair(1792, 107u), std::pair(0, 100u)));
  EXPECT_THAT(asked(2), ElementsAre(std::pair(512, 102u), std::pair(1792, 107u)));
  EXPECT_THAT(asked(0), IsEmpty());
  EXPECT_EQ(ring.asked(), 5u);
}

TEST_F(DpdkVhostRing, IndicesGoRoundTheRingAndRoundTheirSixteenBits) {
  ring.attach(place());
  rings.available.ids = {0, 1, 2, 3, 4, 5, 6, 7};
  rings.used.index = 65534;
  rings.available.index = 2;
  EXPECT_THAT(asked(8), ElementsAre(std::pair(1536, 106u), std::pair(1792, 107u), std::pair(0, 100u),
                                    std::pair(256, 101u)));
}

TEST_F(DpdkVhostRing, AFrameIsWrittenToAsManyBuffersAsItTakes) {
  ring.attach(place());
  rings.available.ids = {0, 1, 2, 3, 4, 5, 6, 7};
  rings.available.index = 6;
  VhostRing::Ahead ahead(ring);
  ahead.ask_to_write(88);  // and 12 of virtio's header: all of the first, which has 100
  EXPECT_EQ(ring.asked(), 1u);
  ahead.ask_to_write(190);  // one more than the next has
  EXPECT_EQ(ring.asked(), 3u);
  ahead.ask_to_write(1);
  EXPECT_EQ(ring.asked(), 4u);
  ahead.ask_to_write(65000);
  EXPECT_EQ(ring.asked(), 6u);
  EXPECT_TRUE(ahead.ended());
  ahead.ask_to_write(1);
  EXPECT_EQ(ring.asked(), 6u);
}

TEST_F(DpdkVhostRing, WaitingFramesAreReadOneABuffer) {
  ring.attach(place());
  rings.available.index = 6;
  VhostRing::Ahead(ring).ask_to_read(4);
  EXPECT_EQ(ring.asked(), 4u);
  VhostRing::Ahead(ring).ask_to_read(100);
  EXPECT_EQ(ring.asked(), 10u);
}

TEST_F(DpdkVhostRing, APeerMayClaimAnything) {
  ring.attach(place());
  rings.available.ids.fill(0xffff);  // no such descriptor
  rings.available.index = 0x8000;    // nor so many
  rings.used.index = 3;
  EXPECT_THAT(asked(1000), SizeIs(kSize));
  rings.descriptors[7].address = kPeerAddress + bytes.size();  // just behind its memory
  EXPECT_THAT(asked(1000), IsEmpty());
  rings.descriptors[7].address = kPeerAddress - 1;
  EXPECT_THAT(asked(1000), IsEmpty());
  // All that is asked for may be anywhere, also where nothing is mapped.
  VhostRing::Place other = place();
  other.memory.add(
      {std::uint64_t{1} << 40, std::uint64_t{1} << 40, reinterpret_cast<const std::uint8_t*>(16)});
  ASSERT_TRUE(ring.attach(std::move(other)));
  rings.descriptors[7] = {std::uint64_t{1} << 40, ~std::uint32_t{0}, 0, 0};
  VhostRing::Ahead(ring).ask_to_read(1000);
  rings.descriptors[7].length = 1 << 16;
  VhostRing::Ahead(ring).ask_to_write(~std::uint32_t{0});
  rings.descriptors[7].length = 0;  // nor is there an end of what has no length
  VhostRing::Ahead(ring).ask_to_write(1);
}

TEST_F(DpdkVhostRing, RingsThatAreNotWholeInThePeersMemoryAreLeftAlone) {
  rings.available.index = 3;
  const auto refused = [this](auto change) {
    VhostRing::Place other = place();
    change(other);
    return !ring.attach(std::move(other)) && asked(8).empty();
  };
  ASSERT_FALSE(refused([](VhostRing::Place&) {}));
  const auto later = [](auto* part, std::ptrdiff_t distance) {
    return reinterpret_cast<decltype(part)>(reinterpret_cast<const std::uint8_t*>(part) + distance);
  };
  using Place = VhostRing::Place;
  EXPECT_TRUE(refused([](Place& other) { other.descriptors = nullptr; }));
  EXPECT_TRUE(refused([](Place& other) { other.available = nullptr; }));
  EXPECT_TRUE(refused([](Place& other) { other.used = nullptr; }));
  EXPECT_TRUE(refused([](Place& other) { other.memory = {}; }));
  EXPECT_TRUE(refused([](Place& other) { other.size = 0; }));
  EXPECT_TRUE(refused([](Place& other) { other.size = 6; }));
  EXPECT_TRUE(refused([](Place& other) { other.size = 16; }));
  EXPECT_TRUE(refused([](Place& other) { other.size = std::uint32_t{1} << 31; }));
  EXPECT_TRUE(refused([&](Place& other) { other.descriptors = later(other.descriptors, 4); }));
  EXPECT_TRUE(refused([&](Place& other) { other.available = later(other.available, 1); }));
  EXPECT_TRUE(
      refused([&](Place& other) { other.descriptors = later(other.descriptors, sizeof rings - 120); }));
  EXPECT_TRUE(refused([&](Place& other) { other.available = later(other.available, 8); }));
  EXPECT_TRUE(refused([&](Place& other) { other.used = later(other.used, sizeof rings); }));
}

TEST_F(DpdkVhostRing, AddressesAreFoundInAnyRegion) {
  std::array<std::uint8_t, 16> low{}, high{};
  PeerMemory memory;
  memory.add({0x1000, low.size(), low.data()});
  memory.add({0xffff'ffff'ffff'fff0, high.size(), high.data()});
  EXPECT_EQ(memory.find(0x1000), low.data());
  EXPECT_EQ(memory.find(0x100f), low.data() + 15);
  EXPECT_EQ(memory.find(0x1010), nullptr);
  EXPECT_EQ(memory.find(0xfff), nullptr);
  EXPECT_EQ(memory.find(0xffff'ffff'ffff'ffff), high.data() + 15);
  EXPECT_EQ(memory.find(0), nullptr);
}

TEST_F(DpdkVhostRing, WhoTakesItAwayWaitsForWhoLooks) {
  // The place is gone whenever detach() has returned.
  std::atomic<bool> there{false}, done{false};
  rings.available.index = 1;
  std::atomic<std::uint64_t> seen{0};
  std::thread looker([&] {
    while (!done.load()) {
      VhostRing::Ahead ahead(ring);
      if (ahead.ended()) continue;
      ahead.take();
      for (int i = 0; i < 100; ++i) EXPECT_TRUE(there.load());
      ++seen;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    there.store(true);
    ring.attach(place());
    if (i % 8 == 0) std::this_thread::yield();
    ring.detach();
    there.store(false);
  }
  // At least once it was met.
  there.store(true);
  ring.attach(place());
  while (seen.load() == 0) std::this_thread::yield();
  done.store(true);
  looker.join();
  EXPECT_EQ(seen.load(), ring.asked());
}

}  // namespace
}  // namespace millrace::drivers::dpdk
