#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/bulk_flow.h"
#include "support/event_heap.h"
#include "support/network_host.h"
#include "support/network_link.h"
#include "support/topology.h"

namespace millrace::test {

/// What one flow came to within the time of measurement.
struct FlowReport {
  double bits_per_second = 0;  ///< of payload that the receiver read
  std::uint64_t retransmitted_bytes = 0, sent_bytes = 0;
  std::uint64_t retransmitted_segments = 0;
  /// Of the whole sending host, told with the first of its flows.
  std::uint64_t timeouts = 0, recoveries = 0;
  Duration smoothed_rtt{0};
};

/// What a run came to within the time of measurement.
struct NetworkReport {
  std::vector<FlowReport> flows;
  double capacity = 0;     ///< of the bottleneck for payload, bits a second; 0: no link has a rate
  double utilisation = 0;  ///< of the bottleneck, headers and retransmissions included
  Duration queueing_mean{0}, queueing_p95{0};
  std::uint64_t bottleneck_packets = 0, bottleneck_drops = 0, bottleneck_marks = 0;

  [[nodiscard]] double bits_per_second() const;
  /// Of the payload that would fit.
  [[nodiscard]] double share() const { return capacity == 0 ? 0 : bits_per_second() / capacity; }
  /// Jain's index: 1 when all got the same.
  [[nodiscard]] double fairness() const;
  [[nodiscard]] std::uint64_t timeouts() const;
  [[nodiscard]] std::uint64_t recoveries() const;
  /// Of what the senders sent.
  [[nodiscard]] double retransmitted_share() const;
};

struct NetworkOptions {
  std::uint64_t seed = 1;
  tcp::Config tcp;           ///< buffers that are 0 are made to fit the path
  bool super_frames = true;  ///< the senders' devices take them
  bool moderate_interrupts = true;
  BulkFlow::Verify verify = BulkFlow::Verify::kSample;

  NetworkOptions() { tcp.send_buffer_max = tcp.receive_window_max = 0; }
};

/// A Topology with a Stack in each host, in virtual time. Everything depends on the seed alone.
///
///     Network network(topology, options);
///     network.run_for(5s);            // warm up
///     network.measure();
///     network.run_for(10s);
///     report = network.report();
///     wrong = network.finish();       // all is delivered, closed and freed
///
/// Looks throughout for wrong bytes and stalls; once there is a complaint, nothing happens any more.
class Network {
 public:
  Network(const Topology& topology, const NetworkOptions& options);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  void run_for(Duration duration) { run_until(now_ + duration); }
  /// Until every flow with a size is over, but no longer than that. True: they are.
  bool run_to_completion(Duration longest);
  /// Reports count from here.
  void measure();
  [[nodiscard]] NetworkReport report();
  enum class Ending : std::uint8_t {
    kDeliver,  ///< what is written is delivered, and the connections close
    kReset,    ///< all connections are reset: for paths that would take long to empty
  };
  /// Ends everything. Empty: all is well. Else what is wrong.
  [[nodiscard]] std::string finish(Ending ending = Ending::kDeliver);

  [[nodiscard]] Duration elapsed() const { return now_ - kStart; }
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  [[nodiscard]] const BulkFlow& flow(std::size_t i) const { return *flows_[i]->bulk; }
  [[nodiscard]] NetworkHost& sender(std::size_t i) { return *hosts_[flows_[i]->from].host; }
  /// The direction from one node to the next.
  [[nodiscard]] const NetworkLink& link(const std::string& from, const std::string& to) const;
  [[nodiscard]] const NetworkLink* bottleneck() const { return bottleneck_; }
  /// Without any queue, of a flow's path and back.
  [[nodiscard]] Duration base_rtt(std::size_t flow) const;
  /// State of everything, for a failure.
  [[nodiscard]] std::string describe();

 private:
  static constexpr Instant kStart = kEpoch + 1000s;
  static constexpr std::size_t kNone = ~std::size_t{0};

  struct Direction {
    std::size_t from = 0, to = 0;  ///< nodes
    LinkSpec spec;
    std::unique_ptr<NetworkLink> link;
  };
  struct Node {
    std::string name;
    std::size_t host = kNone;
    std::vector<std::size_t> next;  ///< the direction towards each host
  };
  struct HostEntry {
    std::size_t node = 0, out = 0, in = 0;  ///< the node, and the directions from and to it
    std::unique_ptr<NetworkHost> host;
    Instant next_start = kNever;
  };
  struct FlowEntry {
    std::size_t from = 0, to = 0;  ///< hosts
    std::unique_ptr<BulkFlow> bulk;
    std::uint32_t unsent = 0;
    Instant busy_since = kNever;
    // At the start of the measurement:
    std::uint64_t received = 0, timeouts = 0, recoveries = 0;
    TcpInfo info;
  };

  // --- making
  [[nodiscard]] std::size_t node_of(const std::string& name) const;
  std::size_t add_node(const std::string& name);
  void add_directions(const Topology& topology);
  void add_host_entries(const Topology& topology);
  void route_to(std::size_t host);
  [[nodiscard]] std::vector<std::size_t> path(std::size_t from, std::size_t to) const;
  void resolve_queues();
  void find_bottleneck();
  void make_hosts();
  void make_flows(const Topology& topology);
  [[nodiscard]] std::size_t buffer_for(std::size_t host) const;
  [[nodiscard]] std::uint64_t slowest_rate(std::size_t flow) const;

  // --- running
  void run_until(Instant end);
  void act(std::size_t source);
  void forward(Direction& direction);
  void turn(std::size_t host);
  void start_due(std::size_t host);
  void accept_all(std::size_t host);
  void reschedule(std::size_t host);
  [[nodiscard]] bool idle() const;
  [[nodiscard]] std::size_t source_of(std::size_t host) const { return directions_.size() + host; }

  // --- judging
  void check_stalls();
  void check_stall(FlowEntry& flow, const TcpInfo& info);
  void check_end();
  void complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = what;
  }
  [[nodiscard]] static std::uint64_t recoveries_of(NetworkHost& host);

  NetworkOptions options_;
  BulkPattern pattern_;
  Instant now_ = kStart;
  Instant next_stall_check_ = kStart;
  std::vector<Node> nodes_;
  std::vector<Direction> directions_;
  std::vector<HostEntry> hosts_;
  std::vector<std::unique_ptr<FlowEntry>> flows_;
  std::unique_ptr<EventHeap> events_;
  NetworkLink* bottleneck_ = nullptr;
  Instant measured_from_ = kStart;
  std::uint64_t measured_bytes_ = 0;
  NetworkLinkStats measured_stats_;
  std::string complaint_;
};

/// A value of the middle.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace millrace::test
