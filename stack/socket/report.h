#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ip_address.h"
#include "base/time.h"
#include "socket/socket.h"

namespace millrace {

/// What ss(8) tells of one socket, as of one moment: values alone, so that they can be taken under the
/// owner's lock and written out after it.
struct SocketReport {
  /// Linux's numbers (idiag_timer).
  enum class Timer : std::uint8_t { kNone, kRetransmit, kKeepalive, kTimeWait, kPersist };

  SocketType type = SocketType::kStream;
  std::uint8_t state = 0;  ///< Linux's numbers; a datagram socket is 1 (connected) or 7
  Endpoint local, remote;
  /// Bytes that wait to be read, and to be acknowledged; of a listener, connections that wait for accept(),
  /// and how many may.
  std::uint64_t receive_queue = 0, send_queue = 0;
  /// The application's handle, to be looked at under the lock only. Null: there is none (yet, or any more).
  const Socket* socket = nullptr;
  bool orphan = false;  ///< the application let go of it

  Timer timer = Timer::kNone;
  std::uint8_t timer_count = 0;  ///< how often it has run out in a row
  Duration timer_left{0};

  std::uint64_t receive_memory = 0, receive_limit = 0, send_memory = 0, send_limit = 0;  ///< bytes
  std::uint64_t drops = 0;

  bool has_info = false;  ///< the two below are filled in
  TcpInfo info;
  std::string_view congestion;  ///< static text
};

}  // namespace millrace
