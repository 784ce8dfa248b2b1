#include "tcp/pacer.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Pacer;

constexpr std::uint32_t kMss = 1000;
constexpr std::uint32_t kPlenty = 1u << 30;

constexpr Instant at(Duration d) {
  return kEpoch + 1s + d;
}

Pacer pacer_of(std::uint64_t rate) {
  Pacer pacer;
  pacer.set_rate(rate, kMss, at(0s));
  return pacer;
}

/// Sends whenever the pacer lets it, woken `late`, and returns the bytes sent by `end`.
std::uint64_t send_until(Pacer& pacer, Duration end, Duration late) {
  std::uint64_t sent = 0;
  for (Instant now = at(0s); now < at(end);) {
    const std::uint32_t allowed = pacer.allowed(now);
    if (allowed >= pacer.quantum()) {
      const std::uint32_t length = allowed - allowed % kMss;
      pacer.on_sent(length, now);
      sent += length;
    }
    now = std::max(pacer.wait(kPlenty, now) + late, now);
  }
  return sent;
}

TEST(Pacer, WithoutARateAllowsEverything) {
  Pacer pacer;
  EXPECT_EQ(pacer.allowed(at(0s)), std::numeric_limits<std::uint32_t>::max());
  pacer.on_sent(100'000, at(0s));
  EXPECT_EQ(pacer.allowed(at(0s)), std::numeric_limits<std::uint32_t>::max());
  EXPECT_EQ(pacer.wait(1000, at(0s)), at(0s));
}

TEST(Pacer, QuantumIsAMillisecondWorthWithinBounds) {
  rfc("draft-ietf-ccwg-bbr", "Send Quantum", "1 ms worth, at least two segments, at most 64 KB");
  EXPECT_EQ(pacer_of(1000).quantum(), 2000u);
  EXPECT_EQ(pacer_of(10'000'000).quantum(), 10'000u);
  EXPECT_EQ(pacer_of(1'000'000'000).quantum(), 65'536u);
}

TEST(Pacer, BeginsWithOneQuantumAndThenSpreads) {
  rfc("draft-ietf-ccwg-bbr", "Pacing Rate", "quanta are spaced by their size over the rate");
  Pacer pacer = pacer_of(10'000'000);
  EXPECT_EQ(pacer.allowed(at(0s)), 10'000u);
  pacer.on_sent(10'000, at(0s));
  EXPECT_EQ(pacer.allowed(at(0s)), 0u);
  EXPECT_EQ(pacer.wait(kPlenty, at(0s)), at(1ms));
  EXPECT_EQ(pacer.wait(500, at(0s)), at(50us)) << "what is less than a quantum waits for no more";
  EXPECT_EQ(pacer.allowed(at(50us)), 500u);
  EXPECT_EQ(pacer.allowed(at(1ms)), 10'000u);
}

TEST(Pacer, GivesAnIdleSenderNoMoreThanAQuantum) {
  Pacer pacer = pacer_of(10'000'000);
  pacer.on_sent(10'000, at(0s));
  EXPECT_EQ(pacer.allowed(at(10s)), 10'000u);
}

TEST(Pacer, KeepsFractionsOfBytes) {
  // A third of a byte a microsecond: a thousand small sends must not lose it each time.
  Pacer pacer = pacer_of(333'333);
  pacer.on_sent(2000, at(0s));
  for (int i = 1; i <= 999; ++i) pacer.on_sent(0, at(i * 1us));
  EXPECT_EQ(pacer.allowed(at(999us)), 332u);
  EXPECT_EQ(pacer.allowed(at(1000us)), 333u);
}

TEST(Pacer, KeepsTheRateOverTime) {
  for (const std::uint64_t rate : {50'000u, 1'234'567u, 10'000'000u, 100'000'000u, 1'250'000'000u}) {
    Pacer pacer = pacer_of(rate);
    const std::uint64_t sent = send_until(pacer, 2s, 0us);
    EXPECT_NEAR(static_cast<double>(sent), 2.0 * static_cast<double>(rate), 2.0 * pacer.quantum()) << rate;
  }
}

TEST(Pacer, KeepsTheRateThoughTimersAreLate) {
  for (const std::uint64_t rate : {1'234'567u, 10'000'000u, 100'000'000u, 1'250'000'000u}) {
    Pacer pacer = pacer_of(rate);
    const std::uint64_t sent = send_until(pacer, 2s, 300us);
    EXPECT_NEAR(static_cast<double>(sent), 2.0 * static_cast<double>(rate), 0.001 * static_cast<double>(rate))
        << rate;
  }
}

TEST(Pacer, BoundsWhatALateTimerFinds) {
  Pacer pacer = pacer_of(10'000'000);
  pacer.on_sent(10'000, at(0s));
  EXPECT_EQ(pacer.wait(kPlenty, at(0s)), at(1ms));
  EXPECT_EQ(pacer.allowed(at(10s)), 20'000u);
  pacer.on_sent(20'000, at(10s));
  EXPECT_EQ(pacer.allowed(at(20s)), 10'000u) << "and once it did not wait, idle time counts as such";
}

TEST(Pacer, TakesWhatHadToBeSentAsADebt) {
  Pacer pacer = pacer_of(1'000'000);
  pacer.on_sent(2000, at(0s));
  pacer.on_sent(1000, at(0s));
  EXPECT_EQ(pacer.allowed(at(0s)), 0u);
  EXPECT_EQ(pacer.wait(1000, at(0s)), at(2ms));
}

TEST(Pacer, EarnsByTheRateOfTheTime) {
  Pacer pacer = pacer_of(1'000'000);
  pacer.on_sent(2000, at(0s));
  pacer.set_rate(500'000, kMss, at(1ms));
  EXPECT_EQ(pacer.allowed(at(1ms)), 1000u);
  EXPECT_EQ(pacer.allowed(at(2ms)), 1500u);
  pacer.set_rate(0, kMss, at(2ms));
  EXPECT_EQ(pacer.allowed(at(2ms)), std::numeric_limits<std::uint32_t>::max());
}

// --- a congestion control that does not pace by itself

TEST(PacedWindow, GoesOutOverTheRoundTripFromTheInitialOneOn) {
  TcpScript::Options options;
  options.stack.tcp.pacing = true;
  TcpScript t(options);
  t.listen();
  t.inject(syn().mss(kMss).sack_ok());
  t.take_sent();
  t.after(100ms).inject(ack(1));
  ASSERT_TRUE(t.accept());
  t.write(100'000);
  t.expect_stream(1, 10'001);
  // Slow start: twelve segments twice a round trip are two of them every 8.3 ms.
  t.after(100ms).inject(ack(2001));
  EXPECT_EQ(t.info().snd_cwnd, 12u);
  EXPECT_EQ(t.info().pacing_rate, 240'000u);
  t.expect_stream(10'001, 12'001);
  t.expect_nothing_for(8ms);
  t.after(1ms).expect_stream(12'001, 14'001);
  t.expect_nothing_for(50ms);
  // Beyond ssthresh, 0.7 of twelve segments: 1.2 times a round trip.
  t.inject(ack(2001).sack(3001, 14'001));
  t.take_sent();
  t.inject(ack(14'001));
  EXPECT_EQ(t.info().pacing_rate, 100'800u);
  t.take_sent();
}

TEST(PacedWindow, IsSentAtOnceUnlessConfigured) {
  TcpScript t;
  t.listen();
  t.inject(syn().mss(kMss).sack_ok());
  t.take_sent();
  t.after(100ms).inject(ack(1));
  ASSERT_TRUE(t.accept());
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.after(100ms).inject(ack(2001));
  t.expect_stream(10'001, 14'001);
  EXPECT_EQ(t.info().pacing_rate, 0u);
}

}  // namespace
}  // namespace millrace::test
