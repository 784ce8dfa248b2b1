// The queues alone, against models that cannot be wrong: a map of bytes, a flat vector.

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "base/rng.h"
#include "packet/pool.h"
#include "support/tcp_segment.h"
#include "tcp/ooo_queue.h"
#include "tcp/receive_queue.h"
#include "tcp/send_queue.h"

namespace millrace::test {
namespace {

using tcp::MemoryBudget;
using tcp::OutOfOrderQueue;
using tcp::ReceiveQueue;
using tcp::SendQueue;

PacketPtr packet_of(PacketPool& pool, std::uint64_t position, std::uint32_t length) {
  PacketPtr packet = pool.allocate(length);
  std::uint8_t* at = packet->put(length);
  for (std::uint32_t i = 0; i < length; ++i) at[i] = pattern_byte(position + i);
  return packet;
}

class OutOfOrderModel : public testing::TestWithParam<std::uint64_t> {};

TEST_P(OutOfOrderModel, HoldsTheBytesOfAMap) {
  PacketPool pool;
  Rng rng(GetParam());
  {
    OutOfOrderQueue queue;
    std::map<std::uint32_t, std::uint8_t> model;
    const SeqNum base{0xffffff00};
    std::uint32_t next = 0;  // rcv_nxt, relative
    for (int step = 0; step < 2000; ++step) {
      if (rng.chance(0.8)) {
        const std::uint32_t at = next + 1 + rng.below(400), length = 1 + rng.below(100);
        std::uint32_t fresh = 0;
        for (std::uint32_t i = 0; i < length; ++i)
          fresh += model.try_emplace(at + i, pattern_byte(at + i)).second;
        const std::uint32_t before = queue.bytes();
        const std::uint32_t added = queue.insert(base + at, packet_of(pool, at, length));
        // What covers old ranges whole replaces them: the balance is what counts.
        EXPECT_EQ(queue.bytes() - before, fresh);
        EXPECT_EQ(added == 0, fresh == 0);
      } else {
        next += rng.below(120);
        PacketQueue out;
        SeqNum right;
        std::vector<std::uint8_t> got;
        while (queue.take_ready(base + next, out, right)) {
          const std::uint32_t end = SeqNum::distance(base, right);
          while (PacketPtr packet = out.pop_front()) {
            std::vector<std::uint8_t> bytes(packet->length());
            packet->copy_out(0, bytes);
            got.insert(got.end(), bytes.begin(), bytes.end());
          }
          ASSERT_EQ(got.size(), end - next);
          for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], pattern_byte(next + i));
          for (std::uint32_t i = next; i < end; ++i) ASSERT_TRUE(model.contains(i));
          next = end;
          got.clear();
        }
        model.erase(model.begin(), model.lower_bound(next));
        EXPECT_FALSE(model.contains(next)) << "ready, and not taken";
      }
      if (rng.chance(0.02)) {
        queue.collapse();
      } else if (rng.chance(0.02) && !model.empty()) {
        // From somewhere on all that starts there goes, and only from the far end.
        const std::uint32_t from = next + rng.below(500);
        const std::size_t most = rng.below(static_cast<std::uint32_t>(queue.storage()));
        const std::uint32_t before = queue.bytes();
        const bool pruned = queue.prune(most, base + from);
        ASSERT_EQ(pruned, queue.bytes() != before);
        while (model.size() > queue.bytes()) {
          ASSERT_GE(model.rbegin()->first, from);
          model.erase(std::prev(model.end()));
        }
      }
      ASSERT_EQ(queue.bytes(), model.size());
      ASSERT_LE(pool.bytes_in_use(), queue.storage());
      // Ranges of the model: the blocks must be some of them.
      std::array<wire::SackBlock, 4> blocks;
      const std::uint8_t count = queue.sack_blocks(blocks);
      ASSERT_EQ(count == 0, model.empty());
      for (std::uint8_t i = 0; i < count; ++i) {
        const std::uint32_t left = SeqNum::distance(base, blocks[i].left),
                            end = SeqNum::distance(base, blocks[i].right);
        ASSERT_TRUE(model.contains(left) && !model.contains(left - 1) && model.contains(end - 1) &&
                    !model.contains(end));
      }
    }
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(OutOfOrderQueue, ReportsTheLatestRangesFirst) {
  PacketPool pool;
  OutOfOrderQueue queue;
  const auto insert = [&](std::uint32_t seq) {
    PacketPtr packet = pool.allocate(100);
    packet->put(100);
    EXPECT_EQ(queue.insert(SeqNum{seq}, std::move(packet)), 100u);
  };
  for (const std::uint32_t seq : {1000u, 5000u, 3000u, 7000u, 9000u}) insert(seq);
  insert(3100);
  std::array<wire::SackBlock, 4> blocks;
  ASSERT_EQ(queue.sack_blocks(blocks), 4);
  const std::uint32_t wanted[][2] = {{3000, 3200}, {9000, 9100}, {7000, 7100}, {5000, 5100}};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(blocks[i].left, SeqNum{wanted[i][0]});
    EXPECT_EQ(blocks[i].right, SeqNum{wanted[i][1]});
  }
  EXPECT_EQ(queue.sack_blocks(std::span{blocks}.first(2)), 2);
  EXPECT_EQ(blocks[1].left, SeqNum{9000});
  EXPECT_TRUE(queue.touches(SeqNum{3200}, 100)) << "right behind a range";
  EXPECT_TRUE(queue.touches(SeqNum{6900}, 100)) << "right in front of one";
  EXPECT_TRUE(queue.touches(SeqNum{5010}, 10));
  EXPECT_FALSE(queue.touches(SeqNum{3201}, 100));
  EXPECT_FALSE(queue.touches(SeqNum{9101}, 100));
}

/// Bytes with holes between them, in the order that `place` gives them.
template <typename Place>
std::uint64_t steps_of_holes(std::uint32_t count, Place&& place) {
  PacketPool pool;
  OutOfOrderQueue queue;
  std::array<wire::SackBlock, 4> blocks;
  for (std::uint32_t i = 0; i < count; ++i) {
    EXPECT_EQ(queue.insert(SeqNum{0xfffff000} + 2 * place(i), packet_of(pool, i, 1)), 1u);
    EXPECT_EQ(queue.sack_blocks(blocks), std::min(i + 1, 4u));
  }
  EXPECT_EQ(queue.range_count(), count);
  const std::uint64_t steps = queue.steps();
  // All holes filled from the front: each is one range that is ready.
  PacketQueue out;
  SeqNum right;
  for (std::uint32_t i = 0; i < count; ++i) {
    EXPECT_TRUE(queue.take_ready(SeqNum{0xfffff000} + 2 * i, out, right));
    out.clear();
  }
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.storage(), 0u);
  return steps;
}

TEST(OutOfOrderQueue, ManyHolesCostLittleEach) {
  constexpr std::uint32_t kHoles = 100'000;
  constexpr std::uint64_t kMost = kHoles * 2 * 17;  // a red-black tree's depth, at worst
  EXPECT_LE(steps_of_holes(kHoles, [](std::uint32_t i) { return i; }), kMost);
  EXPECT_LE(steps_of_holes(kHoles, [](std::uint32_t i) { return kHoles - 1 - i; }), kMost);
  EXPECT_LE(steps_of_holes(kHoles, [](std::uint32_t i) { return i * 7919u % kHoles; }), kMost);
}

INSTANTIATE_TEST_SUITE_P(FromSeed, OutOfOrderModel, testing::Range<std::uint64_t>(1, 21));

/// Lends what is its own, looks at it when it comes back, and spoils it then.
class Lender final : public MemoryLender {
 public:
  BufferRef lend(const std::uint8_t* bytes, std::uint32_t size) override {
    // The caller's bytes go away after the test's step: what is lent is a copy that stays.
    auto& piece = pieces_.emplace_back(std::make_unique<Piece>(bytes, size));
    return BufferRef(&piece->buffer);
  }
  [[nodiscard]] std::size_t lent() const { return pieces_.size(); }
  [[nodiscard]] std::size_t returned() const { return returned_count_; }

 private:
  struct Piece {
    Piece(const std::uint8_t* from, std::uint32_t size)
        : bytes(from, from + size), as_lent(bytes), buffer(bytes.data(), size, &Lender::release, this) {}
    std::vector<std::uint8_t> bytes, as_lent;
    Buffer buffer;
  };
  static void release(Buffer* buffer) {
    auto& piece = *static_cast<Piece*>(buffer->owner());
    EXPECT_EQ(piece.bytes, piece.as_lent) << "somebody wrote into lent memory";
    std::fill(piece.bytes.begin(), piece.bytes.end(), std::uint8_t{0xaa});
    ++returned_count_;
  }
  std::vector<std::unique_ptr<Piece>> pieces_;
  static inline std::size_t returned_count_ = 0;
};

class SendQueueModel : public testing::TestWithParam<std::uint64_t> {};

/// A slice on its way, with headers in front.
struct OnItsWay {
  PacketPtr packet;
  std::vector<std::uint8_t> headers;
  std::uint64_t position = 0;  ///< of its first byte

  OnItsWay(PacketPtr slice, std::uint64_t at, Rng& rng) : packet(std::move(slice)), position(at) {
    headers.resize(1 + rng.below(PacketPool::kHeadroom));
    for (std::uint8_t& byte : headers) byte = static_cast<std::uint8_t>(rng.below(256));
    EXPECT_TRUE(packet->headroom_writable());
    std::memcpy(packet->push(static_cast<std::uint32_t>(headers.size())), headers.data(), headers.size());
  }
  [[nodiscard]] bool intact() const {
    std::vector<std::uint8_t> bytes(packet->length());
    packet->copy_out(0, bytes);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::size_t n = headers.size();
      if (bytes[i] != (i < n ? headers[i] : pattern_byte(position + i - n))) return false;
    }
    return true;
  }
};

TEST_P(SendQueueModel, HoldsTheBytesOfAVector) {
  PacketPool pool;
  MemoryBudget budget(10 << 20);
  Rng rng(GetParam());
  Lender lender;
  const std::size_t returned_before = lender.returned();
  {
    SendQueue queue(pool, budget);
    std::vector<OnItsWay> on_their_way;
    std::uint64_t written = 0, dropped = 0;
    std::size_t in_one_piece = 0, with_own_headers = 0;
    for (int step = 0; step < 3000; ++step) {
      const std::uint32_t kind = rng.below(3);
      const auto held = static_cast<std::uint32_t>(written - dropped);
      if (kind == 0) {
        std::vector<std::uint8_t> bytes(1 + rng.below(rng.chance(0.1) ? 100'000 : 2000));
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = pattern_byte(written + i);
        const std::size_t cut = rng.below(static_cast<std::uint32_t>(bytes.size()) + 1);
        const std::size_t skip = rng.below(static_cast<std::uint32_t>(bytes.size()));
        const ConstIoSlice slices[] = {{bytes.data(), cut}, {bytes.data() + cut, bytes.size() - cut}};
        // Skipped bytes are those a former call took: the pattern goes on behind them.
        for (std::size_t i = skip; i < bytes.size(); ++i) bytes[i] = pattern_byte(written + i - skip);
        const std::size_t most = rng.below(static_cast<std::uint32_t>(bytes.size()) + 1);
        const std::size_t taken = queue.append(slices, skip, most, rng.chance(0.3) ? &lender : nullptr);
        ASSERT_LE(taken, std::min(most, bytes.size() - skip));
        if (budget.used() < budget.total() / 2) {
          ASSERT_EQ(taken, std::min(most, bytes.size() - skip));
        }
        written += taken;
      } else if (kind == 1 && held != 0) {
        const std::uint32_t n = rng.below(held + 1);
        queue.drop_front(n);
        dropped += n;
      } else if (held != 0) {
        const std::uint32_t offset = rng.chance(0.5) ? 0 : rng.below(held),
                            length = 1 + rng.below(held - offset);
        std::uint32_t got = length;
        PacketPtr packet = queue.slice(offset, got);
        ASSERT_NE(packet, nullptr);
        ASSERT_GT(got, 0u);
        ASSERT_LE(got, length);
        ASSERT_EQ(packet->length(), got);
        if (packet->fragment_count() < Packet::kMaxFragments) {
          ASSERT_EQ(got, length);
        }
        in_one_piece += packet->piece_count() == 1 && packet->linear_length() == got ? 1 : 0;
        with_own_headers += packet->linear_length() == 0 ? 1 : 0;
        on_their_way.emplace_back(std::move(packet), dropped + offset, rng);
      }
      while (!on_their_way.empty() && rng.chance(on_their_way.size() > 8 ? 0.9 : 0.3)) {
        const std::uint32_t i = rng.below(static_cast<std::uint32_t>(on_their_way.size()));
        ASSERT_TRUE(on_their_way[i].intact());
        std::swap(on_their_way[i], on_their_way.back());
        on_their_way.pop_back();
      }
      ASSERT_EQ(queue.bytes(), written - dropped);
      ASSERT_EQ(budget.used(), queue.storage());
    }
    EXPECT_GT(in_one_piece, 20u);
    EXPECT_GT(with_own_headers, 20u);
  }
  EXPECT_GT(lender.lent(), 0u);
  EXPECT_EQ(lender.returned() - returned_before, lender.lent());
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

INSTANTIATE_TEST_SUITE_P(FromSeed, SendQueueModel, testing::Range<std::uint64_t>(1, 21));

TEST(SendQueue, TakesNoLargerBufferForHeaders) {
  PacketPool pool;
  MemoryBudget budget(10 << 20);
  const std::vector<std::uint8_t> bytes(PacketPool::kClassBytes.back());
  for (const std::uint32_t of_class : PacketPool::kClassBytes) {
    for (const std::uint32_t less : {0U, PacketPool::kHeadroom - 1, PacketPool::kHeadroom}) {
      SendQueue queue(pool, budget);
      const ConstIoSlice slice{bytes.data(), of_class - less};
      ASSERT_EQ(queue.append({&slice, 1}, 0, slice.size), slice.size);
      EXPECT_EQ(queue.storage(), of_class);
      std::uint32_t length = of_class - less;
      const PacketPtr packet = queue.slice(0, length);
      ASSERT_NE(packet, nullptr);
      EXPECT_EQ(packet->linear_length() != 0, less == PacketPool::kHeadroom);
    }
  }
}

class ReceiveQueueModel : public testing::TestWithParam<std::uint64_t> {};

TEST_P(ReceiveQueueModel, HoldsTheBytesOfAVector) {
  PacketPool pool;
  Rng rng(GetParam());
  {
    ReceiveQueue queue;
    std::uint64_t pushed = 0, dropped = 0;
    for (int step = 0; step < 3000; ++step) {
      const auto held = static_cast<std::uint32_t>(pushed - dropped);
      if (rng.chance(0.5)) {
        const std::uint32_t length = 1 + rng.below(rng.chance(0.5) ? 20 : 3000);
        queue.push(packet_of(pool, pushed, length));
        pushed += length;
      } else if (held != 0) {
        const std::uint32_t offset = rng.below(held), most = 1 + rng.below(5000);
        std::vector<std::uint8_t> bytes(most);
        const std::size_t cut = rng.below(most);
        const IoSlice slices[] = {{bytes.data(), cut}, {bytes.data() + cut, most - cut}};
        const std::size_t limit = 1 + rng.below(5000);
        const std::size_t got = queue.copy(slices, offset, limit);
        ASSERT_EQ(got, std::min<std::size_t>({most, limit, held - offset}));
        for (std::size_t i = 0; i < got; ++i) ASSERT_EQ(bytes[i], pattern_byte(dropped + offset + i));
        const std::uint32_t n = rng.below(held + 1);
        queue.drop_front(n);
        dropped += n;
      }
      if (rng.chance(0.02)) {
        queue.collapse();
        // Twice the payload, one small Buffer, and what was read of the first packet.
        ASSERT_LE(queue.storage(), 2u * queue.bytes() + 512u + PacketPool::kClassBytes[2]);
      }
      ASSERT_EQ(queue.bytes(), pushed - dropped);
      ASSERT_EQ(pool.bytes_in_use(), queue.storage());
      // Four times the payload, and the first and the last packet.
      ASSERT_LE(pool.bytes_in_use(), 4u * queue.bytes() + 2u * PacketPool::kClassBytes[2] + 4096u);
    }
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

/// Some in one piece, some in several.
PacketPtr packet_in_pieces(PacketPool& pool, Rng& rng, std::uint64_t position, std::uint32_t length) {
  PacketPtr packet = packet_of(pool, position, length);
  for (std::uint32_t more = rng.below(4); more != 0; --more) {
    const std::uint32_t size = 1 + rng.below(2000);
    PacketPtr next = packet_of(pool, position + packet->length(), size);
    EXPECT_TRUE(packet->append(next));
  }
  return packet;
}

TEST_P(ReceiveQueueModel, LendsTheBytesOfAVector) {
  PacketPool pool;
  Rng rng(GetParam());
  {
    ReceiveQueue queue;
    std::vector<Loan> loans;
    std::size_t on_loan = 0;
    std::uint64_t pushed = 0, taken = 0;
    for (int step = 0; step < 3000; ++step) {
      if (rng.chance(0.5)) {
        PacketPtr packet = packet_in_pieces(pool, rng, pushed, 1 + rng.below(rng.chance(0.5) ? 20 : 3000));
        pushed += packet->length();
        queue.push(std::move(packet));
      } else if (const auto held = static_cast<std::uint32_t>(pushed - taken); held != 0) {
        if (rng.chance(0.3)) {
          const std::uint32_t read = rng.below(held) + 1;
          queue.drop_front(read);
          taken += read;
          continue;
        }
        const std::size_t limit = 1 + rng.below(8000), most = 1 + rng.below(6);
        Loan loan;
        const std::size_t lent = queue.lend(limit, most, loan);
        ASSERT_GT(lent, 0u);
        ASSERT_LE(lent, std::min<std::size_t>(limit, held));
        std::size_t pieces = 0, seen = 0;
        for (Packet& packet : loan.packets) {
          packet.for_each_piece(0, packet.length(), [&](std::span<const std::uint8_t> piece) {
            ++pieces;
            for (const std::uint8_t byte : piece) EXPECT_EQ(byte, pattern_byte(taken + seen++));
          });
        }
        ASSERT_EQ(seen, lent);
        ASSERT_LE(pieces, most);
        // Less than the limit only where all is lent, or every piece used up.
        ASSERT_TRUE(lent == limit || lent == held || pieces == most);
        taken += lent;
        on_loan += loan.storage;
        loans.push_back(std::move(loan));
      }
      if (!loans.empty() && rng.chance(0.4)) {
        std::swap(loans[rng.below(static_cast<std::uint32_t>(loans.size()))], loans.back());
        on_loan -= loans.back().storage;
        loans.pop_back();
      }
      if (rng.chance(0.02)) queue.collapse();
      ASSERT_EQ(queue.bytes(), pushed - taken);
      ASSERT_LE(pool.bytes_in_use(), queue.storage() + on_loan);
    }
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

INSTANTIATE_TEST_SUITE_P(FromSeed, ReceiveQueueModel, testing::Range<std::uint64_t>(1, 21));

}  // namespace
}  // namespace millrace::test
