// TIME-WAIT under attack and under reuse: RFC 1337, RFC 6191.

#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

void into_time_wait(TcpScript& t) {
  t.close();
  t.expect(fin(1));
  t.inject(fin(1).ack(2));
  t.expect(ack(2).seq(2));
}

TEST(TimeWait, ResetAtTheNextNumberEndsItWhenSo) {
  rfc("1337", "3", "whether a RST ends TIME-WAIT can be chosen");
  TcpScript::Options options;
  options.stack.tcp.time_wait_ignores_reset = false;
  TcpScript t(options);
  t.establish();
  into_time_wait(t);
  t.inject(rst(3));
  EXPECT_EQ(t.tcp().time_wait_count(), 1u) << "elsewhere in the window is not enough";
  t.inject(rst(2));
  EXPECT_EQ(t.tcp().time_wait_count(), 0u);
}

TEST(TimeWait, OldDuplicatesDoNotEndIt) {
  rfc("1337", "2", "neither old data nor old ACKs lead to a RST that ends TIME-WAIT");
  TcpScript t;
  t.establish();
  into_time_wait(t);
  for (const Seg& old : {data(1, 2).ack(2), ack(1).seq(1), ack(70'000).seq(1)}) {
    t.after(1s).inject(old);
    for (const Seg& sent : t.take_sent()) EXPECT_FALSE(sent.has(Seg::Flags::kRst)) << sent.to_string();
    EXPECT_EQ(t.tcp().time_wait_count(), 1u);
  }
}

TEST(TimeWait, SynWithTheSameTimestampNeedsAHigherNumber) {
  rfc("6191", "2", "a SYN with the same timestamp is taken with a higher sequence number only");
  for (const bool higher : {false, true}) {
    TcpScript t;
    t.establish(syn().mss(1460).ts(10'000, 0));
    t.close();
    t.expect(fin(1));
    t.inject(fin(1).ack(2).ts(10'500, 0));
    t.expect(ack(2).seq(2).with_ts());
    t.after(1s).inject(syn().seq(higher ? 5000 : 1).mss(1460).ts(10'500, 0));
    t.expect(higher ? synack().ack(5001) : ack(2).seq(2));
  }
}

TEST(TimeWait, SynWithoutTimestampsIsJudgedByItsNumber) {
  rfc("6191", "2", "without timestamps on the new SYN a higher sequence number is asked for");
  TcpScript t;
  t.establish(syn().mss(1460).with_ts());
  into_time_wait(t);
  t.after(1s).inject(syn().seq(1).mss(1460).no_ts());
  t.expect(ack(2).seq(2));
  t.inject(syn().seq(70'000).mss(1460).no_ts());
  t.expect(synack().ack(70'001));
}

// --- the stack as the client that closed first

TcpScript::Options one_port() {
  TcpScript::Options options;
  options.stack.tcp.ephemeral_first = options.stack.tcp.ephemeral_last = 40'000;
  return options;
}

TEST(TimeWait, OfAClientIsTakenAgainOnceTheTimestampClockHasMoved) {
  rfc("6191", "3", "an active open reuses a flow in TIME-WAIT when its timestamps are behind the clock");
  TcpScript t(one_port());
  t.establish_active(synack().mss(1460).with_ts());
  // More than the clock of initial numbers counts meanwhile.
  std::uint32_t next = 1;
  for (int i = 0; i < 60; ++i, next += 10'000) {
    t.write(10'000);
    t.take_sent();
    t.inject(ack(next + 10'000));
    t.take_sent();
  }
  const SeqNum old_end = t.our_iss() + next + 1;
  t.close();
  t.expect(fin(next));
  t.inject(fin(1).ack(next + 1));
  t.expect(ack(2));
  EXPECT_EQ(t.connect(), Error::kAddressNotAvailable);
  t.after(1001ms);
  EXPECT_EQ(t.connect(), Error::kInProgress);
  EXPECT_EQ(t.count(Counter::kTimeWaitRecycled), 1u);
  EXPECT_EQ(t.tcp().time_wait_count(), 0u);
  t.expect(syn().with_ts());
  EXPECT_GT(t.our_iss(), old_end) << "no number of the old connection is used again";
}

TEST(TimeWait, OfAClientWithoutTimestampsIsKept) {
  rfc("6191", "3", "without timestamps TIME-WAIT lasts its 2 MSL");
  TcpScript t(one_port());
  t.establish_active(synack().mss(1460));
  into_time_wait(t);
  t.after(59s);
  EXPECT_EQ(t.connect(), Error::kAddressNotAvailable);
  t.after(1s);
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
}

}  // namespace
}  // namespace millrace::test
