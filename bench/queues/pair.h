#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "posix/context_group.h"

namespace millrace::bench {

/// A stack with a context for each queue, at one end of in-memory wires: one a queue.
class Host {
 public:
  Host(const std::string& wires, unsigned queues, const char* address);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host();

  [[nodiscard]] posix::ContextGroup& contexts() { return *contexts_; }
  /// Frames that came in by another queue than their own.
  [[nodiscard]] std::uint64_t handed_over();

 private:
  std::unique_ptr<posix::ContextGroup> contexts_;
};

/// One queue of a server and the same queue of its client, both used by the calling thread alone: an echo
/// server with an epoll set, and connections to it in another one.
class Pair {
 public:
  /// Made, used and destroyed in the thread that it is to run in. Throws std::runtime_error.
  Pair(Host& server, Host& client, unsigned queue, unsigned connections, std::size_t bytes);
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  ~Pair();

  /// A request on each connection, and their answers.
  void exchange_all();
  [[nodiscard]] unsigned connections() const { return static_cast<unsigned>(clients_.size()); }

 private:
  void connect(unsigned connections);
  void serve();
  /// Takes what came; the number of answers that are whole now.
  unsigned collect();

  posix::Context &server_, &client_;
  int listener_ = -1, server_set_ = -1, client_set_ = -1;
  std::vector<int> servers_, clients_;
  std::vector<std::size_t> missing_;  ///< of each client's answer
  std::vector<std::uint8_t> request_, scratch_;
};

}  // namespace millrace::bench
