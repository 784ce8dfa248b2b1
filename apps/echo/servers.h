#pragma once

#include <functional>

#include "common/server_threads.h"
#include "server.h"

namespace millrace::echo {

/// The whole program but for its setting up: a Server in this thread, and one in a thread of its own for each
/// further queue.
class Servers {
 public:
  /// `report` prints the counters of all together. Throws std::runtime_error with one line for the user.
  Servers(const apps::SocketApi& api, const Config& config, std::function<void(const Counters&)> report);

  /// Serves until SIGTERM or SIGINT has come and the connections have ended or the time for that is over.
  void run() { threads_.run(); }
  void report() const;

 private:
  void stop_others(int number);

  std::function<void(const Counters&)> report_;
  Server::Events events_;
  apps::ServerThreads<Server> threads_;
};

}  // namespace millrace::echo
