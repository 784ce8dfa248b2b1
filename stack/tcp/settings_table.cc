#include <chrono>
#include <cstdint>
#include <type_traits>

#include "tcp/settings.h"

namespace millrace::tcp {

namespace {

using Numbers = Setting::Numbers;

/// One number, a switch or an enumeration whose numbers are Linux's.
template <auto kMember>
constexpr Setting plain(std::string_view name, std::string_view unit, std::int64_t low, std::int64_t high,
                        std::string_view meaning) {
  return {name,
          unit,
          meaning,
          low,
          high,
          [](Config& config, const Numbers& numbers) {
            auto& field = config.*kMember;
            field = static_cast<std::remove_reference_t<decltype(field)>>(numbers[0]);
          },
          [](const Config& config) { return Numbers{static_cast<std::int64_t>(config.*kMember)}; }};
}

template <auto kMember>
constexpr Setting on_off(std::string_view name, std::string_view meaning) {
  return plain<kMember>(name, "", 0, 1, meaning);
}

/// A time in the unit that Unit is.
template <auto kMember, typename Unit>
constexpr Setting time(std::string_view name, std::int64_t low, std::int64_t high, std::string_view meaning) {
  constexpr std::string_view kUnit = std::is_same_v<Unit, std::chrono::seconds>        ? "s"
                                     : std::is_same_v<Unit, std::chrono::milliseconds> ? "ms"
                                                                                       : "us";
  return {name,
          kUnit,
          meaning,
          low,
          high,
          [](Config& config, const Numbers& numbers) { config.*kMember = Unit(numbers[0]); },
          [](const Config& config) {
            return Numbers{std::chrono::duration_cast<Unit>(config.*kMember).count()};
          }};
}

template <auto... kMembers>
constexpr Setting several(std::string_view name, std::string_view unit, std::int64_t low, std::int64_t high,
                          std::string_view meaning) {
  return {
      name,
      unit,
      meaning,
      low,
      high,
      [](Config& config, const Numbers& numbers) {
        std::size_t i = 0;
        ((config.*kMembers = static_cast<std::remove_reference_t<decltype(config.*kMembers)>>(numbers[i++])),
         ...);
      },
      [](const Config& config) { return Numbers{static_cast<std::int64_t>(config.*kMembers)...}; },
      sizeof...(kMembers)};
}

/// A receive buffer holds twice the window, as SO_RCVBUF reads back.
constexpr Setting receive_buffer(std::string_view name, std::string_view meaning) {
  return {name,
          "bytes",
          meaning,
          4096,
          std::int64_t{1} << 29,
          [](Config& config, const Numbers& numbers) {
            config.receive_window_min = static_cast<std::uint32_t>(numbers[0] / 2);
            config.receive_window_initial = static_cast<std::size_t>(numbers[1] / 2);
            config.receive_window_max = static_cast<std::size_t>(numbers[2] / 2);
          },
          [](const Config& config) {
            return Numbers{2 * std::int64_t{config.receive_window_min},
                           2 * static_cast<std::int64_t>(config.receive_window_initial),
                           2 * static_cast<std::int64_t>(config.receive_window_max)};
          },
          3};
}

constexpr Setting congestion(std::string_view name, std::string_view meaning) {
  Setting setting = plain<&Config::congestion>(name, "", 0, 0, meaning);
  setting.congestion = true;
  return setting;
}

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kMillion = 1'000'000;
constexpr std::int64_t kMost31 = 0x7fffffff, kMost32 = 0xffffffff;

constexpr Setting kSettings[] = {
    congestion("congestion_control", "of sockets that do not set TCP_CONGESTION"),
    // --- features
    plain<&Config::ecn>("ecn", "", 0, 2, "0: no ECN; 1: asked for and accepted; 2: accepted"),
    plain<&Config::fast_open>("fastopen", "bits", 0, kMost31,
                              "1: client; 2: server; 4: client without cookie; 0x200: server without cookie"),
    on_off<&Config::timestamps>("timestamps", "RFC 7323 timestamps"),
    on_off<&Config::sack>("sack", "selective acknowledgments"),
    on_off<&Config::window_scaling>("window_scaling", "RFC 7323 window scaling"),
    on_off<&Config::rack>("recovery", "1: losses are found by RACK-TLP (RFC 8985); 0: by RFC 6675"),
    on_off<&Config::user_timeout_option>(
        "user_timeout_option", "RFC 5482: TCP_USER_TIMEOUT is told to the peer, and the peer's followed"),
    on_off<&Config::slow_start_after_idle>("slow_start_after_idle",
                                           "the congestion window decays while nothing is sent"),
    plain<&Config::mtu_probing>("mtu_probing", "", 0, 2,
                                "RFC 4821: 0: never; 1: when a black hole is found; 2: always"),
    plain<&Config::base_mss>("base_mss", "bytes", 48, 65495, "the MSS at which probing begins"),
    plain<&Config::mtu_probe_floor>("mtu_probe_floor", "bytes", 48, 65495,
                                    "the least MSS that black holes lead to"),
    plain<&Config::mtu_probe_threshold>("probe_threshold", "bytes", 0, 65495,
                                        "probing ends when less is in doubt"),
    time<&Config::mtu_probe_interval, seconds>("probe_interval", 1, kMillion, "... and is taken up again"),
    on_off<&Config::pacing>("pacing",
                            "a window is spread over the round trip, as by the queueing discipline fq"),
    plain<&Config::pacing_slow_start_ratio>("pacing_ss_ratio", "%", 1, 1000,
                                            "rate of pacing in slow start, of a window a round trip"),
    plain<&Config::pacing_ratio>("pacing_ca_ratio", "%", 1, 1000, "... and later"),
    plain<&Config::min_super_segments>(
        "min_tso_segs", "segments", 0, 255,
        "a super-segment has 1 ms of the rate, but so many at least; 0: all it can"),
    plain<&Config::initial_window_segments>("initcwnd", "segments", 1, 1000,
                                            "initial congestion window (in Linux of a route)"),
    // --- memory
    receive_buffer("rmem", "receive buffer, twice the window: while memory is scarce, at first, at most"),
    several<&Config::send_buffer_min, &Config::send_buffer, &Config::send_buffer_max>(
        "wmem", "bytes", 2048, kMost31, "send buffer: while memory is scarce, at first, at most"),
    plain<&Config::not_sent_low_water>(
        "notsent_lowat", "bytes", 0, kMost32,
        "writable while less is unsent, where TCP_NOTSENT_LOWAT is not set; 0: no limit"),
    plain<&Config::max_connections>("max_connections", "", 1, std::int64_t{1} << 22, "connections at most"),
    plain<&Config::max_time_wait>("max_tw_buckets", "", 0, std::int64_t{1} << 22,
                                  "TIME-WAIT entries at most"),
    // --- listening
    plain<&Config::max_backlog>("somaxconn", "", 1, 65535, "backlog of a listener at most (net.core)"),
    plain<&Config::max_syn_backlog>("max_syn_backlog", "", 1, kMillion,
                                    "half-open connections of a listener"),
    plain<&Config::syn_cookies>("syncookies", "", 0, 2, "0: never; 1: when the SYN queue is full; 2: always"),
    plain<&Config::syn_cookie_rate>(
        "syncookie_rate", "SYNs/s", 0, 1'000'000'000,
        "new SYNs that get a cookie; beyond it a SYN is answered when it comes again; 0: all do"),
    plain<&Config::syn_ack_retries>("synack_retries", "", 0, 127, "SYN-ACKs sent again"),
    on_off<&Config::abort_on_overflow>("abort_on_overflow", "a full accept queue resets the peer"),
    // --- connecting
    plain<&Config::syn_retries>("syn_retries", "", 1, 127, "SYNs sent again, where TCP_SYNCNT is not set"),
    several<&Config::ephemeral_first, &Config::ephemeral_last>("ip_local_port_range", "", 1, 65535,
                                                               "ports that the stack chooses from"),
    plain<&Config::time_wait_reuse>(
        "tw_reuse", "", 0, 2,
        "a connection may take over one in TIME-WAIT: 0: no; 1: yes; 2: on the loopback"),
    // --- timers
    time<&Config::rto_min, microseconds>("rto_min_us", 1000, kMillion, "least retransmission timeout"),
    time<&Config::rto_max, milliseconds>("rto_max_ms", 1000, 120'000, "largest retransmission timeout"),
    plain<&Config::black_hole_timeouts>("retries1", "", 1, 255,
                                        "timeouts of a segment before a black hole is suspected"),
    plain<&Config::retries>("retries2", "", 1, 255,
                            "timeouts of a segment before the connection is given up"),
    plain<&Config::orphan_retries>("orphan_retries", "", 1, 255, "... of a connection that was closed"),
    time<&Config::fin_wait_2, seconds>("fin_timeout", 1, 86'400,
                                       "FIN-WAIT-2 of a connection that was closed"),
    time<&Config::time_wait, seconds>("time_wait", 1, 86'400, "TIME-WAIT (in Linux 60, always)"),
    time<&Config::keepalive_idle, seconds>("keepalive_time", 1, kMillion,
                                           "silence before keepalives, with SO_KEEPALIVE"),
    time<&Config::keepalive_interval, seconds>("keepalive_intvl", 1, kMillion, "between keepalives"),
    plain<&Config::keepalive_count>("keepalive_probes", "", 1, 127,
                                    "keepalives before the connection is given up"),
    time<&Config::dormant_after, seconds>("dormant_after", 0, 86'400,
                                          "silence after which a connection keeps little memory; 0: never"),
    time<&Config::delayed_ack, milliseconds>("delayed_ack", 1, 499,
                                             "how long an ACK waits for data (in Linux 40 to 200)"),
    plain<&Config::quick_acks>("quick_acks", "", 0, 255,
                               "ACKs not delayed at the start of a connection (in Linux 16 at most)"),
    // --- defence
    on_off<&Config::time_wait_ignores_reset>("rfc1337", "a RST does not end TIME-WAIT"),
    plain<&Config::challenge_acks_per_second>("challenge_ack_limit", "a second", 1, kMost31,
                                              "challenge ACKs (RFC 5961)"),
    time<&Config::duplicate_ack_interval, milliseconds>("invalid_ratelimit", 0, 60'000,
                                                        "between answers to segments out of window"),
};

}  // namespace

std::span<const Setting> settings() {
  return kSettings;
}

}  // namespace millrace::tcp
