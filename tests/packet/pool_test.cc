#include "packet/pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace millrace {
namespace {

void expect_all_returned(const PacketPool& pool) {
  EXPECT_EQ(pool.packets_in_use(), 0u);
  EXPECT_EQ(pool.buffers_in_use(), 0u);
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

/// A driver with slots of its own: notes which came back, in which order.
struct Ring {
  explicit Ring(PacketPool& p) : pool(p) {}

  BufferRef lend(std::size_t slot) {
    return pool.adopt(slots[slot].data(), static_cast<std::uint32_t>(slots[slot].size()), &Ring::take_back,
                      this);
  }
  static void take_back(Buffer* buffer) {
    auto& ring = *static_cast<Ring*>(buffer->owner());
    for (std::size_t i = 0; i < ring.slots.size(); ++i) {
      if (ring.slots[i].data() == buffer->bytes()) ring.returned.push_back(i);
    }
    ring.pool.free_external(buffer);
  }

  PacketPool& pool;
  std::array<std::array<std::uint8_t, 256>, 8> slots{};
  std::vector<std::size_t> returned;
};

TEST(PacketPool, ABufferIsOfTheSmallestClassThatHoldsIt) {
  PacketPool pool;
  EXPECT_EQ(pool.allocate_buffer(0)->capacity(), 512u);
  EXPECT_EQ(pool.allocate_buffer(512)->capacity(), 512u);
  EXPECT_EQ(pool.allocate_buffer(513)->capacity(), 2048u);
  EXPECT_EQ(pool.allocate_buffer(2049)->capacity(), 10240u);
  EXPECT_EQ(pool.allocate_buffer(69632)->capacity(), 69632u);
  EXPECT_EQ(PacketPool::capacity_for(10241), 69632u);
  EXPECT_EQ(PacketPool::capacity_for(69633), 0u);
  expect_all_returned(pool);
}

TEST(PacketPool, NoClassIsLargerThanTheLargest) {
  PacketPool pool;
  EXPECT_FALSE(pool.allocate_buffer(69633));
  EXPECT_EQ(pool.allocate(69632, 1), nullptr);
  EXPECT_EQ(pool.counters()[PoolCounter::kBufferRefused], 2u);
  expect_all_returned(pool);
}

TEST(PacketPool, BytesAreAlignedToACacheLineAndAllUsable) {
  PacketPool pool;
  std::vector<BufferRef> buffers;
  for (const std::uint32_t bytes : PacketPool::kClassBytes) {
    for (int i = 0; i < 200; ++i) {
      buffers.push_back(pool.allocate_buffer(bytes));
      ASSERT_TRUE(buffers.back());
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffers.back()->bytes()) % 64, 0u);
      std::memset(buffers.back()->bytes(), static_cast<int>(buffers.size() % 251), bytes);
    }
  }
  // No two overlap: each still has its own mark at both ends.
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const std::uint8_t mark = static_cast<std::uint8_t>((i + 1) % 251);
    EXPECT_EQ(buffers[i]->bytes()[0], mark);
    EXPECT_EQ(buffers[i]->bytes()[buffers[i]->capacity() - 1], mark);
  }
  buffers.clear();
  expect_all_returned(pool);
}

TEST(PacketPool, TheWarmestBufferAndPacketComeFirst) {
  PacketPool pool;
  BufferRef first = pool.allocate_buffer(100);
  BufferRef second = pool.allocate_buffer(100);
  const Buffer* const was_first = first.get();
  const Buffer* const was_second = second.get();
  second.reset();
  first.reset();
  first = pool.allocate_buffer(100);
  second = pool.allocate_buffer(100);
  EXPECT_EQ(first.get(), was_first);
  EXPECT_EQ(second.get(), was_second);

  PacketPtr packet = pool.allocate(10);
  const Packet* const was = packet.get();
  packet.reset();
  packet = pool.allocate(10);
  EXPECT_EQ(packet.get(), was);
}

TEST(PacketPool, AWarmPoolGrowsNoFurther) {
  PacketPool pool;
  std::size_t grown = 0;
  for (int round = 0; round < 50; ++round) {
    PacketQueue queue;
    for (std::size_t i = 0; i < 1000; ++i) {
      PacketPtr packet = pool.allocate(i % 9000);
      ASSERT_NE(packet, nullptr);
      for (int f = 0; f < 6; ++f) {
        ASSERT_TRUE(packet->append_fragment(pool.allocate_buffer(1), 0, 1));
      }
      queue.push_back(std::move(packet));
    }
    if (round == 0) grown = pool.bytes_grown();
    EXPECT_EQ(pool.bytes_grown(), grown);
  }
  EXPECT_GT(grown, 0u);
  expect_all_returned(pool);
}

TEST(PacketPool, CountsWhatIsInUse) {
  PacketPool pool;
  PacketPtr packet = pool.allocate(1500);
  BufferRef buffer = pool.allocate_buffer(100);
  EXPECT_EQ(pool.packets_in_use(), 1u);
  EXPECT_EQ(pool.buffers_in_use(), 2u);
  EXPECT_EQ(pool.bytes_in_use(), 2048u + 512u);
  EXPECT_EQ(pool.available(), pool.limits().bytes - 2560);
  BufferRef share = buffer;
  buffer.reset();
  EXPECT_EQ(pool.buffers_in_use(), 2u);
  share.reset();
  packet.reset();
  expect_all_returned(pool);
}

TEST(PacketPool, NormalStopsAtTheLimitAndControlLivesOffTheReserve) {
  PacketPool pool{PacketPool::Limits{.bytes = 4 * 512, .reserve = 2 * 512}};
  std::vector<BufferRef> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(pool.allocate_buffer(512));
    EXPECT_TRUE(held.back());
  }
  EXPECT_EQ(pool.available(), 0u);
  EXPECT_FALSE(pool.allocate_buffer(1));
  EXPECT_EQ(pool.allocate(1), nullptr);
  EXPECT_EQ(pool.counters()[PoolCounter::kBufferRefused], 2u);
  EXPECT_EQ(pool.counters()[PoolCounter::kReserveUsed], 0u);

  for (int i = 0; i < 2; ++i) {
    held.push_back(pool.allocate_buffer(512, Priority::kControl));
    EXPECT_TRUE(held.back());
  }
  EXPECT_EQ(pool.counters()[PoolCounter::kReserveUsed], 2u);
  EXPECT_EQ(pool.available(), 0u);
  EXPECT_FALSE(pool.allocate_buffer(1, Priority::kControl));
  EXPECT_EQ(pool.counters()[PoolCounter::kBufferRefused], 3u);

  held.resize(3);
  EXPECT_TRUE(pool.allocate_buffer(512));
  EXPECT_FALSE(pool.allocate_buffer(513));
  held.clear();
  expect_all_returned(pool);
}

TEST(PacketPool, ControlWithinTheLimitLeavesTheReserveAlone) {
  PacketPool pool{PacketPool::Limits{.bytes = 512, .reserve = 512}};
  const BufferRef buffer = pool.allocate_buffer(1, Priority::kControl);
  EXPECT_TRUE(buffer);
  EXPECT_EQ(pool.counters()[PoolCounter::kReserveUsed], 0u);
}

TEST(PacketPool, RefusesPacketsAtTheirLimitAndKeepsNoBufferThen) {
  PacketPool pool{PacketPool::Limits{.packets = 3}};
  PacketQueue held;
  for (int i = 0; i < 3; ++i) held.push_back(pool.allocate(10));
  EXPECT_EQ(pool.allocate(10), nullptr);
  EXPECT_EQ(pool.wrap(pool.allocate_buffer(10), 0, 10), nullptr);
  EXPECT_EQ(held.front().split(0), nullptr);
  EXPECT_EQ(pool.buffers_in_use(), 3u);
  EXPECT_EQ(pool.counters()[PoolCounter::kPacketRefused], 3u);
  held.pop_front().reset();
  EXPECT_NE(pool.allocate(10), nullptr);
  held.clear();
  expect_all_returned(pool);
}

TEST(PacketPool, WithoutASpillArrayAPacketKeepsWhatItHas) {
  PacketPool pool{PacketPool::Limits{.spills = 1}};
  PacketPtr rich = pool.allocate(10);
  PacketPtr poor = pool.allocate(10);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(rich->append_fragment(pool.allocate_buffer(10), 0, 10));
    ASSERT_TRUE(poor->append_fragment(pool.allocate_buffer(10), 0, 10));
  }
  EXPECT_TRUE(rich->append_fragment(pool.allocate_buffer(10), 0, 10));
  EXPECT_FALSE(poor->append_fragment(pool.allocate_buffer(10), 0, 10));
  EXPECT_EQ(poor->fragment_count(), 4u);
  EXPECT_EQ(poor->length(), 40u);
  EXPECT_EQ(pool.counters()[PoolCounter::kSpillRefused], 1u);

  EXPECT_EQ(rich->clone(0, 0), nullptr);
  PacketPtr other = pool.allocate(10);
  other->put(10);
  EXPECT_FALSE(poor->append(other));
  EXPECT_NE(other, nullptr);

  // Four fragments fit inline again: the array goes back and serves the other one.
  rich->pull(10);
  EXPECT_TRUE(poor->append(other));
  EXPECT_EQ(poor->length(), 50u);
  EXPECT_EQ(pool.buffers_in_use(), 2u + 4u + 5u);
  rich.reset();
  poor.reset();
  expect_all_returned(pool);
}

TEST(PacketPool, AnAdoptedBufferGoesBackWhenItsLastReaderLetsGo) {
  PacketPool pool;
  Ring ring{pool};
  PacketPtr packet = pool.wrap(ring.lend(0), 10, 100);
  ASSERT_TRUE(packet->append_fragment(ring.lend(1), 0, 256));
  EXPECT_EQ(pool.bytes_in_use(), 0u);  // not ours
  EXPECT_EQ(pool.buffers_in_use(), 2u);

  PacketPtr copy = packet->clone(20, 0);
  packet.reset();
  EXPECT_TRUE(ring.returned.empty());
  copy->pull(100);
  EXPECT_EQ(ring.returned, (std::vector<std::size_t>{0}));
  copy.reset();
  EXPECT_EQ(ring.returned, (std::vector<std::size_t>{0, 1}));
  expect_all_returned(pool);
}

TEST(PacketPool, FragmentsGoBackInTheirOrder) {
  PacketPool pool;
  Ring ring{pool};
  PacketPtr packet = pool.allocate(1);
  for (const std::size_t slot : {3U, 1U, 4U, 0U, 5U, 2U})
    ASSERT_TRUE(packet->append_fragment(ring.lend(slot), 0, 200));
  packet->pull(450);
  EXPECT_EQ(ring.returned, (std::vector<std::size_t>{3, 1}));
  packet->trim(packet->length() - 200);
  EXPECT_EQ(ring.returned, (std::vector<std::size_t>{3, 1, 2}));
  packet.reset();
  EXPECT_EQ(ring.returned, (std::vector<std::size_t>{3, 1, 2, 4, 0, 5}));
  expect_all_returned(pool);
}

TEST(PacketPool, CompactGivesADriverItsSlotBackWhenAsked) {
  PacketPool pool;
  Ring ring{pool};
  std::memset(ring.slots[2].data(), 0x5a, 256);
  PacketPtr packet = pool.wrap(ring.lend(2), 0, 256);
  EXPECT_TRUE(packet->compact());
  EXPECT_TRUE(ring.returned.empty());
  EXPECT_TRUE(packet->compact(true));
  EXPECT_EQ(ring.returned, (std::vector<std::size_t>{2}));
  ring.slots[2].fill(0);
  EXPECT_EQ(packet->length(), 256u);
  EXPECT_EQ(packet->data()[255], 0x5a);
}

TEST(PacketPool, CompactWithoutMemoryLeavesTheSlotWhereItIs) {
  PacketPool pool{PacketPool::Limits{.bytes = 0, .reserve = 0}};
  Ring ring{pool};
  PacketPtr packet = pool.wrap(ring.lend(2), 0, 256);
  EXPECT_FALSE(packet->compact(true));
  EXPECT_TRUE(ring.returned.empty());
  EXPECT_EQ(packet->data(), ring.slots[2].data());
}

TEST(PacketPool, AWrappedSharedBufferHasNoRoomAroundIt) {
  PacketPool pool;
  BufferRef buffer = pool.allocate_buffer(512);
  PacketPtr shared = pool.wrap(buffer, 100, 50);
  EXPECT_EQ(shared->headroom(), 0u);
  EXPECT_EQ(shared->tailroom(), 0u);
  EXPECT_FALSE(shared->linear_writable());
  shared.reset();
  PacketPtr alone = pool.wrap(std::move(buffer), 100, 50);
  EXPECT_EQ(alone->headroom(), 100u);
  EXPECT_EQ(alone->tailroom(), 362u);
  EXPECT_TRUE(alone->linear_writable());
}

TEST(PacketPool, EveryCounterHasAName) {
  PacketPool pool;
  std::vector<std::string> names;
  pool.counters().for_each([&](std::string_view name, std::uint64_t) { names.emplace_back(name); });
  ASSERT_EQ(names.size(), static_cast<std::size_t>(PoolCounter::kCount));
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_FALSE(names[i].empty());
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(names[i], names[j]);
  }
}

}  // namespace
}  // namespace millrace
