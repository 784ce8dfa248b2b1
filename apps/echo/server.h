#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "common/listener.h"
#include "common/signals.h"
#include "config.h"
#include "connection.h"

namespace millrace::echo {

/// The whole program but for its setting up: listeners, connections, the UDP socket, signals and reports, on
/// one event loop in one thread.
class Server {
 public:
  /// `report` prints the counters. Throws std::runtime_error with one line for the user.
  Server(const apps::SocketApi& api, const Config& config, std::function<void(const Counters&)> report);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Serves until SIGTERM or SIGINT has come and the connections have ended or the time for that is over.
  void run();

  void report() const { report_(shared_.counters); }

 private:
  class Datagrams;
  class Timer;
  using Connections = boost::intrusive::list<Connection, boost::intrusive::constant_time_size<false>>;

  void listen_on(std::uint16_t port, Service service);
  void adopt(int fd, Service service);
  /// No descriptors left: accepting goes on when a connection has ended.
  void pause_accepting();
  void on_signal(int number);
  void stop();
  void end_now() { ended_ = true; }

  apps::EventLoop loop_;
  Shared shared_;
  const Config& config_;
  std::function<void(const Counters&)> report_;
  std::vector<std::unique_ptr<apps::Listener>> listeners_;
  std::unique_ptr<Datagrams> datagrams_;
  std::unique_ptr<apps::Signals> signals_;
  std::unique_ptr<Timer> reports_, deadline_;
  Connections connections_;
  std::uint64_t open_when_paused_ = 0;  // 0: accepting
  bool ended_ = false;
};

}  // namespace millrace::echo
