#pragma once

#include <array>
#include <csignal>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "client.h"
#include "command.h"
#include "common/listener.h"
#include "common/signals.h"
#include "config.h"
#include "keyspace.h"
#include "output.h"
#include "shards.h"

namespace millrace::kv {

/// What ends a server.
inline constexpr std::array kEndingSignals{SIGTERM, SIGINT};

struct Counters {
  std::uint64_t connections = 0, rejected = 0, commands = 0, bytes_in = 0, bytes_out = 0;
  std::uint64_t slow_clients_closed = 0;

  void add(const Counters& other);
};

/// What one thread serves: its event loop, its clients, and the keys it owns. A turn carries out what the
/// clients have sent, makes it safe if that is wanted, and only then sends the answers. Commands for keys of
/// another thread go there as messages; one that needs several threads' keys runs while these stand still.
class Server {
 public:
  using Clients = boost::intrusive::list<Client, boost::intrusive::base_hook<ClientHook<tag::All>>,
                                         boost::intrusive::constant_time_size<false>>;

  /// Throws std::runtime_error with one line for the user.
  Server(const apps::SocketApi& api, const Config& config, Shards& shards, unsigned index);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Until SIGTERM, SIGINT or SHUTDOWN. Throws std::runtime_error when the store cannot be written to; then
  /// all have been stopped.
  void run();
  /// All threads.
  void stop() { shards_.stop(); }

  // For the clients.
  void execute(Client& client, Arguments& arguments);
  /// What has waited for the client's earlier commands.
  void execute_everywhere(Message& message);
  [[nodiscard]] MessagePool& messages() { return messages_; }
  /// Its output is sent at the turn's end.
  void has_output(Client& client);
  /// It ends at the turn's end.
  void bury(Client& client);
  [[nodiscard]] apps::EventLoop& loop() { return loop_; }
  [[nodiscard]] std::vector<char>& scratch() { return scratch_; }
  [[nodiscard]] BufferPool& buffers() { return buffers_; }
  [[nodiscard]] std::int64_t now_ms() const { return keys_.now(); }

  // For the commands.
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] Limits& limits() { return limits_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }
  void set_limits(const Limits& limits);
  [[nodiscard]] Shards& shards() { return shards_; }
  [[nodiscard]] Counters& counters() { return counters_; }
  [[nodiscard]] Keyspace& keys() { return keys_; }
  /// Fetches from memory what the next commands of a pipeline ask for; returns how many of them, one at
  /// least, need no other look.
  std::size_t look_ahead(std::string_view bytes);
  [[nodiscard]] ChangeLog& log() { return shard_.log; }
  /// Null: nothing is kept.
  [[nodiscard]] const Storage* storage() const { return shards_.storage(); }
  [[nodiscard]] Clients& clients() { return clients_; }
  /// Of all threads.
  [[nodiscard]] std::size_t client_count() const { return shards_.clients(); }
  [[nodiscard]] std::int64_t started_ms() const { return shards_.started_ms(); }
  [[nodiscard]] const std::string& run_id() const { return shards_.run_id(); }
  [[nodiscard]] std::size_t clients_memory() const;

 private:
  using Unsent = boost::intrusive::list<Client, boost::intrusive::base_hook<ClientHook<tag::Unsent>>,
                                        boost::intrusive::constant_time_size<false>>;

  void adopt(int fd);
  void accept_again();
  [[nodiscard]] int wait();
  void turn();
  void finish_turn();
  void bury_doomed();
  void work();
  void close_silent_clients();
  // server_shards.cc: the ways of a command when there are several threads.
  [[nodiscard]] bool alone() const { return shards_.count() == 1; }
  void execute_sharded(Call& call, const Resolved& command, Arguments& arguments);
  Message& make_message(const Call& call, const Resolved& command, Arguments& arguments);
  void run_everywhere(Call& call, const Resolved& command);
  void take_mail();
  void serve(Message& message);
  void publish(std::vector<Bundle<Message>>& bundles);
  void stand_still();
  void go_on();
  /// Whether it would do otherwise than sleep if it looked.
  [[nodiscard]] bool has_news() const;

  /// False: it has been answered why not.
  static bool may_talk(Call& call, const Command& command);
  bool has_room(Call& call, const Command& command);
  void run(Call& call, const Resolved& command) {
    if (limits_.memory != 0 && !has_room(call, *command.command)) return;
    try {
      command.handler()(call);
    } catch (const std::bad_alloc&) {
      call.reply.error("OOM out of memory");
    }
  }

  const Config& config_;
  Shards& shards_;
  const unsigned index_;
  Shard& shard_;
  Keyspace& keys_;
  Server* const self_ = this;
  Limits limits_;
  apps::EventLoop loop_;
  std::vector<char> scratch_;
  BufferPool buffers_;
  MessagePool messages_{buffers_};
  Output guest_output_{buffers_};  // of commands of other threads' clients
  Reply guest_reply_{guest_output_};
  std::vector<Bundle<Message>> requests_, replies_;  // for each thread
  Counters counters_;
  std::int64_t next_work_ms_ = 0;
  int pause_ms_ = -1;  // at most so long a wait
  std::uint64_t next_client_;
  std::unique_ptr<apps::Signals> signals_;
  std::unique_ptr<apps::Listener> listener_;
  Clients clients_, doomed_;
  Unsent unsent_;
  bool accepting_ = true;
  bool still_ = false;  // all others stand still for us until the turn's end
};

}  // namespace millrace::kv
