#include <algorithm>
#include <numeric>

#include "support/network.h"

namespace millrace::test {

namespace {

/// Payload and whole of a full-sized IPv4 packet with timestamps.
constexpr double kPayload = 1448, kPacket = 1500;

template <typename Count>
std::uint64_t sum(const std::vector<FlowReport>& flows, Count FlowReport::*member) {
  std::uint64_t total = 0;
  for (const FlowReport& flow : flows) total += flow.*member;
  return total;
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double NetworkReport::bits_per_second() const {
  return std::accumulate(flows.begin(), flows.end(), 0.0,
                         [](double total, const FlowReport& flow) { return total + flow.bits_per_second; });
}

double NetworkReport::fairness() const {
  double total = 0, squares = 0;
  for (const FlowReport& flow : flows) {
    total += flow.bits_per_second;
    squares += flow.bits_per_second * flow.bits_per_second;
  }
  return squares == 0 ? 1 : total * total / (static_cast<double>(flows.size()) * squares);
}

std::uint64_t NetworkReport::timeouts() const {
  return sum(flows, &FlowReport::timeouts);
}

std::uint64_t NetworkReport::recoveries() const {
  return sum(flows, &FlowReport::recoveries);
}

double NetworkReport::retransmitted_share() const {
  const std::uint64_t sent = sum(flows, &FlowReport::sent_bytes);
  return sent == 0
             ? 0
             : static_cast<double>(sum(flows, &FlowReport::retransmitted_bytes)) / static_cast<double>(sent);
}

void Network::measure() {
  measured_from_ = now_;
  for (const auto& flow : flows_) {
    flow->received = flow->bulk->received();
    flow->info = flow->bulk->info(now_);
    flow->timeouts = hosts_[flow->from].host->stack.tcp().counters()[tcp::Counter::kTimeouts];
    flow->recoveries = recoveries_of(*hosts_[flow->from].host);
  }
  if (bottleneck_ == nullptr) return;
  bottleneck_->forget_queueing();
  measured_bytes_ = bottleneck_->departed_bytes(now_);
  measured_stats_ = bottleneck_->stats();
}

NetworkReport Network::report() {
  NetworkReport report;
  const double seconds = static_cast<double>((now_ - measured_from_).count()) / 1e9;
  for (const auto& flow : flows_) {
    FlowReport& one = report.flows.emplace_back();
    const TcpInfo info = flow->bulk->info(now_);
    // One that began later, or was over earlier, is measured while it was there.
    const Instant begin = std::max(measured_from_, kStart + flow->bulk->spec().start);
    const Instant end = std::min(now_, flow->bulk->completed_at());
    const double time = static_cast<double>((end - begin).count()) / 1e9;
    if (time > 0)
      one.bits_per_second = static_cast<double>(flow->bulk->received() - flow->received) * 8 / time;
    one.retransmitted_bytes = info.bytes_retrans - flow->info.bytes_retrans;
    one.sent_bytes = info.bytes_sent - flow->info.bytes_sent;
    one.retransmitted_segments = info.total_retrans - flow->info.total_retrans;
    one.smoothed_rtt = std::chrono::microseconds(info.rtt);
    const auto first = std::find_if(flows_.begin(), flows_.end(),
                                    [&flow](const auto& other) { return other->from == flow->from; });
    if (*first != flow) continue;
    NetworkHost& host = *hosts_[flow->from].host;
    one.timeouts = host.stack.tcp().counters()[tcp::Counter::kTimeouts] - flow->timeouts;
    one.recoveries = recoveries_of(host) - flow->recoveries;
  }
  if (bottleneck_ == nullptr || seconds <= 0) return report;
  const auto rate = static_cast<double>(bottleneck_->spec().rate);
  report.capacity = rate * kPayload / kPacket;
  report.utilisation =
      static_cast<double>(bottleneck_->departed_bytes(now_) - measured_bytes_) * 8 / seconds / rate;
  report.queueing_mean = bottleneck_->queueing().mean();
  report.queueing_p95 = bottleneck_->queueing().quantile(0.95);
  report.bottleneck_packets = bottleneck_->stats().packets - measured_stats_.packets;
  report.bottleneck_drops = bottleneck_->stats().dropped() - measured_stats_.dropped();
  report.bottleneck_marks = bottleneck_->stats().marked - measured_stats_.marked;
  return report;
}

std::uint64_t Network::recoveries_of(NetworkHost& host) {
  // Linux's names: one for each way into a recovery, or, where there is none, one for what starts it.
  std::uint64_t recoveries = 0, fast_retransmits = 0;
  bool counted = false;
  host.stack.tcp().counters().for_each([&](std::string_view name, std::uint64_t value) {
    if (name.ends_with("Recovery")) {
      recoveries += value;
      counted = true;
    }
    if (name.ends_with("FastRetrans")) fast_retransmits = value;
  });
  return counted ? recoveries : fast_retransmits;
}

}  // namespace millrace::test
