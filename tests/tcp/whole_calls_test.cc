// Most calls send one piece that is taken whole, or receive all that is there, and take a short way. It leads
// where the general calls lead.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "support/tcp_figures.h"
#include "support/tcp_script.h"

namespace millrace::test {
namespace {

/// What comes of one call: bytes, or the error.
std::int64_t outcome(const Result<std::size_t>& result) {
  return result ? static_cast<std::int64_t>(*result) : -static_cast<std::int64_t>(result.error());
}

/// A connection whose program sends and receives pieces of all sizes, while its peer fills buffers, closes
/// its window, sends urgent data and leaves holes.
class RandomLife {
 public:
  /// `whole`: the short calls are asked first.
  RandomLife(std::uint64_t seed, bool whole) : rng_(seed), whole_(whole), script_(options(seed)) {
    Seg first = syn().mss(seed % 4 == 0 ? 300 : 1000).sack_ok().wscale(2);
    if (seed % 2 == 0) first.with_ts();
    script_.establish(first);
    script_.set_option(SocketOption::kNoDelay, seed % 3 == 0 ? 0 : 1);
    script_.set_option(SocketOption::kOutOfBandInline, seed % 5 == 0 ? 1 : 0);
    if (seed % 7 == 0) script_.set_option(SocketOption::kReceiveBuffer, 2048);
    if (seed % 6 == 0) script_.set_option(SocketOption::kNotSentLowWater, 1000);
    if (seed % 9 == 0) script_.set_option(SocketOption::kSendBuffer, 3000);
  }
  void live() {
    for (int turn = 0; turn < 80; ++turn) {
      step();
      note();
    }
    const bool reset = rng_.chance(0.5);
    script_.inject(reset ? rst(received_) : data(received_, received_ + 40).fin().ack(sent_end()));
    for (int i = 0; i < 4; ++i) read(30);
    write(20);
    write(20);
    note();
  }

  std::vector<std::string> sent;
  std::vector<std::int64_t> outcomes;
  std::vector<std::uint8_t> read_bytes;
  std::vector<std::vector<std::uint64_t>> told;
  std::size_t sent_whole = 0, received_whole = 0;

 private:
  static TcpScript::Options options(std::uint64_t seed) {
    TcpScript::Options options;
    options.seed = seed;
    if (seed % 5 < 2) options.stack.tcp.send_buffer = 4096;
    return options;
  }
  void step() {
    switch (rng_.below(10)) {
      case 0:  // more than a segment
        write(rng_.below(3000) + 1001);
        break;
      case 1:  // a second one before the first is acknowledged
        write(rng_.below(380) + 1);
        write(rng_.below(380) + 1);
        break;
      case 2:  // a hole, and what fills it
        inject(data(received_ + 50, received_ + 150));
        read(500);
        inject(data(received_, received_ + 50));
        received_ += 150;
        break;
      case 3:  // urgent data, ahead or here
        inject(data(received_, received_ + 20).urg(static_cast<std::uint16_t>(rng_.below(30) + 1)));
        received_ += 20;
        break;
      case 4:  // the peer's window moves, and closes
        window_ = static_cast<std::uint16_t>(rng_.chance(0.3) ? 0 : rng_.below(3000));
        break;
      case 5:  // lost, or probed for
        write(rng_.below(380) + 1);
        script_.after(400ms);
        break;
      case 6:  // held back, until more comes or it is let go
        if (rng_.chance(0.5)) script_.set_option(SocketOption::kCork, 1);
        write(rng_.below(200) + 1, {.more = rng_.chance(0.5)});
        write(rng_.below(200) + 1);
        script_.set_option(SocketOption::kCork, 0);
        script_.flush();
        break;
      case 7:
        write(rng_.below(200) + 1, {.out_of_band = rng_.chance(0.3)});
        break;
      case 8:  // silent for so long that it may be dormant
        inject(ack(sent_end()).seq(received_));
        script_.after(15s);
        write(rng_.below(200) + 1);
        break;
      default:
        write(rng_.below(500) + 1);
    }
    script_.after(std::chrono::microseconds(rng_.below(30'000) + 1));
    for (std::uint32_t i = rng_.below(3); i != 0; --i) {
      const std::uint32_t length = rng_.below(200) + 1;
      inject(data(received_, received_ + length));
      received_ += length;
    }
    if (rng_.chance(0.7)) inject(ack(sent_end()).seq(received_));
    read(rng_.chance(0.3) ? rng_.below(100) + 1 : 4096);
  }
  void note() {
    for (const Seg& segment : script_.take_sent()) sent.push_back(segment.to_string());
    told.push_back(figures(script_.info()));
    outcomes.push_back(script_.readiness());
    outcomes.push_back(static_cast<std::int64_t>(script_.socket().unsent_bytes()));
  }
  void write(std::size_t n, SendFlags flags = {}) {
    std::vector<std::uint8_t> bytes(n);
    for (std::size_t i = 0; i < n; ++i) bytes[i] = pattern_byte(written_ + i);
    const ConstIoSlice slice{bytes.data(), n};
    const bool plain = !flags.more && !flags.out_of_band && n <= Socket::kMostWhole;
    const std::size_t whole = whole_ && plain ? script_.socket().send_whole(slice, script_.now()) : 0;
    sent_whole += whole != 0;
    const Result<std::size_t> result =
        whole != 0 ? whole : script_.socket().send({&slice, 1}, nullptr, flags, script_.now());
    script_.flush();
    outcomes.push_back(outcome(result));
    if (result) written_ += *result;
  }
  void read(std::size_t n) {
    std::vector<std::uint8_t> bytes(n);
    const IoSlice slice{bytes.data(), n};
    std::size_t got = whole_ ? script_.socket().receive_whole(slice, script_.now()) : 0;
    received_whole += got != 0;
    if (got == 0) {
      const Result<Received> result = script_.socket().receive({&slice, 1}, {}, script_.now());
      if (!result) outcomes.push_back(outcome(result.error()));
      if (result) got = result->bytes;
    }
    script_.flush();
    outcomes.push_back(static_cast<std::int64_t>(got));
    read_bytes.insert(read_bytes.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(got));
  }
  [[nodiscard]] std::uint32_t sent_end() const {
    return static_cast<std::uint32_t>(written_) + 1 - script_.info().notsent_bytes;
  }
  void inject(Seg segment) { script_.inject(segment.ack(sent_end()).win(window_)); }

  Rng rng_;
  bool whole_;
  TcpScript script_;
  std::uint64_t written_ = 0;
  std::uint32_t received_ = 1;
  std::uint16_t window_ = 2500;
};

TEST(WholeCalls, LeadWhereTheGeneralOnesLead) {
  std::size_t sent_whole = 0, received_whole = 0, outcomes = 0;
  for (std::uint64_t seed = 1; seed <= 70; ++seed) {
    RandomLife quick(seed, true), general(seed, false);
    quick.live();
    general.live();
    ASSERT_EQ(quick.outcomes, general.outcomes) << "seed " << seed;
    ASSERT_EQ(quick.read_bytes, general.read_bytes) << "seed " << seed;
    ASSERT_EQ(quick.sent, general.sent) << "seed " << seed;
    ASSERT_EQ(quick.told, general.told) << "seed " << seed;
    sent_whole += quick.sent_whole;
    received_whole += quick.received_whole;
    outcomes += quick.outcomes.size();
  }
  // Both ways were gone, each of them often.
  EXPECT_GT(sent_whole, 1500u);
  EXPECT_GT(received_whole, 1500u);
  EXPECT_GT(outcomes, 4 * (sent_whole + received_whole));
}

TEST(WholeCalls, TakeAllThatIsThereOrNothing) {
  TcpScript t;
  t.establish();
  t.inject_batch({data(1, 11), data(11, 2011)});
  t.expect(ack(2011));
  std::vector<std::uint8_t> bytes(4000);
  // Two packets, of which the first would do for a general call.
  EXPECT_EQ(t.socket().receive_whole({bytes.data(), bytes.size()}, t.now()), 0u);
  EXPECT_EQ(t.read(10), 10u);
  EXPECT_EQ(t.socket().receive_whole({bytes.data(), 1999}, t.now()), 0u);
  EXPECT_EQ(t.socket().receive_whole({bytes.data(), 2000}, t.now()), 2000u);
  EXPECT_EQ(bytes[0], pattern_byte(10));
  EXPECT_EQ(bytes[1999], pattern_byte(2009));
  EXPECT_EQ(t.socket().receive_whole({bytes.data(), bytes.size()}, t.now()), 0u);
  EXPECT_EQ(t.socket().readable_bytes(), 0u);
}

TEST(WholeCalls, LeaveAnErrorToTheGeneralOnes) {
  TcpScript t;
  t.establish();
  t.inject(rst(1));
  const std::uint8_t byte = pattern_byte(0);
  EXPECT_EQ(t.socket().send_whole({&byte, 1}, t.now()), 0u);
  std::uint8_t room = 0;
  EXPECT_EQ(t.socket().receive_whole({&room, 1}, t.now()), 0u);
  EXPECT_EQ(t.try_write(1).error(), Error::kConnectionReset);
}

TEST(WholeCalls, SendWhatASmallBufferHolds) {
  TcpScript t;
  t.establish();
  std::vector<std::uint8_t> bytes(Socket::kMostWhole + 1);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = pattern_byte(i);
  EXPECT_EQ(t.socket().send_whole({bytes.data(), 0}, t.now()), 0u);
  EXPECT_EQ(t.socket().send_whole({bytes.data(), bytes.size()}, t.now()), 0u);
  EXPECT_EQ(t.socket().unsent_bytes(), 0u);
  EXPECT_EQ(t.socket().send_whole({bytes.data(), Socket::kMostWhole}, t.now()), Socket::kMostWhole);
  t.flush();
  t.expect(data(1, 1 + Socket::kMostWhole));
  // Something is queued, until it is acknowledged.
  EXPECT_EQ(t.socket().send_whole({bytes.data(), 1}, t.now()), 0u);
}

TEST(WholeCalls, DoNotConnect) {
  TcpScript t;
  EXPECT_EQ(t.connect(), Error::kInProgress);
  const std::uint8_t byte = pattern_byte(0);
  EXPECT_EQ(t.socket().send_whole({&byte, 1}, t.now()), 0u);
  t.expect(syn());
}

}  // namespace
}  // namespace millrace::test
