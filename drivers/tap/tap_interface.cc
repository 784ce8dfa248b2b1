#include "tap/tap_interface.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include <climits>

#include "af_packet/interface_info.h"
#include "af_packet/vnet_header.h"

namespace millrace::drivers {
namespace {

constexpr const char* kDevice = "/dev/net/tun";
constexpr short kQueueFlags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
/// UDP super-frames, which the headers of older kernels do not know (TUN_F_USO4, TUN_F_USO6).
constexpr unsigned kUdpSegmentation = 0x20 | 0x40;
constexpr unsigned kOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

std::string reason() {
  return std::strerror(errno);
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  return request;
}

void set_address(sockaddr& to, std::uint32_t address) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(address);
  std::memcpy(&to, &v4, sizeof to);
}

std::string open_failed() {
  switch (errno) {
    case ENOENT:
      return std::string("there is no ") + kDevice +
             "; do \"modprobe tun\", or in a container, start it with --device=" + kDevice;
    case EACCES:
    case EPERM:
      return std::string("no permission to open ") + kDevice + "; run as root";
    default:
      return std::string("cannot open ") + kDevice + ": " + reason();
  }
}

std::string attach_failed(const std::string& name, bool exists) {
  switch (errno) {
    case EPERM:
      if (exists)
        return "no privilege for interface " + name +
               ": run as root, or as the user it is made for: ip tuntap add dev " + name +
               " mode tap user USER";
      return "no privilege: to make an interface needs CAP_NET_ADMIN; run as root, or make it before: ip "
             "tuntap "
             "add dev " +
             name + " mode tap user USER";
    case EBUSY:
      return "interface " + name + " is in use by another program";
    case EINVAL:
      if (exists) return "interface " + name + " is there already, and is no TAP interface";
      [[fallthrough]];
    default:
      return "cannot attach to interface " + name + ": " + reason();
  }
}

}  // namespace

std::string TapInterface::attach(const std::string& name, bool exists) {
  ifreq request = request_for(name);
  request.ifr_flags = several_queues_ ? kQueueFlags | IFF_MULTI_QUEUE : kQueueFlags;
  int result = ::ioctl(queue_.get(), TUNSETIFF, &request);
  // One that was made for several queues must be attached to as such.
  if (result != 0 && errno == EINVAL && exists) {
    request.ifr_flags = kQueueFlags | IFF_MULTI_QUEUE;
    result = ::ioctl(queue_.get(), TUNSETIFF, &request);
  }
  if (result != 0 && errno == EINVAL && exists && several_queues_)
    return "interface " + name +
           " is there already, with one queue; to have several: ip tuntap add dev NAME mode tap multi_queue";
  if (result != 0) return attach_failed(name, exists);
  name_ = request.ifr_name;
  if (!set_up_queue()) return "this kernel's TAP interfaces have no offloads: " + reason();
  return {};
}

bool TapInterface::set_up_queue() {
  const int header_bytes = sizeof(VnetHeader);
  // What is sent is received by the kernel at once: a limit would only be met while it is freed late.
  const int send_buffer = INT_MAX;
  return ::ioctl(queue_.get(), TUNSETVNETHDRSZ, &header_bytes) == 0 &&
         ::ioctl(queue_.get(), TUNSETSNDBUF, &send_buffer) == 0 &&
         (::ioctl(queue_.get(), TUNSETOFFLOAD, kOffloads | kUdpSegmentation) == 0 ||
          ::ioctl(queue_.get(), TUNSETOFFLOAD, kOffloads) == 0);
}

std::string TapInterface::open(const std::string& name, const TapInterfaceOptions& options) {
  if (name.size() >= IFNAMSIZ)
    return "the name \"" + name + "\" is too long for an interface: " + std::to_string(IFNAMSIZ - 1) +
           " characters at most";
  several_queues_ = options.several_queues;
  control_ = UniqueFd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!control_) return "cannot open a socket: " + reason();
  queue_ = UniqueFd{::open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  if (!queue_) return open_failed();
  InterfaceInfo info;
  const bool exists = query_interface(control_.get(), name, info);
  if (std::string error = attach(name, exists); !error.empty()) return error;
  if (!exists) return set_up_interface(options);
  if (options.mtu != 0 || options.peer_address)
    return "interface " + name +
           " is there already: mtu= and peer_address= are for one that is made here; do \"ip link set\" and "
           "\"ip addr add\" instead";
  if (!info.up) return "interface " + name + " is down; do: ip link set " + name + " up";
  return {};
}

std::string TapInterface::set_up_interface(const TapInterfaceOptions& options) {
  ifreq request = request_for(name_);
  if (options.mtu != 0) {
    request.ifr_mtu = static_cast<int>(options.mtu);
    if (::ioctl(control_.get(), SIOCSIFMTU, &request) != 0)
      return "cannot give interface " + name_ + " an MTU of " + std::to_string(options.mtu) + ": " + reason();
  }
  if (options.peer_address) {
    const IpPrefix& prefix = *options.peer_address;
    set_address(request.ifr_addr, prefix.address.v4_value());
    bool done = ::ioctl(control_.get(), SIOCSIFADDR, &request) == 0;
    set_address(request.ifr_netmask, prefix.length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix.length));
    done = done && ::ioctl(control_.get(), SIOCSIFNETMASK, &request) == 0;
    if (!done) return "cannot give interface " + name_ + " the address: " + reason();
  }
  if (::ioctl(control_.get(), SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (::ioctl(control_.get(), SIOCSIFFLAGS, &request) == 0) return {};
  }
  return "cannot bring interface " + name_ + " up: " + reason();
}

std::string TapInterface::adopt(int queue) {
  queue_ = UniqueFd{queue};
  control_ = UniqueFd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!control_) return "cannot open a socket: " + reason();
  ifreq request{};
  if (::ioctl(queue_.get(), TUNGETIFF, &request) != 0)
    return "the interface that was handed over is gone: " + reason();
  name_ = request.ifr_name;
  return {};
}

bool TapInterface::attach_again() {
  InterfaceInfo info;
  if (!query_interface(control_.get(), name_, info)) return false;
  // Another image of this process that shares the descriptor may have done it: EEXIST.
  ifreq request{};
  if (::ioctl(queue_.get(), TUNGETIFF, &request) == 0) return name_ == request.ifr_name;
  return attach(name_, true).empty();
}

}  // namespace millrace::drivers
