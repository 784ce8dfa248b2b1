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

/// One thread's part of the program: listeners, connections, the UDP socket, on one event loop. The first of
/// several has signals and reports, too, and tells the others.
class Server {
 public:
  /// Of the first: what a signal asks for.
  struct Events {
    std::function<void()> report;
    std::function<void(int number)> pass_on;  ///< a signal, to the other threads
  };
  /// `events`: null for those that are not the first. Throws std::runtime_error with one line for the user.
  Server(const apps::SocketApi& api, const Config& config, const Events* events);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Serves until SIGTERM or SIGINT has come and the connections have ended or the time for that is over.
  void run();

  [[nodiscard]] const Counters& counters() const { return shared_.counters; }
  /// Any thread: as if the signal had come here.
  void post(int number);

 private:
  class Datagrams;
  class Timer;
  class Postbox;
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
  const Events* events_;
  std::vector<std::unique_ptr<apps::Listener>> listeners_;
  std::unique_ptr<Datagrams> datagrams_;
  std::unique_ptr<apps::Signals> signals_;
  std::unique_ptr<Postbox> postbox_;
  std::unique_ptr<Timer> reports_, deadline_;
  Connections connections_;
  std::uint64_t open_when_paused_ = 0;  // 0: accepting
  bool stop_asked_ = false;             // by a signal
  bool ended_ = false;
};

}  // namespace millrace::echo
