#include "af_packet/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace millrace::drivers {

std::string open_packet_socket(UniqueFd& socket) {
  socket = UniqueFd{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) {
    if (errno == EPERM || errno == EACCES) {
      return "no privilege: raw packets need CAP_NET_RAW; run as root or do \"setcap cap_net_raw+ep\" on the "
             "program";
    }
    return "cannot open a packet socket: " + std::string(std::strerror(errno));
  }
  // Without it, frames of a local sender come with checksums that look wrong and super-frames of unknown
  // segment size: there is no safe way to go on.
  const int one = 1;
  if (::setsockopt(socket.get(), SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0) {
    return "this kernel has no PACKET_VNET_HDR (Linux 4.20 or later is needed): " +
           std::string(std::strerror(errno));
  }
  return {};
}

bool bind_packet_socket(int fd, int interface_index, std::uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = interface_index;
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

void set_socket_buffer(int fd, int force_option, int plain_option, std::uint32_t bytes) {
  const int value = static_cast<int>(bytes);
  if (::setsockopt(fd, SOL_SOCKET, force_option, &value, sizeof value) == 0) return;
  // Beyond the limit the kernel takes what it allows: a smaller buffer works, only worse in bursts.
  (void)::setsockopt(fd, SOL_SOCKET, plain_option, &value, sizeof value);
}

void clear_socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  (void)::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
}

}  // namespace millrace::drivers
