#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/seq.h"
#include "base/time.h"
#include "tcp/essence.h"
#include "tcp/ooo_queue.h"
#include "tcp/receive_queue.h"
#include "tcp/segment.h"

namespace millrace::tcp {

class Tcp;
struct Config;

/// The receive half: what came, what is promised to the peer, and when to acknowledge.
///
///        queue           out of order
///     [=========)......[====)....[==)..........|
///     ^ read    ^rcv_nxt                       ^ right edge advertised (rcv_nxt + RCV.WND)
///
/// The right edge never moves left (RFC 9293 §3.8.6). The window is drawn from the context's budget before it
/// is advertised, and grows while the peer fills it and the reader keeps up. The storage that payload holds
/// is bounded as well, by twice the buffer, however small the segments are that it came in: beyond that it is
/// copied together, and then what came out of order is dropped from its far end.
class Receiver {
 public:
  /// Scale of every window we advertise: the smallest that lets the largest window be told, but for 7 at
  /// least, which is good for 8 MiB.
  [[nodiscard]] static std::uint8_t window_scale(const Config& config);

  explicit Receiver(Tcp& tcp) : tcp_(tcp) {}
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;
  ~Receiver();

  /// The window to offer in a SYN or SYN-ACK.
  [[nodiscard]] static std::uint32_t initial_window(const Tcp& tcp, std::uint32_t fixed_size);
  /// `window` was offered in our SYN; `scaled`: window scaling is in force.
  void start(SeqNum irs, std::uint32_t window, bool scaled, std::uint32_t fixed_size);
  /// Unset: something is queued, or owed to the peer.
  [[nodiscard]] std::optional<ReceiverEssence> essence() const;
  /// Of a new one: goes on from there, with the promise that let_go() left.
  void resume(const ReceiverEssence& essence, std::uint32_t fixed_size, bool sack);
  /// Somebody else keeps the promise from now on: what is left here gives nothing back.
  void let_go() { limit_ = 0; }
  /// SO_RCVBUF on a live connection.
  void set_fixed_size(std::uint32_t bytes);

  // --- from the network
  struct Outcome {
    bool readable = false;  ///< bytes joined the queue
    bool fin = false;       ///< the peer's FIN is now in order
  };
  /// Most segments touch what lies from here on (see Lookahead).
  [[nodiscard]] const void* often_touched_begin() const { return &rcv_nxt_; }
  /// An acceptable segment's payload and FIN (RFC 9293 §3.10.7.4, seventh and eighth).
  Outcome on_data(Segment& segment, Instant now);
  /// RCV.WND: what the peer may send from rcv_nxt on, as last advertised.
  [[nodiscard]] std::uint32_t window() const { return SeqNum::distance(rcv_nxt_, right_edge_); }
  [[nodiscard]] SeqNum rcv_nxt() const { return rcv_nxt_; }
  /// By which what we advertise is shifted; 0 when scaling is not in force.
  [[nodiscard]] std::uint8_t scale() const { return scale_; }

  /// A segment's text came again (RFC 2883): each is told once, in an ACK of its own where they do not touch.
  void note_duplicate(SeqNum left, SeqNum right);
  /// SACK is in force.
  void use_sack() { sack_ = true; }

  // --- to the network
  /// Blocks for the SACK option of the next segment: a duplicate first, then what came out of order, the
  /// latest first. on_ack_sent() takes them as told.
  [[nodiscard]] std::uint8_t sack_blocks(std::span<wire::SackBlock> out, bool with_duplicate) const;
  [[nodiscard]] std::size_t sack_block_count() const {
    return out_of_order_.range_count() + (duplicate_count_ != 0 ? 1 : 0);
  }
  /// Chooses the window for a segment that is about to go out, and takes it as advertised: 16 bits, scaled.
  [[nodiscard]] std::uint16_t advertise();
  /// A segment with our ACK went out. `duplicate_told`: as a super-segment it would have told of the
  /// duplicate in every piece, and RFC 2883 §4 has it told once; then an ACK of its own does.
  void on_ack_sent(bool duplicate_told);
  [[nodiscard]] bool ack_now() const { return ack_now_; }
  void request_ack() { ack_now_ = true; }
  /// kNever: no delayed ACK is pending.
  [[nodiscard]] Instant delayed_ack_deadline() const { return delayed_ack_; }
  void on_delayed_ack_timer();
  /// Something was answered within the time for which an ACK is delayed: the flow is interactive, and its
  /// ACKs can ride on the answers.
  void on_answer_sent() { quick_acks_ = 0; }
  void set_quick_ack(bool on) { quick_acks_ = on ? kQuickAcks : 0; }
  /// Bytes in order that no ACK covers yet.
  [[nodiscard]] std::uint32_t unacknowledged() const { return unacknowledged_; }
  [[nodiscard]] SeqNum last_ack_sent() const { return last_ack_sent_; }
  [[nodiscard]] const OutOfOrderQueue& out_of_order() const { return out_of_order_; }
  /// That came so far.
  [[nodiscard]] std::uint32_t out_of_order_segments() const { return out_of_order_segments_; }
  [[nodiscard]] std::uint32_t receive_mss() const { return receive_mss_; }

  // --- from the application
  [[nodiscard]] ReceiveQueue& queue() { return queue_; }
  [[nodiscard]] const ReceiveQueue& queue() const { return queue_; }
  /// After bytes were taken from the queue: may grow the window; true when it opened enough to tell the peer.
  [[nodiscard]] bool on_read();
  [[nodiscard]] std::uint32_t limit() const { return limit_; }
  /// The connection is over: gives back the promise and what waited out of order. What is in order can still
  /// be read.
  void stop();

 private:
  static constexpr std::uint8_t kQuickAcks = 16;  ///< that TCP_QUICKACK asks for

  [[nodiscard]] std::uint32_t free_space() const {
    return limit_ > queue_.bytes() ? limit_ - queue_.bytes() : 0;
  }
  /// The right edge that silly-window avoidance allows now.
  [[nodiscard]] SeqNum next_right_edge() const;
  /// Notes how much arrives in a round trip, from which the window's size follows (dynamic right-sizing).
  void measure(std::uint32_t delivered, Instant now);
  void grow();
  void set_limit(std::uint32_t bytes);
  bool store_out_of_order(Segment& segment);
  /// Storage that payload holds, and how much it may.
  [[nodiscard]] std::size_t storage() const { return queue_.storage() + out_of_order_.storage(); }
  [[nodiscard]] std::size_t storage_limit() const;
  /// For `wanted` more bytes of storage, of payload at seq: copies together, and drops what came out of order
  /// behind seq, as far as that is needed. False: it is not enough.
  bool make_room(std::size_t wanted, SeqNum seq);
  inline void deliver(PacketPtr&& payload);
  /// What waited for the hole that was filled.
  void deliver_ready();

  // For what is lost or comes twice; then what every segment touches.
  static constexpr std::size_t kDuplicates = 8;
  std::array<wire::SackBlock, kDuplicates> duplicates_;  ///< not told yet, the oldest first
  std::uint32_t out_of_order_segments_ = 0;
  OutOfOrderQueue out_of_order_;

  Tcp& tcp_;
  SeqNum rcv_nxt_, right_edge_, last_ack_sent_;
  std::uint32_t limit_ = 0;
  std::uint32_t fixed_size_ = 0;
  std::uint32_t receive_mss_ = 536;
  std::uint32_t unacknowledged_ = 0;  ///< bytes in order since the last ACK went out
  std::uint8_t scale_ = 0;
  std::uint8_t quick_acks_ = 0;
  bool ack_now_ = false;
  bool window_was_used_ = false;  ///< the peer filled more than half of the window
  // Dynamic right-sizing:
  SeqNum round_edge_;  ///< what the window allowed when the round began
  Instant round_start_{}, space_start_{};
  Duration round_trip_ = Duration::max();      ///< the shortest round: no shorter than the round trip
  std::uint32_t space_bytes_ = 0, space_ = 0;  ///< in order since space_start_; the most in a round trip
  std::uint32_t wanted_ = 0;                   ///< window
  std::uint8_t duplicate_count_ = 0;
  bool sack_ = false;
  std::optional<SeqNum> fin_;  ///< where the peer's FIN is, once seen
  Instant delayed_ack_ = kNever;
  ReceiveQueue queue_;
};

}  // namespace millrace::tcp
