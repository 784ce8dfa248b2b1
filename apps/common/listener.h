#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/event_loop.h"

namespace millrace::apps {

/// "serve on this address of the kernel's", or on the stack's only one.
struct ListenAddress {
  std::string host = "0.0.0.0";
  std::uint16_t port = 0;
};

/// Where to listen, from what the user gave as --addr ("198.18.0.2/24" or nothing). The stack has but one
/// address; on the kernel the prefix does not matter.
ListenAddress listen_address(bool kernel, const std::string& addr, std::uint16_t port);

/// Binds. Throws std::runtime_error with one line for the user when the address cannot be had.
void bind_to(const SocketApi& api, int fd, const ListenAddress& address, const char* protocol);

/// A TCP listener in an event loop. What it accepts has TCP_NODELAY and, with a timeout, is dropped when the
/// peer has not answered for so long.
class Listener final : public Handler {
 public:
  struct Events {
    std::function<void(int fd)> accepted;      ///< takes the descriptor, which does not block
    std::function<void()> out_of_descriptors;  ///< nothing can be accepted now: accept_more(false) is wise
  };
  /// `timeout` in seconds; 0: none. `shared`: other threads listen there, too. Throws std::runtime_error.
  Listener(EventLoop& loop, const ListenAddress& address, unsigned timeout, bool shared, Events events);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() override;

  void accept_more(bool yes);
  void on_event(std::uint32_t events) override;

 private:
  EventLoop& loop_;
  Events events_;
  int fd_;
};

}  // namespace millrace::apps
