#pragma once

#include <string>

#include "instances.h"

namespace millrace::command {

/// The texts that ss(8) puts behind or under a socket; each is empty, or begins with a space.

/// " timer:(keepalive,9min30sec,0)"
[[nodiscard]] std::string timer_text(const Record& socket);
/// " uid:1000 ino:0 sk:1f <->"
[[nodiscard]] std::string extended_text(const Instance& instance, const Record& socket);
/// " skmem:(r0,rb131072,t0,tb46080,f0,w0,o0,bl0,d0)"
[[nodiscard]] std::string memory_text(const Record& socket);
/// " ts sack cubic wscale:7,7 rto:204 ..."; `exact`: rates as whole numbers.
[[nodiscard]] std::string info_text(const Record& socket, bool exact);
/// "users:((\"echo\",pid=7,fd=3))", or nothing where no process holds the socket.
[[nodiscard]] std::string users_text(const Instance& instance, const Record& socket);

}  // namespace millrace::command
