#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "socket/report.h"

namespace millrace::udp {

class Udp;

/// A walk over the sockets that have a port, in pieces, between which sockets may come, go and change: one
/// that is there from the beginning to the end is reported at least once; twice, at most, when one of its
/// port's went away meanwhile.
class Walk {
 public:
  /// Appends the next reports to `out` until there are `limit`, or none were found for a while. False: these
  /// were the last.
  bool next(const Udp& udp, std::vector<SocketReport>& out, std::size_t limit);

 private:
  static constexpr std::uint32_t kLooks = 4096;
  static constexpr std::uint32_t kPorts = 65536;
  static constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

  std::uint32_t port_ = 0;
  /// How many of the port's sockets are still to come, the last of the list first: one that leaves the list
  /// moves those behind it, which were reported, towards the front, and never the other way round.
  std::size_t left_ = kAll;
};

}  // namespace millrace::udp
