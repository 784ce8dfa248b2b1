#include "support/network_link.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "base/checksum.h"
#include "packet/pool.h"
#include "support/frames.h"
#include "support/topology.h"

namespace millrace::test {
namespace {

constexpr Instant kStart = kEpoch + 10s;
constexpr std::uint32_t kBytes = 1500;

/// The one direction of a link that a topology's text describes, and packets for it.
class OneWay {
 public:
  explicit OneWay(const std::string& text, std::uint64_t seed = 1)
      : link_(Topology::parse("a -- " + text + " -- b").links.at(0).forward, seed, kStart) {}

  /// The packet's number is its identification.
  void send(Duration at, std::uint16_t number = 0, std::uint8_t tos = 0) {
    wire::Ipv4Header header =
        ipv4_header(IpAddress::v4(198, 18, 0, 1), IpAddress::v4(198, 18, 0, 2), wire::kProtocolUdp);
    header.identification = number;
    header.tos = tos;
    const Bytes frame = ethernet({}, {}, wire::kEtherTypeIpv4, ipv4(header, Bytes(kBytes - 20)));
    PacketPtr packet = pool_.allocate(frame.size());
    std::copy(frame.begin(), frame.end(), packet->put(static_cast<std::uint32_t>(frame.size())));
    link_.send({std::move(packet), kBytes, 1}, kStart + at);
  }
  struct Arrival {
    Duration at;
    std::uint16_t number;
    std::uint8_t tos;
    bool good_checksum;
  };
  /// All that arrive from now on, in time.
  std::vector<Arrival> arrivals() {
    std::vector<Arrival> result;
    while (link_.next_event() != kNever) {
      const Instant now = link_.next_event();
      while (const PacketPtr packet = link_.receive(now).packet) {
        const auto ip = packet->linear().subspan(wire::EthernetHeader::kSize, 20);
        const auto header = wire::Ipv4Header::parse(ip);
        result.push_back({now - kStart, header->identification, header->tos, internet_checksum(ip) == 0});
      }
    }
    return result;
  }
  [[nodiscard]] const NetworkLink& link() const { return link_; }
  [[nodiscard]] const NetworkLinkStats& stats() const { return link_.stats(); }

 private:
  PacketPool pool_;
  NetworkLink link_;
};

TEST(NetworkLink, SendsAtItsRateAndDeliversAfterItsDelay) {
  OneWay way("12M 5ms");  // 1 ms a packet
  for (std::uint16_t i = 0; i < 3; ++i) way.send(0ms, i);
  const auto arrivals = way.arrivals();
  ASSERT_EQ(arrivals.size(), 3u);
  for (std::uint16_t i = 0; i < 3; ++i) {
    EXPECT_EQ(arrivals[i].number, i);
    EXPECT_EQ(arrivals[i].at, 6ms + i * 1ms);
  }
  EXPECT_EQ(way.link().queueing().mean(), 1ms);
}

TEST(NetworkLink, DropsTheTailOfAQueueInBytes) {
  OneWay way("12M queue=6000");
  for (std::uint16_t i = 0; i < 10; ++i) way.send(0ms, i);
  EXPECT_EQ(way.arrivals().size(), 4u);  // what is being sent counts until it is gone
  EXPECT_EQ(way.stats().overflowed, 6u);
}

TEST(NetworkLink, LosesByChanceAndTheSameOnesForTheSameSeed) {
  OneWay first("loss=1%"), second("loss=1%"), other("loss=1%", 2);
  for (std::uint16_t i = 0; i < 20'000; ++i) {
    for (OneWay* way : {&first, &second, &other}) way->send(i * 1us, i);
  }
  EXPECT_NEAR(static_cast<double>(first.stats().lost), 200, 45);
  const auto a = first.arrivals(), b = second.arrivals(), c = other.arrivals();
  const auto same = [](const OneWay::Arrival& x, const OneWay::Arrival& y) { return x.number == y.number; };
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end(), same));
  EXPECT_FALSE(std::equal(a.begin(), a.end(), c.begin(), c.end(), same));
}

TEST(NetworkLink, LosesInBursts) {
  OneWay way("bursts=0.5%:20%");
  constexpr std::uint16_t kPackets = 60'000;
  for (std::uint16_t i = 0; i < kPackets; ++i) way.send(i * 1us, i);
  int bursts = 0;
  std::uint16_t expected = 0;
  for (const auto& arrival : way.arrivals()) {
    if (arrival.number != expected) ++bursts;
    expected = static_cast<std::uint16_t>(arrival.number + 1);
  }
  EXPECT_NEAR(bursts, 0.005 * kPackets, 80);
  EXPECT_NEAR(static_cast<double>(way.stats().lost) / bursts, 5, 1);
}

TEST(NetworkLink, EndsABurstWhenNobodyIsThere) {
  OneWay way("bursts=100%:0.0001%");
  for (int i = 0; i < 20; ++i) way.send(i * 1s);  // a burst begins with each
  EXPECT_EQ(way.stats().lost, 20u);
  OneWay rare("bursts=50%:0.0001%");
  for (int i = 0; i < 200; ++i) rare.send(i * 1s);
  EXPECT_NEAR(static_cast<double>(rare.stats().lost), 100, 35);
}

TEST(NetworkLink, PolicesWithATokenBucket) {
  OneWay way("police=12M:15k");
  for (std::uint16_t i = 0; i < 20; ++i) way.send(0ms, i);
  EXPECT_EQ(way.stats().policed, 10u);  // the bucket's 15,000 bytes pass at once
  for (std::uint16_t i = 0; i < 1000; ++i) way.send(1s + i * 500us, i);
  EXPECT_NEAR(static_cast<double>(way.stats().policed), 10 + 500 - 10, 2);
}

TEST(NetworkLink, DuplicatesAndReorders) {
  OneWay way("10ms duplicate=10% reorder=30%:5ms");
  for (std::uint16_t i = 0; i < 5000; ++i) way.send(i * 100us, i);
  EXPECT_NEAR(static_cast<double>(way.stats().duplicated), 500, 80);
  int late = 0, newest = 0;
  for (const auto& arrival : way.arrivals()) {
    if (arrival.number < newest) ++late;
    newest = std::max<int>(newest, arrival.number);
    EXPECT_GE(arrival.at, arrival.number * 100us + 10ms);
    EXPECT_LE(arrival.at, arrival.number * 100us + 15ms);
  }
  EXPECT_GT(late, 1000);
}

TEST(NetworkLink, ReleasesInBunches) {
  OneWay way("1ms release=10ms");
  for (std::uint16_t i = 0; i < 100; ++i) way.send(i * 1ms, i);
  int bunches = 0;
  Duration last{-1};
  for (const auto& arrival : way.arrivals()) {
    EXPECT_EQ(arrival.at % 10ms, 0ms);
    if (arrival.at != last) ++bunches;
    last = arrival.at;
  }
  EXPECT_EQ(bunches, 10);
}

TEST(NetworkLink, ChangesItsRoute) {
  OneWay way("50ms route=1s:10ms");
  way.send(990ms, 1);
  way.send(1s, 2);
  const auto arrivals = way.arrivals();
  EXPECT_EQ(arrivals.at(0).number, 2);
  EXPECT_EQ(arrivals.at(0).at, 1010ms);
  EXPECT_EQ(arrivals.at(1).at, 1040ms);
}

/// 1 ms of transmission a packet, and one and a half packets in that time, for two seconds.
void overload(OneWay& way, std::uint8_t tos) {
  for (std::uint16_t i = 0; i < 3000; ++i) way.send(i * 667us, i, tos);
}

TEST(Codel, LetsABurstPassAndDropsFromAStandingQueue) {
  OneWay burst("12M codel");
  for (std::uint16_t i = 0; i < 50; ++i) burst.send(0ms, i);  // gone in 50 ms
  EXPECT_EQ(burst.arrivals().size(), 50u);

  OneWay way("12M codel");
  overload(way, 0);
  const auto arrivals = way.arrivals();
  ASSERT_FALSE(arrivals.empty());
  std::uint16_t first_missing = 0;
  for (const auto& arrival : arrivals) {
    if (arrival.number != first_missing) break;
    ++first_missing;
  }
  // RFC 8289 §5: after 5 ms of queue have lasted for 100 ms, so after about 115 packets.
  EXPECT_NEAR(first_missing, 115, 3);
  // The n-th drop follows after 100 ms / sqrt(n): in 1.9 s and what is queued then, over a hundred.
  EXPECT_GT(way.stats().aqm_dropped, 90u);
  EXPECT_LT(way.stats().aqm_dropped, 250u);
  EXPECT_EQ(way.stats().aqm_dropped + arrivals.size(), 3000u);
  EXPECT_TRUE(way.link().empty());
}

TEST(Codel, MarksWhatIsCapable) {
  for (const unsigned ect : {1u, 2u}) {
    OneWay way("12M codel ecn");
    overload(way, static_cast<std::uint8_t>(0xb8 | ect));
    std::size_t marked = 0;
    for (const auto& arrival : way.arrivals()) {
      EXPECT_TRUE(arrival.good_checksum);
      EXPECT_EQ(arrival.tos & 0xfc, 0xb8);
      if ((arrival.tos & 3) == 3) ++marked;
    }
    EXPECT_GT(marked, 90u);
    EXPECT_EQ(marked, way.stats().marked);
    EXPECT_EQ(way.stats().aqm_dropped, 0u);
  }
  OneWay incapable("12M codel ecn");
  overload(incapable, 0);
  EXPECT_GT(incapable.stats().aqm_dropped, 80u);
  EXPECT_EQ(incapable.stats().marked, 0u);
}

TEST(ThresholdMarking, MarksWhatMeetsALongerQueue) {
  OneWay way("12M mark=4500");
  for (std::uint16_t i = 0; i < 10; ++i) way.send(0ms, i, 2);
  for (const auto& arrival : way.arrivals()) {
    EXPECT_EQ(arrival.tos, arrival.number <= 3 ? 2 : 3) << arrival.number;
    EXPECT_TRUE(arrival.good_checksum);
  }
}

TEST(DelayHistogram, TellsQuantilesWithinAHundredth) {
  DelayHistogram histogram;
  for (int i = 1; i <= 10'000; ++i) histogram.add(i * 1us);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.5).count()), 5e6, 5e4);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.95).count()), 9.5e6, 1e5);
  EXPECT_EQ(histogram.mean(), 5'000'500ns);
}

TEST(TopologyText, TellsAllOfALink) {
  const Topology topology = Topology::parse(
      "a -- 2.5G 20ms queue=1.5bdp codel=1ms:20ms ecn -- b\n"
      "\n"
      "b -> loss=1% bursts=0.1%:25% release=2ms -> a\n"
      "a > b cubic start=0.5s bytes=10M\n");
  ASSERT_EQ(topology.links.size(), 1u);
  const LinkSpec& forward = topology.links[0].forward;
  EXPECT_EQ(forward.rate, 2'500'000'000u);
  EXPECT_EQ(forward.delay, 20ms);
  EXPECT_EQ(forward.queue_bdp, 1.5);
  EXPECT_EQ(forward.discipline, LinkSpec::Discipline::kCodel);
  EXPECT_EQ(forward.codel_interval, 20ms);
  EXPECT_TRUE(forward.ecn);
  EXPECT_EQ(forward.loss, 0);
  const LinkSpec& backward = topology.links[0].backward;
  EXPECT_EQ(backward.rate, 2'500'000'000u);
  EXPECT_EQ(backward.loss, 0.01);
  EXPECT_EQ(backward.burst_end, 0.25);
  EXPECT_EQ(backward.release_interval, 2ms);
  ASSERT_EQ(topology.flows.size(), 1u);
  EXPECT_EQ(topology.flows[0].congestion, "cubic");
  EXPECT_EQ(topology.flows[0].start, 500ms);
  EXPECT_EQ(topology.flows[0].bytes, 10'000'000u);
}

TEST(TopologyText, OfNonsenseIsRefused) {
  for (const char* text : {"a", "a -- 1G", "a -- fast -- b", "a -- queue=1x -- b", "a -> loss=1% -> b",
                           "a -- 1G -> b", "a -- color=red -- b", "a > b c=d"}) {
    EXPECT_THROW(static_cast<void>(Topology::parse(text)), std::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace millrace::test
