#include <algorithm>

#include "udp/udp_socket.h"

namespace millrace::udp {

namespace {

/// Linux's SOCK_MIN_RCVBUF.
constexpr std::size_t kSmallestReceiveBuffer = 2304;
/// Linux's SOCK_MIN_SNDBUF.
constexpr std::size_t kSmallestSendBuffer = 4608;

/// SO_RCVBUF and SO_SNDBUF as Linux takes them: clamped, then doubled for the overhead of storage.
[[nodiscard]] std::size_t buffer_limit(std::int64_t asked, std::size_t most, std::size_t least) {
  // A negative number is a large one.
  const std::size_t clamped = asked < 0 ? most : std::min(static_cast<std::size_t>(asked), most);
  return std::max(clamped * 2, least);
}
constexpr std::size_t kForcedBufferMax = 0x3fffffff;  // INT_MAX / 2, as Linux

}  // namespace

Result<void> UdpSocket::set_option(SocketOption option, std::int64_t value, Instant now) {
  (void)now;
  switch (option) {
    case SocketOption::kReuseAddress:
      reuse_address_ = value != 0;
      return {};
    case SocketOption::kReusePort:
      reuse_port_ = value != 0;
      return {};
    case SocketOption::kBroadcast:
      broadcast_ = value != 0;
      return {};
    case SocketOption::kV6Only:
      if (family() != IpAddress::Family::kV6) return Error::kProtocolNotAvailable;
      if (local_.port != 0) return Error::kInvalid;
      v6_only_ = value != 0;
      return {};
    case SocketOption::kReceiveBuffer:
      receive_limit_ = buffer_limit(value, udp_.config_.receive_buffer_max, kSmallestReceiveBuffer);
      return {};
    case SocketOption::kSendBuffer:
      send_limit_ = buffer_limit(value, udp_.config_.send_buffer_max, kSmallestSendBuffer);
      return {};
    case SocketOption::kReceiveBufferForce:
      receive_limit_ = buffer_limit(value, kForcedBufferMax, kSmallestReceiveBuffer);
      return {};
    case SocketOption::kSendBufferForce:
      send_limit_ = buffer_limit(value, kForcedBufferMax, kSmallestSendBuffer);
      return {};
    case SocketOption::kFreeBind:
      free_bind_ = value != 0;
      return {};
    case SocketOption::kBindWithoutPort:
      bind_without_port_ = value != 0;
      return {};
    case SocketOption::kTypeOfService:
      tos_ = static_cast<std::uint8_t>(value);
      return {};
    case SocketOption::kTimeToLive:
      if (value != -1 && (value < 1 || value > 255)) return Error::kInvalid;
      ttl_ = value == -1 ? udp_.ip_.config().default_ttl : static_cast<std::uint8_t>(value);
      return {};
    case SocketOption::kMtuDiscover:
      if (value < 0 || value > static_cast<std::int64_t>(MtuDiscover::kOmit)) return Error::kInvalid;
      mtu_discover_ = static_cast<MtuDiscover>(value);
      return {};
    default:
      return Error::kProtocolNotAvailable;
  }
}

Result<std::int64_t> UdpSocket::option(SocketOption option) const {
  switch (option) {
    case SocketOption::kReuseAddress:
      return std::int64_t{reuse_address_};
    case SocketOption::kReusePort:
      return std::int64_t{reuse_port_};
    case SocketOption::kBroadcast:
      return std::int64_t{broadcast_};
    case SocketOption::kV6Only:
      if (family() != IpAddress::Family::kV6) return Error::kProtocolNotAvailable;
      return std::int64_t{v6_only_};
    case SocketOption::kReceiveBuffer:
      return static_cast<std::int64_t>(receive_limit_);
    case SocketOption::kSendBuffer:
      return static_cast<std::int64_t>(send_limit_);
    case SocketOption::kFreeBind:
      return std::int64_t{free_bind_};
    case SocketOption::kBindWithoutPort:
      return std::int64_t{bind_without_port_};
    case SocketOption::kTypeOfService:
      return std::int64_t{tos_};
    case SocketOption::kTimeToLive:
      return std::int64_t{ttl_};
    case SocketOption::kMtuDiscover:
      return static_cast<std::int64_t>(mtu_discover_);
    case SocketOption::kPathMtu: {
      if (!connected_) return Error::kNotConnected;
      const Result<ip::RouteResult> route = udp_.ip_.route(remote_.address, Instant{});
      if (!route) return route.error();
      return std::int64_t{route->mtu};
    }
    default:
      return Error::kProtocolNotAvailable;
  }
}

}  // namespace millrace::udp
