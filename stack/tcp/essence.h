#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/seq.h"
#include "base/time.h"
#include "tcp/congestion.h"
#include "tcp/live_table.h"

namespace millrace::tcp {

/// What it takes to go on with a connection on which nothing has happened for long: nothing is queued, in
/// flight, out of order or owed to the peer, and no timer runs but the keepalive's. The rest of what a
/// connection knows is either told by this, or is learned anew.
struct SenderEssence {
  std::uint64_t last_rate = 0;
  std::uint64_t retransmitted_bytes = 0;
  Instant last_sent{};
  SeqNum snd_nxt, snd_wl1, snd_wl2;
  std::uint32_t snd_wnd = 0, max_window = 0;
  std::uint32_t srtt = 0, rttvar = 0, min_rtt = 0;  ///< nanoseconds; srtt 0: none was measured
  RestingWindow window;
  std::uint32_t retransmitted = 0, reorderings = 0, duplicates_reported = 0;
  std::uint32_t reordering = 0;  ///< bytes; 0: none was seen
  std::uint16_t mss = 0;
  std::uint8_t snd_scale : 4 = 0, backoff : 4 = 0;
  bool dsack_seen : 1 = false;
  bool ecn : 1 = false;
  bool send_cwr : 1 = false;
  bool tail_probed : 1 = false;
  bool syn_was_lost : 1 = false;
  bool last_rate_app_limited : 1 = false;
};

struct ReceiverEssence {
  SeqNum rcv_nxt, right_edge;
  std::uint32_t limit = 0;
  std::uint32_t wanted = 0;
  std::uint32_t out_of_order_segments = 0;
  std::uint16_t receive_mss = 0;
  std::uint8_t scale = 0;
  std::uint8_t quick_acks = 0;
};

struct ConnectionEssence {
  SenderEssence sender;
  LiveEntry* live = nullptr;  ///< which it keeps
  std::uint64_t bytes_received = 0, bytes_acked = 0, bytes_sent = 0;
  Instant last_received{};
  Instant ts_recent_at{};
  ReceiverEssence receiver;
  std::uint32_t ts_recent = 0;
  std::uint32_t segments_in = 0, segments_out = 0, data_segments_in = 0, data_segments_out = 0;
  std::uint32_t send_buffer = 0;          ///< bytes
  std::uint32_t since_data_received = 0;  ///< when last_received was, in milliseconds
  std::uint16_t peer_mss = 0;
  std::uint8_t keepalive_probes = 0;
  Error soft_error = Error::kNone;
  bool timestamps : 1 = false;
  bool sack : 1 = false;
  bool ecn : 1 = false;
  bool congestion_experienced : 1 = false;
  bool syn_data_acknowledged : 1 = false;
};

}  // namespace millrace::tcp
