#pragma once

#include <cstdint>
#include <memory>

#include "base/seq.h"
#include "base/time.h"
#include "tcp/congestion.h"
#include "tcp/rtt.h"
#include "tcp/segment.h"
#include "tcp/send_queue.h"

namespace millrace::tcp {

class Connection;
class Tcp;

/// The send half: the queue, the send window, loss recovery (NewReno, RFC 6582, with limited transmit, RFC
/// 3042) and the retransmission and persist timers.
///
///      queue
///     [==============|=====================|...........)
///     ^snd_una       ^snd_nxt              ^snd_max     ^data_end (then perhaps a FIN)
///
/// snd_nxt lies behind snd_max only while data is sent again after a timeout (go-back-N).
class Sender {
 public:
  Sender(Tcp& tcp, Connection& connection);

  // --- handshake
  void start(SeqNum iss);
  void on_syn_sent(Instant now);
  /// Our SYN is acknowledged: data may flow from now on.
  void establish(std::uint32_t snd_wnd, SeqNum wl1, SeqNum wl2, std::uint8_t snd_scale, std::uint32_t mss,
                 bool syn_retransmitted, Instant now);

  // --- from the application
  [[nodiscard]] std::size_t append(std::span<const ConstIoSlice> data, std::size_t limit) {
    return queue_.append(data, 0, limit);
  }
  void queue_fin() { fin_queued_ = true; }
  void set_urgent() {
    snd_up_ = data_end();
    urgent_ = true;
  }
  void hold_partial(bool hold) { hold_partial_ = hold; }
  /// The connection's options name another congestion control: it begins as at the start.
  void change_congestion();

  // --- from the network
  /// An ACK with snd_una - max.window <= SEG.ACK <= snd_max. Returns true when snd_una advanced.
  bool process_ack(const Segment& segment, Instant now);
  void on_mss_change(std::uint32_t mss, bool resend, Instant now);

  // --- to the network
  void transmit(Instant now);
  /// The retransmission timer: loss, a closed window, or a piece held back. False: the peer is to be given
  /// up.
  [[nodiscard]] bool on_timer(Instant now);
  /// kNever: not running.
  [[nodiscard]] Instant timer_deadline() const { return timer_; }
  /// An empty segment that the peer must answer (RFC 9293 §3.8.4: SEG.SEQ = SND.UNA - 1).
  void send_probe(Instant now);
  void stop();

  [[nodiscard]] SeqNum iss() const { return iss_; }
  [[nodiscard]] SeqNum snd_una() const { return snd_una_; }
  [[nodiscard]] SeqNum snd_nxt() const { return snd_nxt_; }
  [[nodiscard]] SeqNum snd_max() const { return snd_max_; }
  /// SEG.SEQ of a segment without text: snd_max, or the right edge where the peer has taken back window that
  /// was used (RFC 9293 §3.8.6), as it would not look at the ACK otherwise. What its scale rounds off does
  /// not count.
  [[nodiscard]] SeqNum acceptable_seq() const {
    const SeqNum edge = snd_una_ + snd_wnd_;
    return snd_max_ <= edge || SeqNum::distance(edge, snd_max_) < (1u << snd_scale_) ? snd_max_ : edge;
  }
  [[nodiscard]] std::uint32_t snd_wnd() const { return snd_wnd_; }
  [[nodiscard]] std::uint32_t max_window() const { return max_window_; }
  [[nodiscard]] std::uint32_t in_flight() const { return SeqNum::distance(snd_una_, snd_nxt_); }
  [[nodiscard]] std::uint32_t outstanding() const { return SeqNum::distance(snd_una_, snd_max_); }
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
  [[nodiscard]] RttEstimator& rtt() { return rtt_; }
  [[nodiscard]] const CongestionControl* congestion() const { return congestion_.get(); }
  /// How often the timeout is doubled.
  [[nodiscard]] unsigned backoff() const { return backoff_; }
  /// Expiries since the last progress.
  [[nodiscard]] unsigned timeouts() const { return timeouts_; }
  [[nodiscard]] unsigned probes() const { return probes_; }
  /// The timer runs for a closed window or a piece held back, not for loss.
  [[nodiscard]] bool probing() const { return probing_; }
  [[nodiscard]] bool in_recovery() const { return in_recovery_; }
  [[nodiscard]] std::uint32_t retransmitted_segments() const { return retransmitted_; }
  [[nodiscard]] std::uint64_t retransmitted_bytes() const { return retransmitted_bytes_; }
  [[nodiscard]] Instant last_sent() const { return last_sent_; }
  [[nodiscard]] std::uint8_t scale() const { return snd_scale_; }
  [[nodiscard]] std::uint32_t mss() const { return mss_; }

 private:
  [[nodiscard]] SeqNum data_end() const { return queue_front_ + queue_.bytes(); }
  [[nodiscard]] std::uint32_t effective_window() const;
  [[nodiscard]] std::uint32_t duplicate_threshold() const;
  [[nodiscard]] bool partial_allowed() const;
  [[nodiscard]] std::uint32_t choose_length(std::uint32_t unsent, std::uint32_t room, std::uint32_t mss,
                                            std::uint32_t most) const;
  bool update_window(const Segment& segment);
  void on_new_ack(const Segment& segment, Instant now);
  void on_duplicate_ack(Instant now);
  void take_rtt_sample(const Segment& segment, Instant now, Duration& rtt);
  /// Sends [seq, seq + length) and perhaps the FIN; returns the payload that went out, or nothing for want of
  /// memory.
  [[nodiscard]] bool send(SeqNum seq, std::uint32_t& length, bool fin, std::uint32_t mss, Instant now);
  void retransmit_head(Instant now);
  void on_timeout(Instant now);
  void arm(Instant now) { timer_ = now + rtt_.backed_off(backoff_); }

  Tcp& tcp_;
  Connection& connection_;
  SeqNum iss_, snd_una_, snd_nxt_, snd_max_, snd_wl1_, snd_wl2_;
  SeqNum queue_front_;  ///< sequence number of the queue's first byte
  SeqNum snd_up_;       ///< one past the last urgent byte
  SeqNum snd_sml_;      ///< end of the last segment smaller than the MSS (Minshall's variant of Nagle)
  SeqNum recover_;      ///< RFC 6582
  SeqNum timed_end_;
  std::uint32_t snd_wnd_ = 0, max_window_ = 0, mss_ = 536;
  std::int64_t inflation_ = 0;  ///< of cwnd in recovery; partial ACKs make it negative (RFC 6582)
  std::uint32_t retransmitted_ = 0;
  std::uint64_t retransmitted_bytes_ = 0;
  std::uint8_t snd_scale_ = 0;
  std::uint8_t duplicate_acks_ = 0;
  std::uint8_t backoff_ = 0;
  std::uint8_t timeouts_ = 0;
  std::uint8_t probes_ = 0;
  bool fin_queued_ = false;
  bool in_recovery_ = false;
  bool urgent_ = false;
  bool hold_partial_ = false;
  bool timing_ = false;
  bool cwnd_limited_ = false;
  bool probing_ = false;  ///< the timer runs for a closed window or a piece held back, not for loss
  Instant timer_ = kNever;
  Instant timed_at_{}, last_sent_{}, unanswered_since_ = kNever;
  RttEstimator rtt_;
  std::unique_ptr<CongestionControl> congestion_;
  SendQueue queue_;
};

}  // namespace millrace::tcp
