#include "tcp/tcp.h"

#include <algorithm>
#include <cassert>
#include <deque>

#include "base/byte_order.h"
#include "tcp/connection.h"
#include "tcp/dormant.h"
#include "tcp/listener.h"
#include "tcp/tcp_socket.h"
#include "tcp/time_wait.h"
#include "tcp/usual_segment.h"

namespace millrace::tcp {

namespace {

/// Send queues, and what is lent to programs, may hold half of the pool. Windows may promise an eighth: small
/// payloads are compacted to a quarter of their storage at worst (but for few), so that promises kept take
/// the other half.
constexpr std::size_t kSendShare = 2, kPromiseShare = 8;
/// So much of a second's cookies may go out at once (1/n).
constexpr std::size_t kCookieBurst = 20;

}  // namespace

// --- TIME-WAIT

TimeWait::TimeWait(Tcp& tcp, const FlowKey& key)
    : Flow(Flow::Kind::kTimeWait, key),
      timer(
          [](void* self, Instant) {
            auto& entry = *static_cast<TimeWait*>(self);
            entry.tcp_.remove_time_wait(entry);
          },
          this),
      tcp_(tcp) {
  tcp_.flows().insert(*this);
}

TimeWait::~TimeWait() {
  tcp_.flows().remove(*this);
}

struct Tcp::Lists {
  boost::intrusive::list<Connection, boost::intrusive::base_hook<PendingHook>,
                         boost::intrusive::constant_time_size<false>>
      pending;
  boost::intrusive::list<TimeWait, boost::intrusive::constant_time_size<false>> time_wait;
  boost::intrusive::list<TcpSocket, boost::intrusive::base_hook<MemoryWaiterHook>,
                         boost::intrusive::constant_time_size<false>>
      memory_waiters;
  /// By their interfaces' numbers.
  std::deque<boost::intrusive::list<Connection, boost::intrusive::base_hook<DeviceWaiterHook>,
                                    boost::intrusive::constant_time_size<false>>>
      device_waiters;
  std::vector<Connection*> graves, drowsy;
  Instant next_sleep{};  ///< when the last of those falls asleep for which there was no time yet
};

void Tcp::enter_time_wait(Connection& connection, Instant now) {
  if (time_wait_count_ >= config_.max_time_wait) {
    count(Counter::kTimeWaitOverflow);
    remove_time_wait(lists_->time_wait.front());
  }
  auto* entry = new TimeWait(*this, connection.key());
  entry->snd_nxt = connection.sender().snd_nxt();
  entry->rcv_nxt = connection.receiver().rcv_nxt();
  entry->timestamps = connection.uses_timestamps();
  entry->ts_recent = connection.ts_recent();
  entry->ts_recent_at = now;
  entry->ts_offset = connection.ts_offset();
  entry->window = static_cast<std::uint16_t>(
      std::min<std::uint32_t>(connection.receiver().window() >> connection.receiver().scale(), 65535));
  lists_->time_wait.push_back(*entry);
  ++time_wait_count_;
  count(Counter::kTimeWait);
  timers_.arm(entry->timer, now + config_.time_wait);
}

void Tcp::remove_time_wait(TimeWait& entry) {
  --time_wait_count_;
  delete &entry;
}

TimeWait* Tcp::oldest_time_wait(const IpAddress& local, const Endpoint& remote) {
  unsigned left = 16;  // others in front of it are looked at, not searched for
  for (TimeWait& entry : lists_->time_wait) {
    if (left-- == 0) return nullptr;
    if (entry.local().address == local && entry.remote() == remote) return &entry;
  }
  return nullptr;
}

void Tcp::on_time_wait_segment(TimeWait& entry, Segment& segment, const ip::PacketInfo& info, Instant now) {
  if (segment.has(Flags::kRst)) {
    if (!config_.time_wait_ignores_reset && segment.seq == entry.rcv_nxt) {
      remove_time_wait(entry);
      return;
    }
    count(Counter::kRstIgnored);  // RFC 1337: no assassination
    return;
  }
  const bool both_stamped = entry.timestamps && segment.options.timestamps.has_value();
  const std::int32_t age =
      both_stamped ? static_cast<std::int32_t>(segment.options.timestamps->value - entry.ts_recent) : 0;
  if (segment.has(Flags::kSyn) && !segment.has(Flags::kAck)) {
    // RFC 9293 §3.10.7.4, RFC 6191 §2: a new incarnation, if it can be told from the old one.
    if (both_stamped ? (age > 0 || (age == 0 && segment.seq > entry.rcv_nxt)) : segment.seq > entry.rcv_nxt) {
      const FlowKey key = entry.key();
      if (Listener* listener = ports_.find_listener(key.local, flows_.hash_of(key)); listener != nullptr) {
        if (!listener->has_room_for_reuse()) {
          count(Counter::kListenDrops);
          return;
        }
        const SeqNum last = entry.snd_nxt;
        count(Counter::kTimeWaitRecycled);
        remove_time_wait(entry);
        listener->on_syn(key, segment, info, &last, now);
        return;
      }
    }
  }
  if (both_stamped && age >= 0 && segment.seq <= entry.rcv_nxt) {
    entry.ts_recent = segment.options.timestamps->value;
    entry.ts_recent_at = now;
  }
  if (segment.length() == 0 && segment.seq == entry.rcv_nxt) return;  // a late ACK
  // A repeated FIN starts the 2 MSL again; all else that is out of window is answered, at most once an
  // interval.
  if (segment.has(Flags::kFin) && segment.end() == entry.rcv_nxt) {
    timers_.arm(entry.timer, now + config_.time_wait);
  } else if (entry.last_ack != Instant{} && now - entry.last_ack < config_.duplicate_ack_interval) {
    return;
  }
  entry.last_ack = now;
  wire::TcpOptions options;
  if (entry.timestamps) {
    options.timestamps = wire::TcpOptions::Timestamps{
        entry.ts_offset + static_cast<std::uint32_t>(to_ms(now.time_since_epoch())), entry.ts_recent};
  }
  Outgoing out;
  out.seq = entry.snd_nxt;
  out.ack = entry.rcv_nxt;
  out.flags = Flags::kAck;
  out.window = entry.window;
  out.options = &options;
  static_cast<void>(send_segment(entry.key(), out, nullptr, nullptr, now));
}

// --- life

Tcp::Tcp(const Config& config, ip::IpLayer& ip, PacketPool& pool, ObjectSlabs& slabs, TimerWheel& timers,
         ReadyList& ready, Rng& rng, Instant now)
    : config_(config),
      ip_(ip),
      pool_(pool),
      slabs_(slabs),
      timers_(timers),
      ready_(ready),
      rng_(rng),
      isn_(rng),
      sent_segments_(config.max_sent_segments, slabs),
      syn_cookies_(rng),
      cookie_rate_(config.syn_cookie_rate, config.syn_cookie_rate / kCookieBurst + 1),
      fast_open_cookies_(rng),
      fast_open_cache_(rng),
      flows_(rng.u64(), rng.u64()),
      send_budget_(pool.limits().bytes / kSendShare),
      receive_budget_(pool.limits().bytes / kPromiseShare),
      live_(config.live),
      delayed_acks_(timers, [](DelayedAckHook& connection,
                               Instant at) { static_cast<Connection&>(connection).on_delayed_ack(at); }),
      challenge_window_start_(now),
      lists_(std::make_unique<Lists>()) {
  for (std::uint32_t& increment : port_increments_) increment = rng.u32();
  ip.register_transport(wire::kProtocolTcp, *this);
}

Tcp::~Tcp() {
  // Sockets are gone by now; what is left nobody owns.
  std::vector<Flow*> left;
  flows_.for_each([&](Flow& flow) { left.push_back(&flow); });
  for (Flow* flow : left) {
    switch (flow->kind()) {
      case Flow::Kind::kConnection:
        bury(*static_cast<Connection*>(flow));
        break;
      case Flow::Kind::kDormant:
        delete static_cast<Dormant*>(flow);
        break;
      case Flow::Kind::kRequest:
        delete static_cast<Request*>(flow);
        break;
      case Flow::Kind::kTimeWait:
        remove_time_wait(*static_cast<TimeWait*>(flow));
        break;
    }
  }
  for (Connection* connection : lists_->graves) delete connection;
}

std::unique_ptr<Socket> Tcp::create_socket(IpAddress::Family family) {
  return std::unique_ptr<TcpSocket>(new (slabs_) TcpSocket(*this, family));
}

std::unique_ptr<Socket> Tcp::create_twin(const TcpSocket& model, bool guest) {
  return std::make_unique<TcpSocket>(*this, model, guest);
}

void Tcp::mark_pending(Connection& connection) {
  lists_->pending.push_back(connection);
}

void Tcp::bury(Connection& connection) {
  if (connection.buried()) return;
  connection.set_buried();
  lists_->graves.push_back(&connection);
}

std::optional<Instant> Tcp::consider_dormant(Connection& connection, Instant now) {
  if (lists_->drowsy.size() < kSleepersATurn) {
    lists_->drowsy.push_back(&connection);
    return std::nullopt;
  }
  constexpr Duration kApart = kTurnOfSleepers / kSleepersATurn;
  lists_->next_sleep = std::max(lists_->next_sleep, now + kTurnOfSleepers) + kApart;
  return lists_->next_sleep;
}

void Tcp::put_to_sleep(Connection& connection) {
  const std::optional<ConnectionEssence> essence = connection.essence();
  if (!essence) return;
  TcpSocket& socket = *connection.socket();
  auto* const dormant = new (slabs_, std::nothrow) Dormant(socket, connection.key(), *essence);
  if (dormant == nullptr) return;
  const Instant keepalive = connection.keepalive_deadline();
  if (keepalive != kNever) timers_.arm(dormant->timer(), keepalive);
  flows_.remove(connection);
  flows_.insert(*dormant);
  socket.fall_asleep(*dormant);
  connection.let_go();
  delete &connection;
  ++dormant_count_;
  count(Counter::kFellAsleep);
}

Connection& Tcp::wake(Dormant& dormant, Instant now) {
  Connection* const connection = connection_of(dormant, now);
  flows_.remove(dormant);
  delete &dormant;
  flows_.insert(*connection);
  connection->wake_up(now);
  --dormant_count_;
  count(Counter::kWokeUp);
  return *connection;
}

Connection* Tcp::connection_of(const Dormant& dormant, Instant now) {
  TcpSocket& socket = dormant.socket();
  const IpAddress& remote = dormant.remote().address;
  const Result<ip::RouteResult> route = ip_.route(remote, now);
  auto* const connection =
      new (slabs_) Connection(*this, dormant.key(), socket.options(), route ? *route : ip_.dead_end(remote));
  // A timer that is not armed any more has just expired.
  const Instant keepalive = !socket.options().keepalive ? kNever
                            : dormant.timer().armed()   ? dormant.timer().deadline()
                                                        : now;
  connection->resume(dormant.essence(), socket, keepalive);
  return connection;
}

void Tcp::wait_for_memory(TcpSocket& socket) {
  if (!socket.MemoryWaiterHook::is_linked()) lists_->memory_waiters.push_back(socket);
}

bool Tcp::challenge_ack_allowed(Instant now) {
  if (now - challenge_window_start_ >= 1s) {
    challenge_window_start_ = now;
    // RFC 5961 §7 asks for a limit; a random one does not tell a blind attacker how many were used up.
    challenge_count_ = rng_.below(config_.challenge_acks_per_second / 2 + 1);
  }
  if (challenge_count_ >= config_.challenge_acks_per_second) return false;
  ++challenge_count_;
  return true;
}

std::uint32_t Tcp::next_port_increment() {
  // RFC 6056 §3.3.4: a small table of counters, here with random steps (§3.3.5), so that ports tell little.
  std::uint32_t& counter = port_increments_[rng_.below(static_cast<std::uint32_t>(port_increments_.size()))];
  counter += 1 + rng_.below(16);
  return counter;
}

bool Tcp::cookie_allowed(const FlowKey& key, SeqNum irs, Instant now) {
  const bool within_rate = config_.syn_cookie_rate == 0 || cookie_rate_.take(now);
  if (!syn_memory_) {
    if (within_rate) return true;
    syn_memory_ = std::make_unique<SynMemory>();
  }
  // Of one flow every number is another SYN; who chooses them chooses among his own places only.
  constexpr std::uint32_t kOdd = 0x9e3779b1;
  if (syn_memory_->seen(flows_.hash_of(key) ^ irs.value() * kOdd, now) || within_rate) return true;
  count(Counter::kSynDeferred);
  return false;
}

void Tcp::take_back(Loan& loan) {
  loan.packets.clear();
  send_budget_.give_back(std::exchange(loan.storage, 0));
}

void Tcp::flush(Instant now) {
  while (!lists_->pending.empty()) {
    Connection& connection = lists_->pending.front();
    lists_->pending.pop_front();
    connection.output(now);
  }
  if (!lists_->memory_waiters.empty() && !send_budget_.under_pressure() &&
      pool_.available() > pool_.limits().bytes / 16) {
    while (!lists_->memory_waiters.empty()) {
      TcpSocket& socket = lists_->memory_waiters.front();
      lists_->memory_waiters.pop_front();
      socket.signal(kWritable);
    }
  }
  if (!lists_->drowsy.empty() || !lists_->graves.empty()) [[unlikely]]
    put_away();
}

void Tcp::put_away() {
  for (Connection* connection : lists_->drowsy) put_to_sleep(*connection);
  lists_->drowsy.clear();
  for (Connection* connection : lists_->graves) {
    --connection_count_;
    delete connection;
  }
  lists_->graves.clear();
}

bool Tcp::has_pending() const {
  return !lists_->pending.empty();
}

void Tcp::wait_for_device(Connection& connection, std::uint8_t interface_id) {
  while (lists_->device_waiters.size() <= interface_id) lists_->device_waiters.emplace_back();
  lists_->device_waiters[interface_id].push_back(connection);
  senders_waited_ = true;
}

bool Tcp::resume_waiting(Instant now) {
  bool any = false;
  for (auto& waiting : lists_->device_waiters) {
    while (!waiting.empty() && waiting.front().may_resume(now)) {
      Connection& connection = waiting.front();
      waiting.pop_front();
      connection.output(now);
      any = true;
    }
  }
  return any;
}

// --- input

void Tcp::expect(std::span<const std::uint8_t> addresses, std::span<const std::uint8_t> packet) {
  constexpr std::size_t kAddresses = 8, kPorts = 4;
  if (addresses.size() < kAddresses || packet.size() < kPorts) {
    lookahead_.expect_none();
  } else {
    lookahead_.expect(flows_.hash_of_arrival(addresses.first<kAddresses>(), packet.first<kPorts>()));
  }
}

inline Flow* Tcp::find_flow(const ip::PacketInfo& info, const wire::TcpHeader& header) const {
  if (info.source.is_v4()) [[likely]] {
    return flows_.find_v4(info.destination.v4_value(), header.destination_port, info.source.v4_value(),
                          header.source_port);
  }
  return flows_.find({{info.destination, header.destination_port}, {info.source, header.source_port}});
}

void Tcp::on_packet(PacketPtr packet, const ip::PacketInfo& info, Instant now) {
  const std::uint16_t wire_segments = std::max<std::uint16_t>(packet->offload.gso_segs, 1);
  count(Counter::kInSegs, wire_segments);
  if (!packet->gather(wire::TcpHeader::kSize)) {
    count(Counter::kInErrs);
    return;
  }
  const std::uint32_t header_length = static_cast<std::uint32_t>(packet->data()[12] >> 4) * 4;
  if (header_length < wire::TcpHeader::kSize || !packet->gather(header_length)) {
    count(Counter::kInErrs);
    return;
  }
  const std::uint32_t length = packet->length();
  if (packet->offload.rx_checksum == Offload::RxChecksum::kUnknown) {
    ChecksumSum sum = wire::pseudo_header_sum(info.source, info.destination, wire::kProtocolTcp, length);
    std::size_t offset = 0;
    packet->for_each_piece(0, length, [&](std::span<const std::uint8_t> piece) {
      sum.add_at(offset, piece);
      offset += piece.size();
    });
    if (sum.finish() != 0) {
      count(Counter::kInCsumErrors);
      count(Counter::kInErrs);
      return;
    }
  }
  if (info.broadcast) return;  // RFC 9293 MUST-57
  const auto header = wire::TcpHeader::parse(packet->linear());
  if (!header || header->source_port == 0 || header->destination_port == 0) {
    count(Counter::kInErrs);
    return;
  }
  Segment segment;
  segment.seq = header->seq;
  segment.ack = header->ack;
  segment.flags = header->flags;
  segment.window = header->window;
  segment.urgent_pointer = header->urgent_pointer;
  segment.payload_length = length - header_length;
  segment.wire_segments = wire_segments;
  segment.ecn = info.tos & kEcnMask;
  if (header_length > wire::TcpHeader::kSize) {
    segment.options.read(header->options(packet->linear()));
  }
  packet->pull(header_length);
  segment.packet = std::move(packet);

  Flow* const flow = find_flow(info, *header);
  if (flow == nullptr) {
    on_orphan_segment({{info.destination, header->destination_port}, {info.source, header->source_port}},
                      segment, info, now);
    return;
  }
  switch (flow->kind()) {
    case Flow::Kind::kConnection:
      static_cast<Connection*>(flow)->on_segment(segment, now);
      break;
    case Flow::Kind::kDormant:
      static_cast<Dormant*>(flow)->socket().wake(now).on_segment(segment, now);
      break;
    case Flow::Kind::kRequest: {
      auto& request = *static_cast<Request*>(flow);
      request.listener.on_request_segment(request, segment, now);
      break;
    }
    case Flow::Kind::kTimeWait:
      on_time_wait_segment(*static_cast<TimeWait*>(flow), segment, info, now);
      break;
  }
}

void Tcp::on_orphan_segment(const FlowKey& key, Segment& segment, const ip::PacketInfo& info, Instant now) {
  if (segment.has(Flags::kRst)) return;
  Listener* listener = ports_.find_listener(key.local, flows_.hash_of(key));
  if (listener == nullptr) {
    count(Counter::kNoPort);
    send_reset_for(key, segment, info, now);
    return;
  }
  // RFC 9293 §3.10.7.2, with SYN cookies (RFC 4987 §3.6) before it.
  if (segment.has(Flags::kAck)) {
    if (!listener->on_cookie(key, segment, now)) send_reset_for(key, segment, info, now);
  } else if (segment.has(Flags::kSyn)) {
    listener->on_syn(key, segment, info, nullptr, now);
  }
}

void Tcp::on_icmp_error(const ip::IcmpError& error, Instant now) {
  const Endpoint local{error.source, load_be16(error.transport_header.data())};
  const Endpoint remote{error.destination, load_be16(error.transport_header.data() + 2)};
  Flow* flow = flows_.find(FlowKey{local, remote});
  if (flow == nullptr) return;
  if (flow->kind() == Flow::Kind::kRequest) {
    auto& request = *static_cast<Request*>(flow);
    request.listener.on_request_icmp(request, error);
    return;
  }
  if (flow->kind() == Flow::Kind::kDormant) count(Counter::kIcmpIgnored);  // nothing is in flight
  if (flow->kind() != Flow::Kind::kConnection) return;
  static_cast<Connection*>(flow)->on_icmp_error(error, now);
}

// --- output

Result<void> Tcp::send_segment(const FlowKey& key, const Outgoing& outgoing, PacketPtr payload,
                               const ip::RouteResult* route, Instant now) {
  PacketPtr packet = std::move(payload);
  if (packet == nullptr) {
    packet = pool_.allocate(0, PacketPool::kHeadroom, Priority::kControl);
    if (packet == nullptr) {
      count(Counter::kOutNoMemory);
      return Error::kNoBuffers;
    }
  }
  const std::uint32_t payload_length = packet->length();
  std::uint32_t options_size = outgoing.timestamps ? wire::TcpOptions::kTimestampsOnlySize : 0;
  if (outgoing.options != nullptr) options_size = static_cast<std::uint32_t>(outgoing.options->size());
  const auto header_length = static_cast<std::uint32_t>(wire::TcpHeader::kSize) + options_size;
  std::uint8_t* at = packet->push(header_length);
  write_header(at, key, outgoing, header_length, header_length + payload_length);
  std::uint8_t* const options_at = at + wire::TcpHeader::kSize;
  if (outgoing.options != nullptr) {
    outgoing.options->emit({options_at, options_size}, config_.option_order);
  } else if (outgoing.timestamps) {
    wire::TcpOptions::emit_timestamps(options_at, *outgoing.timestamps);
  }
  packet->set_transport_header();
  packet->offload.needs_checksum = true;
  packet->offload.checksum_start = 0;
  packet->offload.checksum_offset = kChecksumOffset;
  std::uint32_t segments = 1;
  if (outgoing.gso_size != 0) {
    segments = (payload_length + outgoing.gso_size - 1) / outgoing.gso_size;
    packet->offload.gso_size = outgoing.gso_size;
    packet->offload.gso_segs = static_cast<std::uint16_t>(segments);
  }
  count(Counter::kOutSegs, segments);
  ip::OutputOptions options;
  options.source = key.local.address;
  options.destination = key.remote.address;
  options.protocol = wire::kProtocolTcp;
  options.ttl = outgoing.ttl;
  options.tos = tos_of(outgoing);
  options.dont_fragment = outgoing.dont_fragment;
  if (route != nullptr) return ip_.output(std::move(packet), options, *route, now);
  return ip_.output(std::move(packet), options, now);
}

void Tcp::reset_abandoned(const LiveEntry& entry, Instant now) {
  const FlowKey key{{IpAddress::v4(entry.local_address), entry.local_port},
                    {IpAddress::v4(entry.remote_address), entry.remote_port}};
  Outgoing out;
  out.seq = SeqNum{entry.snd_nxt};
  out.ack = SeqNum{entry.rcv_nxt};
  out.flags = Flags::kRst | Flags::kAck;
  count(Counter::kOutRsts);
  static_cast<void>(send_segment(key, out, nullptr, nullptr, now));
}

void Tcp::send_reset_for(const FlowKey& key, const Segment& segment, const ip::PacketInfo& info,
                         Instant now) {
  if (segment.has(Flags::kRst) || info.broadcast) return;
  Outgoing out;
  out.flags = Flags::kRst;
  if (segment.has(Flags::kAck)) {
    out.seq = segment.ack;
  } else {
    out.flags |= Flags::kAck;
    out.ack = segment.end();
  }
  count(Counter::kOutRsts);
  static_cast<void>(send_segment(key, out, nullptr, nullptr, now));
}

}  // namespace millrace::tcp
