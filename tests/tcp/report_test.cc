// What ss(8) is told of TCP.

#include "tcp/report.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::State;
using tcp::Walk;
using Timer = SocketReport::Timer;

std::vector<SocketReport> walk(TcpScript& t, bool info = false, std::size_t piece = 64) {
  std::vector<SocketReport> all;
  Walk walk;
  for (bool more = true; more;) {
    std::vector<SocketReport> reports;
    more = walk.next(t.tcp(), reports, piece, info, t.now());
    all.insert(all.end(), reports.begin(), reports.end());
  }
  return all;
}

/// The only one in this state.
SocketReport only(TcpScript& t, State state, bool info = false) {
  SocketReport found;
  int count = 0;
  for (const SocketReport& report : walk(t, info)) {
    if (report.state != static_cast<std::uint8_t>(state)) continue;
    found = report;
    ++count;
  }
  EXPECT_EQ(count, 1);
  return found;
}

TEST(TcpReport, AListenerHasItsAcceptQueueAndItsBacklog) {
  TcpScript t;
  t.listen(5);
  SocketReport report = only(t, State::kListen);
  EXPECT_EQ(report.local.port, TcpScript::kServerPort);
  EXPECT_EQ(report.remote.port, 0);
  EXPECT_EQ(report.receive_queue, 0u);
  EXPECT_EQ(report.send_queue, 5u);
  EXPECT_EQ(report.socket, &t.listener());
  for (std::uint16_t port = 50'000; port < 50'002; ++port) {
    t.from_port(port).inject(syn().mss(1460));
    t.expect(synack());
    t.inject(ack(1));
  }
  EXPECT_EQ(only(t, State::kListen).receive_queue, 2u);
  for (const SocketReport& waiting : walk(t)) {
    if (waiting.state != static_cast<std::uint8_t>(State::kEstablished)) continue;
    EXPECT_EQ(waiting.socket, nullptr) << "not accepted: no process has it";
  }
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(only(t, State::kListen).receive_queue, 1u);
}

TEST(TcpReport, ARequestIsHalfOpenAndRepeatsItsAnswer) {
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  SocketReport report = only(t, State::kSynReceived);
  EXPECT_EQ(report.local, (Endpoint{TcpScript::kOwn, TcpScript::kServerPort}));
  EXPECT_EQ(report.remote.address, TcpScript::kPeer);
  EXPECT_EQ(report.timer, Timer::kRetransmit);
  EXPECT_EQ(report.timer_left, 1s);
  EXPECT_EQ(report.timer_count, 0);
  t.expect_after(1s, synack());
  report = only(t, State::kSynReceived);
  EXPECT_EQ(report.timer_count, 1);
  EXPECT_EQ(report.timer_left, 2s);
}

TEST(TcpReport, QueuesAreWhatWaitsToBeReadAndToBeAcknowledged) {
  TcpScript t;
  t.establish();
  t.inject(data(1, 501));
  t.write(300);
  t.take_sent();
  const SocketReport report = only(t, State::kEstablished, true);
  EXPECT_EQ(report.receive_queue, 500u);
  EXPECT_EQ(report.send_queue, 300u);
  EXPECT_EQ(report.socket, &t.socket());
  EXPECT_FALSE(report.orphan);
  EXPECT_EQ(report.timer, Timer::kRetransmit);
  EXPECT_GT(report.timer_left, Duration{0});
  EXPECT_GE(report.send_memory, 300u);
  ASSERT_TRUE(report.has_info);
  EXPECT_EQ(report.info.bytes_received, 500u);
  EXPECT_EQ(report.info.data_segs_out, 1u);
  EXPECT_FALSE(report.congestion.empty());
  t.read();
  t.inject(ack(301));
  const SocketReport idle = only(t, State::kEstablished);
  EXPECT_EQ(idle.receive_queue, 0u);
  EXPECT_EQ(idle.send_queue, 0u);
  EXPECT_EQ(idle.timer, Timer::kNone);
  EXPECT_FALSE(idle.has_info) << "not asked for";
  t.take_sent();
}

TEST(TcpReport, AFinIsOneMoreToBeAcknowledgedAndAClosedSocketAnOrphan) {
  TcpScript t;
  t.establish();
  t.write(10);
  t.close();
  t.take_sent();
  const SocketReport report = only(t, State::kFinWait1);
  EXPECT_EQ(report.send_queue, 11u);
  EXPECT_EQ(report.socket, nullptr);
  EXPECT_TRUE(report.orphan);
}

TEST(TcpReport, AKeepaliveTimerIsToldWhenNothingElseRuns) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kKeepaliveIdle, 60);
  t.set_option(SocketOption::kKeepalive, 1);
  t.after(10s);
  const SocketReport report = only(t, State::kEstablished);
  EXPECT_EQ(report.timer, Timer::kKeepalive);
  EXPECT_EQ(report.timer_left, 50s);
}

TEST(TcpReport, AConnectionAttemptHasItsSynToBeAcknowledged) {
  TcpScript t;
  ASSERT_EQ(t.connect(), Error::kInProgress);
  t.take_sent();
  const SocketReport report = only(t, State::kSynSent);
  EXPECT_EQ(report.send_queue, 1u);
  EXPECT_EQ(report.timer, Timer::kRetransmit);
  EXPECT_EQ(report.timer_left, 1s);
}

TEST(TcpReport, TimeWaitHasNoProcessAndAnEnd) {
  TcpScript t;
  t.establish();
  t.close();
  t.take_sent();
  t.inject(fin(1).ack(2));
  t.take_sent();
  const SocketReport report = only(t, State::kTimeWait);
  EXPECT_EQ(report.socket, nullptr);
  EXPECT_EQ(report.timer, Timer::kTimeWait);
  EXPECT_EQ(report.timer_left, 60s);
}

TEST(TcpReport, PiecesAreBoundedAndMissNothing) {
  TcpScript::Options options;
  options.stack.tcp.max_syn_backlog = 2'000;
  TcpScript t(options);
  t.listen(1'000);
  for (std::uint16_t port = 10'000; port < 11'000; ++port) t.from_port(port).inject(syn().mss(1460));
  t.take_sent();
  std::map<std::uint16_t, int> seen;
  Walk walk;
  std::size_t pieces = 0;
  for (bool more = true; more; ++pieces) {
    std::vector<SocketReport> reports;
    more = walk.next(t.tcp(), reports, 50, true, t.now());
    EXPECT_LE(reports.size(), 50u + 16);
    for (const SocketReport& report : reports) ++seen[report.remote.port];
  }
  EXPECT_GE(pieces, 1'000u / 66);
  EXPECT_EQ(seen.size(), 1'001u) << "requests, and the listener";
  for (const auto& [port, count] : seen) EXPECT_EQ(count, 1) << port;
}

}  // namespace
}  // namespace millrace::test
