#include "support/network.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace millrace::test {

namespace {

constexpr std::size_t kBudget = 256;
constexpr Duration kStallCheckInterval = 100ms;
/// Beyond the retransmission timeout: delayed ACKs, pieces held back, and a round trip whose frames are all
/// in queues.
constexpr Duration kStallSlack = 500ms;
constexpr Duration kLongestEnd = 24h;
constexpr std::uint64_t kMostTurnsAtOnce = 1'000'000;

}  // namespace

Network::~Network() {
  // Packets under way have the storage of their senders: they go before the pools do.
  for (const auto& flow : flows_) flow->bulk->abort(now_);
  for (HostEntry& entry : hosts_) {
    if (entry.host != nullptr) entry.host->stack.flush(now_);
  }
  for (Direction& direction : directions_) direction.link.reset();
}

const NetworkLink& Network::link(const std::string& from, const std::string& to) const {
  for (const Direction& direction : directions_) {
    if (nodes_[direction.from].name == from && nodes_[direction.to].name == to) return *direction.link;
  }
  throw std::invalid_argument("network: no link " + from + " -> " + to);
}

// --- the run

void Network::run_until(Instant end) {
  std::uint64_t turns = 0;
  while (complaint_.empty() && events_->first_at() <= end) {
    if (events_->first_at() > now_) {
      now_ = events_->first_at();
      turns = 0;
      if (now_ >= next_stall_check_) check_stalls();
    } else if (++turns > kMostTurnsAtOnce) {
      complain("the stacks never come to rest");
    }
    act(events_->first());
  }
  now_ = std::max(now_, end);
}

bool Network::run_to_completion(Duration longest) {
  const Instant end = now_ + longest;
  const auto over = [this] {
    return std::all_of(flows_.begin(), flows_.end(), [](const auto& flow) {
      return flow->bulk->spec().bytes == 0 || flow->bulk->complete();
    });
  };
  while (complaint_.empty() && !over()) {
    const Instant next = events_->first_at();
    if (next > end) return false;
    run_until(next);
  }
  return complaint_.empty();
}

void Network::act(std::size_t source) {
  if (source >= directions_.size()) {
    turn(source - directions_.size());
    return;
  }
  Direction& direction = directions_[source];
  const std::size_t host = nodes_[direction.to].host;
  if (host != kNone) {
    turn(host);
  } else {
    forward(direction);
    events_->set(source, direction.link->next_event());
  }
}

void Network::forward(Direction& direction) {
  while (true) {
    Transit transit = direction.link->receive(now_);
    if (transit.packet == nullptr) return;
    const std::size_t next = transit.to < hosts_.size() ? nodes_[direction.to].next[transit.to] : kNone;
    if (next == kNone) {
      complain("a packet for nobody");
      return;
    }
    directions_[next].link->send(std::move(transit), now_);
    events_->set(next, directions_[next].link->next_event());
  }
}

void Network::reschedule(std::size_t host) {
  const HostEntry& entry = hosts_[host];
  events_->set(entry.in, directions_[entry.in].link->next_event());
  events_->set(entry.out, directions_[entry.out].link->next_event());
  events_->set(source_of(host), std::min(entry.host->stack.next_deadline(), entry.next_start));
}

void Network::turn(std::size_t host) {
  HostEntry& entry = hosts_[host];
  Stack& stack = entry.host->stack;
  while (stack.poll(now_, kBudget) == kBudget) {
  }
  if (entry.next_start <= now_) start_due(host);
  do {
    while (Socket* socket = stack.ready().pop()) {
      if (socket == entry.host->listener.get()) {
        static_cast<void>(socket->take_events());
        accept_all(host);
      } else if (socket->user != nullptr) {
        auto& flow = *static_cast<BulkFlow*>(socket->user);
        if (socket == flow.sender()) {
          flow.run_sender(now_);
        } else {
          flow.run_receiver(now_);
        }
        if (!flow.complaint().empty()) complain(flow.complaint());
      } else {
        static_cast<void>(socket->take_events());
      }
    }
    stack.flush(now_);
  } while (!stack.ready().empty());
  reschedule(host);
}

void Network::start_due(std::size_t host) {
  HostEntry& entry = hosts_[host];
  entry.next_start = kNever;
  for (const auto& flow : flows_) {
    if (flow->from != host || flow->bulk->started()) continue;
    const Instant start = kStart + flow->bulk->spec().start;
    if (start > now_) {
      entry.next_start = std::min(entry.next_start, start);
      continue;
    }
    auto socket = std::move(*entry.host->stack.create_socket(SocketType::kStream));
    socket->user = flow->bulk.get();
    flow->bulk->connect(std::move(socket), {NetworkHost::address_of(flow->to + 1), NetworkHost::kPort},
                        flow->unsent, now_);
  }
}

void Network::accept_all(std::size_t host) {
  while (true) {
    auto accepted = hosts_[host].host->listener->accept(now_);
    if (!accepted) return;
    const Endpoint remote = (*accepted)->accepted_from();
    for (const auto& flow : flows_) {
      if (flow->to != host || flow->bulk->accepted() || flow->bulk->client() != remote) continue;
      (*accepted)->user = flow->bulk.get();
      flow->bulk->accept(std::move(*accepted), now_);
      flow->bulk->run_receiver(now_);
      break;
    }
  }
}

bool Network::idle() const {
  for (const HostEntry& entry : hosts_) {
    const tcp::Tcp& tcp = entry.host->stack.tcp();
    if (tcp.connection_count() + tcp.time_wait_count() + tcp.request_count() != 0) return false;
  }
  return std::all_of(directions_.begin(), directions_.end(),
                     [](const Direction& direction) { return direction.link->empty(); });
}

std::string Network::finish(Ending ending) {
  for (HostEntry& entry : hosts_) entry.next_start = kNever;
  for (const auto& flow : flows_) {
    if (ending == Ending::kReset || !flow->bulk->started()) {
      flow->bulk->abort(now_);
    } else {
      flow->bulk->stop(now_);
    }
  }
  for (std::size_t i = 0; i < hosts_.size(); ++i) turn(i);
  const Instant limit = now_ + kLongestEnd;
  while (complaint_.empty() && !idle()) {
    const Instant next = events_->first_at();
    if (next == kNever) complain("connections are left for ever");
    if (next > limit) complain("connections do not end");
    if (complaint_.empty()) run_until(next);
  }
  if (complaint_.empty()) check_end();
  return complaint_.empty() ? std::string() : complaint_ + '\n' + describe();
}

// --- the judgement

void Network::check_stalls() {
  next_stall_check_ = now_ + kStallCheckInterval;
  for (const auto& flow : flows_) {
    if (flow->bulk->sender() == nullptr) continue;
    const TcpInfo info = flow->bulk->info(now_);
    if (info.state == 2 || info.state == 3) continue;  // SYN-SENT, SYN-RECEIVED: rules of their own
    check_stall(*flow, info);
  }
}

void Network::check_stall(FlowEntry& flow, const TcpInfo& info) {
  if (info.unacked == 0 && info.notsent_bytes == 0) {
    flow.busy_since = kNever;
    return;
  }
  if (flow.busy_since == kNever) flow.busy_since = now_;
  const Instant last = std::max(flow.busy_since, hosts_[flow.from].host->device.last_frame());
  if (now_ - last > std::chrono::microseconds(info.rto) + kStallSlack) {
    complain("stalled: " + std::to_string(to_ms(now_ - last)) + " ms without a segment at an RTO of " +
             std::to_string(info.rto / 1000) + " ms");
  }
}

void Network::check_end() {
  for (const auto& flow : flows_) {
    if (!flow->bulk->aborted() && !flow->bulk->complete()) complain("not everything arrived");
  }
  for (HostEntry& entry : hosts_) {
    if (const std::string left = entry.host->left_over(); !left.empty())
      complain("in use at the end: " + left);
  }
}

std::string Network::describe() {
  std::ostringstream text;
  text << "at " << static_cast<double>(elapsed().count()) * 1e-9 << " s, seed " << options_.seed << '\n';
  for (const Direction& direction : directions_) {
    const NetworkLinkStats& s = direction.link->stats();
    text << "  " << nodes_[direction.from].name << " -> " << nodes_[direction.to].name << ": " << s.packets
         << " packets, lost " << s.lost << " policed " << s.policed << " overflowed " << s.overflowed
         << " aqm " << s.aqm_dropped << " marked " << s.marked << " duplicated " << s.duplicated
         << " reordered " << s.reordered << '\n';
  }
  for (const auto& flow : flows_) {
    const TcpInfo info = flow->bulk->info(now_);
    text << "  " << flow->bulk->spec().from << " > " << flow->bulk->spec().to << ' '
         << flow->bulk->spec().congestion << ": sent " << flow->bulk->sent() << " received "
         << flow->bulk->received() << " state " << int{info.state} << " unacked " << info.unacked
         << " unsent " << info.notsent_bytes << " cwnd " << info.snd_cwnd << " ssthresh " << info.snd_ssthresh
         << " pacing " << info.pacing_rate << " snd_wnd " << info.snd_wnd << " rtt " << info.rtt << " rto "
         << info.rto << " backoff " << int{info.backoff} << " retransmitted " << info.total_retrans << '\n';
    for (const std::size_t host : {flow->from, flow->to}) {
      text << (host == flow->from ? "   sender  " : "   receiver");
      hosts_[host].host->stack.tcp().counters().for_each([&](std::string_view name, std::uint64_t value) {
        if (value != 0) text << ' ' << name << '=' << value;
      });
      text << '\n';
    }
  }
  return text.str();
}

}  // namespace millrace::test
