#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/time.h"
#include "tcp/live_table.h"
#include "wire/tcp_options.h"

namespace millrace::tcp {

/// Limits and defaults. Values are Linux's where users would compare them.
struct Config {
  enum class SynCookies : std::uint8_t { kOff, kWhenFull, kAlways };  ///< net.ipv4.tcp_syncookies
  // --- memory
  // Bytes a socket may queue for sending, as SendBuffer charges them (net.ipv4.tcp_wmem): while memory is
  // scarce, at first, and at most.
  std::size_t send_buffer_min = 64 * 1024, send_buffer = 16 * 1024;
  std::size_t send_buffer_max = std::size_t{4} << 20;
  // Bytes of the receive window (half of net.ipv4.tcp_rmem): while memory is scarce, at first, and at most.
  std::uint32_t receive_window_min = 4096;
  std::size_t receive_window_initial = 64 * 1024;
  std::size_t receive_window_max = std::size_t{2} << 20;  ///< while the reader keeps up
  std::uint32_t not_sent_low_water = 0;  ///< of sockets that do not set TCP_NOTSENT_LOWAT; 0: no limit
  std::size_t max_sent_segments = std::size_t{1} << 20;  ///< entries on all scoreboards (some 200 bytes each)
  std::size_t max_connections = std::size_t{1} << 20;
  std::size_t max_time_wait = std::size_t{1} << 18;
  // --- listening
  int max_backlog = 4096;                 ///< somaxconn
  std::size_t max_syn_backlog = 4096;     ///< SYN-RECEIVED requests a listener
  unsigned syn_backlog_source_share = 2;  ///< one source address may hold this part of them (1/n); 1: all
  SynCookies syn_cookies = SynCookies::kWhenFull;
  /// New SYNs that get a cookie, a second; beyond that a SYN is answered when it comes again. 0: all do.
  std::uint32_t syn_cookie_rate = 100'000;
  unsigned syn_ack_retries = 5;
  bool abort_on_overflow = false;  ///< a full accept queue resets the peer instead of letting it wait
  // --- connecting
  unsigned syn_retries = 6;
  std::uint16_t ephemeral_first = 32768, ephemeral_last = 60999;
  /// A connection may take over the addresses of one in TIME-WAIT (RFC 6191); net.ipv4.tcp_tw_reuse.
  enum class TimeWaitReuse : std::uint8_t { kOff, kOn, kLoopback };
  TimeWaitReuse time_wait_reuse = TimeWaitReuse::kOn;
  // --- timers
  Duration rto_initial = 1s;  ///< RFC 6298 (2.1)
  Duration rto_min = 200ms;   ///< RFC 6298 (2.4) says 1 s; Linux and everyone else 200 ms
  Duration rto_max = 120s;
  unsigned retries = 15;  ///< R2 (RFC 9293 §3.8.3) as a count of back-offs, like tcp_retries2
  unsigned orphan_retries = 8;
  Duration delayed_ack = 40ms;
  std::uint8_t quick_acks = 16;  ///< at the start of a connection, until we answer promptly
  Duration time_wait = 60s;      ///< 2 MSL
  Duration fin_wait_2 = 60s;     ///< for connections nobody owns any more
  Duration keepalive_idle = 7200s, keepalive_interval = 75s;
  unsigned keepalive_count = 9;
  /// An established connection on which nothing happens for so long keeps little memory (see Dormant); 0: it
  /// keeps all.
  Duration dormant_after = 10s;
  // --- for somebody who ends connections in our place
  std::span<LiveEntry> live;
  // --- protocol features
  std::uint8_t congestion = 0;  ///< place in congestion_list(), of sockets that do not set TCP_CONGESTION
  bool timestamps = true, sack = true, window_scaling = true;
  enum class Ecn : std::uint8_t { kOff, kRequest, kAccept };
  Ecn ecn = Ecn::kAccept;                    ///< as Linux's tcp_ecn: 0, 1 (both ways), 2 (when asked)
  bool rack = true;                          ///< RFC 8985; false: RFC 6675
  std::optional<std::uint8_t> window_scale;  ///< of every window we advertise; unset: by receive_window_max
  wire::TcpOptions::Order option_order = wire::TcpOptions::Order::kLinux;  ///< in a SYN
  /// PSH on every super-segment, as Linux has it: it ends the wait of a receiver that merges segments.
  bool push_super_segments = false;
  /// Spreads what a window-based congestion control lets go over the round trip, once the initial window is
  /// out, as Linux's fq does.
  bool pacing = false;
  // Percent of the window a round trip: in slow start, and later.
  unsigned pacing_slow_start_ratio = 200, pacing_ratio = 120;
  bool slow_start_after_idle = true;  ///< RFC 5681 §4.1
  /// A super-segment holds 1 ms worth of that rate, but so many segments at least (Linux's tcp_min_tso_segs,
  /// there 2); 0: half the window is the only limit.
  unsigned min_super_segments = 0;
  /// Packetization-layer path MTU discovery (RFC 4821), as Linux's tcp_mtu_probing: 0, 1 (once a black hole
  /// is found), 2. Linux has it off unless set; a path that swallows large packets would hang for ever.
  enum class MtuProbing : std::uint8_t { kOff, kBlackHole, kAlways };
  MtuProbing mtu_probing = MtuProbing::kBlackHole;
  std::uint16_t base_mss = 1024;          ///< where the search begins; as any MSS, without options (RFC 6691)
  std::uint16_t mtu_probe_floor = 48;     ///< the least MSS that black holes lead to
  std::uint16_t mtu_probe_threshold = 8;  ///< the search is over when less is in doubt, in bytes
  Duration mtu_probe_interval = 600s;     ///< ... and is taken up again (RFC 4821 §7.3)
  std::uint8_t black_hole_timeouts = 3;   ///< retransmissions of one segment in vain: R1 (RFC 1122 §4.2.3.5)
  /// RFC 5482: TCP_USER_TIMEOUT is told to the peer, and the peer's followed where ours is not set.
  bool user_timeout_option = false;
  /// FastOpenBits. A listener needs TCP_FASTOPEN besides, so that servers may here, unlike in Linux.
  unsigned fast_open = 0x3;
  unsigned initial_window_segments = 10;      ///< RFC 6928
  bool time_wait_ignores_reset = true;        ///< RFC 1337 §3; Linux's tcp_rfc1337 is off unless set
  unsigned challenge_acks_per_second = 1000;  ///< RFC 5961 §7
  Duration duplicate_ack_interval =
      500ms;  ///< at most one answer to out-of-window control segments a connection
};

}  // namespace millrace::tcp
