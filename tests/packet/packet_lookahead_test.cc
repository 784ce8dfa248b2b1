#include "packet/packet_lookahead.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "packet/pool.h"

namespace millrace {
namespace {

/// A queue of packets that carry their numbers: some without bytes, some with a fragment, some spilling over.
PacketQueue queue_of(PacketPool& pool, std::uint32_t count) {
  PacketQueue queue;
  for (std::uint32_t i = 0; i < count; ++i) {
    PacketPtr packet = pool.allocate(16);
    packet->timestamp = Instant{Duration{i}};
    if (i % 3 != 0) std::fill_n(packet->put(16), 16, static_cast<std::uint8_t>(i));
    const std::uint32_t fragments = i % 5 == 1 ? 1 : i % 50 == 2 ? 6 : 0;
    for (std::uint32_t j = 0; j < fragments; ++j) {
      BufferRef buffer = pool.allocate_buffer(100);
      EXPECT_TRUE(packet->append_fragment(std::move(buffer), 3, 9));
    }
    queue.push_back(std::move(packet));
  }
  return queue;
}

class PacketLookaheadOf : public testing::TestWithParam<std::uint32_t> {};

TEST_P(PacketLookaheadOf, IsNoHindranceToWhoWorksTheQueueOff) {
  PacketPool pool(PacketPool::Limits{});
  PacketQueue queue = queue_of(pool, GetParam());
  PacketLookahead ahead(queue);
  for (std::uint32_t i = 0; i < GetParam(); ++i) {
    ahead.begin_next();
    const PacketPtr packet = queue.pop_front();
    ASSERT_EQ(packet->timestamp, Instant{Duration{i}});
  }
  EXPECT_TRUE(queue.empty());
  ahead.begin_next();  // there is none
  EXPECT_EQ(pool.packets_in_use(), 0u);
}

TEST_P(PacketLookaheadOf, MayBeginPacketsAgainThatAreTakenLater) {
  PacketPool pool(PacketPool::Limits{});
  PacketQueue queue = queue_of(pool, GetParam());
  PacketLookahead ahead(queue);
  std::uint32_t taken = 0;
  while (!queue.empty()) {
    // Two are looked at, one is taken.
    ahead.begin_next();
    ahead.begin_next();
    ASSERT_EQ(queue.pop_front()->timestamp, Instant{Duration{taken++}});
  }
  EXPECT_EQ(taken, GetParam());
}

INSTANTIATE_TEST_SUITE_P(ShortAndLong, PacketLookaheadOf, testing::Values(0u, 1u, 63u, 64u, 65u, 2000u));

}  // namespace
}  // namespace millrace
