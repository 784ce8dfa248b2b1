#include <gtest/gtest.h>

#include <algorithm>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::State;

TcpScript::Options small_window(std::size_t bytes = 4096) {
  TcpScript::Options options;
  options.stack.tcp.receive_window_initial = bytes;
  return options;
}

// --- scaling

TEST(WindowScale, OfThePeerCountsFromTheThirdSegmentOn) {
  rfc("7323", "2.2", "the window of a SYN is not scaled; all others are");
  TcpScript t;
  t.establish(syn().mss(1000).wscale(2).win(4000));
  EXPECT_EQ(t.info().snd_wnd, 4000u);
  EXPECT_EQ(t.info().snd_wscale, 2);
  t.inject(ack(1).win(100));
  EXPECT_EQ(t.info().snd_wnd, 400u);
}

TEST(WindowScale, OfTheSynAckCountsUnscaled) {
  rfc("7323", "2.2", "the window of a SYN-ACK is not scaled");
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn().wscale(7));
  t.inject(synack().mss(1000).wscale(3).win(5000));
  t.expect(ack(1).win(511));
  EXPECT_EQ(t.info().snd_wnd, 5000u);
  t.inject(ack(1).win(5000));
  EXPECT_EQ(t.info().snd_wnd, 40'000u);
}

TEST(WindowScale, IsUsedOnlyWhenBothSendIt) {
  rfc("7323", "2.2", "scaling is in force only when both SYNs had the option");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  const Seg answer = t.take_sent().at(0);
  EXPECT_FALSE(answer.scale.has_value());
  t.inject(ack(1));
  ASSERT_TRUE(t.accept());
  t.write(1);
  t.expect(data(1, 2).win(65535));
}

TEST(WindowScale, AboveFourteenCountsAsFourteen) {
  rfc("7323", "2.3", "a shift above 14 is used as 14");
  TcpScript t;
  t.establish(syn().mss(1460).wscale(15).win(60'000));
  t.inject(ack(1).win(1));
  EXPECT_EQ(t.info().snd_wnd, 16'384u);
}

TEST(WindowScale, OfOursFollowsTheLargestWindow) {
  TcpScript::Options options;
  options.stack.tcp.receive_window_max = std::size_t{500} << 20;
  TcpScript t(options);
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn().wscale(13));
  t.inject(synack().mss(1460).wscale(7).win(65535));
  t.expect(ack(1).win(65535 >> 13));
  EXPECT_EQ(t.info().rcv_wscale, 13);

  TcpScript passive(options);
  passive.listen();
  passive.inject(syn().mss(1460).wscale(7));
  passive.expect(synack().wscale(13));
}

TEST(WindowScale, OfOursIsAppliedToWhatWeAdvertise) {
  TcpScript t;
  t.establish(syn().mss(1460).wscale(0));
  t.inject(data(1, 1461));
  t.expect(ack(1461).win((65535 - 1460) / 128));
}

// --- what we advertise

/// After a peer has filled it in each of some round trips, and all was read.
std::uint32_t window_of_a_full_path(Duration round_trip) {
  constexpr std::uint32_t kSegment = 1460;
  constexpr int kRounds = 12;
  TcpScript t;
  t.establish(syn().mss(kSegment).wscale(7));
  std::uint32_t next = 1;
  for (int round = 0; round < kRounds; ++round) {
    for (std::uint32_t room = t.info().rcv_ssthresh; room >= kSegment; room -= kSegment) {
      t.inject(data(next, next + kSegment));
      next += kSegment;
    }
    t.read();
    t.after(round_trip).take_sent();
  }
  return t.info().rcv_space;
}

TEST(ReceiveWindow, GrowsToItsMaximumWhereThePathIsLong) {
  EXPECT_EQ(window_of_a_full_path(5ms), tcp::Config{}.receive_window_max);
}

TEST(ReceiveWindow, StaysSmallerThanTheCachesWhereThePathIsShort) {
  EXPECT_EQ(window_of_a_full_path(50us), tcp::Config{}.receive_window_max / 4);
}

TEST(ReceiveWindow, ShrinksByWhatIsUnreadAndNeverFromTheRight) {
  rfc("9293", "3.8.6", "SHLD-14: the window is not shrunk from the right");
  TcpScript t(small_window());
  t.establish();
  std::uint32_t edge = 1 + 4096, next = 1;
  const auto look = [&] {
    for (const Seg& sent : t.take_sent()) {
      const std::uint32_t right = *sent.acknowledges + *sent.window;
      EXPECT_GE(right, edge);
      edge = std::max(edge, right);
    }
  };
  for (int i = 0; i < 200; ++i) {
    const std::uint32_t n =
        std::min<std::uint32_t>(1 + (static_cast<std::uint32_t>(i) * 389) % 1460, edge - next);
    if (n != 0) t.inject(data(next, next + n));
    next += n;
    look();
    if (i % 3 == 0) t.read(1 + static_cast<std::size_t>(i) * 53 % 2000);
    look();
    t.after(50ms);
    look();
  }
  EXPECT_GT(next, 20'000u);
}

TEST(ReceiveWindow, OpensOnlyInWorthwhileSteps) {
  rfc("9293", "3.8.6.2.2", "MUST-39: the window opens by min(half the buffer, one MSS) at least");
  TcpScript t(small_window());
  t.establish();
  t.inject(data(1, 1461));
  t.inject(data(1461, 2921));
  t.inject(data(2921, 4097));
  t.take_sent();
  t.after(100ms);
  t.take_sent();
  EXPECT_EQ(t.info().rcv_ssthresh, 0u) << "the window is shut";
  t.read(100);
  t.expect_nothing_for(1s);
  t.read(1359);
  t.expect_nothing_for(1s);
  t.read(1);
  t.expect(ack(4097).win(1460));
}

TEST(ReceiveWindow, ClosesToZeroAndAnswersProbes) {
  rfc("9293", "3.8.6.1", "MUST-37, MAY-8: the window may stay shut; probes are answered with an ACK");
  TcpScript t(small_window());
  t.establish();
  t.inject(data(1, 1461));
  t.inject(data(1461, 2921));
  t.inject(data(2921, 4097));
  t.take_sent();
  t.after(1s);
  t.take_sent();
  t.inject(data(4097, 4098));
  t.expect(ack(4097).win(0));
  t.after(1s).inject(ack(1).seq(4096));
  t.expect(ack(4097).win(0));
  EXPECT_EQ(t.read(), 4096u);
  t.expect(ack(4097).win(4096));
  t.inject(data(4097, 4098));
  t.expect(ack(4098));
}

TEST(ReceiveWindow, AckAndUrgentPointerOfASegmentInAClosedWindowCount) {
  rfc("9293", "3.4", "MUST-66: with a zero window, ACKs, RSTs and urgent pointers are still processed");
  TcpScript t(small_window());
  t.establish();
  t.write(100);
  t.expect(data(1, 101));
  t.inject(data(1, 1461));
  t.inject(data(1461, 2921));
  t.inject(data(2921, 4097));
  t.take_sent();
  t.after(100ms);
  t.take_sent();
  t.inject(data(4097, 4107).ack(101).urg(10));
  t.expect(ack(4097).win(0));
  EXPECT_EQ(t.info().unacked, 0u);
  EXPECT_NE(t.socket().take_events() & kPriority, 0u);
  t.expect_nothing_for(10s);
}

TEST(ReceiveWindow, GrowsWhileThePeerFillsItAndTheReaderKeepsUp) {
  TcpScript t;
  t.establish(syn().mss(1460).wscale(7));
  std::uint32_t next = 1, largest = 0;
  for (int i = 0; i < 3000; ++i) {
    t.inject(data(next, next + 1460));
    next += 1460;
    if (t.info().rcv_ssthresh < 3000) t.read();
    for (const Seg& sent : t.take_sent()) largest = std::max<std::uint32_t>(largest, *sent.window * 128u);
  }
  EXPECT_GT(largest, 500'000u);
  EXPECT_LE(largest, 2u << 20);
}

/// A peer 100 ms away sends what the window of a round trip ago allows, but no more than `most` in one.
/// Returns the last window.
std::uint32_t window_over_a_long_path(std::uint32_t most) {
  TcpScript t;
  t.establish(syn().mss(1460).wscale(7));
  std::uint32_t next = 1, edge = 65536, later_edge = edge;
  for (int round = 0; round < 30; ++round) {
    const std::uint32_t end = std::min(edge, next + most);
    edge = later_edge;
    // Two at a time and read at once: hardly any of the window is ever seen used.
    for (int step = 0; step < 50; ++step) {
      for (int i = 0; i < static_cast<int>(most / 1460 / 50 + 1) && next + 1460 <= end; ++i) {
        t.inject(data(next, next + 1460));
        next += 1460;
        t.read();
      }
      for (const Seg& sent : t.take_sent())
        later_edge = std::max(later_edge, *sent.acknowledges + *sent.window * 128u);
      t.after(2ms);
    }
  }
  return later_edge - next;
}

TEST(ReceiveWindow, GrowsOverALongPathWhereAllOfItIsUnderWay) {
  EXPECT_GT(window_over_a_long_path(1'000'000), 1'500'000u);
}

TEST(ReceiveWindow, HardlyGrowsForASlowPeer) {
  EXPECT_LE(window_over_a_long_path(14'600), 300'000u);
}

TEST(ReceiveWindow, OfAFixedBufferStaysThere) {
  TcpScript t;
  t.listen();
  EXPECT_TRUE(t.listener().set_option(SocketOption::kReceiveBuffer, 10'000, t.now()).ok());
  t.inject(syn().mss(1460));
  t.expect(synack().win(10'000));
}

// --- what the peer advertises

TEST(SendWindow, IsRespected) {
  TcpScript t;
  t.establish(syn().mss(1460).win(3000));
  t.write(10'000);
  t.expect_stream(1, 2921);
  t.expect_nothing();
  t.inject(ack(2921).win(3000));
  t.expect_stream(2921, 5841);
  t.expect_nothing();
}

TEST(SendWindow, IsTakenFromTheNewestSegmentOnly) {
  rfc("9293", "3.10.7.4", "SND.WL1 and SND.WL2 keep old segments from setting the window");
  TcpScript t;
  t.establish();
  t.inject(data(1, 11).win(2000));
  t.expect(ack(11));
  EXPECT_EQ(t.info().snd_wnd, 2000u);
  t.inject(data(11, 21).win(3000));
  t.expect(ack(21));
  t.inject(data(5, 26).win(9000));  // acceptable for its last bytes, but older
  t.take_sent();
  EXPECT_EQ(t.info().snd_wnd, 3000u);
}

TEST(SendWindow, SmallOpeningIsNotUsed) {
  rfc("9293", "3.8.6.2.1", "MUST-38: sender's silly-window avoidance");
  TcpScript t;
  t.establish(syn().mss(1460).win(4380));
  t.write(20'000);
  t.expect_stream(1, 4381);
  t.inject(ack(1461).win(2920 + 500));
  t.expect_nothing();
  t.inject(ack(2921).win(1460 + 1460));
  t.expect(data(4381, 5841));
  t.expect_nothing();
}

TEST(SendWindow, HalfOfTheLargestIsUsed) {
  rfc("9293", "3.8.6.2.1", "(3): a segment of half the largest window is sent");
  TcpScript t;
  t.establish(syn().mss(1460).win(1000));
  t.write(5000);
  t.expect(data(1, 1001));
  t.inject(ack(1001).win(499));
  t.expect_nothing();
  t.inject(ack(1001).win(500));
  t.expect(data(1001, 1501));
}

TEST(SendWindow, SmallOneIsUsedAtLastByTheOverride) {
  rfc("9293", "3.8.6.2.1", "(4): the override timeout sends what the window lets");
  TcpScript t;
  t.establish(syn().mss(1460).win(1000));
  t.write(5000);
  t.expect(data(1, 1001));
  t.inject(ack(1001).win(300));
  t.expect_after(200ms, data(1001, 1301));
}

TEST(SendWindow, ThatIsShutIsProbedWithBackOff) {
  rfc("9293", "3.8.6.1",
      "MUST-36: a zero window is probed; SHLD-29: first after the RTO; SHLD-30: with back-off");
  TcpScript t;
  t.establish(syn().mss(1460).win(1460));
  t.write(5000);
  t.expect(data(1, 1461));
  t.inject(ack(1461).win(0));
  t.expect_after(200ms, ack(1).seq(1460));
  t.inject(ack(1461).win(0));
  t.expect_after(400ms, ack(1).seq(1460));
  t.inject(ack(1461).win(0));
  t.expect_after(800ms, ack(1).seq(1460));
  t.inject(ack(1461).win(5000));
  t.expect_stream(1461, 5001);
}

TEST(SendWindow, MayStayShutForEverWhileProbesAreAnswered) {
  rfc("9293", "3.8.6.1", "MUST-37: the connection stays open while the peer answers probes");
  TcpScript t;
  t.establish(syn().mss(1460).win(0));
  t.write(5000);
  t.expect_nothing();
  std::size_t probes = 0;
  for (int i = 0; i < 200; ++i) {
    t.after(60s);
    for (const Seg& probe : t.take_sent()) {
      EXPECT_EQ(probe.length, 0u);
      ++probes;
      t.inject(ack(1).win(0));
    }
  }
  EXPECT_GT(probes, 90u);
  t.expect_state(State::kEstablished);
  t.inject(ack(1).win(5000));
  t.expect_stream(1, 5001);
}

TEST(SendWindow, ThatIsShutBySomebodyWhoIsGoneTimesOut) {
  rfc("9293", "3.8.3", "MUST-20: R2 holds for probes");
  TcpScript t;
  t.establish(syn().mss(1460).win(0));
  t.write(5000);
  t.after(3600s);
  t.take_sent();
  t.expect_state(State::kClosed);
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(SendWindow, FinWaitsForItToOpenToo) {
  TcpScript t;
  t.establish(syn().mss(1460).win(0));
  t.shutdown(Shutdown::kWrite);
  t.expect_nothing();
  t.expect_after(200ms, ack(1).seq(0));
  t.inject(ack(1).win(1000));
  t.expect(fin(1));
}

TEST(SendWindow, ShrunkOnWhatIsInFlightIsSurvived) {
  rfc("9293", "3.8.6", "MUST-34: the sender is robust against a window that shrinks");
  rfc("9293", "3.8.6",
      "SHLD-15: no new data is sent beyond a shrunk window; SHLD-16: old data is retransmitted");
  TcpScript t;
  t.establish(syn().mss(1000).win(4000));
  t.write(8000);
  t.expect_stream(1, 4001);
  t.inject(ack(1001).win(1000));
  t.expect_nothing();
  t.expect_after(200ms, data(1001, 2001));
  t.inject(ack(2001).win(1000));
  t.take_sent();
  t.inject(ack(4001).win(4000));
  t.expect_stream(4001, 6001);  // slow start
  t.inject(ack(6001).win(4000));
  t.expect_stream(6001, 8001);
}

TEST(SendWindow, AcksBeforeWhatAClosedWindowRefuses) {
  rfc("9293", "3.8.6", "MUST-34: the sender is robust against a window that shrinks");
  // Both ends are full: what we have sent is refused, and with it the ACK that it carries. The peer sees that
  // its own data arrived by an ACK that it may look at, however little more than its closed window is out.
  TcpScript t;
  t.establish(syn().mss(1000).win(4000).wscale(10));
  t.write(1000);
  t.expect(data(1, 1001));
  t.inject(ack(1).win(0));
  t.inject(data(1, 501).ack(1).win(0));
  t.expect(ack(501).seq(1));
  t.inject(data(501, 1001).ack(1).win(0));
  t.expect(ack(1001).seq(1));
}

TEST(SendWindow, ReopenedOverLostDataKeepsTheRetransmissionTimer) {
  TcpScript t;
  t.establish(syn().mss(1000).win(4000));
  t.write(3000);
  t.expect_stream(1, 3001);
  t.inject(ack(1).win(0));
  t.expect_after(200ms, ack(1).seq(0));
  t.inject(ack(1).win(4000));
  t.after(1s);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.front().at, 1u);
  EXPECT_EQ(sent.front().length, 1000u);
}

}  // namespace
}  // namespace millrace::test
