#include <algorithm>
#include <deque>
#include <stdexcept>

#include "support/network.h"

namespace millrace::test {

namespace {

constexpr std::size_t kSmallestQueue = 3000;
constexpr std::size_t kSmallestBuffer = 256 * 1024, kLargestBuffer = std::size_t{1} << 30;
constexpr std::uint32_t kLeastUnsent = 32 * 1024, kMostUnsent = 1024 * 1024;
/// One interrupt for so many packets at the bottleneck's rate, but none later than this.
constexpr std::uint64_t kPacketsPerInterrupt = 16;
constexpr Duration kLongestHold = 20us;
constexpr std::uint64_t kModeratedRate = 500'000'000;

double bdp_bytes(std::uint64_t rate, Duration rtt) {
  return static_cast<double>(rate) * static_cast<double>(rtt.count()) / 8e9;
}

}  // namespace

Network::Network(const Topology& topology, const NetworkOptions& options) : options_(options) {
  add_directions(topology);
  add_host_entries(topology);
  for (std::size_t host = 0; host < hosts_.size(); ++host) route_to(host);
  make_flows(topology);
  resolve_queues();
  for (std::size_t i = 0; i < directions_.size(); ++i) {
    Direction& direction = directions_[i];
    direction.link = std::make_unique<NetworkLink>(direction.spec, options_.seed * 1024 + i, kStart);
  }
  find_bottleneck();
  events_ = std::make_unique<EventHeap>(directions_.size() + hosts_.size());
  make_hosts();
}

std::size_t Network::node_of(const std::string& name) const {
  const auto found =
      std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& node) { return node.name == name; });
  if (found == nodes_.end()) throw std::invalid_argument("network: no node " + name);
  return static_cast<std::size_t>(found - nodes_.begin());
}

std::size_t Network::add_node(const std::string& name) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].name == name) return i;
  }
  nodes_.emplace_back().name = name;
  return nodes_.size() - 1;
}

void Network::add_directions(const Topology& topology) {
  for (const Topology::Link& link : topology.links) {
    const std::size_t a = add_node(link.a), b = add_node(link.b);
    directions_.push_back({a, b, link.forward, nullptr});
    directions_.push_back({b, a, link.backward, nullptr});
  }
}

void Network::add_host_entries(const Topology& topology) {
  const auto add = [this](const std::string& name) {
    Node& node = nodes_[node_of(name)];
    if (node.host != kNone) return;
    node.host = hosts_.size();
    HostEntry& host = hosts_.emplace_back();
    host.node = node_of(name);
    std::size_t links = 0;
    for (std::size_t i = 0; i < directions_.size(); ++i) {
      if (directions_[i].from == host.node) {
        host.out = i;
        ++links;
      }
      if (directions_[i].to == host.node) host.in = i;
    }
    if (links != 1) throw std::invalid_argument("network: a host needs one link: " + name);
  };
  for (const FlowSpec& flow : topology.flows) {
    add(flow.from);
    add(flow.to);
  }
}

void Network::route_to(std::size_t host) {
  for (Node& node : nodes_) node.next.resize(hosts_.size(), kNone);
  std::vector<bool> seen(nodes_.size());
  std::deque<std::size_t> open{hosts_[host].node};
  seen[hosts_[host].node] = true;
  while (!open.empty()) {
    const std::size_t to = open.front();
    open.pop_front();
    for (std::size_t i = 0; i < directions_.size(); ++i) {
      const Direction& direction = directions_[i];
      if (direction.to != to || seen[direction.from]) continue;
      seen[direction.from] = true;
      nodes_[direction.from].next[host] = i;
      open.push_back(direction.from);
    }
  }
}

std::vector<std::size_t> Network::path(std::size_t from, std::size_t to) const {
  std::vector<std::size_t> result;
  for (std::size_t node = hosts_[from].node; node != hosts_[to].node;) {
    const std::size_t next = nodes_[node].next[to];
    if (next == kNone) throw std::invalid_argument("network: no way from " + nodes_[node].name);
    result.push_back(next);
    node = directions_[next].to;
  }
  return result;
}

Duration Network::base_rtt(std::size_t flow) const {
  Duration total{0};
  for (const std::size_t i : path(flows_[flow]->from, flows_[flow]->to)) total += directions_[i].spec.delay;
  for (const std::size_t i : path(flows_[flow]->to, flows_[flow]->from)) total += directions_[i].spec.delay;
  return total;
}

void Network::resolve_queues() {
  for (std::size_t flow = 0; flow < flows_.size(); ++flow) {
    const std::size_t from = flows_[flow]->from, to = flows_[flow]->to;
    for (const auto& way : {path(from, to), path(to, from)}) {
      for (const std::size_t i : way) {
        LinkSpec& spec = directions_[i].spec;
        if (spec.queue_bdp == 0) continue;
        const auto bytes = static_cast<std::size_t>(spec.queue_bdp * bdp_bytes(spec.rate, base_rtt(flow)));
        spec.queue_bytes = std::max({spec.queue_bytes, bytes, kSmallestQueue});
      }
    }
  }
}

std::uint64_t Network::slowest_rate(std::size_t flow) const {
  std::uint64_t slowest = 0;
  for (const std::size_t i : path(flows_[flow]->from, flows_[flow]->to)) {
    const std::uint64_t rate = directions_[i].spec.rate;
    if (rate != 0 && (slowest == 0 || rate < slowest)) slowest = rate;
  }
  return slowest;
}

void Network::find_bottleneck() {
  if (flows_.empty()) return;
  const std::uint64_t slowest = slowest_rate(0);
  for (const std::size_t i : path(flows_[0]->from, flows_[0]->to)) {
    if (slowest != 0 && directions_[i].spec.rate == slowest) bottleneck_ = directions_[i].link.get();
  }
}

std::size_t Network::buffer_for(std::size_t host) const {
  // A window that overshoots the path and its queue must not meet the buffer first.
  double most = 0;
  for (std::size_t flow = 0; flow < flows_.size(); ++flow) {
    if (flows_[flow]->from != host && flows_[flow]->to != host) continue;
    double queues = 0;
    for (const std::size_t i : path(flows_[flow]->from, flows_[flow]->to))
      queues += static_cast<double>(directions_[i].spec.queue_bytes);
    most = std::max(most, bdp_bytes(slowest_rate(flow), base_rtt(flow)) + queues);
  }
  return std::clamp(static_cast<std::size_t>(most * 2.5), kSmallestBuffer, kLargestBuffer);
}

void Network::make_hosts() {
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    HostEntry& entry = hosts_[i];
    StackConfig config;
    config.tcp = options_.tcp;
    // Segments are charged for more than their bytes.
    if (config.tcp.send_buffer_max == 0) config.tcp.send_buffer_max = 2 * buffer_for(i);
    if (config.tcp.receive_window_max == 0) config.tcp.receive_window_max = buffer_for(i);
    config.tcp.time_wait = std::min<Duration>(config.tcp.time_wait, 1s);
    // Limits that are never met: what is tested here is the network's.
    config.pool.bytes = std::size_t{64} << 30;
    config.pool.packets = std::size_t{1} << 24;
    config.pool.spills = std::size_t{1} << 20;
    entry.host =
        std::make_unique<NetworkHost>(config, *directions_[entry.out].link, *directions_[entry.in].link,
                                      i + 1, options_.seed * 4096 + i, options_.super_frames, kStart);
  }
  for (const auto& flow : flows_) {
    hosts_[flow->from].host->meet(flow->to + 1, kStart);
    hosts_[flow->to].host->meet(flow->from + 1, kStart);
  }
  for (std::size_t i = 0; i < flows_.size(); ++i) {
    const std::uint64_t rate = slowest_rate(i);
    if (options_.moderate_interrupts && rate >= kModeratedRate) {
      const Duration hold =
          std::min(kLongestHold,
                   Duration{static_cast<Duration::rep>(kPacketsPerInterrupt * 12'000'000'000'000u / rate)});
      directions_[hosts_[flows_[i]->from].in].link->set_hold(hold);
      directions_[hosts_[flows_[i]->to].in].link->set_hold(hold);
    }
  }
  for (std::size_t i = 0; i < hosts_.size(); ++i) reschedule(i);
}

void Network::make_flows(const Topology& topology) {
  for (const FlowSpec& spec : topology.flows) {
    auto flow = std::make_unique<FlowEntry>();
    flow->from = nodes_[node_of(spec.from)].host;
    flow->to = nodes_[node_of(spec.to)].host;
    const std::uint64_t offset = options_.seed * 7919 + flows_.size() * 104'729;
    flow->bulk = std::make_unique<BulkFlow>(spec, pattern_, offset, options_.verify);
    HostEntry& from = hosts_[flow->from];
    from.next_start = std::min(from.next_start, kStart + spec.start);
    flows_.push_back(std::move(flow));
    // 5 ms of the path's rate are ready for when the window opens.
    const std::uint64_t rate = slowest_rate(flows_.size() - 1);
    flows_.back()->unsent = rate == 0 ? kMostUnsent
                                      : static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
                                            rate / 8 / 200, kLeastUnsent, kMostUnsent));
  }
}

}  // namespace millrace::test
