#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "conversation.h"

namespace millrace::interop {

/// Who talks, and to whom.
struct Stage {
  const apps::SocketApi& api;
  sockaddr_in server;
  std::uint64_t bytes;  ///< how much, where a scenario moves data
  int listener = -1;    ///< of the server, for more than one connection
};

/// A conversation of which each side runs on either stack. A scenario without a server needs none: nobody
/// listens.
struct Scenario {
  std::string_view name;
  void (*client)(const Stage&);
  void (*server)(const Stage&, Conversation&);  ///< a TCP connection that was accepted
};

std::span<const Scenario> scenarios();

}  // namespace millrace::interop
