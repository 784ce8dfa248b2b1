#include "af_packet/interface_info.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "unique_fd.h"

namespace millrace::drivers {

bool query_interface(std::string_view name, InterfaceInfo& info) {
  const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  return socket && query_interface(socket.get(), name, info);
}

bool query_interface(int socket, std::string_view name, InterfaceInfo& info) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) return false;
  std::memcpy(request.ifr_name, name.data(), name.size());
  if (::ioctl(socket, SIOCGIFINDEX, &request) != 0) return false;
  info.index = request.ifr_ifindex;
  if (::ioctl(socket, SIOCGIFFLAGS, &request) != 0) return false;
  info.up = (request.ifr_flags & IFF_UP) != 0;
  if (::ioctl(socket, SIOCGIFMTU, &request) != 0) return false;
  info.mtu = static_cast<std::uint32_t>(request.ifr_mtu);
  if (::ioctl(socket, SIOCGIFHWADDR, &request) != 0) return false;
  info.ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
  std::memcpy(info.mac.bytes.data(), request.ifr_hwaddr.sa_data, info.mac.bytes.size());
  return true;
}

std::string interface_names() {
  std::string names;
  struct if_nameindex* const list = ::if_nameindex();
  if (list == nullptr) return names;
  for (const struct if_nameindex* entry = list; entry->if_index != 0; ++entry) {
    if (!names.empty()) names += ", ";
    names += entry->if_name;
  }
  ::if_freenameindex(list);
  return names;
}

}  // namespace millrace::drivers
