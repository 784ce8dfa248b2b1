#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "socket/report.h"

namespace millrace::tcp {

class Tcp;

/// A walk over all that ss(8) shows of TCP: the listeners by port, then connections, SYN-RECEIVED requests
/// and TIME-WAIT entries. It is taken in pieces, between which sockets may come, go and change: one that is
/// there from the beginning to the end is reported exactly once.
class Walk {
 public:
  /// Appends the next reports to `out` until there are `limit` or a little more, or none were found for a
  /// while. False: these were the last. `info`: fill in TcpInfo too.
  bool next(Tcp& tcp, std::vector<SocketReport>& out, std::size_t limit, bool info, Instant now);

 private:
  /// Looks at empty ports or buckets in one piece, so that a large and empty table takes no long time either.
  static constexpr std::uint32_t kLooks = 4096;
  static constexpr std::uint32_t kPorts = 65536;

  void next_listeners(Tcp& tcp, std::vector<SocketReport>& out, std::size_t limit);

  std::uint32_t port_ = 0;  ///< the next; kPorts: all were looked at
  std::uint32_t bucket_ = 0;
};

}  // namespace millrace::tcp
