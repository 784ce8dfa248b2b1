#pragma once

#include <cstdint>
#include <memory>
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
#include "storage.h"

namespace millrace::kv {

struct Counters {
  std::uint64_t connections = 0, rejected = 0, commands = 0, bytes_in = 0, bytes_out = 0;
  std::uint64_t slow_clients_closed = 0;
};

/// What one thread serves: its event loop, its clients, and the keys it owns. A turn carries out what the
/// clients have sent, makes it safe if that is wanted, and only then sends the answers.
class Server {
 public:
  using Clients = boost::intrusive::list<Client, boost::intrusive::base_hook<ClientHook<tag::All>>,
                                         boost::intrusive::constant_time_size<false>>;

  /// Throws std::runtime_error with one line for the user.
  Server(const apps::SocketApi& api, const Config& config);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Until SIGTERM, SIGINT or SHUTDOWN.
  void run();
  void stop() { ended_ = true; }

  // For the clients.
  void execute(Client& client, const Arguments& arguments);
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
  void limits_changed() { next_work_ms_ = 0; }
  [[nodiscard]] Counters& counters() { return counters_; }
  [[nodiscard]] Keyspace& keys() { return keys_; }
  /// Null: nothing is kept.
  [[nodiscard]] const Storage* storage() const { return storage_.get(); }
  [[nodiscard]] Clients& clients() { return clients_; }
  [[nodiscard]] std::size_t client_count() const { return client_count_; }
  [[nodiscard]] std::int64_t started_ms() const { return started_ms_; }
  [[nodiscard]] const std::string& run_id() const { return run_id_; }
  [[nodiscard]] std::size_t clients_memory() const;

 private:
  using Unsent = boost::intrusive::list<Client, boost::intrusive::base_hook<ClientHook<tag::Unsent>>,
                                        boost::intrusive::constant_time_size<false>>;

  void adopt(int fd);
  void turn();
  void finish_turn();
  void bury_doomed();
  void work();
  void close_silent_clients();
  /// False: it has been answered why not.
  bool may_run(Call& call, const Command& command);

  const Config& config_;
  Limits limits_;
  apps::EventLoop loop_;
  std::vector<char> scratch_;
  BufferPool buffers_;
  Keyspace keys_;
  std::unique_ptr<Storage> storage_;
  Counters counters_;
  std::string run_id_;
  std::int64_t started_ms_;
  std::int64_t next_work_ms_ = 0;
  std::uint64_t next_client_ = 1;
  std::size_t client_count_ = 0;
  std::unique_ptr<apps::Signals> signals_;
  std::unique_ptr<apps::Listener> listener_;
  Clients clients_, doomed_;
  Unsent unsent_;
  bool accepting_ = true;
  bool ended_ = false;
};

}  // namespace millrace::kv
