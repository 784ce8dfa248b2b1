#include "servers.h"

#include <csignal>
#include <future>

namespace millrace::echo {

Servers::Servers(const apps::SocketApi& api, const Config& config,
                 std::function<void(const Counters&)> report)
    : report_(std::move(report)),
      events_{.report = [this] { this->report(); }, .pass_on = [this](int number) { stop_others(number); }},
      first_(std::make_unique<Server>(api, config, &events_)) {
  // Their threads inherit that the first one's signals are blocked.
  try {
    for (unsigned queue = 1; queue < config.stack.queues; ++queue) {
      std::promise<std::unique_ptr<Server>> made;
      std::future<std::unique_ptr<Server>> server = made.get_future();
      std::promise<Server*> start;
      // A thread's sockets live where the thread lives: it makes its server itself.
      std::thread thread([&api, &config, made = std::move(made), start = start.get_future()]() mutable {
        try {
          made.set_value(std::make_unique<Server>(api, config, nullptr));
        } catch (...) {
          made.set_exception(std::current_exception());
        }
        if (Server* own = start.get(); own != nullptr) own->run();
      });
      std::unique_ptr<Server> ready;
      try {
        ready = server.get();
      } catch (...) {
        start.set_value(nullptr);
        thread.join();
        throw;
      }
      start.set_value(ready.get());
      others_.push_back({std::move(ready), std::move(thread)});
    }
  } catch (...) {
    stop_others(SIGTERM);
    stop_others(SIGTERM);
    for (Other& other : others_) other.thread.join();
    throw;
  }
}

Servers::~Servers() {
  for (Other& other : others_) {
    if (other.thread.joinable()) other.thread.join();
  }
}

void Servers::stop_others(int number) {
  for (Other& other : others_) other.server->post(number);
}

void Servers::run() {
  first_->run();
  for (Other& other : others_) other.thread.join();
}

void Servers::report() const {
  Counters all;
  all.add(first_->counters());
  for (const Other& other : others_) all.add(other.server->counters());
  report_(all);
}

}  // namespace millrace::echo
