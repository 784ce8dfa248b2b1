// Where loss recovery meets the rest: the peer's window, the application, the other connections.
#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;

TEST(RecoveryAndWindow, WindowThatShutsUponWhatIsLostIsProbed) {
  rfc("9293", "3.8.6.1", "MUST-36: a closed window is probed");
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.after(kRoundTrip).inject(ack(1001).sack(2001, 5001).win(0));
  // What lies beyond the edge would be dropped; the first is sent all the same.
  t.expect(data(1001, 2001));
  t.after(1s);
  for (const Seg& probe : t.take_sent()) EXPECT_EQ(probe.length, 0u);
  EXPECT_GE(t.count(Counter::kWindowProbes), 1u);
  // It opens, and nothing else happens: the retransmission timer runs again.
  t.inject(ack(1001).sack(2001, 5001).win(10'000));
  t.after(2s);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.back().at, 1001u);
  EXPECT_EQ(sent.back().length, 1000u);
  t.inject(ack(5001));
  t.expect_nothing_for(10s);
}

TEST(RecoveryAndWindow, WhatLiesBeyondAWindowThatWasTakenBackWaits) {
  rfc("9293", "3.8.6", "SHLD-14: a sender lives with a window that shrinks");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(6001, 10'001).win(3000));
  t.expect_stream(1, 3001);
  t.expect_nothing();
  t.after(kRoundTrip).inject(ack(3001).sack(6001, 10'001).win(10'000));
  t.expect_stream(3001, 6001);
  t.take_sent();
  t.after(kRoundTrip).inject(ack(10'001));
  t.take_sent();
}

TEST(RecoveryAndWindow, TimeoutSendsTheFirstSegmentWhateverTheWindow) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.after(kRoundTrip).inject(ack(1001).win(500));
  t.after(1s);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  for (const Seg& one : sent) EXPECT_TRUE(one.at == 1001u || one.at == 4001u) << *one.at;
  EXPECT_GE(t.count(Counter::kTimeouts), 1u);
  t.inject(ack(5001).win(10'000));
  t.expect_nothing_for(10s);
}

TEST(RecoveryAndApplication, NewControlInTheMiddleOfARecovery) {
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 10'001));
  t.expect(data(1, 1001));
  t.take_sent();
  for (const char* name : {"bbr", "dctcp", "cubic"}) {
    t.set_option(SocketOption::kCongestion, static_cast<std::int64_t>(*tcp::find_congestion(name)));
    t.after(kRoundTrip);
    t.take_sent();
  }
  std::uint32_t una = 10'001;
  for (int i = 0; i < 100 && una < 100'001; ++i) {
    t.inject(ack(una));
    t.after(kRoundTrip);
    for (const Seg& sent : t.take_sent()) una = std::max(una, *sent.at + sent.length);
  }
  t.inject(ack(una));
  EXPECT_EQ(una, 100'001u);
  EXPECT_EQ(t.info().unacked, 0u);
  t.expect_nothing_for(10s);
}

TEST(RecoveryAndApplication, CloseInTheMiddleOfARecoveryEndsInOrder) {
  TcpScript t;
  establish_far(t, sack_syn());
  t.write(5000);
  t.expect_stream(1, 5001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 5001));
  t.expect(data(1, 1001));
  t.close();
  t.expect(fin(5001));
  // The FIN arrives, the retransmission does not.
  t.after(kRoundTrip).inject(ack(1).sack(1001, 5002));
  t.after(kRoundTrip);
  const auto sent = t.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].at, 1u);
  t.inject(fin(1).ack(5002));
  t.expect(ack(2));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u);
}

TEST(RecoveryAndOthers, NobodyTakesAllEntriesOfTheScoreboards) {
  TcpScript::Options options;
  options.stack.tcp.max_sent_segments = 64;
  TcpScript t(options);
  establish_far(t, sack_syn());
  t.set_option(SocketOption::kNoDelay, 1);
  for (std::uint32_t i = 0; i < 80; ++i) t.write(10);
  t.expect_stream(1, 641);
  t.from_port(40001);
  const auto held = t.info();
  EXPECT_EQ(held.notsent_bytes, 160u);
  // Somebody else can still send, a segment at a time.
  t.inject(sack_syn());
  t.expect(synack());
  t.inject(ack(1));
  ASSERT_TRUE(t.try_accept());
  t.write(20);
  t.expect(data(1, 21));
  t.inject(ack(21));
}

}  // namespace
}  // namespace millrace::test
