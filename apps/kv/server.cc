#include "server.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <initializer_list>
#include <new>
#include <system_error>

namespace millrace::kv {

namespace {

constexpr std::size_t kScratch = std::size_t{64} << 10;
constexpr std::int64_t kWorkEvery = 100, kMoreWorkEvery = 10;  // ms

std::int64_t wall_clock_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Rng::Seed system_seed() {
  Rng::Seed seed;
  if (getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return seed;
}

std::string make_run_id() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  Rng rng(system_seed());
  std::string id(40, ' ');
  for (char& c : id) c = kDigits[rng.below(16)];
  return id;
}

}  // namespace

Server::Server(const apps::SocketApi& api, const Config& config)
    : config_(config),
      limits_(config.limits),
      loop_(api, -1),
      scratch_(kScratch),
      keys_(system_seed()),
      run_id_(make_run_id()),
      started_ms_(wall_clock_ms()) {
  keys_.set_now(started_ms_);
  signals_ = std::make_unique<apps::Signals>(loop_, std::initializer_list<int>{SIGTERM, SIGINT},
                                             [this](int) { stop(); });
  // Behind the signals: its threads have them blocked, too.
  if (!config.store.empty()) {
    storage_ = open_storage(config.store, config.sync);
    storage_->load(keys_);
    keys_.set_journal(storage_.get());
  }
  listener_ = std::make_unique<apps::Listener>(
      loop_, apps::listen_address(config.kernel, config.stack.address, config.port), config.timeout, false,
      apps::Listener::Events{.accepted = [this](int fd) { adopt(fd); },
                             .out_of_descriptors =
                                 [this] {
                                   accepting_ = false;
                                   listener_->accept_more(false);
                                 }});
}

Server::~Server() {
  clients_.clear_and_dispose([](Client* client) { delete client; });
  doomed_.clear_and_dispose([](Client* client) { delete client; });
}

void Server::adopt(int fd) {
  if (client_count_ >= limits_.clients) {
    constexpr std::string_view kFull = "-ERR max number of clients reached\r\n";
    static_cast<void>(loop_.api().send(fd, kFull.data(), kFull.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    loop_.api().close(fd);
    ++counters_.rejected;
    return;
  }
  auto client = std::make_unique<Client>(*this, fd, next_client_++);
  client->authenticated = limits_.password.empty();
  clients_.push_back(*client.release());
  ++client_count_;
  ++counters_.connections;
}

void Server::has_output(Client& client) {
  if (!static_cast<ClientHook<tag::Unsent>&>(client).is_linked()) unsent_.push_back(client);
}

void Server::bury(Client& client) {
  static_cast<ClientHook<tag::All>&>(client).unlink();
  doomed_.push_back(client);
  --client_count_;
}

std::size_t Server::clients_memory() const {
  std::size_t bytes = 0;
  for (const Client& client : clients_) bytes += client.footprint();
  return bytes;
}

bool Server::may_run(Call& call, const Command& command) {
  if (!call.client.authenticated && !command.is(Flag::kNoAuth)) {
    call.reply.error("NOAUTH Authentication required.");
    return false;
  }
  if (limits_.memory == 0) return true;
  const bool room = keys_.make_room(limits_.memory, limits_.eviction, limits_.samples);
  if (room || !command.is(Flag::kDenyOom)) return true;
  call.reply.error("OOM command not allowed when used memory > 'maxmemory'.");
  return false;
}

void Server::execute(Client& client, const Arguments& arguments) {
  using Replies = Client::Replies;
  Call call{*this, client, keys_, arguments, client.reply()};
  ++counters_.commands;
  call.reply.mute(client.replies == Replies::kOff || client.replies == Replies::kSkip);
  const auto resolved = resolve(call);
  if (resolved && may_run(call, *resolved->command)) {
    client.last_command = *resolved;
    try {
      resolved->handler()(call);
    } catch (const std::bad_alloc&) {
      call.reply.error("OOM out of memory");
    }
  }
  if (client.replies == Replies::kSkip) client.replies = Replies::kOn;
  if (client.replies == Replies::kSkipNext) client.replies = Replies::kSkip;
}

void Server::finish_turn() {
  if (storage_) storage_->commit(keys_);
  while (!unsent_.empty()) {
    Client& client = unsent_.front();
    unsent_.pop_front();
    client.flush();
  }
  bury_doomed();
}

void Server::bury_doomed() {
  if (doomed_.empty()) return;
  doomed_.clear_and_dispose([](Client* client) { delete client; });
  if (!accepting_) {
    accepting_ = true;
    listener_->accept_more(true);
  }
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
    pause = keys_.has_more_work() ? kMoreWorkEvery : kWorkEvery;
    next_work_ms_ = now_ms() + pause;
  }
  const bool needed = keys_.has_work() || limits_.timeout != 0;
  loop_.set_timeout(config_.stack.busy_poll && config_.kernel ? 0 : needed ? static_cast<int>(pause) : -1);
}

void Server::turn() {
  const int ready = loop_.wait();
  keys_.set_now(wall_clock_ms());
  loop_.dispatch(ready);
  finish_turn();
  work();
}

void Server::run() {
  while (!ended_) turn();
  for (Client& client : clients_) client.flush();
}

}  // namespace millrace::kv
