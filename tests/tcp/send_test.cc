#include <gtest/gtest.h>

#include "support/tcp_script.h"
#include "wire/pseudo_header.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

DeviceCaps segmenting() {
  DeviceCaps caps;
  caps.tx_checksum = caps.rx_checksum = caps.tso = caps.scatter = true;
  caps.max_gso_bytes = 65'535;
  return caps;
}

// --- segment size

TEST(Mss, DefaultsTo536) {
  rfc("9293", "3.7.1", "MUST-15: without an MSS option the send MSS is 536");
  rfc("6691", "2", "the MSS option is not reduced for options, the data sent is");
  TcpScript t;
  t.establish(syn());
  t.write(1000);
  t.expect(data(1, 537));
  t.expect(data(537, 1001));
}

TEST(Mss, OfThePeerIsRespected) {
  rfc("9293", "3.7.1", "MUST-14: the MSS option is sent and received");
  TcpScript t;
  t.establish(syn().mss(700));
  t.write(1400);
  t.expect(data(1, 701));
  t.expect(data(701, 1401));
}

TEST(Mss, OfOursFollowsTheMtuAndIsSentInSynsOnly) {
  rfc("9293", "3.7.1", "MUST-67: the MSS option is MMS_R - 20; MUST-65: it is sent in SYNs only");
  TcpScript::Options options;
  options.mtu = 9000;
  TcpScript t(options);
  t.listen();
  t.inject(syn().mss(8960));
  t.expect(synack().mss(8960));
  t.inject(ack(1));
  ASSERT_TRUE(t.accept());
  t.write(9000);
  const auto sent = t.take_sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].length, 8960u);
  EXPECT_FALSE(sent[0].max_segment.has_value());
}

TEST(Mss, IsLimitedByOurOwnMtu) {
  rfc("9293", "3.7.1", "MUST-16: the effective send MSS is the smaller of the peer's and ours");
  TcpScript t;
  t.establish(syn().mss(8960));
  t.write(3000);
  t.expect(data(1, 1461));
  t.expect(data(1461, 2921));
  t.expect(data(2921, 3001));
}

TEST(Mss, MakesRoomForTimestamps) {
  rfc("6691", "2", "the sender reduces its data for the options it sends");
  TcpScript t;
  t.establish(syn().mss(1460).with_ts());
  t.write(2000);
  t.expect(data(1, 1449));
  t.expect(data(1449, 2001));
}

TEST(Mss, OptionLimitsBothWays) {
  TcpScript t;
  t.listen();
  EXPECT_TRUE(t.listener().set_option(SocketOption::kMaxSegment, 500, t.now()).ok());
  t.inject(syn().mss(1460));
  t.expect(synack().mss(500));
  t.inject(ack(1));
  ASSERT_TRUE(t.accept());
  t.write(1000);
  t.expect(data(1, 501));
  t.expect(data(501, 1001));
}

TEST(Mss, AbsurdlySmallOneIsNotFollowedDown) {
  TcpScript t;
  t.establish(syn().mss(1));
  t.write(100);
  std::uint32_t sent = 0;
  for (const Seg& segment : t.take_sent()) sent += segment.length;
  EXPECT_EQ(sent, 100u);
}

TEST(Options, UnknownAndMalformedOnesAreSkipped) {
  rfc("9293", "3.1",
      "MUST-5, MUST-6, MUST-7: options in any segment; unknown ones are skipped, bad lengths survived");
  TcpScript t;
  t.establish(syn().mss(1460).with_ts());
  // The timestamps are turned into an option nobody knows, and then into one that runs out of the header.
  auto frame = t.frame_of(data(1, 11));
  const std::size_t options = 14 + 20 + 20;
  auto fix_checksum = [&frame] {
    const std::span<std::uint8_t> message = std::span{frame}.subspan(34);
    message[16] = message[17] = 0;
    const std::uint16_t sum = wire::transport_checksum(TcpScript::kPeer, TcpScript::kOwn, 6, message);
    message[16] = static_cast<std::uint8_t>(sum >> 8);
    message[17] = static_cast<std::uint8_t>(sum);
  };
  frame[options + 2] = 0xfd;
  fix_checksum();
  t.inject_frame(frame);
  frame[options + 3] = 0;
  fix_checksum();
  t.inject_frame(frame);
  frame[options + 3] = 200;
  fix_checksum();
  t.inject_frame(frame);
  t.expect_nothing();  // no timestamps: dropped
  t.inject(data(1, 11));
  t.expect(ack(11));
}

// --- super-segments

TEST(SuperSegment, GoesToADeviceThatCanCutIt) {
  TcpScript::Options options;
  options.caps = segmenting();
  TcpScript t(options);
  t.establish();
  t.write(10'000);
  // Half of the window of 14,600 at once.
  t.expect(data(1, 7301));
  t.expect(data(7301, 10'001));
  t.inject(ack(10'001));
}

TEST(SuperSegment, IsAMultipleOfTheMssUnlessItEndsTheData) {
  TcpScript::Options options;
  options.caps = segmenting();
  TcpScript t(options);
  t.establish(syn().mss(1000).win(3500));
  t.write(10'000);
  t.expect(data(1, 3001));
  t.expect_nothing();
}

// --- PUSH

TEST(Push, IsSetOnTheLastSegmentOfAWrite) {
  rfc("9293", "3.9.1.2", "MUST-61: PSH is set on the last buffered segment");
  TcpScript t;
  t.establish();
  t.write(3000);
  t.expect(data(1, 1461).no_psh());
  t.expect(data(1461, 2921).no_psh());
  t.expect(data(2921, 3001).psh());
}

// --- Nagle

TEST(Nagle, HoldsASmallSegmentWhileAnotherIsOutstanding) {
  rfc("9293", "3.7.4", "SHLD-7: the Nagle algorithm");
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11));
  t.write(10);
  t.write(10);
  t.expect_nothing();
  t.inject(ack(11));
  t.expect(data(11, 31));
}

TEST(Nagle, LetsFullSegmentsPass) {
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11));
  t.write(1470);
  t.expect(data(11, 1471));
  t.expect_nothing();
  t.inject(ack(11));
  t.expect(data(1471, 1481));
}

TEST(Nagle, LetsTheTailOfALargeWriteGoAfterItsFullSegments) {
  rfc("9293", "3.7.4", "with Minshall's variant one small segment may be outstanding behind full ones");
  TcpScript t;
  t.establish();
  t.write(1470);
  t.expect(data(1, 1461));
  t.expect(data(1461, 1471));
  t.write(5);
  t.expect_nothing();
  t.inject(ack(1471));
  t.expect(data(1471, 1476));
}

TEST(Nagle, IsOffWithNoDelay) {
  rfc("9293", "3.7.4", "MUST-17: the application can turn the Nagle algorithm off");
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kNoDelay, 1);
  t.write(10);
  t.write(10);
  t.expect(data(1, 11));
  t.expect(data(11, 21));
}

TEST(Nagle, TurnedOffSendsWhatItHeld) {
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11));
  t.write(10);
  t.expect_nothing();
  t.set_option(SocketOption::kNoDelay, 1);
  t.expect(data(11, 21));
}

TEST(Nagle, DoesNotHoldTheFin) {
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11));
  t.write(10);
  t.shutdown(Shutdown::kWrite);
  t.expect(data(11, 21).fin());
}

// --- push

TEST(Push, EndsWhatWasWrittenAndOnDemandEverySuperSegment) {
  for (const bool every : {false, true}) {
    TcpScript::Options options;
    options.stack.tcp.push_super_segments = every;
    TcpScript t(options);
    t.establish();
    t.write(std::size_t{12} * 1460);  // more than the initial window
    // Two super-segments of half the window.
    for (std::uint32_t i = 0; i < 10; ++i) {
      const Seg segment = data(1 + i * 1460, 1 + (i + 1) * 1460);
      t.expect(every && i % 5 == 4 ? Seg(segment).psh() : Seg(segment).no_psh());
    }
    t.inject(ack(1 + 10 * 1460));
    t.expect(data(1 + 10 * 1460, 1 + 11 * 1460).no_psh());
    t.expect(data(1 + 11 * 1460, 1 + 12 * 1460).psh());
  }
}

TEST(SuperSegment, HoldsWhatTwiceTheWindowMakesInAMillisecondWhereSoConfigured) {
  struct Case {
    unsigned least;
    Duration round_trip;
    std::vector<std::uint32_t> segments;
  };
  // The window is ten segments. Of a round trip of 10 ms a millisecond makes two of them.
  for (const Case& c :
       {Case{0, 10ms, {5, 5}}, Case{1, 10ms, {2, 2, 2, 2, 2}}, Case{1, 5ms, {4, 4, 2}},
        Case{1, 100ms, {2, 2, 2, 2, 2}}, Case{3, 100ms, {3, 3, 3, 1}}, Case{1, 1ms, {5, 5}}}) {
    TcpScript::Options options;
    options.stack.tcp.min_super_segments = c.least;
    options.stack.tcp.push_super_segments = true;
    TcpScript t(options);
    t.listen();
    t.inject(syn().mss(1000));
    t.take_sent();
    t.after(c.round_trip).inject(ack(1));
    ASSERT_TRUE(t.accept());
    t.write(20'000);
    std::uint32_t at = 1;
    for (const std::uint32_t count : c.segments) {
      for (std::uint32_t i = 1; i <= count; ++i, at += 1000) {
        const Seg segment = data(at, at + 1000);
        t.expect(i == count && count > 1 ? Seg(segment).psh() : Seg(segment).no_psh());
      }
    }
    t.expect_nothing();
    t.inject(rst(1));
  }
}

// --- cork

TEST(Cork, HoldsPartialSegmentsUntilItIsPulled) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kCork, 1);
  t.write(100);
  t.expect_nothing_for(100ms);
  t.write(1400);
  t.expect(data(1, 1461));
  t.set_option(SocketOption::kCork, 0);
  t.expect(data(1461, 1501));
}

TEST(Cork, LetsAPieceGoAfterTwoHundredMilliseconds) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kCork, 1);
  t.write(100);
  t.expect_after(200ms, data(1, 101));
}

TEST(Cork, SettingNoDelaySendsWhatIsHeldBack) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kCork, 1);
  t.write(100);
  t.expect_nothing();
  t.set_option(SocketOption::kNoDelay, 1);
  t.expect(data(1, 101));
  t.inject(ack(101));
  // The cork is still in: tcp(7).
  t.write(100);
  t.expect_nothing();
  t.set_option(SocketOption::kCork, 0);
  t.expect(data(101, 201));
  t.inject(ack(201));
  EXPECT_TRUE(t.try_write(100, {.more = true}).ok());
  t.expect_nothing();
  t.set_option(SocketOption::kNoDelay, 1);
  t.expect(data(201, 301));
}

TEST(Cork, MoreFlagHoldsUntilAWriteWithoutIt) {
  TcpScript t;
  t.establish();
  EXPECT_TRUE(t.try_write(100, {.more = true}).ok());
  t.expect_nothing();
  t.write(100);
  t.expect(data(1, 201));
}

TEST(Cork, MoreFlagHoldsForTwoHundredMillisecondsAtMost) {
  TcpScript t;
  t.establish();
  EXPECT_TRUE(t.try_write(100, {.more = true}).ok());
  t.expect_after(200ms, data(1, 101));
}

// --- what IP is told

TEST(IpHeader, HasTheTtlAndTosOfTheOptions) {
  rfc("9293", "3.9.2", "MUST-49: the TTL is configurable");
  rfc("9293", "3.9.1.9", "MUST-48: the diffserv field can be set for the connection");
  TcpScript t;
  t.establish();
  t.write(10);
  t.expect(data(1, 11).ttl(64).tos(0));
  t.inject(ack(11));
  t.set_option(SocketOption::kTimeToLive, 7);
  t.set_option(SocketOption::kTypeOfService, 0x10);
  t.write(10);
  t.expect(data(11, 21).ttl(7).tos(0x10));
}

// --- the socket

TEST(Send, IsRefusedBeforeTheConnectionIsThere) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  t.expect(syn());
  EXPECT_EQ(t.try_write(10).error(), Error::kAgain);
  EXPECT_FALSE(t.readiness() & kWritable);
  t.inject(synack().mss(1460));
  t.expect(ack(1));
  EXPECT_NE(t.socket().take_events() & kWritable, 0u);
  t.write(10);
  t.expect(data(1, 11));
}

TEST(Send, FillsTheBufferAndTellsWhenThereIsRoomAgain) {
  TcpScript::Options options;
  options.stack.tcp.send_buffer = 65'536;
  TcpScript t(options);
  t.establish(syn().mss(1460).win(0));
  std::size_t taken = 0;
  while (true) {
    const auto result = t.try_write(10'000);
    if (!result) {
      EXPECT_EQ(result.error(), Error::kAgain);
      break;
    }
    taken += *result;
    ASSERT_LT(taken, 1'000'000u);
  }
  EXPECT_GE(taken, 60'000u);
  EXPECT_LE(taken, 65'536u + 65'535u) << "the super-segment that began below the limit is filled";
  EXPECT_FALSE(t.readiness() & kWritable);
  static_cast<void>(t.socket().take_events());
  t.inject(ack(1).win(65'535));
  for (std::uint32_t acked = 1; acked < taken + 1;) {
    const auto sent = t.take_sent();
    ASSERT_FALSE(sent.empty());
    acked = *sent.back().at + sent.back().length;
    t.inject(ack(acked).win(65'535));
  }
  EXPECT_TRUE(t.readiness() & kWritable);
  EXPECT_NE(t.socket().take_events() & kWritable, 0u);
}

TEST(Send, TakesSomethingWheneverItSaysThatThereIsRoom) {
  for (const std::int64_t size : {2304, 5000, 20'000, 100'000}) {
    TcpScript t;
    t.establish(syn().mss(1460).win(0));
    t.set_option(SocketOption::kSendBuffer, size);
    for (int i = 0; i < 100'000 && (t.readiness() & kWritable) != 0; ++i) {
      ASSERT_TRUE(t.try_write(1 + static_cast<std::size_t>(i) * 37 % 3000).ok()) << "buffer " << size;
    }
    EXPECT_FALSE(t.readiness() & kWritable);
  }
}

TEST(Send, AfterAResetIsTheErrorOnceAndThenABrokenPipe) {
  TcpScript t;
  t.establish();
  t.inject(rst(1));
  EXPECT_EQ(t.try_write(1).error(), Error::kConnectionReset);
  EXPECT_EQ(t.try_write(1).error(), Error::kPipe);
}

TEST(Receive, PeekLeavesTheBytes) {
  TcpScript t;
  t.establish();
  t.inject(data(1, 101));
  t.expect(ack(101));
  std::uint8_t bytes[50];
  const IoSlice slice{bytes, 50};
  EXPECT_EQ(t.socket().receive({&slice, 1}, {.peek = true}, t.now())->bytes, 50u);
  EXPECT_EQ(t.socket().receive({&slice, 1}, {.peek = true}, t.now())->bytes, 50u);
  EXPECT_EQ(bytes[49], pattern_byte(49));
  EXPECT_EQ(t.socket().readable_bytes(), 100u);
  EXPECT_EQ(t.read(), 100u);
}

TEST(Receive, DiscardCountsAndDrops) {
  TcpScript t;
  t.establish();
  t.inject(data(1, 101));
  t.expect(ack(101));
  const IoSlice slice{nullptr, 60};
  EXPECT_EQ(t.socket().receive({&slice, 1}, {.discard = true}, t.now())->bytes, 60u);
  EXPECT_EQ(t.socket().readable_bytes(), 40u);
}

TEST(Receive, LowWaterMarkHoldsReadiness) {
  TcpScript t;
  t.establish();
  t.set_option(SocketOption::kReceiveLowWater, 100);
  t.inject(data(1, 51));
  t.take_sent();
  EXPECT_FALSE(t.readiness() & kReadable);
  t.inject(data(51, 101));
  t.take_sent();
  EXPECT_TRUE(t.readiness() & kReadable);
}

}  // namespace
}  // namespace millrace::test
