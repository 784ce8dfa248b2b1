#include "support/topology.h"

#include <charconv>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace millrace::test {

namespace {

[[noreturn]] void reject(std::string_view what) {
  throw std::invalid_argument("topology: " + std::string(what));
}

/// A number and the unit behind it.
double number(std::string_view text, std::string_view& unit) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value < 0) reject(text);
  unit = text.substr(static_cast<std::size_t>(end - text.data()));
  return value;
}

double scaled(std::string_view text, double kilo) {
  std::string_view unit;
  double value = number(text, unit);
  if (unit == "k") return value * kilo;
  if (unit == "M") return value * kilo * 1000;
  if (unit == "G") return value * kilo * 1e6;
  if (!unit.empty()) reject(text);
  return value;
}

std::uint64_t whole(double value) {
  return static_cast<std::uint64_t>(std::llround(value));
}

Duration duration(std::string_view text) {
  std::string_view unit;
  const double value = number(text, unit);
  double nanoseconds = 0;
  if (unit == "ns") nanoseconds = 1;
  if (unit == "us") nanoseconds = 1e3;
  if (unit == "ms") nanoseconds = 1e6;
  if (unit == "s") nanoseconds = 1e9;
  if (nanoseconds == 0) reject(text);
  return Duration{std::llround(value * nanoseconds)};
}

double probability(std::string_view text) {
  std::string_view unit;
  const double value = number(text, unit);
  if (unit != "%" && !unit.empty()) reject(text);
  return unit == "%" ? value / 100 : value;
}

/// "a:b" in two.
std::pair<std::string_view, std::string_view> halves(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) reject(text);
  return {text.substr(0, colon), text.substr(colon + 1)};
}

void apply_bare(std::string_view word, LinkSpec& link) {
  if (word == "codel") {
    link.discipline = LinkSpec::Discipline::kCodel;
  } else if (word == "ecn") {
    link.ecn = true;
  } else if (word.ends_with('s')) {
    link.delay = duration(word);
  } else {
    link.rate = whole(scaled(word, 1000));
  }
}

void apply_queue(std::string_view value, LinkSpec& link) {
  link.queue_bdp = 0;
  link.queue_bytes = 0;
  if (value.ends_with("bdp")) {
    std::string_view unit;
    link.queue_bdp = number(value, unit);
  } else {
    link.queue_bytes = whole(scaled(value, 1000));
  }
}

void apply(std::string_view word, LinkSpec& link) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return apply_bare(word, link);
  const std::string_view key = word.substr(0, equals), value = word.substr(equals + 1);
  if (key == "queue") {
    apply_queue(value, link);
  } else if (key == "codel") {
    link.discipline = LinkSpec::Discipline::kCodel;
    link.codel_target = duration(halves(value).first);
    link.codel_interval = duration(halves(value).second);
  } else if (key == "mark") {
    link.discipline = LinkSpec::Discipline::kThreshold;
    link.threshold_bytes = whole(scaled(value, 1000));
    link.ecn = true;
  } else if (key == "police") {
    link.police_rate = whole(scaled(halves(value).first, 1000));
    link.police_burst = whole(scaled(halves(value).second, 1000));
  } else if (key == "loss") {
    link.loss = probability(value);
  } else if (key == "bursts") {
    link.burst_begin = probability(halves(value).first);
    link.burst_end = probability(halves(value).second);
  } else if (key == "duplicate") {
    link.duplicate = probability(value);
  } else if (key == "reorder") {
    link.reorder = probability(halves(value).first);
    link.reorder_delay = duration(halves(value).second);
  } else if (key == "release") {
    link.release_interval = duration(value);
  } else if (key == "mtu" && value.find(':') != std::string_view::npos) {
    link.mtu_changes.push_back({duration(halves(value).first),
                                static_cast<std::uint32_t>(whole(scaled(halves(value).second, 1000)))});
  } else if (key == "mtu") {
    link.mtu = static_cast<std::uint32_t>(whole(scaled(value, 1000)));
  } else if (key == "route") {
    link.route_changes.push_back({duration(halves(value).first), duration(halves(value).second)});
  } else {
    reject(word);
  }
}

void apply_flow(std::string_view word, FlowSpec& flow) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) {
    flow.congestion = word;
  } else if (word.substr(0, equals) == "start") {
    flow.start = duration(word.substr(equals + 1));
  } else if (word.substr(0, equals) == "bytes") {
    flow.bytes = whole(scaled(word.substr(equals + 1), 1000));
  } else {
    reject(word);
  }
}

/// The direction from `a` to `b` of a link that is there.
LinkSpec& direction(Topology& topology, const std::string& a, const std::string& b) {
  for (Topology::Link& link : topology.links) {
    if (link.a == a && link.b == b) return link.forward;
    if (link.a == b && link.b == a) return link.backward;
  }
  reject("no link " + a + " -> " + b);
}

void parse_line(const std::vector<std::string>& words, Topology& topology) {
  if (words.size() < 3) reject(words.front());
  const std::string& a = words.front();
  const std::string& b = words.back();
  const std::string& sign = words[1];
  if (sign == ">") {
    FlowSpec flow;
    flow.from = a;
    flow.to = words[2];
    for (std::size_t i = 3; i < words.size(); ++i) apply_flow(words[i], flow);
    topology.flows.push_back(flow);
    return;
  }
  if (words.size() < 4 || words[words.size() - 2] != sign) reject(a + ' ' + sign);
  if (sign == "--") {
    Topology::Link link;
    link.a = a;
    link.b = b;
    for (std::size_t i = 2; i + 2 < words.size(); ++i) apply(words[i], link.forward);
    link.backward = link.forward;
    topology.links.push_back(link);
  } else if (sign == "->") {
    LinkSpec& spec = direction(topology, a, b);
    for (std::size_t i = 2; i + 2 < words.size(); ++i) apply(words[i], spec);
  } else {
    reject(sign);
  }
}

}  // namespace

Topology Topology::parse(std::string_view text) {
  Topology topology;
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (!words.empty()) parse_line(words, topology);
  }
  return topology;
}

Topology Topology::dumbbell(std::string_view bottleneck, const std::vector<Duration>& rtts) {
  std::ostringstream text;
  text << "r1 -- " << bottleneck << " -- r2\n";
  for (std::size_t i = 1; i <= rtts.size(); ++i) {
    text << 's' << i << " -- " << rtts[i - 1].count() / 2 << "ns -- r1\n"
         << 'd' << i << " -- 0ns -- r2\n"
         << 's' << i << " > d" << i << '\n';
  }
  return parse(text.str());
}

}  // namespace millrace::test
