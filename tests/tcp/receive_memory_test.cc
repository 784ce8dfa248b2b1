// What received payload may pin, however small the segments are that it comes in.

#include <gtest/gtest.h>

#include <algorithm>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

constexpr std::uint32_t kWindow = 65'535;
/// Twice the buffer, and a segment on its way.
constexpr std::size_t kMost = 2 * kWindow + 4096;

/// A conversation in which the window's right edge must not move left, and storage stays bounded.
class Flood {
 public:
  explicit Flood(TcpScript& script) : t(script) { t.establish(syn().mss(1460).sack_ok()); }

  /// Returns the last segment that the stack sent in answer, if any.
  std::optional<Seg> inject(const Seg& segment) {
    t.inject(segment);
    EXPECT_LE(t.stack().pool().bytes_in_use(), kMost);
    std::optional<Seg> last;
    for (const Seg& sent : t.take_sent()) {
      const std::uint32_t edge = *sent.acknowledges + *sent.window;
      EXPECT_GE(edge, edge_) << "the window shrinks";
      edge_ = edge;
      last = sent;
    }
    return last;
  }
  void inject_bytes(std::uint32_t first, std::uint32_t end, std::uint32_t step) {
    for (std::uint32_t at = first; at < end; at += step) inject(data(at, at + 1));
  }

 private:
  TcpScript& t;
  std::uint32_t edge_ = 0;
};

TEST(ReceiveMemory, BytesWithHolesBetweenThemAreRefusedBeyondTheBuffer) {
  TcpScript t;
  Flood flood(t);
  flood.inject_bytes(3, 10'003, 2);
  EXPECT_GT(t.count(Counter::kPruneCalled), 0u);
  EXPECT_GT(t.count(Counter::kRcvPruned), 4000u);
  EXPECT_EQ(t.count(Counter::kOfoDrop), t.count(Counter::kRcvPruned));
  EXPECT_EQ(t.count(Counter::kOfoPruned), 0u) << "what is nearer is worth more than what comes";
  flood.inject(data(1, 10'100));
  EXPECT_EQ(t.read(), 10'099u);
  EXPECT_EQ(t.stack().pool().bytes_in_use(), 0u);
  t.expect_state(State::kEstablished);
}

TEST(ReceiveMemory, NearDataMakesRoomForItselfBehindWhichFarDataIsDropped) {
  rfc("2018", "8", "what was reported and thrown away is not reported again");
  rfc("2018", "8", "the first block holds the newest segment when others are thrown away");
  TcpScript t;
  Flood flood(t);
  flood.inject_bytes(20'001, 21'001, 2);
  const std::uint64_t refused = t.count(Counter::kRcvPruned);
  ASSERT_GT(refused, 0u);
  const std::uint32_t held = t.info().rcv_ooopack - static_cast<std::uint32_t>(refused);
  const std::uint32_t far_end = 20'001 + 2 * (held - 1) + 1;
  // A segment in front of them all.
  const auto answer = flood.inject(data(1001, 2001));
  EXPECT_EQ(t.count(Counter::kOfoPruned), 1u);
  EXPECT_EQ(t.count(Counter::kRcvPruned), refused);
  ASSERT_TRUE(answer && !answer->blocks.empty());
  EXPECT_EQ(answer->blocks.front(), std::make_pair(1001u, 2001u));
  for (const auto& [left, right] : answer->blocks) EXPECT_LT(right, far_end) << "thrown away";
  // The sender has to send again what was dropped; all of it arrives in the end.
  flood.inject(data(1, 1001));
  flood.inject(data(2001, 2001 + 1460));
  for (std::uint32_t at = 3461; at < 21'001; at += 1460) flood.inject(data(at, std::min(at + 1460, 21'001u)));
  EXPECT_EQ(t.read(), 21'000u);
  EXPECT_EQ(t.stack().pool().bytes_in_use(), 0u);
}

TEST(ReceiveMemory, BytesThatComeBackwardsAreCopiedTogether) {
  TcpScript t;
  Flood flood(t);
  for (std::uint32_t at = 20'000; at >= 2; --at) flood.inject(data(at, at + 1));
  EXPECT_GT(t.count(Counter::kRcvCollapsed), 10'000u);
  EXPECT_EQ(t.count(Counter::kOfoPruned) + t.count(Counter::kRcvPruned), 0u);
  flood.inject(data(1, 2));
  EXPECT_EQ(t.read(), 20'000u);
  EXPECT_EQ(t.stack().pool().bytes_in_use(), 0u);
}

TEST(ReceiveMemory, BytesBehindAHoleAreCopiedBehindOneAnother) {
  TcpScript t;
  Flood flood(t);
  flood.inject_bytes(2, 40'000, 1);
  EXPECT_EQ(t.count(Counter::kPruneCalled), 0u) << "no more than a little beyond the payload";
  flood.inject(data(1, 2));
  EXPECT_EQ(t.read(), 39'999u);
  t.take_sent();
}

/// Segments a little too large to be copied behind the last one, and each followed by one that just misses
/// the room there: 2.5 times the payload.
TEST(ReceiveMemory, ASlowReaderHoldsNoMoreThanItsBuffer) {
  TcpScript t;
  Flood flood(t);
  std::uint32_t at = 1;
  while (at + 1999 <= kWindow) {
    flood.inject(data(at, at + 1025));
    flood.inject(data(at + 1025, at + 1999));
    at += 1999;
  }
  EXPECT_GT(t.count(Counter::kRcvCollapsed), 0u);
  EXPECT_EQ(t.count(Counter::kRcvPruned), 0u) << "in order all is kept";
  EXPECT_EQ(t.read(), at - 1);
  t.take_sent();
  EXPECT_EQ(t.stack().pool().bytes_in_use(), 0u);
}

TEST(ReceiveMemory, InOrderDataPushesOutWhatWaits) {
  TcpScript t;
  Flood flood(t);
  flood.inject_bytes(60'001, 60'601, 2);
  EXPECT_GT(t.count(Counter::kRcvPruned), 0u);
  for (std::uint32_t at = 1; at < 50'000; at += 1000) flood.inject(data(at, at + 1000));
  EXPECT_GT(t.count(Counter::kOfoPruned), 0u);
  EXPECT_EQ(t.read(), 50'000u);
  t.take_sent();
}

TEST(ReceiveMemory, WithoutMemoryNothingIsCopiedAndNothingIsLost) {
  TcpScript::Options options;
  options.stack.pool.bytes = std::size_t{32} << 20;
  TcpScript t(options);
  Flood flood(t);
  for (std::uint32_t at = 20'000; at > 19'800; --at) flood.inject(data(at, at + 1));
  std::vector<BufferRef> hoard;
  for (const std::uint32_t size : {PacketPool::kClassBytes.back(), PacketPool::kClassBytes.front()}) {
    while (BufferRef buffer = t.stack().pool().allocate_buffer(size)) hoard.push_back(std::move(buffer));
  }
  for (std::uint32_t at = 19'800; at > 19'000; --at) t.inject(data(at, at + 1));
  t.take_sent();
  EXPECT_EQ(t.count(Counter::kRcvCollapsed), 0u);
  hoard.clear();
  for (std::uint32_t at = 1; at < 20'001; at += 1000) flood.inject(data(at, at + 1000));
  EXPECT_EQ(t.read(), 20'000u);
  EXPECT_EQ(t.stack().pool().bytes_in_use(), 0u);
}

}  // namespace
}  // namespace millrace::test
