#include "packet/packet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "packet/pool.h"

namespace millrace {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes contents(const Packet& packet) {
  Bytes bytes(packet.length());
  packet.copy_out(0, bytes);
  return bytes;
}

/// n bytes counting up from `first`.
Bytes counting(std::size_t n, std::uint8_t first = 0) {
  Bytes bytes(n);
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

class PacketTest : public ::testing::Test {
 protected:
  ~PacketTest() override {
    EXPECT_EQ(pool.packets_in_use(), 0u);
    EXPECT_EQ(pool.buffers_in_use(), 0u);
    EXPECT_EQ(pool.bytes_in_use(), 0u);
  }

  /// A packet with `linear` bytes in its linear region and one fragment for each of `fragments`, counting up
  /// through all.
  PacketPtr make(std::uint32_t linear, std::initializer_list<std::uint32_t> fragments = {}) {
    PacketPtr packet = pool.allocate(linear);
    std::uint8_t next = 0;
    std::uint8_t* to = packet->put(linear);
    for (std::uint32_t i = 0; i < linear; ++i) to[i] = next++;
    for (const std::uint32_t length : fragments) {
      BufferRef buffer = pool.allocate_buffer(length + 7);
      for (std::uint32_t i = 0; i < length; ++i) buffer->bytes()[7 + i] = next++;
      EXPECT_TRUE(packet->append_fragment(std::move(buffer), 7, length));
    }
    return packet;
  }

  PacketPool pool;
};

TEST_F(PacketTest, AFreshOneIsEmptyWithTheHeadroomAskedFor) {
  PacketPtr packet = pool.allocate(100, 32);
  EXPECT_EQ(packet->length(), 0u);
  EXPECT_EQ(packet->headroom(), 32u);
  EXPECT_GE(packet->tailroom(), 100u);
  EXPECT_TRUE(packet->linear_writable());
  EXPECT_EQ(packet->offload.gso_size, 0);
  EXPECT_FALSE(packet->offload.needs_checksum);
}

TEST_F(PacketTest, ARecycledOneHasForgottenItsFormerLife) {
  PacketPtr packet = make(10, {20, 30});
  const Packet* const was = packet.get();
  packet->offload = {Offload::RxChecksum::kVerified, true, 34, 16, 1460, 3};
  packet->timestamp = Instant{5s};
  packet->interface_id = 4;
  packet->link_broadcast = true;
  packet->pull(3);
  packet->set_network_header();
  packet.reset();

  packet = pool.allocate(10);
  ASSERT_EQ(packet.get(), was);
  EXPECT_EQ(packet->length(), 0u);
  EXPECT_EQ(packet->fragment_count(), 0u);
  EXPECT_EQ(packet->headroom(), PacketPool::kHeadroom);
  EXPECT_EQ(packet->offload.rx_checksum, Offload::RxChecksum::kUnknown);
  EXPECT_FALSE(packet->offload.needs_checksum);
  EXPECT_EQ(packet->offload.gso_size, 0);
  EXPECT_EQ(packet->timestamp, kEpoch);
  EXPECT_EQ(packet->interface_id, 0);
  EXPECT_FALSE(packet->link_broadcast);
}

TEST_F(PacketTest, PushAndPutGrowAtBothEnds) {
  PacketPtr packet = pool.allocate(8, 4);
  *packet->put(1) = 2;
  *packet->put(1) = 3;
  *packet->push(1) = 1;
  EXPECT_THAT(contents(*packet), ::testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(packet->headroom(), 3u);
}

TEST_F(PacketTest, ReserveMovesAnEmptyPacketOn) {
  PacketPtr packet = pool.allocate(100, 0);
  packet->reserve(40);
  EXPECT_EQ(packet->headroom(), 40u);
  EXPECT_EQ(packet->length(), 0u);
}

TEST_F(PacketTest, PullGoesOnIntoFragments) {
  PacketPtr packet = make(10, {10, 10, 10});
  packet->pull(4);
  EXPECT_EQ(contents(*packet), counting(36, 4));
  packet->pull(11);
  EXPECT_EQ(contents(*packet), counting(25, 15));
  EXPECT_EQ(packet->linear_length(), 0u);
  EXPECT_EQ(packet->fragment_count(), 3u);
  packet->pull(5);
  EXPECT_EQ(packet->fragment_count(), 2u);
  packet->pull(20);
  EXPECT_EQ(packet->length(), 0u);
  EXPECT_EQ(packet->fragment_count(), 0u);
}

TEST_F(PacketTest, TrimGivesBackWhatItCutsOff) {
  PacketPtr packet = make(10, {10, 10, 10});
  packet->trim(100);
  EXPECT_EQ(packet->length(), 40u);
  packet->trim(25);
  EXPECT_EQ(contents(*packet), counting(25));
  EXPECT_EQ(packet->fragment_count(), 2u);
  EXPECT_EQ(pool.buffers_in_use(), 3u);
  packet->trim(20);
  EXPECT_EQ(packet->fragment_count(), 1u);
  packet->trim(6);
  EXPECT_EQ(contents(*packet), counting(6));
  EXPECT_EQ(pool.buffers_in_use(), 1u);
  packet->trim(0);
  EXPECT_EQ(packet->length(), 0u);
}

TEST_F(PacketTest, APieceThatFollowsTheLastOneInItsBufferIsMergedWithIt) {
  PacketPtr packet = make(1);
  BufferRef buffer = pool.allocate_buffer(100);
  EXPECT_TRUE(packet->append_fragment(buffer, 10, 20));
  EXPECT_TRUE(packet->append_fragment(buffer, 30, 5));
  EXPECT_EQ(packet->fragment_count(), 1u);
  EXPECT_EQ(packet->fragments()[0].length, 25u);
  EXPECT_EQ(buffer->references(), 2u);
  EXPECT_TRUE(packet->append_fragment(buffer, 36, 5));
  EXPECT_EQ(packet->fragment_count(), 2u);
  EXPECT_TRUE(packet->append_fragment(buffer, 0, 0));
  EXPECT_EQ(packet->fragment_count(), 2u);
  EXPECT_EQ(packet->length(), 31u);
}

TEST_F(PacketTest, HoldsSixtyFourFragmentsAndNotOneMore) {
  PacketPtr packet = make(1);
  BufferRef buffer = pool.allocate_buffer(512);
  for (std::uint32_t i = 0; i < Packet::kMaxFragments; ++i) {
    buffer->bytes()[2 * i] = static_cast<std::uint8_t>(i + 1);
    ASSERT_TRUE(packet->append_fragment(buffer, 2 * i, 1));
  }
  EXPECT_EQ(packet->fragment_count(), 64u);
  EXPECT_FALSE(packet->append_fragment(buffer, 300, 1));
  // What can be merged still fits.
  EXPECT_TRUE(packet->append_fragment(buffer, 127, 1));
  packet->trim(65);
  EXPECT_EQ(contents(*packet), counting(65));
  EXPECT_EQ(buffer->references(), 65u);
  PacketPtr more = make(1);
  EXPECT_FALSE(packet->append(more));
  EXPECT_EQ(more->length(), 1u);
  EXPECT_EQ(packet->length(), 65u);
  // A clone shares the fragments; there is no place for the linear bytes beside them, so they are copied.
  PacketPtr copy = packet->clone(0, 0);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(contents(*copy), counting(65));
  packet.reset();
  copy.reset();
  EXPECT_EQ(buffer->references(), 1u);
}

TEST_F(PacketTest, GatherUsesTheTailroomWhereItMay) {
  PacketPtr packet = make(10, {10, 10});
  const std::uint8_t* const data = packet->data();
  EXPECT_TRUE(packet->gather(10));
  EXPECT_EQ(packet->fragment_count(), 2u);
  EXPECT_TRUE(packet->gather(15));
  EXPECT_EQ(packet->data(), data);
  EXPECT_EQ(packet->linear_length(), 15u);
  EXPECT_EQ(packet->fragment_count(), 2u);
  EXPECT_EQ(contents(*packet), counting(30));
  EXPECT_FALSE(packet->gather(31));
  EXPECT_TRUE(packet->gather(30));
  EXPECT_EQ(packet->fragment_count(), 0u);
  EXPECT_EQ(contents(*packet), counting(30));
}

TEST_F(PacketTest, GatherLeavesSharedStorageAlone) {
  PacketPtr packet = make(20, {10});
  PacketPtr rest = packet->split(12);
  ASSERT_TRUE(rest->gather(18));
  EXPECT_EQ(contents(*rest), counting(18, 12));
  EXPECT_EQ(contents(*packet), counting(12));
  EXPECT_TRUE(rest->linear_writable());
}

TEST_F(PacketTest, GatherIntoNewStorageKeepsTheHeadersPulledAlready) {
  PacketPtr packet = make(20, {100});
  packet->set_link_header();
  packet->pull(4);
  packet->set_network_header();
  packet->pull(6);
  packet->set_transport_header();
  const BufferRef share = pool.allocate_buffer(1);
  PacketPtr second = packet->clone(0, 0);  // shares the linear region: it may not be written any more
  ASSERT_FALSE(packet->linear_writable());
  ASSERT_TRUE(packet->gather(60));
  EXPECT_EQ(*packet->link_header(), 0);
  EXPECT_EQ(*packet->network_header(), 4);
  EXPECT_EQ(*packet->transport_header(), 10);
  EXPECT_EQ(packet->transport_header(), packet->data());
  EXPECT_EQ(contents(*packet), counting(110, 10));
}

TEST_F(PacketTest, GatherWithoutMemoryChangesNothing) {
  PacketPool small{PacketPool::Limits{.bytes = 1024, .reserve = 0}};
  PacketPtr packet = small.allocate(512, 0);
  std::iota(packet->put(512), packet->data() + 512, std::uint8_t{0});
  ASSERT_TRUE(packet->append_fragment(small.allocate_buffer(10), 0, 10));
  EXPECT_FALSE(packet->gather(515));
  EXPECT_EQ(packet->linear_length(), 512u);
  EXPECT_EQ(packet->length(), 522u);
}

TEST_F(PacketTest, CopyOutReadsAcrossTheSeams) {
  PacketPtr packet = make(10, {10, 10});
  Bytes middle(12);
  packet->copy_out(9, middle);
  EXPECT_EQ(middle, counting(12, 9));
  packet->copy_out(18, middle);
  EXPECT_EQ(middle, counting(12, 18));
  packet->copy_out(30, {});
}

TEST_F(PacketTest, ForEachPieceGoesPieceByPiece) {
  PacketPtr packet = make(10, {10, 10});
  std::vector<std::size_t> sizes;
  Bytes bytes;
  packet->for_each_piece(5, 20, [&](std::span<const std::uint8_t> piece) {
    sizes.push_back(piece.size());
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  });
  EXPECT_THAT(sizes, ::testing::ElementsAre(5, 10, 5));
  EXPECT_EQ(bytes, counting(20, 5));
}

TEST_F(PacketTest, ACloneHasItsOwnHeaderAndSharesThePayload) {
  PacketPtr packet = make(30, {40});
  packet->set_network_header();
  packet->offload.gso_size = 9;
  packet->timestamp = Instant{3s};
  PacketPtr copy = packet->clone(20, 64);
  EXPECT_EQ(contents(*copy), counting(70));
  EXPECT_EQ(copy->headroom(), 64u);
  EXPECT_EQ(copy->linear_length(), 20u);
  EXPECT_TRUE(copy->linear_writable());
  EXPECT_EQ(copy->network_header(), copy->data());
  EXPECT_EQ(copy->offload.gso_size, 9);
  EXPECT_EQ(copy->timestamp, Instant{3s});
  EXPECT_EQ(copy->fragments()[0].bytes().data(), packet->data() + 20);
  EXPECT_EQ(copy->fragments()[1].buffer.get(), packet->fragments()[0].buffer.get());

  copy->data()[0] = 99;
  *copy->push(1) = 98;
  EXPECT_EQ(contents(*packet), counting(70));
  packet.reset();
  copy->pull(2);
  EXPECT_EQ(contents(*copy), counting(69, 1));
}

TEST_F(PacketTest, ACloneMayCopyIntoTheFragments) {
  PacketPtr packet = make(10, {10, 10});
  PacketPtr copy = packet->clone(25, 0);
  EXPECT_EQ(copy->linear_length(), 25u);
  EXPECT_EQ(copy->fragment_count(), 1u);
  EXPECT_EQ(contents(*copy), counting(30));
}

TEST_F(PacketTest, CloneKeepsTheHeaderOffsetsThatLieInTheCopiedBytes) {
  PacketPtr packet = make(30);
  packet->set_link_header();
  packet->pull(5);
  packet->set_network_header();
  packet->pull(10);
  packet->set_transport_header();
  packet->push(10);
  PacketPtr copy = packet->clone(12, 8);
  EXPECT_EQ(copy->link_header(), copy->data());  // was pulled: not among the copied bytes
  EXPECT_EQ(copy->network_header(), copy->data());
  EXPECT_EQ(copy->transport_header(), copy->data() + 10);
}

TEST_F(PacketTest, SplitCutsInTheLinearRegion) {
  PacketPtr packet = make(30, {10});
  PacketPtr rest = packet->split(12);
  EXPECT_EQ(contents(*packet), counting(12));
  EXPECT_EQ(contents(*rest), counting(28, 12));
  // The room between the two belongs to neither.
  EXPECT_EQ(packet->tailroom(), 0u);
  EXPECT_EQ(rest->headroom(), 0u);
  packet.reset();
  EXPECT_EQ(contents(*rest), counting(28, 12));
}

TEST_F(PacketTest, SplitCutsInAFragmentAndBetweenFragments) {
  PacketPtr packet = make(10, {10, 10, 10, 10, 10});
  PacketPtr rest = packet->split(25);
  EXPECT_EQ(contents(*packet), counting(25));
  EXPECT_EQ(contents(*rest), counting(35, 25));
  EXPECT_EQ(packet->fragment_count(), 2u);
  EXPECT_EQ(rest->fragment_count(), 4u);
  PacketPtr end = rest->split(15);
  EXPECT_EQ(contents(*end), counting(20, 40));
  EXPECT_EQ(end->fragment_count(), 2u);
  PacketPtr nothing = end->split(20);
  EXPECT_EQ(nothing->length(), 0u);
  PacketPtr all = end->split(0);
  EXPECT_EQ(end->length(), 0u);
  EXPECT_EQ(contents(*all), counting(20, 40));
}

TEST_F(PacketTest, AppendTakesTheBytesWithoutACopy) {
  PacketPtr packet = make(10, {10});
  PacketPtr other = make(20, {5, 5});
  const std::uint8_t* const linear = other->data();
  ASSERT_TRUE(packet->append(other));
  EXPECT_EQ(other, nullptr);
  EXPECT_EQ(packet->fragment_count(), 4u);
  EXPECT_EQ(packet->fragments()[1].bytes().data(), linear);
  Bytes expected = counting(20);
  const Bytes more = counting(30);
  expected.insert(expected.end(), more.begin(), more.end());
  EXPECT_EQ(contents(*packet), expected);
  EXPECT_EQ(pool.packets_in_use(), 1u);
}

TEST_F(PacketTest, WhatWasSplitAndAppendedAgainIsMergedAtTheSeam) {
  PacketPtr packet = make(0, {30});
  PacketPtr rest = packet->split(10);
  ASSERT_TRUE(packet->append(rest));
  EXPECT_EQ(packet->fragment_count(), 1u);
  EXPECT_EQ(contents(*packet), counting(30));
}

TEST_F(PacketTest, AppendCountsWhatMergesAtTheSeamAsOne) {
  PacketPtr packet = make(1);
  BufferRef buffer = pool.allocate_buffer(512);
  for (std::uint32_t i = 0; i < Packet::kMaxFragments - 1; ++i) {
    ASSERT_TRUE(packet->append_fragment(buffer, 2 * i, 1));
  }
  BufferRef whole = pool.allocate_buffer(100);
  PacketPtr other = pool.wrap(whole, 0, 10);
  ASSERT_TRUE(other->append_fragment(whole, 10, 5));
  EXPECT_TRUE(packet->append(other));
  EXPECT_EQ(packet->fragment_count(), 64u);
  EXPECT_EQ(packet->fragments().back().length, 15u);
}

TEST_F(PacketTest, ASharedRangeIsReadWhereItLies) {
  PacketPtr source = make(10, {10, 10, 10});
  PacketPtr packet = pool.allocate(1);
  ASSERT_TRUE(packet->append_shared(*source, 5, 20));
  EXPECT_EQ(contents(*packet), counting(20, 5));
  EXPECT_EQ(packet->fragment_count(), 3u);
  EXPECT_EQ(packet->fragments()[0].bytes().data(), source->data() + 5);
  EXPECT_EQ(packet->fragments()[2].length, 5u);
  // The next range goes on where this one ended: no further fragment.
  ASSERT_TRUE(packet->append_shared(*source, 25, 5));
  EXPECT_EQ(packet->fragment_count(), 3u);
  ASSERT_TRUE(packet->append_shared(*source, 40, 0));
  EXPECT_EQ(contents(*packet), counting(25, 5));
  source.reset();
  EXPECT_EQ(contents(*packet), counting(25, 5));
}

TEST_F(PacketTest, ASharedRangeThatFindsNoRoomLeavesNothingBehind) {
  PacketPtr source = make(1);
  PacketPtr packet = make(1);
  BufferRef buffer = pool.allocate_buffer(512);
  for (std::uint32_t i = 0; i < Packet::kMaxFragments - 1; ++i) {
    ASSERT_TRUE(source->append_fragment(buffer, 2 * i, 1));
    ASSERT_TRUE(packet->append_fragment(buffer, 200 + 2 * i, 1));
  }
  const Bytes before = contents(*packet);
  EXPECT_FALSE(packet->append_shared(*source, 0, 10));
  EXPECT_EQ(contents(*packet), before);
  EXPECT_TRUE(packet->append_shared(*source, 0, 1));
}

TEST_F(PacketTest, MakeWritableMovesOnlyTheFront) {
  PacketPtr packet = make(100, {10});
  packet->set_network_header();
  packet->pull(20);
  packet->set_transport_header();
  const std::uint8_t* const payload = packet->data() + 30;
  PacketPtr reader = packet->clone(0, 0);
  ASSERT_FALSE(packet->linear_writable());
  ASSERT_TRUE(packet->make_writable(30));
  EXPECT_TRUE(packet->linear_writable());
  EXPECT_EQ(packet->linear_length(), 30u);
  EXPECT_EQ(packet->fragments()[0].bytes().data(), payload);
  EXPECT_EQ(packet->network_header()[19], 19);
  EXPECT_EQ(packet->transport_header(), packet->data());
  packet->data()[0] = 99;
  EXPECT_EQ(contents(*reader), counting(90, 20));
}

class OwnFrontTest : public PacketTest {
 protected:
  OwnFrontTest() {
    for (std::uint32_t i = 0; i < 200; ++i) buffer->bytes()[i] = static_cast<std::uint8_t>(i);
    packet = pool.wrap_behind_headers(buffer, 100, 50);
  }

  BufferRef buffer = pool.allocate_buffer(512);
  PacketPtr packet;
};

TEST_F(OwnFrontTest, TakesHeadersBeforeBytesThatOthersShare) {
  EXPECT_EQ(packet->headroom(), 100u);
  EXPECT_EQ(packet->tailroom(), 0u);
  EXPECT_FALSE(packet->linear_writable());
  EXPECT_TRUE(packet->headroom_writable());
  EXPECT_EQ(packet->own_front(), 0u);
  packet->push(30);
  EXPECT_EQ(packet->own_front(), 30u);
  const std::uint8_t* const front = packet->data();
  ASSERT_TRUE(packet->make_writable(30));
  EXPECT_EQ(packet->data(), front);
  EXPECT_EQ(packet->linear_length(), 80u);
}

TEST_F(OwnFrontTest, MovesWhenMoreThanItIsToBeWritten) {
  packet->push(30);
  ASSERT_TRUE(packet->make_writable(31));
  EXPECT_EQ(packet->linear_length(), 31u);
  packet->data()[30] = 255;
  EXPECT_EQ(buffer->bytes()[100], 100);
  EXPECT_EQ(contents(*packet)[31], 101);
  EXPECT_EQ(packet->own_front(), 0u);
}

TEST_F(OwnFrontTest, HasNoMoreRoomThanHeadersNeed) {
  BufferRef large = pool.allocate_buffer(PacketPool::kClassBytes.back());
  const std::uint32_t end = PacketPool::kClassBytes.back();
  packet = pool.wrap_behind_headers(large, end - 100, 100);
  EXPECT_EQ(packet->headroom(), PacketPool::kHeadroom);
  ASSERT_TRUE(packet->make_writable(60)) << "what lies in front of that is not carried along";
  EXPECT_EQ(packet->storage_held(), PacketPool::kClassBytes[0] + PacketPool::kClassBytes.back());
}

TEST_F(OwnFrontTest, HeadersThatWerePulledAreNotInTheWay) {
  packet->pull(10);
  EXPECT_FALSE(packet->headroom_writable()) << "the ten bytes are read by others";
  packet->push(10);
  EXPECT_TRUE(packet->headroom_writable());
}

TEST_F(OwnFrontTest, ACloneHasItsOwnCopyOfIt) {
  packet->push(30);
  PacketPtr copy = packet->clone(0, 0);
  packet->data()[0] = 255;
  EXPECT_EQ(contents(*copy), counting(80, 70));
}

TEST_F(OwnFrontTest, APartThatIsCutOffIsOwnNoLonger) {
  packet->push(30);
  PacketPtr rest = packet->split(20);
  EXPECT_EQ(packet->own_front(), 20u);
  EXPECT_EQ(rest->own_front(), 0u);
  EXPECT_EQ(contents(*rest), counting(60, 90));
  packet->trim(5);
  EXPECT_EQ(packet->own_front(), 5u);
}

TEST_F(PacketTest, StorageHeldCountsWholeBuffers) {
  PacketPtr packet = make(10, {10, 10});
  EXPECT_EQ(packet->storage_held(), 3u * 512u);
  BufferRef buffer = pool.allocate_buffer(2000);
  ASSERT_TRUE(packet->append_fragment(buffer, 0, 1));
  ASSERT_TRUE(packet->append_fragment(buffer, 5, 1));
  EXPECT_EQ(packet->storage_held(), 3u * 512u + 2048u);
}

TEST_F(PacketTest, CompactCopiesASmallPayloadOutOfLargeStorage) {
  PacketPtr packet = pool.allocate(1500);
  const Bytes bytes = counting(100);
  std::copy(bytes.begin(), bytes.end(), packet->put(100));
  packet->set_network_header();
  packet->pull(20);
  EXPECT_EQ(pool.bytes_in_use(), 2048u);
  EXPECT_TRUE(packet->compact());
  EXPECT_EQ(pool.bytes_in_use(), 512u);
  EXPECT_EQ(contents(*packet), counting(80, 20));
  EXPECT_EQ(packet->network_header()[0], 0);  // headers in front of data() come along
  EXPECT_EQ(packet->network_header() + 20, packet->data());
}

TEST_F(PacketTest, CompactLeavesAloneWhatIsWellFilledOrCannotShrink) {
  PacketPtr filled = pool.allocate(1500);
  filled->put(600);
  const std::uint8_t* data = filled->data();
  EXPECT_TRUE(filled->compact());
  EXPECT_EQ(filled->data(), data);

  PacketPtr tiny = make(10);
  data = tiny->data();
  EXPECT_TRUE(tiny->compact());
  EXPECT_EQ(tiny->data(), data);
}

TEST_F(PacketTest, CompactMakesOnePieceOfManySmallOnes) {
  PacketPtr packet = make(10, {10, 10, 10, 10, 10});
  EXPECT_TRUE(packet->compact());
  EXPECT_EQ(packet->fragment_count(), 0u);
  EXPECT_EQ(contents(*packet), counting(60));
  EXPECT_EQ(pool.buffers_in_use(), 1u);
}

TEST_F(PacketTest, AQueueOwnsItsPacketsAndKeepsTheirOrder) {
  PacketQueue queue;
  for (std::uint32_t n : {3u, 4u, 5u}) queue.push_back(make(n));
  queue.push_front(make(2));
  PacketQueue more;
  more.push_back(make(6));
  queue.splice_back(more);
  EXPECT_TRUE(more.empty());
  EXPECT_EQ(queue.size(), 5u);
  PacketQueue moved{std::move(queue)};
  for (std::uint32_t n : {2u, 3u, 4u}) EXPECT_EQ(moved.pop_front()->length(), n);
  EXPECT_EQ(pool.packets_in_use(), 2u);
  moved.clear();
  EXPECT_EQ(moved.pop_front(), nullptr);
}

}  // namespace
}  // namespace millrace
