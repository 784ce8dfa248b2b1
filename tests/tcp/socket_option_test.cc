#include <gtest/gtest.h>

#include "support/tcp_script.h"
#include "tcp/congestion_list.h"

namespace millrace::test {
namespace {

using tcp::State;

constexpr std::uint32_t kSegment = 1460, kInitialWindow = 10 * kSegment;

// --- TCP_DEFER_ACCEPT

void listen_deferring(TcpScript& t, std::int64_t seconds) {
  t.listen();
  ASSERT_TRUE(t.listener().set_option(SocketOption::kDeferAccept, seconds, t.now()));
  t.from_port(50'000).inject(syn().mss(1460));
  t.expect(synack());
}

TEST(SocketOption, ReceiveBufferIsKnownBeforeAndAfterTheConnection) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  EXPECT_EQ(*t.socket().option(SocketOption::kReceiveBuffer), 131072);
  t.inject(synack().mss(1460));
  t.expect(ack(1));
  EXPECT_GE(*t.socket().option(SocketOption::kReceiveBuffer), 131070);
  t.inject(rst(1));
  EXPECT_EQ(*t.socket().option(SocketOption::kReceiveBuffer), 131072);
}

TEST(DeferAccept, ABareAckDoesNotMakeAConnection) {
  TcpScript t;
  listen_deferring(t, 30);
  t.inject(ack(1));
  t.expect_nothing();
  EXPECT_EQ(t.tcp().connection_count(), 0u);
  EXPECT_FALSE(t.try_accept());
}

TEST(DeferAccept, DataMakesIt) {
  TcpScript t;
  listen_deferring(t, 30);
  t.inject(ack(1));
  t.inject(data(1, 11));
  ASSERT_TRUE(t.accept());
  t.take_sent();
  EXPECT_EQ(t.read(), 10u);
}

TEST(DeferAccept, AsksAgainOnlyWhenTheTimeIsOver) {
  TcpScript t;
  listen_deferring(t, 3);  // two timeouts: after 1 s, and 2 s later
  t.inject(ack(1));
  t.expect_after(3s, synack());
  t.inject(ack(1));
  EXPECT_TRUE(t.accept());
}

TEST(DeferAccept, WithoutAnyAckTheSynAckIsRepeatedAsEver) {
  TcpScript t;
  listen_deferring(t, 3);
  t.expect_after(1s, synack());
  t.expect_after(2s, synack());
}

TEST(DeferAccept, ReadsBackAsTheTimeoutsItTakes) {
  TcpScript t;
  t.listen();
  constexpr std::pair<std::int64_t, std::int64_t> kSeconds[] = {{-1, 0}, {0, 0}, {1, 1},
                                                                {2, 3},  {3, 3}, {30, 31}};
  for (const auto& [set, read] : kSeconds) {
    ASSERT_TRUE(t.listener().set_option(SocketOption::kDeferAccept, set, t.now()));
    EXPECT_EQ(*t.listener().option(SocketOption::kDeferAccept), read);
  }
}

// --- TCP_NOTSENT_LOWAT

TEST(NotSentLowWater, BoundsWhatWaitsNotWhatIsInFlight) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kNotSentLowWater, 2000);
  const Result<std::size_t> taken = t.try_write(100'000);
  ASSERT_TRUE(taken);
  EXPECT_GE(*taken, kInitialWindow + 2000);
  EXPECT_LE(*taken, kInitialWindow + 2000 + kSegment);
  EXPECT_EQ(t.readiness() & kWritable, 0u);
  EXPECT_EQ(t.try_write(1).error(), Error::kAgain);
  t.expect_stream(1, 1 + kInitialWindow);
  t.expect_nothing();
}

TEST(NotSentLowWater, IsWritableBelowHalfOfIt) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kNotSentLowWater, 2 * kSegment);
  ASSERT_TRUE(t.try_write(100'000));
  t.take_sent();
  static_cast<void>(t.socket().take_events());
  EXPECT_EQ(t.readiness() & kWritable, 0u);
  t.inject(ack(1 + 2 * kSegment));
  EXPECT_NE(t.readiness() & kWritable, 0u);
  EXPECT_NE(t.socket().take_events() & kWritable, 0u);
  t.take_sent();
}

TEST(NotSentLowWater, SendsFullSegmentsWhileItFills) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kNoDelay, 1);
  t.set_option(SocketOption::kNotSentLowWater, 1);
  ASSERT_TRUE(t.try_write(100'000));
  for (std::uint32_t at = 1; at < 1 + kInitialWindow; at += kSegment) t.expect(data(at, at + kSegment));
}

TEST(NotSentLowWater, RaisedTellsAtOnce) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kNotSentLowWater, 1000);
  ASSERT_TRUE(t.try_write(100'000));
  EXPECT_EQ(t.readiness() & kWritable, 0u);
  static_cast<void>(t.socket().take_events());
  t.set_option(SocketOption::kNotSentLowWater, 1 << 20);
  EXPECT_NE(t.socket().take_events() & kWritable, 0u);
  t.take_sent();
}

// --- others

TEST(CongestionOption, IsAPlaceInTheList) {
  TcpScript t;
  t.establish();
  EXPECT_EQ(*t.socket().option(SocketOption::kCongestion), 0);
  EXPECT_EQ(tcp::congestion_list()[0].name, "cubic") << "the default, as in Linux";
  const auto beyond = static_cast<std::int64_t>(tcp::congestion_list().size());
  EXPECT_EQ(t.socket().set_option(SocketOption::kCongestion, beyond, t.now()).error(), Error::kInvalid);
  ObjectSlabs slabs;
  for (std::size_t i = 0; i < tcp::congestion_list().size(); ++i) {
    EXPECT_EQ(tcp::find_congestion(tcp::congestion_list()[i].name), i);
    EXPECT_EQ(tcp::congestion_list()[i].make(slabs, kSegment, 10)->name(), tcp::congestion_list()[i].name);
  }
  EXPECT_EQ(tcp::find_congestion("no such thing"), std::nullopt);
}

TEST(MtuDiscoverOption, DecidesAboutDontFragment) {
  TcpScript t;
  t.establish();
  EXPECT_EQ(*t.socket().option(SocketOption::kMtuDiscover), 1);
  std::uint32_t next = 1;
  for (const auto& [value, set] :
       {std::pair{1, true}, {0, false}, {2, true}, {3, true}, {4, false}, {5, false}}) {
    t.set_option(SocketOption::kMtuDiscover, value);
    EXPECT_EQ(*t.socket().option(SocketOption::kMtuDiscover), value);
    t.write(10);
    t.expect(data(next, next + 10).df(set));
    t.inject(ack(next += 10));
  }
  EXPECT_EQ(t.socket().set_option(SocketOption::kMtuDiscover, 6, t.now()).error(), Error::kInvalid);
  EXPECT_EQ(t.socket().set_option(SocketOption::kMtuDiscover, -1, t.now()).error(), Error::kInvalid);
}

TEST(BytesLeft, CountsWhatWaitsAndTheEnd) {
  TcpScript t;
  t.establish();
  t.inject(data(1, 11));
  std::uint8_t buffer[4];
  const IoSlice slice{buffer, sizeof buffer};
  Result<Received> received = t.socket().receive({&slice, 1}, {}, t.now());
  ASSERT_TRUE(received);
  EXPECT_EQ(received->bytes_left, 6u);
  EXPECT_EQ(received->timestamp, t.now());
  t.inject(fin(11));
  received = t.socket().receive({&slice, 1}, {}, t.now());
  ASSERT_TRUE(received);
  EXPECT_EQ(received->bytes_left, 3u);
  t.take_sent();
}

}  // namespace
}  // namespace millrace::test
