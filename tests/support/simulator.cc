#include "support/simulator.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "base/byte_order.h"
#include "tcp/connection.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"

namespace millrace::test {

namespace {

constexpr std::uint16_t kServerPort = 80;
constexpr std::uint16_t kFirstSimultaneousPort = 5000;
constexpr std::size_t kBudget = 64;
constexpr Duration kLongestRun = 12h;
constexpr Duration kLongestEnd = 3600s;
constexpr std::uint64_t kMostTurns = 40'000'000;
/// Beyond the retransmission timeout: delayed ACKs and pieces held back.
constexpr Duration kStallSlack = 500ms;
constexpr Duration kStallCheckInterval = 100ms;

Rng::Seed seed_bytes(std::uint64_t number) {
  Rng::Seed seed{};
  for (std::size_t i = 0; i < 8; ++i) seed[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return seed;
}

std::uint32_t ports_key(std::uint16_t local, std::uint16_t remote) {
  return std::uint32_t{local} << 16 | remote;
}

DeviceCaps caps_for(bool super_frames) {
  DeviceCaps caps;
  if (super_frames) {
    caps.tx_checksum = caps.rx_checksum = caps.tso = caps.lro = caps.scatter = true;
    caps.max_gso_bytes = 65000;
  }
  return caps;
}

}  // namespace

Simulator::Simulator(const Scenario& scenario, bool trace)
    : scenario_(scenario), trace_(trace), link_(scenario.link, scenario.seed * 2) {
  for (int end = 0; end < 2; ++end) {
    Host& host = hosts_[static_cast<std::size_t>(end)];
    const auto index = static_cast<std::size_t>(end);
    host.device =
        std::make_unique<SimulatedDevice>(link_, end, caps_for(scenario.super_frames), scenario.mtu[index]);
    host.device->observe(&on_frame, this);
    host.stack = std::make_unique<Stack>(scenario.stacks[index], seed_bytes(scenario.seed * 2 + index), now_);
    link::InterfaceConfig interface;
    interface.addresses = {IpPrefix{address_of(end), 24}};
    interface.probe_addresses = false;
    auto& made = host.stack->add_interface(*host.device, interface, now_);
    if (scenario.static_neighbours) {
      made.neighbours().add_static(address_of(1 - end), SimulatedDevice::mac_of(1 - end), now_);
    }
    host.listener = std::move(*host.stack->create_socket(SocketType::kStream));
    if (!host.listener->bind({IpAddress{}, kServerPort}) || !host.listener->listen(64, now_))
      complain("listen failed");
  }
  for (const Scenario::Pair& pair : scenario_.pairs) {
    Connection connection;
    connection.pair = &pair;
    const std::uint64_t id = scenario_.seed * 1000 + connections_.size() * 2;
    connection.client = std::make_unique<SimulatedApp>(id, id + 1, pair.client, id);
    connection.server = std::make_unique<SimulatedApp>(id + 1, id, pair.server, id + 1);
    const auto client = static_cast<std::size_t>(pair.client_host);
    hosts_[client].apps.push_back(connection.client.get());
    hosts_[1 - client].apps.push_back(connection.server.get());
    connections_.push_back(std::move(connection));
  }
}

Simulator::~Simulator() {
  connections_.clear();
  for (Host& host : hosts_) host.listener.reset();
}

void Simulator::complain(const std::string& what) {
  if (complaint_.empty()) complaint_ = what;
}

// --- frames

void Simulator::on_frame(void* self, int end, std::span<const std::uint8_t> frame, bool received,
                         Instant now) {
  auto& simulator = *static_cast<Simulator*>(self);
  if (frame.size() < 54 || load_be16(&frame[12]) != wire::kEtherTypeIpv4 || frame[14] != 0x45 ||
      frame[23] != 6)
    return;
  const std::uint16_t source = load_be16(&frame[34]), destination = load_be16(&frame[36]);
  Host& host = simulator.hosts_[static_cast<std::size_t>(end)];
  host.last_frame[received ? ports_key(destination, source) : ports_key(source, destination)] = now;
  const std::uint32_t length = load_be16(&frame[16]);
  if (received && !simulator.scenario_.super_frames && simulator.scenario_.link.corrupt == 0 &&
      length > simulator.scenario_.mtu[static_cast<std::size_t>(end)]) {
    simulator.complain("a packet larger than the MTU of the receiver, whose MSS said so");
  }
  if (simulator.trace_) {
    const auto header = wire::TcpHeader::parse(frame.subspan(34));
    if (!header) return;
    std::printf("%12.6f %c %s %5u > %-5u %s%s%s%s%s seq %u:%u ack %u win %u\n",
                static_cast<double>((now - kStart).count()) * 1e-9, "ab"[end], received ? "<" : ">", source,
                destination, header->has(2) ? "S" : "", header->has(1) ? "F" : "", header->has(4) ? "R" : "",
                header->has(8) ? "P" : "", header->has(16) ? "." : "", header->seq.value(),
                header->seq.value() + length - 20 - header->header_length, header->ack.value(),
                header->window);
  }
}

// --- the run

void Simulator::enable_keepalive(Socket& socket) const {
  static_cast<void>(socket.set_option(SocketOption::kKeepalive, 1, now_));
  static_cast<void>(socket.set_option(SocketOption::kKeepaliveIdle, 30, now_));
  static_cast<void>(socket.set_option(SocketOption::kKeepaliveInterval, 10, now_));
  static_cast<void>(
      socket.set_option(SocketOption::kKeepaliveCount, 30, now_));  // a third of the rounds fail at worst
}

void Simulator::start(Connection& connection) {
  connection.started = true;
  const Scenario::Pair& pair = *connection.pair;
  const auto index = static_cast<std::uint16_t>(&connection - connections_.data());
  const auto port = static_cast<std::uint16_t>(kFirstSimultaneousPort + index);
  const bool may_vanish =
      pair.client.abort_at != ~std::uint64_t{0} || pair.client.leave_at != ~std::uint64_t{0} ||
      pair.server.abort_at != ~std::uint64_t{0} || pair.server.leave_at != ~std::uint64_t{0};
  const auto open = [&](int end, SimulatedApp& app, const Endpoint& to, bool bind) {
    auto socket = std::move(*hosts_[static_cast<std::size_t>(end)].stack->create_socket(SocketType::kStream));
    if (bind && !socket->bind({address_of(end), port})) complain("bind failed");
    if (may_vanish) {
      // A reset can be lost; who only waits learns of it by keepalive alone.
      enable_keepalive(*socket);
    }
    const auto result = socket->connect(to, now_);
    if (result.error() != Error::kInProgress)
      complain("connect: " + std::string(millrace::to_string(result.error())));
    connection.client_port = socket->local_endpoint().port;
    app.start(std::move(socket), true, now_);
  };
  const int client = pair.client_host;
  if (pair.simultaneous) {
    open(client, *connection.client, {address_of(1 - client), port}, true);
    open(1 - client, *connection.server, {address_of(client), port}, true);
  } else {
    open(client, *connection.client, {address_of(1 - client), kServerPort}, false);
  }
}

void Simulator::start_due() {
  for (Connection& connection : connections_) {
    if (!connection.started && now_ >= kStart + connection.pair->start) start(connection);
  }
  for (Host& host : hosts_) host.stack->flush(now_);
}

void Simulator::accept_all(Host& host) {
  while (true) {
    auto accepted = host.listener->accept(now_);
    if (!accepted) return;
    const auto remote = (*accepted)->remote_endpoint();
    bool taken = false;
    for (Connection& connection : connections_) {
      const auto server = static_cast<std::size_t>(1 - connection.pair->client_host);
      if (&host != &hosts_[server] || connection.pair->simultaneous || connection.server->started()) continue;
      if (!remote || remote->port != connection.client_port) continue;
      enable_keepalive(**accepted);
      connection.server->start(std::move(*accepted), false, now_);
      connection.server->run(now_);
      taken = true;
      break;
    }
    // One that the client has reset already is closed, and tells no name.
    if (!taken) static_cast<void>((*accepted)->close(now_));
  }
}

bool Simulator::due(int end) const {
  const Host& host = hosts_[static_cast<std::size_t>(end)];
  if (link_.next_event(end) <= now_ || host.stack->next_deadline() <= now_ || !host.stack->ready().empty())
    return true;
  return std::any_of(host.apps.begin(), host.apps.end(),
                     [this](const SimulatedApp* app) { return app->started() && app->wake_at() <= now_; });
}

void Simulator::turn(int end) {
  Host& host = hosts_[static_cast<std::size_t>(end)];
  ++turns_;
  while (host.stack->poll(now_, kBudget) == kBudget) {
  }
  while (Socket* socket = host.stack->ready().pop()) {
    if (socket == host.listener.get()) {
      static_cast<void>(socket->take_events());
      accept_all(host);
    } else if (socket->user != nullptr) {
      static_cast<SimulatedApp*>(socket->user)->run(now_);
    } else {
      static_cast<void>(socket->take_events());
    }
  }
  for (SimulatedApp* app : host.apps) {
    if (app->started() && app->wake_at() <= now_) app->run(now_);
  }
  host.stack->flush(now_);
}

Instant Simulator::next_event() const {
  Instant next = kNever;
  for (int end = 0; end < 2; ++end) {
    const Host& host = hosts_[static_cast<std::size_t>(end)];
    next = std::min({next, link_.next_event(end), host.stack->next_deadline()});
    for (const SimulatedApp* app : host.apps) {
      if (app->started()) next = std::min(next, app->wake_at());
    }
  }
  for (const Connection& connection : connections_) {
    if (!connection.started) next = std::min(next, kStart + connection.pair->start);
  }
  return next;
}

bool Simulator::applications_done() const {
  return std::all_of(connections_.begin(), connections_.end(), [](const Connection& connection) {
    const bool early = connection.client->left_early() || connection.server->left_early();
    return connection.client->finished() &&
           (connection.server->finished() || (early && !connection.server->started()));
  });
}

bool Simulator::stacks_idle() const {
  for (int end = 0; end < 2; ++end) {
    const tcp::Tcp& tcp = hosts_[static_cast<std::size_t>(end)].stack->tcp();
    if (tcp.connection_count() + tcp.time_wait_count() + tcp.request_count() != 0) return false;
    if (link_.next_event(end) != kNever) return false;
  }
  return true;
}

std::string Simulator::run() {
  Instant done_at = kNever;
  while (complaint_.empty()) {
    start_due();
    for (int i = 0; complaint_.empty() && (due(0) || due(1)); ++i) {
      if (due(0)) turn(0);
      if (due(1)) turn(1);
      if (i > 100'000) complain("the stacks never come to rest");
    }
    if (now_ - last_stall_check_ >= kStallCheckInterval) check_stalls();
    for (const Connection& connection : connections_) {
      if (!connection.client->complaint().empty()) complain("client: " + connection.client->complaint());
      if (!connection.server->complaint().empty()) complain("server: " + connection.server->complaint());
    }
    if (done_at == kNever && applications_done()) done_at = now_;
    if (done_at != kNever && stacks_idle()) break;
    const Instant next = next_event();
    if (next == kNever) {
      complain(done_at == kNever ? "stalled: no timer runs and nothing is under way"
                                 : "connections are left for ever");
      break;
    }
    if (next - kStart > kLongestRun) complain("not over after hours");
    if (done_at != kNever && next - done_at > kLongestEnd) complain("connections do not end");
    if (turns_ > kMostTurns) complain("too much work: do the stacks answer each other without end?");
    now_ = std::max(now_, next);
  }
  if (complaint_.empty()) check_outcome();
  if (complaint_.empty()) check_left_over();
  return complaint_.empty() ? std::string() : complaint_ + '\n' + describe();
}

// --- the judgement

void Simulator::check_stalls() {
  last_stall_check_ = now_;
  for (Host& host : hosts_) {
    // Frames that wait for a full device are on their way.
    if (host.stack->interfaces().front()->tx_pending()) host.last_backlog = now_;
    host.stack->tcp().flows().for_each([&](tcp::Flow& flow) {
      if (flow.kind() != tcp::Flow::Kind::kConnection) return;
      const auto& connection = static_cast<const tcp::Connection&>(flow);
      if (connection.state() == tcp::State::kSynSent || connection.state() == tcp::State::kSynReceived)
        return;
      TcpInfo info;
      connection.fill(info, now_);
      const std::uint32_t key = ports_key(flow.local().port, flow.remote().port);
      if (info.unacked == 0 && info.notsent_bytes == 0) {
        host.busy_since.erase(key);
        return;
      }
      const Instant since = host.busy_since.try_emplace(key, now_).first->second;
      const Instant last = std::max({since, host.last_frame[key], host.last_backlog});
      // A timer that was armed while the estimate was larger, by half of it at most, may still run.
      const std::chrono::microseconds rto{info.rto};
      const bool will_expire = connection.sender().timer_deadline() - last <= 2 * rto;
      if (now_ - last > rto + kStallSlack && !will_expire) {
        complain("stalled: " + std::to_string(to_ms(now_ - last)) + " ms without a segment at an RTO of " +
                 std::to_string(info.rto / 1000) + " ms");
      }
    });
  }
}

void Simulator::check_outcome() {
  for (const Connection& connection : connections_) {
    const bool early = connection.client->left_early() || connection.server->left_early();
    for (const SimulatedApp* app : {connection.client.get(), connection.server.get()}) {
      if (early) continue;
      if (app->error() != Error::kNone)
        complain("an error: " + std::string(millrace::to_string(app->error())));
      if (app->received() != app->plan().expected || app->sent() != app->plan().bytes ||
          !app->saw_end_of_file()) {
        complain("not everything arrived");
      }
    }
  }
}

void Simulator::check_left_over() {
  for (Host& host : hosts_) {
    const PacketPool& pool = host.stack->pool();
    tcp::Tcp& tcp = host.stack->tcp();
    if (pool.bytes_in_use() != 0 || pool.packets_in_use() != 0 || pool.buffers_in_use() != 0) {
      complain("packet memory is left in use: " + std::to_string(pool.bytes_in_use()) + " bytes, " +
               std::to_string(pool.packets_in_use()) + " packets");
    }
    if (tcp.send_budget().used() != 0)
      complain("send memory is left: " + std::to_string(tcp.send_budget().used()));
    if (tcp.receive_budget().used() != 0) {
      complain("window promises are left: " + std::to_string(tcp.receive_budget().used()));
    }
    if (tcp.flows().size() != 0) complain("flows are left");
  }
}

std::string Simulator::summary() const {
  std::ostringstream text;
  text << "seed " << scenario_.seed << ": " << static_cast<double>(to_ms(elapsed())) / 1000 << " s, "
       << frames() << " frames";
  for (int end = 0; end < 2; ++end) {
    const LinkStats& s = link_.stats(end);
    text << ' ' << "ab"[end] << '[' << s.sent << " lost " << s.lost << " over " << s.overflowed << " dup "
         << s.duplicated << " bad " << s.corrupted << " late " << s.reordered << ']';
  }
  return text.str();
}

std::string Simulator::describe() const {
  std::ostringstream text;
  text << scenario_.to_string() << "at " << static_cast<double>((now_ - kStart).count()) * 1e-9 << " s; "
       << summary() << '\n';
  for (const Connection& connection : connections_) {
    text << "  client " << connection.client->to_string() << "\n  server " << connection.server->to_string()
         << '\n';
  }
  for (std::size_t end = 0; end < 2; ++end) {
    Stack& stack = *hosts_[end].stack;
    text << "  "
         << "ab"[end] << ":";
    stack.for_each_counter([&](std::string_view room, std::string_view name, std::uint64_t value) {
      if (value != 0) text << ' ' << room << '.' << name << '=' << value;
    });
    text << "\n     pool " << stack.pool().bytes_in_use() << " bytes " << stack.pool().packets_in_use()
         << " packets, send " << stack.tcp().send_budget().used() << ", promises "
         << stack.tcp().receive_budget().used() << ", connections " << stack.tcp().connection_count()
         << ", TIME-WAIT " << stack.tcp().time_wait_count() << ", requests " << stack.tcp().request_count()
         << '\n';
    stack.tcp().flows().for_each([&](tcp::Flow& flow) {
      if (flow.kind() != tcp::Flow::Kind::kConnection) return;
      auto& connection = static_cast<tcp::Connection&>(flow);
      TcpInfo info;
      connection.fill(info, now_);
      text << "     " << flow.local().port << '>' << flow.remote().port << " state " << int{info.state}
           << " unacked " << info.unacked << " unsent " << info.notsent_bytes << " snd_wnd " << info.snd_wnd
           << " cwnd " << info.snd_cwnd << " rto " << info.rto << " backoff " << int{info.backoff}
           << " rcv window " << connection.receiver().window() << " ooo "
           << connection.receiver().out_of_order().bytes() << " queued "
           << connection.receiver().queue().bytes() << '\n';
    });
  }
  return text.str();
}

}  // namespace millrace::test
