#include "sim/aims.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "sim/scenarios.h"

namespace millrace::test {

namespace {

constexpr double kMss = 1448;

/// One run; `more` is added to the topology, which the seed shakes a little.
NetworkReport run(const Aim& aim, std::string_view congestion, std::uint64_t seed, bool delayed_acks = true,
                  const std::string& more = {}) {
  NetworkOptions options;
  options.seed = seed;
  if (!delayed_acks) options.tcp.delayed_ack = Duration{0};
  Topology topology = with_congestion(Topology::parse(aim.topology + more), congestion);
  for (std::size_t i = 0; i < topology.flows.size(); ++i)
    topology.flows[i].start += std::chrono::microseconds(seed * 7919 % 20'000 * i);
  Network network(topology, options);
  network.run_for(aim.warm_up);
  network.measure();
  network.run_for(aim.duration);
  const NetworkReport report = network.report();
  const std::string wrong = network.finish(Network::Ending::kReset);
  if (!wrong.empty()) throw std::runtime_error(aim.name + ": " + wrong);
  return report;
}

double share(const Aim& aim, std::string_view congestion, std::uint64_t seed) {
  return run(aim, congestion, seed).share();
}

/// Relative to 1.22 MSS / (RTT sqrt(p)) (Mathis et al., 1997), for a receiver that acknowledges each segment.
double deviation_from_law(const Aim& aim, std::string_view congestion, std::uint64_t seed) {
  constexpr double kRtt = 0.040;
  const double law = 1.22 * kMss * 8 / (kRtt * std::sqrt(aim.loss));
  return run(aim, congestion, seed, false).bits_per_second() / law - 1;
}

/// The smaller flow's part of the larger one's.
double ratio_of_two(const Aim& aim, std::string_view congestion, std::uint64_t seed) {
  const NetworkReport report = run(aim, congestion, seed);
  const double a = report.flows.at(0).bits_per_second, b = report.flows.at(1).bits_per_second;
  return std::max(a, b) == 0 ? 0 : std::min(a, b) / std::max(a, b);
}

double recovered_without_timeout(const Aim& aim, std::string_view congestion, std::uint64_t seed) {
  const NetworkReport report = run(aim, congestion, seed);
  if (report.bottleneck_drops == 0) return 0;
  return 1 - static_cast<double>(report.timeouts()) / static_cast<double>(report.bottleneck_drops);
}

/// What is left when the bottleneck reorders, of the throughput without that. A path that is not full then
/// either counts as nearly full.
double left_with_reordering(const Aim& aim, std::string_view congestion, std::uint64_t seed) {
  const double clean = std::max(0.95, run(aim, congestion, seed).share());
  return run(aim, congestion, seed, true, "r1 -> reorder=30%:10ms -> r2\n").share() / clean;
}

std::string one_flow(const std::string& bottleneck, const std::string& half_rtt) {
  return "s1 -- " + half_rtt + " -- r1\nr1 -- " + bottleneck + " -- r2\nd1 -- 0ms -- r2\ns1 > d1\n";
}

Aim clean(const std::string& rate, const std::string& half_rtt, const std::string& rtt, Duration warm_up,
          Duration duration, bool costly) {
  Aim aim;
  aim.name = "share of a clean " + rate + ", " + rtt + ", queue of a BDP";
  aim.bound = 0.95;
  aim.costly = costly;
  aim.test_seeds = costly ? 1 : 5;  // chance has little to do with it
  aim.measure_one = share;
  aim.topology = one_flow(rate + " queue=1bdp", half_rtt);
  aim.warm_up = warm_up;
  aim.duration = duration;
  return aim;
}

Aim half_queue(const std::string& rate, const std::string& half_rtt, const std::string& rtt, Duration warm_up,
               Duration duration) {
  Aim aim = clean(rate, half_rtt, rtt, warm_up, duration, false);
  aim.name = "share of a clean " + rate + ", " + rtt + ", queue of half a BDP";
  aim.control = "cubic";
  aim.bound = 0.85;
  aim.topology = one_flow(rate + " queue=0.5bdp", half_rtt);
  return aim;
}

Aim law(const std::string& loss, double p, Duration duration) {
  Aim aim;
  aim.name = "deviation from 1.22/sqrt(p) at " + loss + " loss, 40 ms";
  aim.control = "reno";
  aim.bound = 0.2;
  aim.at_least = false;
  aim.measure_one = deviation_from_law;
  aim.topology = one_flow("1G loss=" + loss, "20ms");
  aim.warm_up = 20s;
  aim.duration = duration;
  aim.loss = p;
  return aim;
}

std::vector<Aim> make_aims() {
  std::vector<Aim> aims{
      clean("100M", "0.5ms", "1 ms", 2s, 5s, false),
      clean("100M", "5ms", "10 ms", 5s, 5s, false),
      clean("100M", "50ms", "100 ms", 15s, 15s, false),
      clean("100M", "100ms", "200 ms", 30s, 30s, false),
      clean("1G", "0.5ms", "1 ms", 1s, 2s, false),
      clean("1G", "5ms", "10 ms", 2s, 2s, false),
      clean("1G", "50ms", "100 ms", 6s, 4s, true),
      clean("1G", "100ms", "200 ms", 10s, 6s, true),
      clean("10G", "0.5ms", "1 ms", 500ms, 500ms, true),
      clean("10G", "5ms", "10 ms", 1s, 500ms, true),
      clean("10G", "50ms", "100 ms", 4s, 1s, true),
      clean("10G", "100ms", "200 ms", 8s, 1s, true),
      half_queue("100M", "20ms", "40 ms", 10s, 20s),
      half_queue("1G", "20ms", "40 ms", 5s, 5s),
      law("0.01%", 0.0001, 60s),
      law("0.1%", 0.001, 60s),
      law("1%", 0.01, 60s),
  };
  Aim fair;
  fair.name = "smaller of two equal flows to the larger, 20M, 40 ms";
  fair.bound = 0.9;
  fair.measure_one = ratio_of_two;
  fair.topology = one_flow("20M queue=1bdp", "20ms") + "s2 -- 20ms -- r1\nd2 -- 0ms -- r2\ns2 > d2\n";
  fair.warm_up = 20s;
  fair.duration = 120s;
  aims.push_back(fair);
  Aim recovery;
  recovery.name = "losses repaired without a timeout, 1% loss, 100 ms";
  recovery.bound = 0.99;
  recovery.measure_one = recovered_without_timeout;
  recovery.topology = one_flow("100M queue=1bdp loss=1%", "50ms");
  recovery.warm_up = 5s;
  recovery.duration = 60s;
  recovery.brief = true;
  aims.push_back(recovery);
  Aim reordering;
  reordering.name = "throughput left at 30% reordering within RTT/4, 100M, 40 ms";
  reordering.bound = 0.9;
  reordering.measure_one = left_with_reordering;
  reordering.topology = one_flow("100M queue=1bdp", "20ms");
  reordering.warm_up = 10s;
  reordering.duration = 10s;
  aims.push_back(reordering);
  return aims;
}

}  // namespace

double Aim::measure(std::string_view congestion, std::uint64_t seeds) const {
  std::vector<double> values;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) values.push_back(measure_one(*this, congestion, seed));
  const double middle = median(values);
  return measure_one == deviation_from_law ? std::abs(middle) : middle;
}

std::string Aim::to_string(std::string_view congestion, double measured) const {
  char line[160];
  std::snprintf(line, sizeof line, "%-60s %-6s %s %.3f  measured %6.3f  %s", name.c_str(),
                std::string(congestion).c_str(), at_least ? ">=" : "<=", bound, measured,
                holds(measured) ? "holds" : "open");
  return line;
}

std::span<const Aim> aims() {
  static const std::vector<Aim> kAims = make_aims();
  return kAims;
}

}  // namespace millrace::test
