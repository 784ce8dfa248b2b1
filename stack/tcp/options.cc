#include "tcp/options.h"

#include <algorithm>

#include "tcp/config.h"
#include "tcp/congestion_list.h"

namespace millrace::tcp {

namespace {

constexpr std::int64_t kMinSendBuffer = 2304, kMinReceiveBuffer = 1152;  // half of Linux's SOCK_MIN_*
constexpr std::int64_t kMaxBuffer = std::int64_t{8} << 20;               // what the window scale can express
constexpr std::int64_t kMaxFastOpenQueue = 4096;                         // somaxconn, as in Linux
constexpr std::int64_t kMaxKeepaliveSeconds = 32767;

std::uint32_t seconds(Duration d) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(d).count());
}

/// TCP_DEFER_ACCEPT counts seconds, and the stack the timeouts of SYN-ACKs that this takes (as Linux does, so
/// that the same number is read back).
constexpr std::int64_t kFirstTimeout = 1, kLastTimeout = 120;

std::uint8_t timeouts_in(std::int64_t limit) {
  std::uint8_t count = 0;
  std::int64_t timeout = kFirstTimeout, period = 0;
  while (limit > period && count < 255) {
    ++count;
    period += timeout;
    timeout = std::min(timeout * 2, kLastTimeout);
  }
  return count;
}

std::int64_t seconds_of(std::uint8_t count) {
  std::int64_t timeout = kFirstTimeout, period = 0;
  for (; count != 0; --count) {
    period += timeout;
    timeout = std::min(timeout * 2, kLastTimeout);
  }
  return period;
}

}  // namespace

Options::Options(const Config& config)
    : congestion(config.congestion),
      not_sent_low_water(config.not_sent_low_water),
      keepalive_idle(seconds(config.keepalive_idle)),
      keepalive_interval(seconds(config.keepalive_interval)),
      keepalive_count(static_cast<std::uint16_t>(config.keepalive_count)),
      syn_retries(static_cast<std::uint16_t>(config.syn_retries)),
      linger2(static_cast<std::int32_t>(seconds(config.fin_wait_2))) {}

Result<void> Options::set(SocketOption option, std::int64_t value) {
  const auto bounded = [value](std::int64_t low, std::int64_t high) { return value >= low && value <= high; };
  switch (option) {
    case SocketOption::kNoDelay:
      no_delay = value != 0;
      return {};
    case SocketOption::kCork:
      cork = value != 0;
      return {};
    case SocketOption::kQuickAck:
      quick_ack = value != 0;
      return {};
    case SocketOption::kKeepalive:
      keepalive = value != 0;
      return {};
    case SocketOption::kOutOfBandInline:
      out_of_band_inline = value != 0;
      return {};
    case SocketOption::kLinger:
      linger = static_cast<std::int32_t>(std::clamp<std::int64_t>(value, -1, 65535));
      return {};
    case SocketOption::kTypeOfService:
      tos = static_cast<std::uint8_t>(value & 0xfc);  // the ECN bits are the protocol's
      return {};
    case SocketOption::kTimeToLive:
      if (value == -1) value = 64;
      if (value < 1 || value > 255) return Error::kInvalid;
      ttl = static_cast<std::uint8_t>(value);
      return {};
    case SocketOption::kMaxSegment:
      if (value != 0 && !bounded(88, 32767)) return Error::kInvalid;
      max_segment = static_cast<std::uint16_t>(value);
      return {};
    case SocketOption::kKeepaliveIdle:
      if (!bounded(1, kMaxKeepaliveSeconds)) return Error::kInvalid;
      keepalive_idle = static_cast<std::uint32_t>(value);
      return {};
    case SocketOption::kKeepaliveInterval:
      if (!bounded(1, kMaxKeepaliveSeconds)) return Error::kInvalid;
      keepalive_interval = static_cast<std::uint32_t>(value);
      return {};
    case SocketOption::kKeepaliveCount:
      if (!bounded(1, 127)) return Error::kInvalid;
      keepalive_count = static_cast<std::uint16_t>(value);
      return {};
    case SocketOption::kSynCount:
      if (!bounded(1, 127)) return Error::kInvalid;
      syn_retries = static_cast<std::uint16_t>(value);
      return {};
    case SocketOption::kUserTimeout:
      if (value < 0) return Error::kInvalid;
      user_timeout = static_cast<std::uint32_t>(std::min<std::int64_t>(value, 0x7fffffff));
      return {};
    case SocketOption::kLinger2:
      linger2 = static_cast<std::int32_t>(std::clamp<std::int64_t>(value, -1, 120));
      return {};
    case SocketOption::kReceiveLowWater:
      receive_low_water = static_cast<std::uint32_t>(std::clamp<std::int64_t>(value, 1, kMaxBuffer));
      return {};
    case SocketOption::kDeferAccept:
      defer_accept = timeouts_in(value);
      return {};
    case SocketOption::kFastOpen:
      if (value < 0) return Error::kInvalid;
      fast_open_queue = static_cast<std::uint32_t>(std::min<std::int64_t>(value, kMaxFastOpenQueue));
      return {};
    case SocketOption::kFastOpenConnect:
      if (!bounded(0, 1)) return Error::kInvalid;
      fast_open_connect = value != 0;
      return {};
    case SocketOption::kFastOpenNoCookie:
      if (!bounded(0, 1)) return Error::kInvalid;
      fast_open_no_cookie = value != 0;
      return {};
    case SocketOption::kNotSentLowWater:
      not_sent_low_water = static_cast<std::uint32_t>(value);
      return {};
    case SocketOption::kCongestion:
      if (!bounded(0, static_cast<std::int64_t>(congestion_list().size()) - 1)) return Error::kInvalid;
      congestion = static_cast<std::uint8_t>(value);
      return {};
    case SocketOption::kMtuDiscover:
      if (!bounded(0, 5)) return Error::kInvalid;
      mtu_discover = static_cast<std::uint8_t>(value);
      return {};
    case SocketOption::kSendBuffer:
    case SocketOption::kSendBufferForce:
      if (value < 0) value = kMaxBuffer;  // a large one, as Linux has it
      send_buffer = static_cast<std::uint32_t>(std::clamp(value, kMinSendBuffer, kMaxBuffer) * 2);
      return {};
    case SocketOption::kReceiveBuffer:
    case SocketOption::kReceiveBufferForce:
      if (value < 0) value = kMaxBuffer;
      receive_buffer = static_cast<std::uint32_t>(std::clamp(value, kMinReceiveBuffer, kMaxBuffer));
      return {};
    default:
      return Error::kProtocolNotAvailable;
  }
}

Result<std::int64_t> Options::get(SocketOption option) const {
  switch (option) {
    case SocketOption::kNoDelay:
      return std::int64_t{no_delay};
    case SocketOption::kCork:
      return std::int64_t{cork};
    case SocketOption::kQuickAck:
      return std::int64_t{quick_ack};
    case SocketOption::kKeepalive:
      return std::int64_t{keepalive};
    case SocketOption::kOutOfBandInline:
      return std::int64_t{out_of_band_inline};
    case SocketOption::kLinger:
      return std::int64_t{linger};
    case SocketOption::kTypeOfService:
      return std::int64_t{tos};
    case SocketOption::kTimeToLive:
      return std::int64_t{ttl};
    case SocketOption::kMaxSegment:
      return std::int64_t{max_segment};
    case SocketOption::kKeepaliveIdle:
      return std::int64_t{keepalive_idle};
    case SocketOption::kKeepaliveInterval:
      return std::int64_t{keepalive_interval};
    case SocketOption::kKeepaliveCount:
      return std::int64_t{keepalive_count};
    case SocketOption::kSynCount:
      return std::int64_t{syn_retries};
    case SocketOption::kUserTimeout:
      return std::int64_t{user_timeout};
    case SocketOption::kLinger2:
      return std::int64_t{linger2};
    case SocketOption::kReceiveLowWater:
      return std::int64_t{receive_low_water};
    case SocketOption::kDeferAccept:
      return seconds_of(defer_accept);
    case SocketOption::kFastOpen:
      return std::int64_t{fast_open_queue};
    case SocketOption::kFastOpenConnect:
      return std::int64_t{fast_open_connect};
    case SocketOption::kFastOpenNoCookie:
      return std::int64_t{fast_open_no_cookie};
    case SocketOption::kNotSentLowWater:
      return std::int64_t{static_cast<std::int32_t>(not_sent_low_water)};
    case SocketOption::kCongestion:
      return std::int64_t{congestion};
    case SocketOption::kMtuDiscover:
      return std::int64_t{mtu_discover};
    case SocketOption::kSendBuffer:
      return std::int64_t{send_buffer};
    case SocketOption::kReceiveBuffer:
      return std::int64_t{receive_buffer} * 2;
    default:
      return Error::kProtocolNotAvailable;
  }
}

}  // namespace millrace::tcp
