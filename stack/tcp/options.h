#pragma once

#include <cstdint>

#include "socket/socket.h"

namespace millrace::tcp {

struct Config;

/// The options of a TCP socket that act on its connection. An accepted connection inherits its listener's.
class Options {
 public:
  explicit Options(const Config& config);

  /// Ranges and errors as Linux's setsockopt. kProtocolNotAvailable: not one of ours.
  Result<void> set(SocketOption option, std::int64_t value);
  [[nodiscard]] Result<std::int64_t> get(SocketOption option) const;

  // What each segment or call looks at comes first.
  bool no_delay = false;
  bool cork = false;
  bool quick_ack = false;  ///< set for the near future, as TCP_QUICKACK is
  bool keepalive = false;
  bool out_of_band_inline = false;
  std::uint8_t tos = 0;
  std::uint8_t ttl = 64;
  std::uint8_t mtu_discover = 1;     ///< IP_MTU_DISCOVER
  std::uint32_t user_timeout = 0;    ///< milliseconds; 0: by retransmissions
  std::uint16_t max_segment = 0;     ///< 0: by the route
  std::uint8_t congestion;           ///< place in congestion_list()
  std::uint8_t defer_accept = 0;     ///< SYN-ACKs that may go unanswered by data; 0: no deferring
  std::uint32_t not_sent_low_water;  ///< bytes; 0: no limit of its own
  std::uint32_t receive_low_water = 1;

  std::int32_t linger = -1;                          ///< seconds; -1: off
  std::uint32_t keepalive_idle, keepalive_interval;  ///< seconds
  std::uint16_t keepalive_count;
  std::uint16_t syn_retries;
  std::int32_t linger2;               ///< seconds in FIN-WAIT-2 after close; -1: none
  std::uint32_t send_buffer = 0;      ///< storage bytes; 0: the default
  std::uint32_t receive_buffer = 0;   ///< window bytes; 0: it grows by itself
  std::uint32_t fast_open_queue = 0;  ///< SYN-RECEIVED connections of a listener; 0: no Fast Open
  bool fast_open_connect = false;
  bool fast_open_no_cookie = false;

  /// "Don't fragment" on every packet: IP_PMTUDISC_WANT, DO and PROBE. With the others the path's MTU is left
  /// to routers that fragment, and what ICMP says of it is not believed.
  [[nodiscard]] bool dont_fragment() const { return mtu_discover >= 1 && mtu_discover <= 3; }
  /// IP_PMTUDISC_PROBE: the path's MTU is found by probes (RFC 4821) from the start.
  [[nodiscard]] bool probes_mtu() const { return mtu_discover == 3; }
};

}  // namespace millrace::tcp
