#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/seq.h"
#include "base/time.h"
#include "tcp/congestion.h"
#include "tcp/delivery_rate.h"
#include "tcp/essence.h"
#include "tcp/mtu_probe.h"
#include "tcp/pacer.h"
#include "tcp/prr.h"
#include "tcp/rack.h"
#include "tcp/rtt.h"
#include "tcp/scoreboard.h"
#include "tcp/segment.h"
#include "tcp/send_queue.h"
#include "tcp/undo.h"

namespace millrace::tcp {

class Connection;
class Tcp;
enum class Counter : std::uint8_t;

/// The send half: the queue, the send window, loss recovery and its timers.
///
///      queue
///     [=============================|...........)
///     ^snd_una                      ^snd_nxt     ^data_end (then perhaps a FIN)
///      `-------- scoreboard -------'
///
/// With SACK, losses are found by RACK-TLP (RFC 8985), or by RFC 6675 where that is configured; without, by
/// duplicate ACKs (RFC 6582). Whichever finds them marks them on the scoreboard; what is sent again, and
/// when, is the same for all: the lost first, as far as the congestion window has room beside what is in
/// flight.
///
///     Open ──loss──> Recovery ──snd_una reaches recover──> Open     PRR (RFC 9937) towards ssthresh
///     Open ──ECE───> Cwr ───────────── " ────────────────> Open     PRR, nothing is sent again (RFC 3168)
///     any ──RTO────> Loss ──────────── " ────────────────> Open     slow start (RFC 5681)
///     any ──all of that was for nothing──> Open                     undo (RFC 4015, RFC 5682, RFC 2883)
class Sender {
 public:
  enum class Phase : std::uint8_t { kOpen, kCwr, kRecovery, kLoss };

  Sender(Tcp& tcp, Connection& connection);

  // --- handshake
  void start(SeqNum iss);
  void on_syn_sent(Instant now);
  /// Our SYN is acknowledged: data may flow from now on.
  void establish(std::uint32_t snd_wnd, SeqNum wl1, SeqNum wl2, std::uint8_t snd_scale, std::uint32_t mss,
                 bool syn_retransmitted, Instant now);
  /// Data went out since establish() although the handshake was not through (RFC 7413); now it is. `rtt`: of
  /// our SYN-ACK, when it was sent once; negative else. The ACK that says so is passed to process_ack() next.
  void conclude_handshake(Duration rtt, Instant now);
  /// The peer answers to CE marks (RFC 3168 §6.1.1).
  void use_ecn() { ecn_ = true; }

  /// Unset: something is under way, or there is more to know than this.
  [[nodiscard]] std::optional<SenderEssence> essence() const;
  /// Of a new one: goes on from there.
  void resume(const SenderEssence& essence);

  // --- from the application
  /// As SendQueue::append().
  [[nodiscard]] std::size_t append(std::span<const ConstIoSlice> data, std::size_t skip, std::size_t most,
                                   MemoryLender* lender = nullptr) {
    return queue_.append(data, skip, most, lender);
  }
  /// As SendQueue::append_only().
  [[nodiscard]] bool append_only(ConstIoSlice data) { return queue_.append_only(data); }
  void queue_fin() { fin_queued_ = true; }
  void set_urgent() {
    snd_up_ = data_end();
    urgent_ = true;
  }
  /// What is held back for more to come may go.
  void release_partial() { hold_partial_ = false; }
  /// After each write. `hold`: more is to come (MSG_MORE); else PSH marks what ends here.
  void hold_partial(bool hold) {
    hold_partial_ = hold;
    if (!hold) push_end_ = data_end();
  }
  /// The connection's options name another congestion control: it begins as at the start.
  void change_congestion();

  // --- from the network
  /// An ACK with snd_una - max.window <= SEG.ACK <= snd_nxt. Returns true when snd_una advanced.
  bool process_ack(const Segment& segment, Instant now);
  void on_mss_change(std::uint32_t mss, bool resend, Instant now);
  /// The bytes of the path MTU probe, which is lost, go out again with the next transmit(), in ordinary
  /// pieces; the window stays what it is.
  void resend_mtu_probe();

  /// An ACK will come (see Lookahead): most touch what lies before here; what that points to; and so on.
  [[nodiscard]] const void* often_touched_end() const { return &iss_; }
  void prefetch_parts() const {
    prefetch(congestion_.get(), kCongestionBytes);
    if (const SentSegment* head = board_.head()) prefetch(head, sizeof *head);
    queue_.prefetch_front();
  }
  void prefetch_payload() const { queue_.prefetch_payload(); }

  // --- to the network
  void transmit(Instant now) {
    if (congestion_ == nullptr) return;
    if (not_sent() == 0 && board_.lost() == 0 && !fin_due()) {
      if (in_flight() < window()) rate_.mark_app_limited(in_flight());
    } else {
      transmit_waiting(now);
    }
  }
  /// A deadline has come: of the retransmission, tail loss, reordering, pacing or persist timer. False: the
  /// peer is to be given up.
  [[nodiscard]] bool on_timer(Instant now);
  /// kNever: none runs.
  [[nodiscard]] Instant timer_deadline() const { return std::min({timer_, reordering_at_, release_at_}); }
  /// An empty segment that the peer must answer (RFC 9293 §3.8.4: SEG.SEQ = SND.UNA - 1).
  void send_probe(Instant now);
  void stop();

  [[nodiscard]] SeqNum iss() const { return iss_; }
  [[nodiscard]] SeqNum snd_una() const { return snd_una_; }
  [[nodiscard]] SeqNum snd_nxt() const { return snd_nxt_; }
  /// SEG.SEQ of a segment without text: snd_nxt, or the right edge where the peer has taken back window that
  /// was used (RFC 9293 §3.8.6), as it would not look at the ACK otherwise. What its scale rounds off does
  /// not count; but a closed window is none: a peer whose memory is full takes nothing behind it, and when
  /// both ends are that full, each waits for the other's ACK.
  [[nodiscard]] SeqNum acceptable_seq() const {
    if (snd_wnd_ == 0) return snd_una_;
    const SeqNum edge = snd_una_ + snd_wnd_;
    return snd_nxt_ <= edge || SeqNum::distance(edge, snd_nxt_) < (1u << snd_scale_) ? snd_nxt_ : edge;
  }
  [[nodiscard]] std::uint32_t snd_wnd() const { return snd_wnd_; }
  [[nodiscard]] std::uint32_t max_window() const { return max_window_; }
  /// The pipe of RFC 6675: sent, and for all we know neither arrived nor lost.
  [[nodiscard]] std::uint32_t in_flight() const {
    return board_.in_flight() > left_by_duplicates_ ? board_.in_flight() - left_by_duplicates_ : 0;
  }
  [[nodiscard]] std::uint32_t outstanding() const { return SeqNum::distance(snd_una_, snd_nxt_); }
  [[nodiscard]] bool fin_queued() const { return fin_queued_; }
  [[nodiscard]] bool fin_acknowledged() const { return fin_queued_ && snd_una_ > data_end(); }
  [[nodiscard]] bool everything_acknowledged() const {
    return queue_.empty() && (!fin_queued_ || fin_acknowledged());
  }
  [[nodiscard]] SendQueue& queue() { return queue_; }
  [[nodiscard]] const SendQueue& queue() const { return queue_; }
  [[nodiscard]] std::uint32_t not_sent() const {
    return data_end() > snd_nxt_ ? SeqNum::distance(snd_nxt_, data_end()) : 0;
  }
  [[nodiscard]] const RttEstimator& rtt() const { return rtt_; }
  /// What the path itself holds at the present rate, without what waits in queues. Precondition: a round trip
  /// was measured.
  [[nodiscard]] std::uint64_t bytes_on_path() const {
    const auto shortest = static_cast<std::uint64_t>(rtt_.min_rtt().count());
    return std::uint64_t{max_flight_} * shortest / static_cast<std::uint64_t>(rtt_.srtt().count());
  }
  [[nodiscard]] RttEstimator& rtt() { return rtt_; }
  [[nodiscard]] const CongestionControl* congestion() const { return congestion_.get(); }
  [[nodiscard]] const Scoreboard& board() const { return board_; }
  [[nodiscard]] const Rack& rack() const { return rack_; }
  /// The latest valid measurement, in bytes/s.
  [[nodiscard]] std::uint64_t last_rate() const { return last_rate_; }
  [[nodiscard]] bool last_rate_app_limited() const { return last_rate_app_limited_; }
  [[nodiscard]] Phase phase() const { return phase_; }
  /// What may be in flight now.
  [[nodiscard]] std::uint32_t window() const {
    return recovering() && !congestion_->governs_recovery() ? prr_.cwnd() : congestion_->cwnd();
  }
  /// No segment more fits into it.
  [[nodiscard]] bool fills_window() const { return in_flight() + mss_ > window(); }
  /// Bytes/s; 0: not paced.
  [[nodiscard]] std::uint64_t pacing_rate() const;
  /// How often the timeout is doubled.
  [[nodiscard]] unsigned backoff() const { return backoff_; }
  /// Expiries since the last progress.
  [[nodiscard]] unsigned timeouts() const { return timeouts_; }
  [[nodiscard]] unsigned probes() const { return probes_; }
  /// The timer runs for a closed window or a piece held back, not for loss.
  [[nodiscard]] bool probing() const { return timer_ != kNever && timer_kind_ == TimerKind::kPersist; }
  [[nodiscard]] std::uint32_t retransmitted_segments() const { return retransmitted_; }
  [[nodiscard]] std::uint64_t retransmitted_bytes() const { return retransmitted_bytes_; }
  /// ACKs that showed that something was overtaken; segments that came twice (RFC 2883).
  [[nodiscard]] std::uint32_t reorderings() const { return reorderings_; }
  [[nodiscard]] std::uint32_t duplicates_reported() const { return duplicates_reported_; }
  [[nodiscard]] Instant last_sent() const { return last_sent_; }
  [[nodiscard]] std::uint8_t scale() const { return snd_scale_; }
  [[nodiscard]] std::uint32_t mss() const { return mss_; }
  [[nodiscard]] const MtuProbe& mtu_probe() const { return mtu_probe_; }
  [[nodiscard]] MtuProbe& mtu_probe() { return mtu_probe_; }

 private:
  enum class TimerKind : std::uint8_t {
    kRetransmit,
    kTailProbe,  ///< RFC 8985 §7
    kPersist,    ///< a closed window, or a piece held back
  };
  /// RFC 5682: after a timeout, until it is known to be spurious or not.
  enum class ForwardRto : std::uint8_t {
    kOff,
    kFirstAck,   ///< nothing but the head was sent again yet
    kSecondAck,  ///< without SACK: nor after the first ACK; two new segments went instead
  };
  /// What the ACK in hand told.
  struct Ack {
    Instant now;
    std::uint32_t prior_in_flight = 0;
    std::uint32_t acked = 0, delivered = 0, lost = 0;
    std::uint32_t probe_lost = 0;  ///< of `lost`: of the path MTU probe
    bool advanced = false;
    bool duplicate = false;      ///< as RFC 5681 §2 defines it
    bool original = false;       ///< it delivers something from before `recover` that was sent once only
    bool echo_is_early = false;  ///< its timestamp answers to what was sent before the first retransmission
    bool retransmitted = false;  ///< ... and something that was sent again
    bool repeated = false;       ///< ... that had arrived before: it answers to the copy, with an old echo
    bool reordered = false;      ///< it tells of something that was overtaken
    bool dsack = false;
    SeqNum dsack_end;
    Duration oldest_rtt{-1}, newest_rtt{-1};  ///< of what was sent once only
    AckedDeliveries deliveries;
  };

  static constexpr std::size_t kCongestionBytes = 192;  ///< of a congestion control, that most ACKs touch

  [[nodiscard]] SeqNum data_end() const { return queue_front_ + queue_.bytes(); }
  [[nodiscard]] bool recovering() const { return phase_ == Phase::kRecovery || phase_ == Phase::kCwr; }
  [[nodiscard]] std::uint64_t position(SeqNum seq) const;
  /// As the connection's options name it.
  void make_congestion(unsigned initial_window_segments);

  // sender.cc: what to send
  [[nodiscard]] bool partial_allowed() const;
  [[nodiscard]] std::uint32_t choose_length(std::uint32_t unsent, std::uint32_t room, std::uint32_t mss,
                                            std::uint32_t most) const;
  [[nodiscard]] std::uint32_t window_room() const {
    return snd_wnd_ > outstanding() ? snd_wnd_ - outstanding() : 0;
  }
  /// As Linux's pacing rate: by default twice so much a round trip in slow start, 1.2 times it later.
  /// Precondition: a round trip was measured.
  [[nodiscard]] std::uint64_t rate_of(std::uint32_t bytes_a_round_trip) const;
  [[nodiscard]] std::uint32_t super_segment_payload(std::uint32_t mss) const;
  [[nodiscard]] std::uint32_t sized_by_rate(std::uint32_t most, std::uint32_t mss) const;
  void note_flight();
  [[nodiscard]] bool window_was_used() const;
  [[nodiscard]] bool device_is_full(Instant now);
  /// True, so that it can be said at once.
  [[nodiscard]] bool wait_for_device(std::uint32_t left, Counter why);
  /// Or may be: device_room() has to be asked.
  [[nodiscard]] bool device_is_slow() const;
  [[nodiscard]] std::uint32_t device_limit(std::uint32_t mss, std::uint32_t most) const;
  /// How much of `length` may join what waits in the interface; 0: the connection waits for that to go out.
  [[nodiscard]] std::uint32_t device_room(std::uint32_t length, std::uint32_t mss, std::uint32_t most,
                                          Instant now);
  [[nodiscard]] bool paced_out(std::uint32_t wanted, Instant now);
  /// Our FIN is, and was not sent, or is to be sent again.
  [[nodiscard]] bool fin_due() const { return fin_queued_ && snd_nxt_ <= data_end(); }
  /// transmit(), when there is something to send.
  void transmit_waiting(Instant now);
  [[nodiscard]] bool transmit_short(std::uint32_t mss, Instant now);
  inline void end_transmission(bool waiting, Instant now);
  void transmit_lost(std::uint32_t mss, std::uint32_t most, Instant now);
  void transmit_new(std::uint32_t mss, std::uint32_t most, Instant now);
  [[nodiscard]] inline PacketPtr fill_packet(SeqNum seq, std::uint32_t& length, std::uint32_t mss);
  /// Sends [snd_nxt, snd_nxt + length) and perhaps the FIN; false for want of memory, or of room in the
  /// device.
  [[nodiscard]] bool send_new(std::uint32_t length, bool fin, std::uint32_t mss, Instant now);
  /// Sends the first `most` bytes of it again.
  [[nodiscard]] bool send_again(SentSegment& segment, std::uint32_t most, std::uint32_t mss, Instant now);
  /// `again`: it, or a part of it, was sent before.
  inline void emit(SeqNum seq, std::uint32_t length, bool fin, bool again, std::uint32_t mss,
                   PacketPtr&& packet, Instant now);

  // sender_ack.cc: what an ACK tells
  bool update_window(const Segment& segment);
  [[nodiscard]] bool process_plain_ack(const Segment& segment, Instant now);
  void take_sack_blocks(const Segment& segment, Ack& ack);
  [[nodiscard]] bool take_dsack(const Segment& segment, Ack& ack);
  void arrived(const SentSegment& segment, std::uint32_t bytes, const Segment& by, Ack& ack);
  void take_rtt_sample(const Segment& segment, const Ack& ack);
  void take_late_report(const Segment& segment, bool window_changed, Instant now);
  void advance(const Segment& segment, Ack& ack);
  void count_duplicate(Ack& ack);
  void tell_congestion(const Segment& segment, const Ack& ack, bool in_recovery);
  void note_rate(const RateSample& sample) {
    if (!sample.valid) return;
    last_rate_ = sample.bytes_per_second;
    last_rate_app_limited_ = sample.app_limited;
  }

  // sender_recovery.cc: what follows from it
  void find_losses(Ack& ack);
  void find_losses_by_sacked_bytes(Ack& ack);
  void mark_lost(SentSegment& segment, Ack& ack);
  void tell_lost(const SentSegment& segment, Instant now);
  void mark_head_lost(Ack& ack);
  [[nodiscard]] std::uint32_t duplicate_threshold() const;
  void change_phase(Ack& ack, bool ece);
  /// True: the timeout was spurious, and is undone.
  [[nodiscard]] bool detect_spurious_timeout(const Ack& ack);
  [[nodiscard]] bool is_spurious_timeout(const Ack& ack);
  void enter_recovery(Ack& ack);
  void enter_cwr(const Ack& ack);
  void leave_recovery(Instant now);
  void check_tail_probe(const Segment& segment, const Ack& ack);
  [[nodiscard]] bool try_undo(const Ack& ack);
  void undo(Instant now);
  [[nodiscard]] LossSample loss_sample(Instant now) const;

  // sender_mtu.cc: path MTU discovery by probes (RFC 4821)
  /// Sends a probe when one is due. False: it waits for the room it needs.
  [[nodiscard]] bool probe_mtu(std::uint32_t mss, Instant now);
  void on_mtu_probe_delivered(Instant now);
  /// True: the probe alone was lost, and that is no sign of congestion.
  [[nodiscard]] bool take_mtu_probe_loss(Ack& ack);
  void settle_mtu(Instant now);
  void suspect_black_hole(Instant now);

  // sender_timer.cc
  [[nodiscard]] bool may_probe_tail() const;
  void arm(Instant now);
  void arm_retransmission(Instant now);
  void arm_tail_probe(Instant now);
  void disarm() { timer_ = kNever; }
  void on_timeout(Instant now);
  void on_tail_timer(Instant now);
  void on_reordering_timer(Instant now);
  [[nodiscard]] bool on_persist_timer(unsigned limit, Instant now);

  // What every segment touches comes first, so that it takes few cache lines.
  Tcp& tcp_;
  Connection& connection_;
  SeqNum snd_una_, snd_nxt_, snd_wl1_, snd_wl2_;
  SeqNum queue_front_;  ///< sequence number of the queue's first byte
  SeqNum snd_sml_;      ///< end of the last segment smaller than the MSS (Minshall's variant of Nagle)
  SeqNum push_end_;     ///< end of the last write that did not say MSG_MORE
  SeqNum recover_;      ///< what was outstanding when the phase began ends here (RFC 6582, RecoveryPoint)
  SeqNum rtt_round_end_, max_flight_end_;
  std::uint32_t snd_wnd_ = 0, max_window_ = 0, mss_ = 536;
  std::uint32_t max_flight_ =
      0;  ///< the most in flight since max_flight_end_ was set, a round trip ago at most
  std::uint32_t left_by_duplicates_ = 0;  ///< bytes that duplicate ACKs without SACK say have arrived
  std::uint64_t una_position_ = 0;        ///< of snd_una in the stream
  Phase phase_ = Phase::kOpen;
  TimerKind timer_kind_ = TimerKind::kRetransmit;
  std::uint8_t snd_scale_ = 0;
  std::uint8_t duplicate_acks_ = 0;
  std::uint8_t backoff_ = 0;
  std::uint8_t timeouts_ = 0;
  std::uint8_t probes_ = 0;
  bool fin_queued_ = false;
  bool urgent_ = false;
  bool hold_partial_ = false;
  bool cwnd_limited_ = false;
  bool throttled_ = false;             ///< so much waited for the device that what followed had to
  bool force_retransmission_ = false;  ///< the first of a recovery goes whatever the window says
  bool tail_probed_ = false;           ///< TLP.end_seq is set
  bool tail_was_retransmission_ = false;
  ForwardRto forward_rto_ = ForwardRto::kOff;
  bool dsack_seen_ = false;  ///< the peer knows DSACK
  bool ecn_ = false;
  bool send_cwr_ = false;
  bool syn_timed_ = false;
  bool ends_handshake_ = false;  ///< the next ACK acknowledges our SYN, and is no duplicate for that
  Instant timer_ = kNever, retransmit_at_ = kNever;  ///< the latter also while a probe comes first
  Instant reordering_at_ = kNever, release_at_ = kNever;
  Instant last_sent_{}, unanswered_since_ = kNever;
  RttEstimator rtt_;
  DeliveryRate rate_;
  std::uint64_t last_rate_ = 0;
  bool last_rate_app_limited_ = false;
  Pacer pacer_;
  std::unique_ptr<CongestionControl> congestion_;
  SendQueue queue_;
  Scoreboard board_;
  Rack rack_;
  Undo undo_;
  MtuProbe mtu_probe_;

  // The handshake's, and what is lost.
  SeqNum iss_;
  SeqNum snd_up_;    ///< one past the last urgent byte
  SeqNum tail_end_;  ///< TLP.end_seq
  std::uint32_t retransmitted_ = 0;
  std::uint32_t reorderings_ = 0, duplicates_reported_ = 0;
  std::uint64_t retransmitted_bytes_ = 0;
  Instant syn_sent_at_{};
  Prr prr_;
};

}  // namespace millrace::tcp
