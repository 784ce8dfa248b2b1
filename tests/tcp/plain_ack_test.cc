// ACKs that end all that is outstanding take a short way through the sender. It leads where the long one
// leads.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "support/tcp_figures.h"
#include "support/tcp_script.h"
#include "tcp/congestion_list.h"
#include "tcp/counters.h"
#include "tcp/delivery_rate.h"
#include "tcp/rack.h"
#include "tcp/scoreboard.h"

namespace millrace::test {
namespace {

using tcp::AckedDeliveries;
using tcp::DeliveryRate;
using tcp::Rack;
using tcp::RateSample;
using tcp::Scoreboard;
using tcp::SegmentDelivery;
using tcp::SentSegment;

/// A connection of random requests and answers, late, repeated, cut and lost ones among them.
class RandomLife {
 public:
  /// `long_way`: each ACK of something new bears a block of nonsense, which the short way leaves to the long
  /// one, where it is ignored.
  RandomLife(std::uint64_t seed, const char* congestion, bool long_way) : rng_(seed), long_way_(long_way) {
    script_.listen();
    Seg first = syn().mss(1000).sack_ok().wscale(2);
    if (seed % 2 == 0) first.with_ts();
    script_.inject(first);
    script_.take_sent();
    script_.after(5ms).inject(ack(1));
    EXPECT_NE(script_.accept(), nullptr);
    script_.set_option(SocketOption::kCongestion,
                       static_cast<std::int64_t>(*tcp::find_congestion(congestion)));
    script_.set_option(SocketOption::kNoDelay, seed % 3 == 0 ? 0 : 1);
  }
  void live() {
    for (int turn = 0; turn < 60; ++turn) {
      step();
      for (const Seg& segment : script_.take_sent()) sent.push_back(segment.to_string());
      const TcpInfo info = script_.info();
      told.push_back(figures(info));
      rates.push_back(info.delivery_rate);
    }
    script_.inject(rst(received_));
    static_cast<void>(script_.read_error());
  }

  [[nodiscard]] std::uint64_t blocks_ignored() const { return script_.count(tcp::Counter::kSackDiscarded); }

  std::vector<std::string> sent;
  std::vector<std::vector<std::uint64_t>> told;
  std::vector<std::uint64_t> rates;

 private:
  void step() {
    switch (rng_.below(8)) {
      case 0:  // more than a segment, of which a part is acknowledged first
        write(rng_.below(4000) + 1001);
        wait(20);
        acknowledge(std::max(acknowledged_, sent_end() - rng_.below(900) - 1));
        break;
      case 1:  // a second one before the first is acknowledged
        write(rng_.below(900) + 1);
        wait(10);
        write(rng_.below(900) + 1);
        break;
      case 2:  // the tail probe, or the timeout
        write(rng_.below(900) + 1);
        wait(600);
        break;
      case 3:  // nothing new
        acknowledge(acknowledged_);
        break;
      case 4:  // the peer's window moves
        window_ = static_cast<std::uint16_t>(2000 + rng_.below(10'000));
        write(rng_.below(900) + 1);
        break;
      default:
        write(rng_.below(900) + 1);
    }
    wait(40);
    if (rng_.chance(0.5)) {
      const std::uint32_t length = rng_.below(500) + 1;
      inject(data(received_, received_ + length), sent_end());
      received_ += length;
      script_.read();
    } else {
      acknowledge(sent_end());
    }
    wait(20);
  }
  void write(std::uint32_t bytes) {
    script_.write(bytes);
    written_ += bytes;
  }
  void wait(std::uint32_t most) { script_.after(std::chrono::microseconds(rng_.below(most * 1000) + 1)); }
  [[nodiscard]] std::uint32_t sent_end() const { return written_ - script_.info().notsent_bytes; }
  void acknowledge(std::uint32_t to) { inject(ack(to).seq(received_), to); }
  void inject(Seg segment, std::uint32_t to) {
    if (long_way_ && to > acknowledged_) segment.sack(written_ + 100'000, written_ + 101'000);
    acknowledged_ = to;
    script_.inject(segment.ack(to).win(window_));
  }

  TcpScript script_;
  Rng rng_;
  bool long_way_;
  std::uint32_t written_ = 1, acknowledged_ = 1, received_ = 1;
  std::uint16_t window_ = 10'000;
};

class PlainAck : public testing::TestWithParam<const char*> {};

TEST_P(PlainAck, LeadsWhereTheLongWayLeads) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    RandomLife quick(seed, GetParam(), false), slow(seed, GetParam(), true);
    quick.live();
    slow.live();
    ASSERT_GT(slow.blocks_ignored(), 40u) << "of 60 turns";
    ASSERT_EQ(quick.sent, slow.sent) << "seed " << seed;
    ASSERT_EQ(quick.told, slow.told) << "seed " << seed;
    ASSERT_EQ(quick.rates, slow.rates) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(WithEach, PlainAck, testing::Values("cubic", "reno", "bbr", "dctcp"),
                         [](const auto& one) { return std::string(one.param); });

// --- its parts

TEST(PlainAckParts, RateOfOneDeliveryIsTheRateOfOneOfMany) {
  Rng rng(1);
  DeliveryRate whole, short_cut;
  Instant now = kEpoch + 1s;
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t bytes = rng.below(3000) + 1;
    if (rng.chance(0.1)) {
      whole.on_lost(bytes);
      short_cut.on_lost(bytes);
    }
    SegmentDelivery a, b;
    whole.on_segment_sent(now, bytes, bytes, a);
    short_cut.on_segment_sent(now, bytes, bytes, b);
    if (rng.chance(0.3)) {
      whole.mark_app_limited(bytes);
      short_cut.mark_app_limited(bytes);
    }
    now += std::chrono::microseconds(rng.below(3000));
    const Duration min_rtt = std::chrono::microseconds(rng.below(1000));
    AckedDeliveries acked;
    RateSample of_many, of_one;
    whole.on_segment_delivered(a, bytes, now, acked);
    whole.finish(acked, min_rtt, of_many);
    short_cut.on_one_delivered(b, bytes, min_rtt, now, of_one);
    ASSERT_EQ(of_one.valid, of_many.valid);
    ASSERT_EQ(of_one.app_limited, of_many.app_limited);
    ASSERT_EQ(of_one.interval, of_many.interval);
    ASSERT_EQ(of_one.bytes_per_second, of_many.bytes_per_second);
    ASSERT_EQ(of_one.prior_delivered, of_many.prior_delivered);
    ASSERT_EQ(of_one.delivered, of_many.delivered);
    ASSERT_EQ(of_one.lost, of_many.lost);
    ASSERT_EQ(of_one.tx_in_flight, of_many.tx_in_flight);
    ASSERT_EQ(short_cut.delivered_total(), whole.delivered_total());
    ASSERT_EQ(short_cut.app_limited(), whole.app_limited());
  }
}

TEST(PlainAckParts, BoardKnowsWhenAllIsOneSegmentThatWasSentOnce) {
  ObjectSlabs slabs;
  tcp::SentSegmentPool pool{16, slabs};
  Scoreboard board{pool};
  const SeqNum start{0xffffff00u};
  const auto append = [&](std::uint32_t at) {
    SentSegment* const segment = board.append(start + at, 100, 100, kEpoch + 1s);
    EXPECT_NE(segment, nullptr);
    return segment;
  };
  EXPECT_EQ(board.only(), nullptr);
  SentSegment* first = append(0);
  EXPECT_EQ(board.only(), first);
  board.mark_lost(*first);
  EXPECT_EQ(board.only(), nullptr) << "lost";
  board.on_retransmitted(*first, 100, kEpoch + 2s);
  EXPECT_EQ(board.only(), nullptr) << "sent again";
  board.clear();

  append(0);
  append(100);
  EXPECT_EQ(board.only(), nullptr) << "two";
  board.acknowledge(start + 100, [](const SentSegment&, std::uint32_t) {});
  ASSERT_NE(board.only(), nullptr);
  EXPECT_EQ(board.only()->seq, start + 100);
  board.forget_only();
  EXPECT_TRUE(board.empty());
  EXPECT_EQ(board.count(), 0u);
  EXPECT_EQ(board.in_flight(), 0u);
  EXPECT_EQ(board.oldest(), nullptr);
  EXPECT_EQ(pool.in_use(), 0u);
  first = append(200);
  EXPECT_EQ(board.only(), first);
}

TEST(PlainAckParts, WhatArrivesAsAllThereIsHasOvertakenNothing) {
  Rng rng(2);
  Rack whole, short_cut;
  SeqNum end{0xfffff000u};
  whole.start(end);
  short_cut.start(end);
  Instant now = kEpoch + 1s;
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t length = rng.below(2000) + 1;
    const Instant sent_at = now;
    now += std::chrono::microseconds(rng.below(3000));
    Rack::Arrival arrival;
    arrival.start = end;
    arrival.end = end += length;
    arrival.sent_at = sent_at;
    ASSERT_FALSE(whole.on_arrival(arrival, 1us, now));
    short_cut.on_arrival_of_all(sent_at, end, now - sent_at);
    ASSERT_EQ(short_cut.rtt(), whole.rtt());
    ASSERT_EQ(short_cut.reordering_seen(), whole.reordering_seen());
  }
}

}  // namespace
}  // namespace millrace::test
