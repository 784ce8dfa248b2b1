#include "sim/scenarios.h"

#include <cstdio>
#include <vector>

namespace millrace::test {

namespace {

/// One flow through one queue; `delay` each way is in front of it.
std::string one_flow(const std::string& bottleneck, const std::string& delay) {
  return "s1 -- " + delay + " -- r1\nr1 -- " + bottleneck + " -- r2\nd1 -- 0ms -- r2\ns1 > d1\n";
}

struct Second {
  std::string delay, start, congestion = {};
};
std::string two_flows(const std::string& bottleneck, const std::string& delay, const Second& second) {
  return one_flow(bottleneck, delay) + "s2 -- " + second.delay + " -- r1\nd2 -- 0ms -- r2\ns2 > d2 " +
         second.congestion + " start=" + second.start + "\n";
}

constexpr const char* kSixteenFlows =
    "a -- 10G 5ms -- r1\nb -- 10G 10ms -- r1\nc -- 10G 20ms -- r1\nd -- 10G 40ms -- r1\n"
    "r1 -- 200M queue=1bdp -- r2\n"
    "w -- 0ms -- r2\nx -- 0ms -- r2\ny -- 0ms -- r2\nz -- 0ms -- r2\n"
    "a > w\nb > x start=0.1s\nc > y start=0.2s\nd > z start=0.3s\n"
    "a > x start=0.4s\nb > y start=0.5s\nc > z start=0.6s\nd > w start=0.7s\n"
    "a > y start=0.8s\nb > z start=0.9s\nc > w start=1s\nd > x start=1.1s\n"
    "a > z start=1.2s\nb > w start=1.3s\nc > x start=1.4s\nd > y start=1.5s\n";

constexpr const char* kParkingLot =
    "l -- 5ms -- r1\nm1 -- 5ms -- r1\nm2 -- 5ms -- r2\n"
    "r1 -- 100M 5ms queue=1bdp -- r2\nr2 -- 100M 5ms queue=1bdp -- r3\n"
    "e1 -- 0ms -- r2\ne2 -- 0ms -- r3\nk -- 0ms -- r3\n"
    "l > k\nm1 > e1\nm2 > e2\n";

constexpr const char* kJumbo =
    "s1 -- 1G 20ms mtu=9000 -- r1\nr1 -- 100M queue=1bdp -- r2\nd1 -- 1G 0ms mtu=9000 -- r2\ns1 > d1\n";

constexpr const char* kBothWays =
    "s1 -- 20ms -- r1\nd2 -- 20ms -- r1\nr1 -- 50M queue=1bdp -- r2\nd1 -- 0ms -- r2\ns2 -- 0ms -- r2\n"
    "s1 > d1\ns2 > d2 start=0.5s\n";

/// Transfers of that size, one after the other, over one path.
std::string short_transfers(const std::string& bottleneck, const std::string& bytes, int count) {
  std::string text = "s1 -- 20ms -- r1\nr1 -- " + bottleneck + " -- r2\nd1 -- 0ms -- r2\n";
  for (int i = 0; i < count; ++i)
    text += "s1 > d1 bytes=" + bytes + " start=" + std::to_string(i * 500) + "ms\n";
  return text;
}

/// Senders that all begin at once, for one receiver.
std::string incast(const std::string& bottleneck, const std::string& bytes, int senders) {
  std::string text = "d -- " + bottleneck + " -- r\n";
  for (int i = 1; i <= senders; ++i) {
    const std::string name = "s" + std::to_string(i);
    text += name + " -- 10G 0.05ms -- r\n" + name + " > d bytes=" + bytes + "\n";
  }
  return text;
}

std::vector<NetworkScenario> make_scenarios() {
  return {
      // --- a clean path with a queue of one BDP
      {"clean 1M 100ms", one_flow("1M queue=1bdp", "50ms"), 20s, 40s, true},
      {"clean 10M 20ms", one_flow("10M queue=1bdp", "10ms"), 10s, 20s, true},
      {"clean 100M 1ms", one_flow("100M queue=1bdp", "0.5ms"), 2s, 5s},
      {"clean 100M 40ms", one_flow("100M queue=1bdp", "20ms"), 10s, 20s},
      {"clean 100M 200ms", one_flow("100M queue=1bdp", "100ms"), 15s, 25s},
      {"clean 1G 1ms", one_flow("1G queue=1bdp", "0.5ms"), 1s, 3s},
      {"clean 1G 40ms", one_flow("1G queue=1bdp", "20ms"), 3s, 3s},
      {"clean 10G 1ms", one_flow("10G queue=1bdp", "0.5ms"), 500ms, 1s},
      {"clean 10G 10ms", one_flow("10G queue=1bdp", "5ms"), 700ms, 500ms},
      {"clean 40G 1ms", one_flow("40G queue=1bdp", "0.5ms"), 150ms, 150ms},
      {"satellite 20M 400ms", one_flow("20M queue=1bdp", "200ms"), 30s, 60s},
      // --- other queues
      {"half a BDP 100M 40ms", one_flow("100M queue=0.5bdp", "20ms"), 10s, 20s},
      {"tenth of a BDP 100M 40ms", one_flow("100M queue=0.1bdp", "20ms"), 10s, 20s},
      {"bufferbloat 20M 40ms 10 BDP", one_flow("20M queue=10bdp", "20ms"), 20s, 40s},
      {"CoDel 100M 40ms", one_flow("100M queue=2bdp codel", "20ms"), 10s, 20s},
      {"CoDel ECN 100M 40ms", one_flow("100M queue=2bdp codel ecn", "20ms"), 10s, 20s},
      {"threshold ECN 1G 1ms", one_flow("1G queue=1M mark=30k", "0.5ms"), 1s, 2s},
      {"threshold ECN 10G 1ms", one_flow("10G queue=2M mark=97k", "0.5ms"), 500ms, 500ms},
      {"policer 10M of 100M 40ms", one_flow("10M police=10M:30k", "20ms"), 10s, 20s, true},
      {"policer 20M of 1G 40ms", one_flow("1G police=20M:100k", "20ms"), 10s, 20s, true},
      // --- a bad path
      {"loss 0.01% 100M 40ms", one_flow("100M queue=1bdp loss=0.01%", "20ms"), 10s, 30s},
      {"loss 0.1% 100M 40ms", one_flow("100M queue=1bdp loss=0.1%", "20ms"), 10s, 30s},
      {"loss 1% 100M 40ms", one_flow("100M queue=1bdp loss=1%", "20ms"), 5s, 30s, true},
      {"loss 1% 100M 100ms", one_flow("100M queue=1bdp loss=1%", "50ms"), 10s, 60s, true},
      {"loss 5% 20M 40ms", one_flow("20M queue=1bdp loss=5%", "20ms"), 5s, 60s, true},
      {"bursts of 4, 0.1% 100M 40ms", one_flow("100M queue=1bdp bursts=0.1%:25%", "20ms"), 5s, 30s, true},
      {"bursts of 20, 0.02% 100M 40ms", one_flow("100M queue=1bdp bursts=0.02%:5%", "20ms"), 5s, 30s, true},
      {"reordering 30% RTT/4 100M 40ms", one_flow("100M queue=1bdp reorder=30%:10ms", "20ms"), 10s, 20s,
       true},
      {"reordering 1% RTT/8 100M 40ms", one_flow("100M queue=1bdp reorder=1%:5ms", "20ms"), 10s, 20s},
      {"duplication 1% 100M 40ms", one_flow("100M queue=1bdp duplicate=1%", "20ms"), 10s, 20s},
      {"ACK loss 10% 100M 40ms", one_flow("100M queue=1bdp", "20ms") + "r2 -> loss=10% -> r1\n", 10s, 20s},
      {"ACK loss 50% 100M 40ms", one_flow("100M queue=1bdp", "20ms") + "r2 -> loss=50% -> r1\n", 10s, 20s},
      {"ACK compression 10ms 100M 40ms", one_flow("100M queue=1bdp", "20ms") + "r2 -> release=10ms -> r1\n",
       10s, 20s},
      {"ACK path 1M of 100M 40ms", one_flow("100M queue=1bdp", "20ms") + "r2 -> 1M queue=30k -> r1\n", 10s,
       20s},
      {"wireless 50M 20ms", one_flow("50M queue=4bdp release=4ms loss=0.1% reorder=1%:5ms", "10ms"), 10s, 20s,
       true},
      {"longer route 20 to 80 ms 50M", one_flow("50M queue=100k route=10s:60ms", "10ms"), 5s, 20s, true},
      {"shorter route 80 to 20 ms 50M", one_flow("50M queue=100k 60ms route=10s:0ms", "10ms"), 5s, 20s, true},
      // --- packets that are too large vanish, and nobody tells
      {"black hole 1400 100M 40ms", one_flow("100M queue=1bdp", "20ms") + "r1 -> mtu=1400 -> r2\n", 0s, 30s},
      {"smaller MTU 1280 at 5 s, 50M 20ms", one_flow("50M queue=1bdp", "10ms") + "r1 -> mtu=5s:1280 -> r2\n",
       2s, 20s, true},
      {"jumbo frames into 1500, 100M 40ms", kJumbo, 0s, 30s},
      // --- short transfers; Mbit/s is the sum of what each had while it lasted
      {"short 20k x 100, 20M 40ms, loss 1%", short_transfers("20M queue=1bdp loss=1%", "20k", 100), 0s, 60s,
       true},
      {"short 200k x 100, 20M 40ms, loss 1%", short_transfers("20M queue=1bdp loss=1%", "200k", 100), 0s, 60s,
       true},
      {"incast 8 x 1M, 10G 0.1ms, 300k", incast("10G queue=300k", "1M", 8), 0s, 2s, true},
      {"incast 32 x 200k, 10G, mark", incast("10G queue=300k mark=97k", "200k", 32), 0s, 2s, true},
      // --- company
      {"two flows 100M 40ms", two_flows("100M queue=1bdp", "20ms", {"20ms", "0.5s"}), 10s, 30s},
      {"two flows CoDel ECN 100M 40ms", two_flows("100M queue=2bdp codel ecn", "20ms", {"20ms", "0.5s"}), 10s,
       25s},
      {"two flows 20M 20 and 80 ms", two_flows("20M queue=1bdp", "10ms", {"40ms", "0s"}), 20s, 60s, true},
      {"second flow 10 s later 100M 40ms", two_flows("100M queue=1bdp", "20ms", {"20ms", "10s"}), 15s, 30s},
      {"against reno 50M 40ms", two_flows("50M queue=1bdp", "20ms", {"20ms", "0.5s", "reno"}), 20s, 60s},
      {"sixteen flows 200M 10-80ms", kSixteenFlows, 10s, 10s},
      {"parking lot 100M", kParkingLot, 10s, 20s},
      {"both ways 50M 40ms", kBothWays, 10s, 20s, true},
  };
}

std::string milliseconds(Duration duration) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(duration.count()) / 1e6);
  return text;
}

}  // namespace

std::span<const NetworkScenario> scenarios() {
  static const std::vector<NetworkScenario> kScenarios = make_scenarios();
  return kScenarios;
}

Topology with_congestion(Topology topology, std::string_view congestion) {
  for (FlowSpec& flow : topology.flows) {
    if (flow.congestion.empty()) flow.congestion = congestion;
  }
  return topology;
}

std::string golden_table_name(std::string_view congestion) {
  return "proving_ground_" + std::string(congestion) + ".txt";
}

std::string table_header() {
  return "scenario                                 Mbit/s  share  busy  resent%  RTOs  recov  drops%  marks% "
         "  "
         "queue ms"
         "     p95 ms  Jain";
}

std::string table_line(const NetworkScenario& scenario, std::string_view congestion, std::uint64_t seed) {
  NetworkOptions options;
  options.seed = seed;
  Network network(with_congestion(Topology::parse(scenario.topology), congestion), options);
  network.run_for(scenario.warm_up);
  network.measure();
  network.run_for(scenario.duration);
  const NetworkReport report = network.report();
  const std::string wrong = network.finish();
  const auto percent = [&report](std::uint64_t count) {
    return report.bottleneck_packets == 0
               ? 0.0
               : 100.0 * static_cast<double>(count) / static_cast<double>(report.bottleneck_packets);
  };
  char line[256];
  std::snprintf(line, sizeof line, "%-38s %8.2f %6.3f %5.3f %8.3f %5llu %6llu %7.3f %7.3f %10s %10s %5.3f",
                std::string(scenario.name).c_str(), report.bits_per_second() / 1e6, report.share(),
                report.utilisation, 100 * report.retransmitted_share(),
                static_cast<unsigned long long>(report.timeouts()),
                static_cast<unsigned long long>(report.recoveries()), percent(report.bottleneck_drops),
                percent(report.bottleneck_marks), milliseconds(report.queueing_mean).c_str(),
                milliseconds(report.queueing_p95).c_str(), report.fairness());
  return wrong.empty() ? std::string(line) : line + ("  WRONG: " + wrong.substr(0, wrong.find('\n')));
}

}  // namespace millrace::test
