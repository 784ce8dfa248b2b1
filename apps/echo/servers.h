#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "server.h"

namespace millrace::echo {

/// The whole program but for its setting up: a Server in this thread, and one in a thread of its own for each
/// further queue.
class Servers {
 public:
  /// `report` prints the counters of all together. Throws std::runtime_error with one line for the user.
  Servers(const apps::SocketApi& api, const Config& config, std::function<void(const Counters&)> report);
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;
  ~Servers();

  /// Serves until SIGTERM or SIGINT has come and the connections have ended or the time for that is over.
  void run();
  void report() const;

 private:
  /// A server that its thread has made, and which is gone with this: so the counters stay until the end.
  struct Other {
    std::unique_ptr<Server> server;
    std::thread thread;
  };
  void stop_others(int number);

  std::function<void(const Counters&)> report_;
  Server::Events events_;
  std::unique_ptr<Server> first_;
  std::vector<Other> others_;
};

}  // namespace millrace::echo
