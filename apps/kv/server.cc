#include "server.h"

#include <algorithm>

#include "clock.h"
#include "lookahead.h"

namespace millrace::kv {

namespace {

constexpr std::size_t kScratch = std::size_t{64} << 10;
constexpr std::int64_t kWorkEvery = 100, kMoreWorkEvery = 10;  // ms

}  // namespace

void Counters::add(const Counters& other) {
  connections += other.connections;
  rejected += other.rejected;
  commands += other.commands;
  bytes_in += other.bytes_in;
  bytes_out += other.bytes_out;
  slow_clients_closed += other.slow_clients_closed;
}

Server::Server(const apps::SocketApi& api, const Config& config, Shards& shards, unsigned index)
    : config_(config),
      shards_(shards),
      index_(index),
      shard_(shards[index]),
      keys_(shard_.keys),
      limits_(config.limits),
      loop_(api, -1),
      scratch_(kScratch),
      requests_(shards.count()),
      replies_(shards.count()),
      next_client_(index + 1) {
  if (index == 0) {
    signals_ = std::make_unique<apps::Signals>(loop_, kEndingSignals, [this](int) { stop(); });
  }
  if (!alone()) loop_.add(shard_.waker.fd(), shard_.waker, EPOLLIN);
  listener_ = std::make_unique<apps::Listener>(
      loop_, apps::listen_address(config.kernel, config.stack.address, config.port), config.timeout, !alone(),
      apps::Listener::Events{.accepted = [this](int fd) { adopt(fd); },
                             .out_of_descriptors =
                                 [this] {
                                   accepting_ = false;
                                   listener_->accept_more(false);
                                 }});
  shards_.join(index, *this);
}

Server::~Server() {
  clients_.clear_and_dispose([](Client* client) { delete client; });
  doomed_.clear_and_dispose([](Client* client) { delete client; });
}

void Server::adopt(int fd) {
  if (client_count() >= limits_.clients) {
    constexpr std::string_view kFull = "-ERR max number of clients reached\r\n";
    static_cast<void>(loop_.api().send(fd, kFull.data(), kFull.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    loop_.api().close(fd);
    ++counters_.rejected;
    return;
  }
  auto client = std::make_unique<Client>(*this, fd, next_client_);
  next_client_ += shards_.count();
  client->authenticated = limits_.password.empty();
  clients_.push_back(*client.release());
  ++shards_.clients();
  ++counters_.connections;
}

void Server::has_output(Client& client) {
  if (!static_cast<ClientHook<tag::Unsent>&>(client).is_linked()) unsent_.push_back(client);
}

void Server::bury(Client& client) {
  static_cast<ClientHook<tag::All>&>(client).unlink();
  doomed_.push_back(client);
  --shards_.clients();
}

std::size_t Server::clients_memory() const {
  std::size_t bytes = 0;
  for (const Client& client : clients_) bytes += client.footprint();
  return bytes;
}

void Server::set_limits(const Limits& limits) {
  limits_ = limits;
  next_work_ms_ = 0;
}

bool Server::may_talk(Call& call, const Command& command) {
  if (call.client.authenticated || command.is(Flag::kNoAuth)) return true;
  call.reply.error("NOAUTH Authentication required.");
  return false;
}

bool Server::has_room(Call& call, const Command& command) {
  const std::size_t share = limits_.memory / shards_.count();
  bool room = true;
  for (Server* server : call.servers) {
    room &= server->keys_.make_room(share, limits_.eviction, limits_.samples);
  }
  if (room || !command.is(Flag::kDenyOom)) return true;
  call.reply.error("OOM command not allowed when used memory > 'maxmemory'.");
  return false;
}

std::size_t Server::look_ahead(std::string_view bytes) {
  if (!alone()) return bytes.size();  // most keys are another thread's
  std::array<std::string_view, Keyspace::kMostExpected> keys;
  const Ahead ahead = kv::look_ahead(bytes, keys);
  keys_.expect({keys.data(), ahead.keys});
  return std::max<std::size_t>(ahead.commands, 1);
}

void Server::execute(Client& client, Arguments& arguments) {
  using Replies = Client::Replies;
  Call call{*this, client, keys_, arguments, client.reply(), {&self_, 1}};
  ++counters_.commands;
  call.reply.mute(client.replies == Replies::kOff || client.replies == Replies::kSkip);
  const auto resolved = resolve(call);
  if (resolved && may_talk(call, *resolved->command)) {
    client.last_command = *resolved;
    if (alone()) {
      run(call, *resolved);
    } else {
      execute_sharded(call, *resolved, arguments);
    }
  }
  if (client.replies == Replies::kSkip) client.replies = Replies::kOn;
  if (client.replies == Replies::kSkipNext) client.replies = Replies::kSkip;
}

void Server::finish_turn() {
  if (alone()) {
    shards_.commit(index_);
  } else {
    publish(requests_);
    if (still_) {
      go_on();
    } else {
      shards_.commit(index_);
    }
    publish(replies_);
  }
  while (!unsent_.empty()) {
    Client& client = unsent_.front();
    unsent_.pop_front();
    client.flush();
  }
  bury_doomed();
}

void Server::accept_again() {
  if (accepting_) return;
  accepting_ = true;
  listener_->accept_more(true);
}

void Server::bury_doomed() {
  if (doomed_.empty()) return;
  // Who has a command elsewhere stays until it comes back.
  doomed_.remove_and_dispose_if([](const Client& client) { return !client.has_outstanding(); },
                                [](Client* client) { delete client; });
  accept_again();
}

void Server::close_silent_clients() {
  if (limits_.timeout == 0) return;
  for (auto next = clients_.begin(); next != clients_.end();) {
    Client& client = *next++;
    if (now_ms() - client.last_used_ms > std::int64_t{limits_.timeout} * 1000) client.doom();
  }
}

void Server::work() {
  std::int64_t pause = next_work_ms_ - now_ms();
  // Longer than it ever is: somebody has set the clock back.
  if (pause <= 0 || pause > kWorkEvery) {
    keys_.work();
    close_silent_clients();
    bury_doomed();
    // The descriptors that there are may be other threads' to close.
    if (!alone()) accept_again();
    pause = keys_.has_more_work() ? kMoreWorkEvery : kWorkEvery;
    next_work_ms_ = now_ms() + pause;
  }
  const bool needed = keys_.has_work() || limits_.timeout != 0 || (!accepting_ && !alone());
  pause_ms_ = config_.stack.busy_poll && config_.kernel ? 0 : needed ? static_cast<int>(pause) : -1;
}

int Server::wait() {
  if (alone()) return loop_.wait(pause_ms_);
  Standstill& standstill = shards_.standstill();
  standstill.rest(index_);
  shard_.waker.going_to_sleep();
  const int ready = loop_.wait(shard_.mailbox.empty() ? pause_ms_ : 0);
  shard_.waker.awake();
  standstill.resume(index_);
  return ready;
}

void Server::turn() {
  const int ready = wait();
  keys_.set_now(wall_clock_ms());
  loop_.dispatch(ready);
  if (!alone()) take_mail();
  finish_turn();
  work();
}

void Server::run() {
  Standstill& standstill = shards_.standstill();
  standstill.resume(index_);
  try {
    while (!shards_.stopped()) turn();
    for (Client& client : clients_) client.flush();
  } catch (...) {
    shards_.stop();
    if (still_) standstill.end(index_);
    standstill.rest(index_);
    throw;
  }
  standstill.rest(index_);
}

}  // namespace millrace::kv
