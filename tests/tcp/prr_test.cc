// Proportional rate reduction.
#include "tcp/prr.h"

#include "loss_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::Prr;

TEST(Prr, LetsOutSsthreshForEachWindowThatArrives) {
  rfc("9937", "6.2",
      "while more than ssthresh is in flight, ssthresh / RecoverFS bytes go out for each that arrives");
  Prr prr;
  prr.start(20'000, 10'000);
  std::uint32_t in_flight = 19'000;  // one is lost
  std::uint32_t sent = 0, arrived = 0;
  prr.on_ack(1000, in_flight -= 1000, false, kMss, kMss);
  EXPECT_EQ(prr.cwnd(), in_flight + kMss) << "the fast retransmission goes at once";
  while (in_flight > 10'000) {
    while (prr.cwnd() >= in_flight + kMss) {
      prr.on_sent(kMss);
      in_flight += kMss;
      sent += kMss;
    }
    arrived += 1000;
    prr.on_ack(1000, in_flight -= 1000, false, 0, kMss);
    EXPECT_LE(sent, (arrived + 1000) / 2 + 1000);
  }
  EXPECT_NEAR(sent, (arrived + 1000) / 2, 1000);
}

TEST(Prr, BelowSsthreshLetsOutWhatArrivesAndOneMoreWhereAllIsWell) {
  rfc("9937", "6.2",
      "below ssthresh as much goes out as arrives; one segment more for an ACK that advances and tells of no "
      "loss");
  Prr prr;
  prr.start(20'000, 10'000);
  prr.on_ack(1000, 4000, false, 0, kMss);
  EXPECT_EQ(prr.cwnd(), 5000u);
  prr.on_sent(1000);
  prr.on_ack(1000, 4000, true, 0, kMss);
  EXPECT_EQ(prr.cwnd(), 6000u);
  prr.on_sent(2000);
  prr.on_ack(2000, 9500, true, 0, kMss);
  EXPECT_EQ(prr.cwnd(), 10'000u) << "up to ssthresh";
}

TEST(Prr, LetsOneSegmentOutWhenNothingIsInFlight) {
  Prr prr;
  prr.start(5000, 2500);
  prr.on_ack(1000, 3000, false, kMss, kMss);
  prr.on_sent(kMss);
  prr.on_ack(0, 0, false, 0, kMss);
  EXPECT_EQ(prr.cwnd(), kMss) << "no ACK would come";
}

TEST(Prr, NeverWrapsAround) {
  Prr prr;
  prr.start(0, 2000);
  prr.on_ack(0, 0, true, 0, kMss);
  prr.on_sent(1u << 30);
  prr.on_ack(1, 1u << 30, false, 0, kMss);
  EXPECT_EQ(prr.cwnd(), 1u << 30);
  prr.start(1u << 30, 1u << 29);
  prr.on_ack(1u << 30, 1u << 29, true, 0, kMss);
  EXPECT_LE(prr.cwnd(), 1u << 29);
}

TEST(PrrRecovery, SpreadsTheReductionOverARoundTrip) {
  rfc("9937", "6.2",
      "while more than ssthresh is in flight, ssthresh / RecoverFS bytes go out for each that arrives");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 2001));
  t.inject(ack(1).sack(1001, 3001));
  t.expect_stream(10'001, 12'001);
  std::uint32_t again = 0, fresh = 0;
  for (std::uint32_t right = 4001; right <= 10'001; right += kMss) {
    t.inject(ack(1).sack(1001, right));
    for (const Seg& sent : t.take_sent()) (sent.at == 1u ? again : fresh) += sent.length;
  }
  EXPECT_EQ(again, 1000u);
  EXPECT_EQ(fresh, 2000u) << "seven arrived, half as many went out, one of them the retransmission";
  t.after(kRoundTrip).inject(ack(1).sack(1001, 12'001));
  t.inject(ack(12'001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  t.take_sent();
}

TEST(PrrRecovery, OfManyLossesSendsNoMoreThanArrives) {
  rfc("9937", "6.2",
      "below ssthresh as much goes out as arrives; one segment more for an ACK that advances and tells of no "
      "loss");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(7001, 10'001));
  t.expect_stream(1, 3001);
  t.expect_nothing();
  t.after(kRoundTrip).inject(ack(1001).sack(7001, 10'001));
  t.expect_stream(3001, 5001);  // one for that which arrived, one for the progress
  t.expect_nothing();
  t.inject(ack(2001).sack(7001, 10'001));
  t.expect_stream(5001, 7001);
  t.expect_nothing();
  t.inject(ack(3001).sack(7001, 10'001));
  t.expect(data(10'001, 11'001));
  t.take_sent();
  t.after(kRoundTrip).inject(ack(10'001));
  t.take_sent();
}

TEST(PrrRecovery, CountsTheSegmentsOfASuperSegment) {
  TcpScript::Options options;
  options.caps = super_segments();
  TcpScript t(options);
  establish_far(t, sack_syn());
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.after(kRoundTrip).inject(ack(1).sack(1001, 10'001));
  t.expect(data(1, 1001));
  t.expect_stream(10'001, 14'001);  // ssthresh is 5000
  t.expect_nothing();
  t.after(kRoundTrip).inject(ack(14'001));
  t.take_sent();
}

TEST(PrrRecovery, AimsAtHalfOfTheFlightWithoutLimitedTransmit) {
  rfc("5681", "3.2", "(2) what limited transmit sent does not count into ssthresh");
  rfc("3042", "2", "limited transmit: the first two duplicate ACKs each let a new segment out");
  TcpScript t;
  fill_far_window(t, sack_syn());
  t.inject(ack(1).sack(1001, 2001));
  t.inject(ack(1).sack(1001, 3001));
  t.expect_stream(10'001, 12'001);
  t.inject(ack(1).sack(1001, 4001));
  t.expect(data(1, 1001));
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  t.inject(ack(1).sack(1001, 10'001));
  t.take_sent();
  t.after(kRoundTrip).inject(ack(12'001));
  t.take_sent();
  EXPECT_EQ(t.info().snd_ssthresh, 5u);
  EXPECT_EQ(t.count(Counter::kRetransSegs), 1u);
}

}  // namespace
}  // namespace millrace::test
