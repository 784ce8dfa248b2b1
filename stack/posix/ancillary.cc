#include "posix/ancillary.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

#include "posix/address.h"
#include "posix/privilege.h"
#include "posix/socket_file.h"

namespace millrace::posix {

namespace {

/// The moment as CLOCK_REALTIME had it. What was not stamped came just now.
timespec wall_time(Instant moment) {
  timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  const Duration since_epoch = std::chrono::seconds(wall.tv_sec) + std::chrono::nanoseconds(wall.tv_nsec);
  return to_timespec(moment == kEpoch ? since_epoch : since_epoch - (clock_now() - moment));
}

int interface_index(Stack& stack, const Received& received) {
  // Nobody on a wire can speak with an address of ours.
  return stack.ip().is_local(received.from.address) ? kLoopbackIndex
                                                    : received.interface_id + kFirstInterfaceIndex;
}

void write_timestamp(AncillaryOptions::Timestamp format, Instant moment, ControlWriter& control) {
  const timespec wall = wall_time(moment);
  if (format == AncillaryOptions::Timestamp::kNanoseconds) {
    control.put(SOL_SOCKET, SCM_TIMESTAMPNS, wall);
  } else {
    control.put(SOL_SOCKET, SCM_TIMESTAMP, timeval{wall.tv_sec, wall.tv_nsec / 1000});
  }
}

/// ipi_spec_dst: from which address to answer.
IpAddress answer_from(Stack& stack, const Received& received) {
  if (stack.ip().is_local(received.to)) return received.to;
  const auto route = stack.ip().route(received.from.address, clock_now());
  return route ? route->source : IpAddress{};
}

void write_packet_info(SocketFile& file, const Received& received, ControlWriter& control) {
  Stack& stack = file.context().stack();
  in_pktinfo info{};
  info.ipi_ifindex = interface_index(stack, received);
  info.ipi_addr.s_addr = htonl(received.to.v4_value());
  info.ipi_spec_dst.s_addr = htonl(answer_from(stack, received).v4_value());
  control.put(IPPROTO_IP, IP_PKTINFO, info);
}

void write_original_destination(SocketFile& file, const Received& received, ControlWriter& control) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(file.socket().local_endpoint().port);
  to.sin_addr.s_addr = htonl(received.to.v4_value());
  control.put(IPPROTO_IP, IP_ORIGDSTADDR, to);
}

/// One message of msg_control. Its fields are copied: the program's buffer may lie anywhere.
struct ControlMessage {
  int level, type;
  std::span<const unsigned char> data;

  template <typename T>
  [[nodiscard]] bool load(T& value) const {
    if (data.size() < sizeof value) return false;
    std::memcpy(&value, data.data(), sizeof value);
    return true;
  }
  /// Of exactly an int.
  [[nodiscard]] bool load_int(int& value) const { return data.size() == sizeof value && load(value); }
};

long read_socket_level(const ControlMessage& message) {
  int number;
  switch (message.type) {
    case SO_MARK:
      if (!has_privilege(Privilege::kNetAdmin) && !has_privilege(Privilege::kNetRaw)) return -EPERM;
      return message.load_int(number) ? 0 : -EINVAL;
    case SO_PRIORITY:
      if (!message.load_int(number)) return -EINVAL;
      return may_set_priority(number) ? 0 : -EPERM;
    case SCM_RIGHTS:
    case SCM_CREDENTIALS:
      return 0;  // Linux: they mean something on AF_UNIX only, and nothing here
    default:
      return -EINVAL;
  }
}

long set_interface(SocketFile& file, unsigned index, SendFlags& flags) {
  if (index == 0) return 0;
  const std::size_t count = file.context().stack().interfaces().size();
  if (index >= count + kFirstInterfaceIndex) return -ENODEV;
  if (index >= kFirstInterfaceIndex)
    flags.interface_id = static_cast<std::uint8_t>(index - kFirstInterfaceIndex);
  return 0;
}

long read_v4_level(SocketFile& file, const ControlMessage& message, SendFlags& flags) {
  int number;
  switch (message.type) {
    case IP_PKTINFO: {
      in_pktinfo info;
      if (message.data.size() != sizeof info || !message.load(info)) return -EINVAL;
      flags.source = IpAddress::v4(ntohl(info.ipi_spec_dst.s_addr));
      return set_interface(file, static_cast<unsigned>(info.ipi_ifindex), flags);
    }
    case IP_TTL:
      if (!message.load_int(number) || number < 1 || number > 255) return -EINVAL;
      flags.ttl = static_cast<std::uint8_t>(number);
      return 0;
    case IP_TOS:
      if (message.data.size() == 1) {
        number = message.data[0];
      } else if (!message.load_int(number)) {
        return -EINVAL;
      }
      if (number < 0 || number > 255) return -EINVAL;
      flags.tos = static_cast<std::uint8_t>(number);
      return 0;
    default:
      return -EINVAL;
  }
}

long read_v6_packet_info(SocketFile& file, const ControlMessage& message, bool v4, SendFlags& flags) {
  in6_pktinfo info;
  if (!message.load(info)) return -EINVAL;
  const IpAddress source = from_in6(info.ipi6_addr);
  if (v4 && !source.is_v4()) return -EINVAL;
  if (v4 || !source.is_unspecified()) flags.source = source;
  return set_interface(file, info.ipi6_ifindex, flags);
}

long read_v6_level(SocketFile& file, const ControlMessage& message, SendFlags& flags) {
  int number;
  switch (message.type) {
    case IPV6_PKTINFO:
      return read_v6_packet_info(file, message, false, flags);
    case IPV6_HOPLIMIT:
    case IPV6_TCLASS: {
      if (!message.load_int(number) || number < -1 || number > 255) return -EINVAL;
      if (number == -1) return 0;
      const bool hops = message.type == IPV6_HOPLIMIT;
      (hops ? flags.ttl : flags.tos) = static_cast<std::uint8_t>(number);
      return 0;
    }
    default:
      return -EINVAL;
  }
}

/// Which levels count depends on the packet's family: Linux skips those of the other.
long read_message(SocketFile& file, const ControlMessage& message, const IpAddress* destination,
                  SendFlags& flags) {
  const int level = message.level;
  if (level == SOL_SOCKET) return read_socket_level(message);
  if (destination == nullptr) return 0;
  if (level == IPPROTO_UDP) return -EINVAL;  // UDP_SEGMENT is not here
  if (destination->is_v6()) return level == IPPROTO_IPV6 ? read_v6_level(file, message, flags) : 0;
  if (level == IPPROTO_IP) return read_v4_level(file, message, flags);
  if (level == IPPROTO_IPV6 && message.type == IPV6_PKTINFO &&
      file.socket().family() == IpAddress::Family::kV6)
    return read_v6_packet_info(file, message, true, flags);
  return 0;
}

}  // namespace

void ControlWriter::put(int level, int type, const void* data, std::size_t size) {
  if (at_ == nullptr || room_ - used_ < sizeof(cmsghdr)) {
    cut_ = true;
    return;
  }
  const std::size_t room = room_ - used_;
  cmsghdr header{};
  header.cmsg_len = CMSG_LEN(size);
  header.cmsg_level = level;
  header.cmsg_type = type;
  if (room < header.cmsg_len) {
    cut_ = true;
    header.cmsg_len = room;
  }
  std::memcpy(at_ + used_, &header, sizeof header);
  std::memcpy(at_ + used_ + CMSG_LEN(0), data, header.cmsg_len - CMSG_LEN(0));
  used_ += std::min<std::size_t>(CMSG_SPACE(size), room);
}

void write_ancillary(SocketFile& file, const Received& received, ControlWriter& control) {
  const AncillaryOptions& wanted = file.settings.ancillary;
  const bool stream = file.is_stream();
  if (wanted.timestamp != AncillaryOptions::Timestamp::kNone && (!stream || received.timestamp != kEpoch))
    write_timestamp(wanted.timestamp, received.timestamp, control);
  if (stream) {
    if (wanted.bytes_left) control.put(IPPROTO_TCP, TCP_CM_INQ, static_cast<int>(received.bytes_left));
    return;
  }
  // In Linux's order. An IPv6 socket tells the address of both families as IPv6, the rest by the packet's.
  const bool v4 = received.to.is_v4();
  const int tos = received.tos, ttl = received.ttl;
  if (wanted.v6_packet_info) {
    in6_pktinfo info{};
    info.ipi6_addr = to_in6(received.to);
    info.ipi6_ifindex = static_cast<unsigned>(interface_index(file.context().stack(), received));
    control.put(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  if (!v4) {
    if (wanted.v6_hops) control.put(IPPROTO_IPV6, IPV6_HOPLIMIT, ttl);
    if (wanted.v6_class) control.put(IPPROTO_IPV6, IPV6_TCLASS, tos);
    return;
  }
  if (wanted.packet_info) write_packet_info(file, received, control);
  if (wanted.ttl) control.put(IPPROTO_IP, IP_TTL, ttl);
  if (wanted.tos) control.put(IPPROTO_IP, IP_TOS, received.tos);
  if (wanted.original_destination) write_original_destination(file, received, control);
}

long read_ancillary(SocketFile& file, std::span<const unsigned char> control, const IpAddress* destination,
                    SendFlags& flags) {
  while (control.size() >= sizeof(cmsghdr)) {
    cmsghdr header;
    std::memcpy(&header, control.data(), sizeof header);
    const std::size_t length = header.cmsg_len;
    if (length < CMSG_LEN(0) || length > control.size()) return -EINVAL;
    const ControlMessage message{header.cmsg_level, header.cmsg_type,
                                 control.subspan(CMSG_LEN(0), length - CMSG_LEN(0))};
    if (const long wrong = read_message(file, message, destination, flags); wrong != 0) return wrong;
    control = control.subspan(std::min<std::size_t>(CMSG_ALIGN(length), control.size()));
  }
  return 0;
}

}  // namespace millrace::posix
