#include "tcp/scoreboard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"
#include "support/tcp_script.h"
#include "tcp/rack.h"

namespace millrace::test {
namespace {

using tcp::Scoreboard;
using tcp::SentSegment;
using tcp::SentSegmentPool;
using Fate = SentSegment::Fate;

constexpr std::uint32_t kMss = 1000;
constexpr auto kIgnore = [](const SentSegment&, std::uint32_t) {};
/// Close to the wrap-around.
constexpr SeqNum kStart{0xfffffc00u};

struct Board {
  ObjectSlabs slabs;
  SentSegmentPool pool{1024, slabs};
  Scoreboard board{pool};
  Instant now = kEpoch + 1s;

  void send(std::uint32_t from, std::uint32_t to, std::uint32_t mss = kMss) {
    ASSERT_NE(board.append(kStart + from, to - from, mss, now), nullptr);
    now += 1ms;
  }
  void sack(std::uint32_t from, std::uint32_t to) { board.sack(kStart + from, kStart + to, kIgnore); }
  [[nodiscard]] SentSegment& at(std::uint32_t offset) { return *board.find(kStart + offset); }
};

TEST(Scoreboard, CountsWhatIsInFlightReportedAndLost) {
  Board b;
  for (std::uint32_t i = 0; i < 5; ++i) b.send(i * 1000, i * 1000 + 1000);
  EXPECT_EQ(b.board.in_flight(), 5000u);
  b.sack(2000, 3000);
  EXPECT_EQ(b.board.in_flight(), 4000u);
  EXPECT_EQ(b.board.sacked(), 1000u);
  b.board.mark_lost(b.at(0));
  EXPECT_EQ(b.board.in_flight(), 3000u);
  EXPECT_EQ(b.board.lost(), 1000u);
  b.board.on_retransmitted(b.at(0), kMss, b.now);
  EXPECT_EQ(b.board.in_flight(), 4000u);
  EXPECT_EQ(b.board.lost(), 0u);
  b.board.acknowledge(kStart + 3500, kIgnore);
  EXPECT_EQ(b.board.in_flight(), 1500u);
  EXPECT_EQ(b.board.sacked(), 0u);
  EXPECT_EQ(b.board.head()->seq, kStart + 3500);
  b.board.clear();
  EXPECT_EQ(b.pool.in_use(), 0u);
}

TEST(Scoreboard, BlockInTheMiddleCutsASuperSegment) {
  Board b;
  b.send(0, 10'000);
  b.sack(4000, 6000);
  EXPECT_EQ(b.board.count(), 3u);
  EXPECT_EQ(b.at(0).length, 4000u);
  EXPECT_EQ(b.at(4000).fate, Fate::kSacked);
  EXPECT_EQ(b.at(6000).length, 4000u);
  EXPECT_EQ(b.at(9999).seq, kStart + 6000);
  EXPECT_EQ(b.board.find(kStart + 10'000), nullptr);
}

TEST(Scoreboard, ReportedNeighboursBecomeOne) {
  Board b;
  for (std::uint32_t i = 0; i < 9; ++i) b.send(i * 100, i * 100 + 100);
  b.sack(100, 200);
  b.sack(300, 400);
  EXPECT_EQ(b.board.count(), 9u);
  b.sack(200, 300);
  EXPECT_EQ(b.board.count(), 7u);
  EXPECT_EQ(b.at(399).seq, kStart + 100);
  b.sack(100, 900);
  EXPECT_EQ(b.board.count(), 2u);
  EXPECT_EQ(b.board.sacked(), 800u);
}

TEST(Scoreboard, RepeatedBlocksTellNothingNew) {
  Board b;
  for (std::uint32_t i = 0; i < 5; ++i) b.send(i * 1000, i * 1000 + 1000, kMss / 2);
  std::uint32_t told = 0;
  const auto count = [&told](const SentSegment&, std::uint32_t bytes) { told += bytes; };
  b.board.sack(kStart + 1000, kStart + 2500, count);
  EXPECT_EQ(told, 1500u);
  b.board.sack(kStart + 1000, kStart + 2500, count);
  EXPECT_EQ(told, 1500u);
  b.board.sack(kStart + 1000, kStart + 4000, count);
  EXPECT_EQ(told, 3000u);
  b.board.acknowledge(kStart + 5000, count);
  EXPECT_EQ(told, 5000u) << "what had been reported is not told again";
}

TEST(Scoreboard, SmallLostSegmentsAreJoinedIntoOne) {
  Board b;
  for (std::uint32_t i = 0; i < 6; ++i) b.send(i * 100, i * 100 + 100);
  b.sack(400, 500);
  for (const std::uint32_t i : {0u, 100u, 200u, 300u, 500u}) b.board.mark_lost(b.at(i));
  b.board.join_lost(*b.board.first_lost(), 350);
  EXPECT_EQ(b.board.first_lost()->length, 300u) << "as far as they fit";
  b.board.join_lost(*b.board.first_lost(), 1000);
  EXPECT_EQ(b.board.first_lost()->length, 400u) << "but not over what has arrived";
  EXPECT_EQ(b.board.lost(), 500u);
}

TEST(Scoreboard, FindsWhereThreeSegmentsAreReported) {
  Board b;
  for (std::uint32_t i = 0; i < 9; ++i) b.send(i * 1000, i * 1000 + 1000, kMss / 2);
  EXPECT_EQ(b.board.below_sacked(2000), kStart);
  b.sack(3000, 4000);
  b.sack(5000, 6000);
  EXPECT_EQ(b.board.below_sacked(2000), kStart);
  b.sack(7000, 7500);
  EXPECT_EQ(b.board.below_sacked(2000), kStart + 3000);
  b.sack(6000, 6500);
  EXPECT_EQ(b.board.below_sacked(1999), kStart + 5000);
}

TEST(Scoreboard, RenegedBlocksAreLost) {
  rfc("2018", "8", "after a timeout what was reported may be sent again: the peer may have thrown it away");
  Board b;
  for (std::uint32_t i = 0; i < 5; ++i) b.send(i * 1000, i * 1000 + 1000);
  b.sack(0, 2000);
  b.sack(3000, 4000);
  b.board.renege();
  EXPECT_EQ(b.board.sacked(), 0u);
  EXPECT_EQ(b.board.lost(), 3000u);
  EXPECT_EQ(b.board.first_lost()->seq, kStart);
}

TEST(Scoreboard, OldestFirstWhateverIsSentWhen) {
  Board b;
  for (std::uint32_t i = 0; i < 4; ++i) b.send(i * 1000, i * 1000 + 1000);
  b.board.mark_lost(b.at(1000));
  b.board.on_retransmitted(b.at(1000), kMss, b.now);
  // At the same instant, after something that lies behind it.
  ASSERT_NE(b.board.append(kStart + 4000, 1000, kMss, b.now), nullptr);
  b.board.mark_lost(b.at(0));
  b.board.on_retransmitted(b.at(0), kMss, b.now);
  std::vector<SeqNum> order;
  for (SentSegment* segment = b.board.oldest(); segment != nullptr; segment = b.board.next_sent(*segment))
    order.push_back(segment->seq);
  const std::vector<SeqNum> expected{kStart + 2000, kStart + 3000, kStart, kStart + 1000, kStart + 4000};
  EXPECT_EQ(order, expected);
  // Found lost and taken back: each where it was.
  b.board.mark_all_lost();
  b.board.unmark_lost();
  order.clear();
  for (SentSegment* segment = b.board.oldest(); segment != nullptr; segment = b.board.next_sent(*segment))
    order.push_back(segment->seq);
  EXPECT_EQ(order, expected);
}

TEST(Scoreboard, PoolHasALimit) {
  ObjectSlabs slabs;
  SentSegmentPool pool(64, slabs);
  Scoreboard board(pool);
  for (std::uint32_t i = 0; i < 64; ++i) ASSERT_NE(board.append(kStart + i * 10, 10, 5, kEpoch), nullptr);
  EXPECT_EQ(board.append(kStart + 640, 10, 5, kEpoch), nullptr);
  EXPECT_FALSE(board.split(*board.head(), 5));
  // A block that would need a piece more is not taken, one that fits is.
  board.sack(kStart + 105, kStart + 110, kIgnore);
  EXPECT_EQ(board.sacked(), 0u);
  board.sack(kStart + 110, kStart + 120, kIgnore);
  EXPECT_EQ(board.sacked(), 10u);
  // Somebody else, who has nothing outstanding, gets one all the same.
  Scoreboard other(pool);
  EXPECT_NE(other.append(kStart, 10, 5, kEpoch), nullptr);
}

TEST(Scoreboard, WhatIsReportedInPartHasNotArrived) {
  rfc("2018", "5", "the segments that count are those wholly contained within a block");
  Board b;
  for (std::uint32_t i = 0; i < 3; ++i) b.send(i * 1000, i * 1000 + 1000);
  b.sack(2999, 3000);
  b.sack(1, 1000);
  EXPECT_EQ(b.board.sacked(), 0u);
  b.sack(1000, 2998);
  EXPECT_EQ(b.board.sacked(), 1000u);
  EXPECT_EQ(b.at(1000).fate, Fate::kSacked);
  EXPECT_EQ(b.board.count(), 3u);
}

TEST(Scoreboard, SoItIsWithTheSegmentsOfASuperSegment) {
  Board b;
  b.send(0, 4500);
  b.sack(999, 2001);
  EXPECT_EQ(b.board.count(), 3u);
  EXPECT_EQ(b.at(1000).fate, Fate::kSacked);
  EXPECT_EQ(b.board.sacked(), 1000u);
  b.sack(2500, 4500);
  EXPECT_EQ(b.at(3000).seq, kStart + 3000);
  EXPECT_EQ(b.at(3000).length, 1500u) << "the last one may be shorter";
  EXPECT_EQ(b.board.sacked(), 2500u);
  b.sack(1500, 2500);
  EXPECT_EQ(b.board.sacked(), 2500u);
  // Sent again in other segments, these count.
  b.board.mark_lost(b.at(2000));
  b.board.on_retransmitted(b.at(2000), 400, b.now);
  b.sack(2300, 2900);
  EXPECT_EQ(b.at(2400).length, 400u);
  EXPECT_EQ(b.board.sacked(), 2900u);
}

TEST(Scoreboard, FinThatIsNotReportedWithItsDataIsMissingAlone) {
  Board b;
  b.send(0, 501);
  b.sack(0, 500);
  EXPECT_EQ(b.board.sacked(), 500u);
  EXPECT_EQ(b.at(500).length, 1u);
}

TEST(Scoreboard, PeerThatReportsEverySecondByteFillsNoMemory) {
  for (const auto& [mss, most] : {std::pair{kMss, 200u}, std::pair{1u, 32'768u}}) {
    ObjectSlabs slabs;
    SentSegmentPool pool(1u << 20, slabs);
    Scoreboard board(pool);
    ASSERT_NE(board.append(kStart, 200'000, mss, kEpoch), nullptr);
    for (std::uint32_t i = 1; i < 200'000; i += 2) board.sack(kStart + i, kStart + i + 1, kIgnore);
    EXPECT_LE(board.count(), most);
  }
}

/// A walk over all that is outstanding for every ACK would take minutes here.
TEST(Scoreboard, TenThousandSegmentsCostNoWalkForEveryAck) {
  ObjectSlabs slabs;
  SentSegmentPool pool(1u << 20, slabs);
  Scoreboard board(pool);
  tcp::Rack rack;
  rack.start(kStart);
  constexpr std::uint32_t kCount = 100'000;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    // In bursts, each at one instant.
    ASSERT_NE(board.append(kStart + i * 1000, 1000, kMss, kEpoch + (i / 50'000) * 1ms), nullptr);
  }
  std::uint32_t lost = 0;
  tcp::Rack::Context context;
  context.in_recovery = true;
  const Instant now = kEpoch + 20ms;
  for (std::uint32_t i = 1; i < kCount; ++i) {
    board.sack(kStart + 1000, kStart + (i + 1) * 1000, [&](const SentSegment& sent, std::uint32_t bytes) {
      rack.on_arrival({sent.seq, sent.seq + bytes, sent.sent_at(), sent.retransmitted(), false}, 10ms, now);
    });
    static_cast<void>(rack.detect(board, context, now, [&](SentSegment& segment) {
      ++lost;
      board.mark_lost(segment);
    }));
    ASSERT_LE(board.below_sacked(2000) - kStart, std::int32_t{1000} * (i < 3 ? 0 : 1));
  }
  EXPECT_EQ(lost, 1u);
}

// --- against a map of bytes

struct Byte {
  Fate fate = Fate::kInFlight;
  Instant sent_at{};
};

class Model {
 public:
  explicit Model(std::uint64_t seed) : rng_(seed) {}

  void run() {
    for (int step = 0; step < 400; ++step) {
      now_ += std::chrono::microseconds(rng_.below(3));
      act(rng_.below(10));
      ASSERT_NO_FATAL_FAILURE(compare());
    }
  }

 private:
  void act(std::uint32_t what) {
    if (what < 3) {
      const std::uint32_t length = 1 + rng_.below(40);
      ASSERT_NE(board_.append(una_ + size(), length, 1, now_), nullptr);
      bytes_.insert(bytes_.end(), length, {Fate::kInFlight, now_});
    } else if (bytes_.empty()) {
      return;
    } else if (what == 3) {
      acknowledge(rng_.below(std::min(size(), 30u)) + 1);
    } else if (what < 7) {
      sack();
    } else if (what == 7) {
      SentSegment& segment = any();
      if (segment.fate != Fate::kInFlight) return;
      set(segment, Fate::kLost);
      board_.mark_lost(segment);
    } else if (what == 8) {
      send_again();
    } else if (rng_.below(20) == 0) {
      rarely();
    }
  }

  void acknowledge(std::uint32_t n) {
    std::uint32_t expected = 0, told = 0;
    for (std::uint32_t i = 0; i < n; ++i) expected += bytes_[i].fate != Fate::kSacked ? 1u : 0u;
    una_ += n;
    board_.acknowledge(una_, [&](const SentSegment&, std::uint32_t bytes) { told += bytes; });
    bytes_.erase(bytes_.begin(), bytes_.begin() + n);
    EXPECT_EQ(told, expected);
  }

  void sack() {
    const std::uint32_t left = rng_.below(size()), right = left + 1 + rng_.below(size() - left);
    std::uint32_t expected = 0, told = 0;
    for (std::uint32_t i = left; i < right; ++i) {
      expected += bytes_[i].fate != Fate::kSacked ? 1u : 0u;
      bytes_[i].fate = Fate::kSacked;
    }
    board_.sack(una_ + left, una_ + right, [&](const SentSegment&, std::uint32_t bytes) { told += bytes; });
    EXPECT_EQ(told, expected);
  }

  void send_again() {
    SentSegment* segment = board_.first_lost();
    if (segment == nullptr) return;
    board_.join_lost(*segment, 30);
    if (segment->length > 1 && rng_.below(2) == 0) {
      ASSERT_TRUE(board_.split(*segment, 1 + rng_.below(segment->length - 1)));
    }
    for (std::uint32_t i = 0; i < segment->length; ++i)
      bytes_[SeqNum::distance(una_, segment->seq) + i].sent_at = now_;
    set(*segment, Fate::kInFlight);
    board_.on_retransmitted(*segment, 1, now_);
  }

  void rarely() {
    Fate from = Fate::kInFlight, to = Fate::kLost;
    switch (rng_.below(3)) {
      case 0:
        board_.mark_all_lost();
        break;
      case 1:
        board_.unmark_lost();
        from = Fate::kLost;
        to = Fate::kInFlight;
        break;
      default:
        board_.renege();
        from = Fate::kSacked;
        break;
    }
    for (Byte& byte : bytes_) byte.fate = byte.fate == from ? to : byte.fate;
  }

  void compare() {
    std::uint32_t in_flight = 0, sacked = 0, lost = 0;
    std::uint32_t i = 0;
    std::uint32_t count = 0;
    while (i < size()) {
      const SentSegment* segment = board_.find(una_ + i);
      ASSERT_NE(segment, nullptr);
      ASSERT_EQ(segment->seq, una_ + i);
      ++count;
      for (std::uint32_t end = i + segment->length; i < end; ++i) {
        ASSERT_LT(i, size());
        ASSERT_EQ(bytes_[i].fate, segment->fate) << "byte " << i;
        if (segment->fate == Fate::kInFlight) ++in_flight;
        if (segment->fate == Fate::kLost) ++lost;
        if (segment->fate == Fate::kSacked) ++sacked;
      }
    }
    ASSERT_EQ(board_.count(), count);
    ASSERT_EQ(board_.in_flight(), in_flight);
    ASSERT_EQ(board_.lost(), lost);
    ASSERT_EQ(board_.sacked(), sacked);
    compare_orders(in_flight, lost);
    compare_edges(sacked);
  }

  void compare_orders(std::uint32_t in_flight, std::uint32_t lost) {
    std::uint32_t seen = 0;
    const SentSegment* before = nullptr;
    for (SentSegment* segment = board_.oldest(); segment != nullptr; segment = board_.next_sent(*segment)) {
      ASSERT_EQ(segment->fate, Fate::kInFlight);
      ASSERT_TRUE(before == nullptr || before->sent_at() < segment->sent_at() ||
                  (before->sent_at() == segment->sent_at() && before->end() < segment->end()));
      before = segment;
      seen += segment->length;
    }
    ASSERT_EQ(seen, in_flight);
    const auto first =
        std::find_if(bytes_.begin(), bytes_.end(), [](const Byte& byte) { return byte.fate == Fate::kLost; });
    ASSERT_EQ(board_.first_lost() != nullptr, lost != 0);
    if (lost == 0) return;
    ASSERT_EQ(SeqNum::distance(una_, board_.first_lost()->seq),
              static_cast<std::uint32_t>(first - bytes_.begin()));
  }

  void compare_edges(std::uint32_t sacked) {
    if (sacked == 0) return;
    std::uint32_t highest = size();
    while (bytes_[highest - 1].fate != Fate::kSacked) --highest;
    ASSERT_EQ(board_.highest_sacked(), una_ + highest);
    const std::uint32_t wanted = sacked / 2;
    std::uint32_t seen = 0, at = highest;
    while (seen <= wanted) seen += bytes_[--at].fate == Fate::kSacked ? 1u : 0u;
    ASSERT_EQ(board_.below_sacked(wanted), board_.find(una_ + at)->seq);
  }

  void set(const SentSegment& segment, Fate fate) {
    for (std::uint32_t i = 0; i < segment.length; ++i)
      bytes_[SeqNum::distance(una_, segment.seq) + i].fate = fate;
  }
  SentSegment& any() { return *board_.find(una_ + rng_.below(size())); }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(bytes_.size()); }

  Rng rng_;
  ObjectSlabs slabs_;
  SentSegmentPool pool_{1u << 16, slabs_};
  Scoreboard board_{pool_};
  SeqNum una_ = kStart;
  Instant now_ = kEpoch + 1s;
  std::vector<Byte> bytes_;
};

TEST(Scoreboard, SaysWhatAMapOfBytesSays) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(Model(seed).run());
  }
}

}  // namespace
}  // namespace millrace::test
