#pragma once

#include "base/object_slabs.h"
#include "base/timer_wheel.h"
#include "tcp/essence.h"
#include "tcp/flow_table.h"

namespace millrace::tcp {

class TcpSocket;

/// A connection on which nothing has happened for Config::dormant_after: it takes a fifth of the memory of
/// one that is awake. To the peer and to the program it is ESTABLISHED as before; whatever arrives, each call
/// that needs more than is here, and the keepalive timer wake it: it is a Connection again, and goes on as
/// after any idle time.
///
///     Connection --nothing for long--> Dormant --segment, call, keepalive--> Connection
///
/// Belongs to its socket, whose options are the connection's meanwhile. What has no socket (in an accept
/// queue, closed by the program) stays awake; so does what could not go on as before from so little
/// (Connection::essence()).
class Dormant final : public Flow, public LivesInSlabs {
 public:
  Dormant(TcpSocket& socket, const FlowKey& key, const ConnectionEssence& essence);

  [[nodiscard]] TcpSocket& socket() const { return socket_; }
  [[nodiscard]] const ConnectionEssence& essence() const { return essence_; }
  /// Of the next keepalive, with SO_KEEPALIVE.
  [[nodiscard]] Timer& timer() { return timer_; }
  [[nodiscard]] const Timer& timer() const { return timer_; }

 private:
  TcpSocket& socket_;
  Timer timer_;
  ConnectionEssence essence_;
};

}  // namespace millrace::tcp
