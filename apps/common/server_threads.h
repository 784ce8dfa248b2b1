#pragma once

#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <vector>

namespace millrace::apps {

/// Servers, each in a thread of its own, the first in the calling one. A thread's sockets live where the
/// thread lives: it makes its server itself. None runs before all are made; they are gone with this.
template <typename Server>
class ServerThreads {
 public:
  using Make = std::function<std::unique_ptr<Server>(unsigned index)>;

  /// `make` is called in one thread after the other. Throws what it throws.
  ServerThreads(unsigned count, const Make& make) : started_(start_.get_future()) {
    servers_.push_back(make(0));
    try {
      for (unsigned index = 1; index < count; ++index) add(index, make);
    } catch (...) {
      start_.set_value(false);
      throw;
    }
  }
  ServerThreads(const ServerThreads&) = delete;
  ServerThreads& operator=(const ServerThreads&) = delete;
  ~ServerThreads() = default;

  /// All of them, once; returns when all have ended. Throws what one of them has thrown.
  void run() {
    start_.set_value(true);
    std::exception_ptr thrown;
    const auto note = [&thrown](const auto& end) {
      try {
        end();
      } catch (...) {
        if (!thrown) thrown = std::current_exception();
      }
    };
    note([this] { servers_.front()->run(); });
    for (std::future<void>& thread : threads_) note([&thread] { thread.get(); });
    if (thrown) std::rethrow_exception(thrown);
  }

  [[nodiscard]] const std::vector<std::unique_ptr<Server>>& servers() const { return servers_; }

 private:
  void add(unsigned index, const Make& make) {
    std::promise<std::unique_ptr<Server>> made;
    std::future<std::unique_ptr<Server>> server = made.get_future();
    threads_.push_back(
        std::async(std::launch::async, [index, &make, made = std::move(made), started = started_]() mutable {
          Server* own = nullptr;
          try {
            auto ready = make(index);
            own = ready.get();
            made.set_value(std::move(ready));
          } catch (...) {
            made.set_exception(std::current_exception());
          }
          if (started.get()) own->run();
        }));
    servers_.push_back(server.get());
  }

  std::vector<std::unique_ptr<Server>> servers_;
  std::promise<bool> start_;  // false: not at all
  std::shared_future<bool> started_;
  std::vector<std::future<void>> threads_;
};

}  // namespace millrace::apps
