#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

TEST(Ack, IsDelayedByFortyMilliseconds) {
  rfc("9293", "3.8.6.3", "MUST-40: an ACK is delayed by less than 0.5 s");
  rfc("9293", "3.8.6.3", "SHLD-18: delayed ACK");
  TcpScript t;
  t.establish();
  t.make_interactive();
  t.inject(data(2, 102));
  t.expect_after(40ms, ack(102).seq(2));
  t.expect_nothing_for(1s);
  EXPECT_EQ(t.count(Counter::kDelayedAcks), 1u);
}

TEST(Ack, ComesForEverySecondFullSegment) {
  rfc("9293", "3.8.6.3", "SHLD-19: an ACK for at least every second full-sized segment");
  rfc("5681", "4.2", "an ACK for at least every second full-sized segment");
  TcpScript t;
  t.establish();
  t.make_interactive();
  t.inject(data(2, 1462));
  t.expect_nothing();
  t.inject(data(1462, 2922));
  t.expect(ack(2922));
  t.inject(data(2922, 4382));
  t.expect_nothing();
  t.inject(data(4382, 5842));
  t.expect(ack(5842));
}

TEST(Ack, AtTheStartOfAConnectionIsNotDelayed) {
  TcpScript t;
  t.establish();
  t.inject(data(1, 101));
  t.expect(ack(101));
}

TEST(Ack, AtTheStartOfAConnectionIsDelayedWhereSoConfigured) {
  TcpScript::Options options;
  options.stack.tcp.quick_acks = 0;
  TcpScript t(options);
  t.establish();
  t.inject(data(1, 101));
  t.expect_after(40ms, ack(101));
}

TEST(Ack, IsNotDelayedForWhatComesUnasked) {
  // A request, and later what it asked for: until the stack answers something promptly, it helps the peer's
  // slow start.
  TcpScript t;
  t.establish_active();
  t.write(100);
  t.expect(data(1, 101));
  t.after(100ms).inject(data(1, 1461).ack(101));
  t.expect(ack(1461));
  t.after(40ms);
  t.write(100);
  t.expect(data(101, 201));
  t.inject(data(1461, 2921).ack(201));
  t.expect(ack(2921));
  t.after(39ms);
  t.write(100);
  t.expect(data(201, 301));
  t.inject(data(2921, 4381).ack(301));
  t.expect_after(40ms, ack(4381));
}

TEST(Ack, IsNotDelayedWhereTheStackSpokeFirst) {
  TcpScript t;
  t.establish();
  t.write(100);
  t.expect(data(1, 101));
  t.inject(data(1, 101).ack(101));
  t.expect(ack(101));
}

TEST(Ack, RidesOnData) {
  TcpScript t;
  t.establish();
  t.make_interactive();
  t.inject(data(2, 102));
  t.write(5);
  t.expect(data(2, 7).ack(102));
  t.inject(ack(7));
  t.expect_nothing_for(1s);
}

TEST(Ack, IsOneForAWholeBatch) {
  rfc("9293", "3.10.7.4",
      "MUST-58: ACKs are aggregated; MUST-59: all queued segments are processed before one is sent");
  TcpScript t;
  t.establish();
  t.inject_batch({data(1, 1461), data(1461, 2921), data(2921, 4381), data(4381, 5841)});
  t.expect(ack(5841));
  t.expect_nothing_for(1s);
}

TEST(Ack, QuickAckOptionSendsThePendingOne) {
  TcpScript t;
  t.establish();
  t.make_interactive();
  t.inject(data(2, 102));
  t.set_option(SocketOption::kQuickAck, 1);
  t.expect(ack(102));
  t.inject(data(102, 202));
  t.expect(ack(202));
}

TEST(Ack, OfPureAcksIsNotSent) {
  TcpScript t;
  t.establish();
  t.inject(ack(1));
  t.inject(ack(1).win(1000));
  t.expect_nothing_for(1s);
}

// --- out of order

TEST(OutOfOrder, SegmentIsAcknowledgedAtOnce) {
  rfc("5681", "4.2", "an out-of-order segment is answered with a duplicate ACK at once");
  rfc("2018", "3", "the first SACK block holds the segment that caused the ACK");
  rfc("9293", "3.10.7.4", "SHLD-31: segments out of order are queued");
  TcpScript t;
  t.establish();
  t.make_interactive();
  t.inject(data(102, 202));
  t.expect(ack(2).sack(102, 202));
  EXPECT_EQ(t.read(), 0u);
}

TEST(OutOfOrder, FillingTheHoleIsAcknowledgedAtOnce) {
  rfc("5681", "4.2", "a segment that fills a gap, or part of it, is acknowledged at once");
  TcpScript t;
  t.establish();
  t.make_interactive();
  t.inject(data(102, 202));
  t.expect(ack(2).sack(102, 202));
  t.inject(data(2, 52));
  t.expect(ack(52).sack(102, 202));
  t.inject(data(52, 102));
  t.expect(ack(202));
  EXPECT_EQ(t.read(), 200u);
}

TEST(OutOfOrder, BlocksAreReportedMostRecentFirst) {
  rfc("2018", "4", "the first block is the most recent, then the others as they were reported before");
  TcpScript t;
  t.establish();
  t.inject(data(101, 201));
  t.expect(ack(1).sack(101, 201));
  t.inject(data(301, 401));
  t.expect(ack(1).sack(301, 401).sack(101, 201));
  t.inject(data(501, 601));
  t.expect(ack(1).sack(501, 601).sack(301, 401).sack(101, 201));
  t.inject(data(701, 801));
  t.expect(ack(1).sack(701, 801).sack(501, 601).sack(301, 401).sack(101, 201));
  t.inject(data(901, 1001));
  t.expect(ack(1).sack(901, 1001).sack(701, 801).sack(501, 601).sack(301, 401));
  t.inject(data(201, 251));
  t.expect(ack(1).sack(101, 251).sack(901, 1001).sack(701, 801).sack(501, 601));
  t.inject(data(1, 101));
  t.expect(ack(251).sack(901, 1001).sack(701, 801).sack(501, 601).sack(301, 401));
  EXPECT_EQ(t.info().rcv_ooopack, 6u);
}

TEST(OutOfOrder, ThreeBlocksFitBesideTimestamps) {
  rfc("2018", "3", "three blocks beside a timestamps option");
  TcpScript t;
  t.establish(syn().mss(1460).sack_ok().with_ts());
  t.inject(data(101, 201));
  t.inject(data(301, 401));
  t.inject(data(501, 601));
  t.take_sent();
  t.inject(data(701, 801));
  t.expect(ack(1).sack(701, 801).sack(501, 601).sack(301, 401).with_ts());
}

TEST(OutOfOrder, BlocksRideOnDataWithinTheMss) {
  rfc("9293", "3.7.1", "MUST-16: options are subtracted from the effective send MSS");
  TcpScript t;
  t.establish();
  t.inject(data(101, 201));
  t.expect(ack(1).sack(101, 201));
  t.write(1460);
  t.expect(data(1, 1449).ack(1).sack(101, 201));
  t.expect(data(1449, 1461).ack(1).sack(101, 201));
}

TEST(OutOfOrder, WithoutSackPermittedNoBlocksAreSent) {
  rfc("2018", "2", "no SACK option without SACK-permitted in the SYN");
  TcpScript t;
  t.establish(syn().mss(1460));
  t.inject(data(101, 201));
  t.expect(ack(1));
}

TEST(OutOfOrder, OverlapsAreJoined) {
  TcpScript t;
  t.establish();
  t.inject(data(101, 201));
  t.inject(data(151, 301));
  t.inject(data(51, 120));
  t.take_sent();
  t.inject(data(401, 501));
  t.expect(ack(1).sack(401, 501).sack(51, 301));
  t.inject(data(1, 450));
  t.expect(ack(501));
  EXPECT_EQ(t.read(), 500u);
}

TEST(OutOfOrder, DataBeforeTheWindowIsTrimmed) {
  rfc("9293", "3.10.7.4", "segments are trimmed to the window's left edge");
  TcpScript t;
  t.establish();
  t.inject(data(1, 101));
  t.expect(ack(101));
  t.inject(data(51, 151));
  t.expect(ack(151).sack(51, 101));
  EXPECT_EQ(t.read(), 150u);
}

TEST(OutOfOrder, DataBehindTheWindowIsTrimmed) {
  rfc("9293", "3.10.7.4", "segments are trimmed to the window's right edge");
  TcpScript::Options options;
  options.stack.tcp.receive_window_initial = 4096;
  TcpScript t(options);
  t.establish();
  t.inject(data(4001, 5001));
  t.expect(ack(1).sack(4001, 4097));
}

TEST(OutOfOrder, RepeatedDataIsAcknowledgedAtOnce) {
  rfc("9293", "3.10.7.4", "first: data received before is answered with an ACK");
  TcpScript t;
  t.establish();
  t.make_interactive();
  t.inject(data(2, 102));
  t.expect_after(40ms, ack(102));
  rfc("2883", "4", "the first block tells of the duplicate");
  t.inject(data(2, 102));
  t.expect(ack(102).sack(2, 102));
  t.inject(data(2, 102));
  t.expect(ack(102).sack(2, 102));
  EXPECT_EQ(t.read(), 100u);
}

// --- wrong segments

TEST(Checksum, WrongOneIsDroppedAndCounted) {
  rfc("9293", "3.1", "MUST-3: the receiver checks the checksum");
  TcpScript t;
  t.establish();
  auto frame = t.frame_of(data(1, 101));
  frame.back() ^= 1;
  t.inject_frame(frame);
  t.expect_nothing_for(1s);
  EXPECT_EQ(t.read(), 0u);
  EXPECT_EQ(t.count(Counter::kInCsumErrors), 1u);
  t.inject(data(1, 101));
  t.expect(ack(101));
}

TEST(Header, ShorterThanItSaysIsDroppedAndCounted) {
  TcpScript t;
  t.establish();
  auto frame = t.frame_of(ack(1));
  frame[14 + 20 + 12] = 0xf0;  // 60 bytes of header in 20 of segment
  t.inject_frame(frame);
  frame = t.frame_of(ack(1));
  frame[14 + 20 + 12] = 0x40;  // 16 bytes of header
  t.inject_frame(frame);
  t.expect_nothing_for(1s);
  EXPECT_EQ(t.count(Counter::kInErrs), 2u);
}

TEST(Broadcast, SegmentToABroadcastAddressIsDropped) {
  rfc("9293", "3.9.2.3", "MUST-57: segments to broadcast or multicast addresses are discarded silently");
  TcpScript t;
  t.listen();
  auto frame = t.frame_of(syn().mss(1460));
  for (std::size_t i = 0; i < 6; ++i) frame[i] = 0xff;  // the link's broadcast address alone
  t.inject_frame(frame);
  t.expect_nothing_for(1s);
  EXPECT_EQ(t.tcp().request_count(), 0u);
}

}  // namespace
}  // namespace millrace::test
