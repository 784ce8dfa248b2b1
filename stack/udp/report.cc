#include "udp/report.h"

#include <algorithm>

#include "udp/udp.h"
#include "udp/udp_socket.h"

namespace millrace::udp {

bool Walk::next(const Udp& udp, std::vector<SocketReport>& out, std::size_t limit) {
  for (std::uint32_t looks = 0; port_ < kPorts && looks < kLooks; ++looks) {
    const auto sockets = udp.sockets().on_port(static_cast<std::uint16_t>(port_));
    left_ = std::min(left_, sockets.size());
    for (; left_ != 0; --left_) {
      if (out.size() >= limit) return true;
      sockets[left_ - 1]->fill(out.emplace_back());
    }
    ++port_;
    left_ = kAll;
  }
  return port_ < kPorts;
}

}  // namespace millrace::udp
