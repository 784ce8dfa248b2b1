#pragma once

#include <gtest/gtest.h>

#include "support/tcp_script.h"
#include "tcp/congestion_list.h"
#include "tcp/counters.h"

namespace millrace::test {

// What the tests of loss recovery have in common: segments of 1000 bytes, a round trip of 20 ms, and Reno,
// whose window can be told by heart.

inline constexpr std::uint32_t kMss = 1000;
inline constexpr Duration kRoundTrip = 20ms;

/// A SYN that offers SACK, and one that offers timestamps too.
[[nodiscard]] inline Seg sack_syn() {
  return syn().mss(kMss).sack_ok();
}
[[nodiscard]] inline Seg stamped_syn() {
  return syn().mss(kMss + 12).sack_ok().with_ts();
}

[[nodiscard]] inline DeviceCaps super_segments() {
  DeviceCaps caps;
  caps.tx_checksum = caps.rx_checksum = caps.tso = caps.scatter = true;
  caps.max_gso_bytes = 65'535;
  return caps;
}

inline void establish_far(TcpScript& t, const Seg& first) {
  t.listen();
  t.inject(first);
  ASSERT_EQ(t.take_sent().size(), 1u);
  t.after(kRoundTrip).inject(ack(1));
  ASSERT_TRUE(t.accept());
  t.set_option(SocketOption::kCongestion, static_cast<std::int64_t>(*tcp::find_congestion("reno")));
}

/// ... and the bytes [1, 10001) of 100 kB in flight, for a round trip.
inline void fill_far_window(TcpScript& t, const Seg& first) {
  establish_far(t, first);
  t.write(100'000);
  t.expect_stream(1, 10'001);
  t.expect_nothing();
  t.after(kRoundTrip);
}

inline constexpr Duration kTimeout = 220ms;  // SRTT + 200 ms

/// All of the window's ACKs are late, and the timer expires. `probed`: after a tail loss probe.
inline void expire(TcpScript& t) {
  t.after(kTimeout);
  for (int i = 0; i < 3 && t.count(tcp::Counter::kTimeouts) == 0; ++i) t.after(kTimeout / 2);
  ASSERT_EQ(t.count(tcp::Counter::kTimeouts), 1u);
  const auto sent = t.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.back().at, 1u);
  EXPECT_EQ(t.info().snd_cwnd, 1u);
}

inline void establish_and_send(TcpScript& t, const Seg& first, std::uint32_t bytes) {
  establish_far(t, first);
  t.write(bytes);
  t.expect_stream(1, bytes + 1);
}

/// What was sent, in this order: nothing else.
inline void expect_starts(TcpScript& t, const std::vector<std::uint32_t>& starts,
                          const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  std::vector<std::uint32_t> sent;
  for (const Seg& one : t.take_sent()) sent.push_back(*one.at);
  const testing::ScopedTrace trace(file, line, "sent at");
  EXPECT_EQ(sent, starts);
}

}  // namespace millrace::test
