#include "af_xdp/channels.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "unique_fd.h"

namespace millrace::drivers {
namespace {

bool ask(const std::string& interface, ethtool_channels& answer) {
  const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ifreq request{};
  if (!socket || interface.size() >= sizeof request.ifr_name) return false;
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  answer.cmd = ETHTOOL_GCHANNELS;
  request.ifr_data = reinterpret_cast<char*>(&answer);
  return ::ioctl(socket.get(), SIOCETHTOOL, &request) == 0;
}

}  // namespace

std::string check_queues(const std::string& interface, std::uint32_t first, std::uint32_t count) {
  ethtool_channels channels{};
  if (count == 1 || !ask(interface, channels)) return {};
  const std::uint32_t wanted = first + count;
  const std::uint32_t has = std::min(channels.rx_count, channels.tx_count) + channels.combined_count;
  if (has >= wanted) return {};
  const std::uint32_t most = std::max(std::min(channels.max_rx, channels.max_tx), channels.max_combined);
  const std::string number = std::to_string(wanted);
  const std::string what =
      interface + " has " + std::to_string(has) + (has == 1 ? " queue" : " queues") + ", not " + number;
  if (most < wanted)
    return what + ", and cannot have more than " + std::to_string(most) +
           "; a veth can have as many as it is made with: ip link add ... numrxqueues " + number +
           " numtxqueues " + number;
  return what + "; do: ethtool -L " + interface +
         (channels.max_combined != 0 ? " combined " + number : " rx " + number + " tx " + number);
}

}  // namespace millrace::drivers
