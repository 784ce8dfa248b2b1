// Of thousands of connections those whose ACK waits are in a list, with one timer for all. When an ACK goes
// out is the same as with few.

#include "tcp/delayed_acks.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "support/tcp_script.h"

namespace millrace::test {
namespace {

struct Waiting : tcp::DelayedAckHook {
  Instant sent_at{};
};

class DelayedAckList : public testing::Test {
 protected:
  static void send(tcp::DelayedAckHook& connection, Instant now) {
    EXPECT_EQ(connection.listed_ack(), kNever);
    static_cast<Waiting&>(connection).sent_at = now;
  }
  void run_until(Instant end) {
    for (Instant next = wheel_.next_deadline(); next <= end; next = wheel_.next_deadline()) {
      now_ = next;
      wheel_.run(now_);
    }
    now_ = end;
  }

  Instant now_ = kEpoch + 1s;
  TimerWheel wheel_{now_};
  tcp::DelayedAcks acks_{wheel_, &DelayedAckList::send};
};

TEST_F(DelayedAckList, EachIsDueAtItsTime) {
  Rng rng(1);
  std::deque<Waiting> connections(500);
  std::vector<Instant> due(connections.size(), kNever);
  for (int step = 0; step < 20'000; ++step) {
    run_until(now_ + std::chrono::microseconds(rng.below(400)));
    for (std::size_t i = 0; i < connections.size(); ++i) {
      if (due[i] > now_) continue;
      ASSERT_EQ(connections[i].sent_at, due[i]) << i;
      due[i] = kNever;
    }
    const std::size_t i = rng.below(static_cast<std::uint32_t>(connections.size()));
    // Mostly as TCP does it; some out of order, and some that wait already.
    due[i] = rng.chance(0.4) ? kNever : now_ + (rng.chance(0.1) ? 10ms : 40ms);
    acks_.set(connections[i], due[i]);
    ASSERT_EQ(connections[i].listed_ack(), due[i]);
  }
}

TEST_F(DelayedAckList, WhoGoesIsForgotten) {
  Waiting stays;
  {
    Waiting goes;
    acks_.set(goes, now_ + 40ms);
    acks_.set(stays, now_ + 50ms);
  }
  const Instant start = now_;
  run_until(start + 1s);
  EXPECT_EQ(stays.sent_at, start + 50ms);
}

/// A script whose stack has thousands of flows beside those of the test.
class Crowded : public testing::Test {
 protected:
  struct Other : tcp::Flow {
    explicit Other(const tcp::FlowKey& key) : tcp::Flow(Kind::kTimeWait, key) {}
  };
  Crowded() {
    for (std::uint16_t port = 1; port <= 3000; ++port) {
      others_.emplace_back(tcp::FlowKey{{TcpScript::kOwn, 9}, {IpAddress::v4(198, 18, 0, 77), port}});
      t.tcp().flows().insert(others_.back());
    }
    EXPECT_TRUE(t.tcp().has_many_flows());
  }
  ~Crowded() override { leave(); }
  void leave() {
    for (Other& other : others_) t.tcp().flows().remove(other);
    EXPECT_FALSE(t.tcp().has_many_flows());
  }

  TcpScript t;
  std::deque<Other> others_;
};

TEST_F(Crowded, AckWaitsForDataToGoWith) {
  t.establish();
  t.make_interactive();
  t.inject(data(2, 102));
  t.expect_after(40ms, ack(102).seq(2));
  t.inject(data(102, 202));
  t.after(39ms);
  t.write(10);
  t.expect(data(2, 12).ack(202));
  t.inject(ack(12));
  t.expect_nothing_for(500ms);
  t.inject(data(202, 302));
  t.after(20ms);
  t.write(10);
  t.expect(data(12, 22).ack(302));
  t.inject(data(302, 402).ack(22));
  t.expect_after(40ms, ack(402).seq(22));
  t.expect_nothing_for(500ms);
  t.inject(rst(402));
  static_cast<void>(t.read_error());
}

TEST_F(Crowded, AckIsDueAlsoWhenTheCrowdHasGone) {
  t.establish();
  t.make_interactive();
  t.inject(data(2, 102));
  t.after(10ms);
  leave();
  t.expect_after(30ms, ack(102).seq(2));
  t.inject(data(102, 202));
  t.expect_after(40ms, ack(202).seq(2));
  t.inject(data(202, 302));
  t.inject(rst(302));
  static_cast<void>(t.read_error());
  t.expect_nothing_for(500ms);
}

TEST_F(Crowded, WhoEndsMeanwhileSendsNothing) {
  t.establish();
  t.make_interactive();
  t.inject(data(2, 102));
  t.inject(rst(102));
  static_cast<void>(t.read_error());
  t.expect_nothing_for(500ms);
}

}  // namespace
}  // namespace millrace::test
