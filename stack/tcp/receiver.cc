#include "tcp/receiver.h"

#include <algorithm>

#include "tcp/tcp.h"

namespace millrace::tcp {

namespace {

/// A burst that fills a long path makes as many holes as it overruns the queue by segments.
constexpr std::size_t kMaxRanges = 4096;
/// Storage received may exceed the buffer by this factor, as Linux doubles SO_RCVBUF: small segments in
/// larger Buffers.
constexpr std::size_t kStorageFactor = 2;
constexpr std::size_t kFloorStorage = 8192;
constexpr std::uint32_t kUnscaledMax = 65535;
constexpr std::uint32_t kMostSpace = 1u << 28;
/// On a path so short a window is full because the reader is the slowest: more of it only waits, and has left
/// the caches when it is read. A part of the largest window is enough there.
constexpr Duration kNearby = 100us;
constexpr std::uint32_t kNearbyShare = 4;
constexpr std::uint8_t kLeastScale = 7, kMostScale = 14;  // RFC 7323 §2.3

}  // namespace

Receiver::~Receiver() {
  stop();
}

std::uint8_t Receiver::window_scale(const Config& config) {
  if (config.window_scale) return *config.window_scale;
  std::uint8_t scale = kLeastScale;
  while (scale < kMostScale && config.receive_window_max >> scale > kUnscaledMax) ++scale;
  return scale;
}

std::uint32_t Receiver::initial_window(const Tcp& tcp, std::uint32_t fixed_size) {
  const std::uint32_t wanted =
      fixed_size != 0 ? fixed_size : static_cast<std::uint32_t>(tcp.config().receive_window_initial);
  const auto share =
      static_cast<std::uint32_t>(std::min<std::size_t>(tcp.receive_budget().left() / 64, kUnscaledMax));
  return std::min({wanted, kUnscaledMax, std::max(share, tcp.config().receive_window_min)});
}

void Receiver::start(SeqNum irs, std::uint32_t window, bool scaled, std::uint32_t fixed_size) {
  rcv_nxt_ = irs + 1;
  quick_acks_ = tcp_.config().quick_acks;
  last_ack_sent_ = rcv_nxt_;
  right_edge_ = rcv_nxt_ + window;
  scale_ = scaled ? window_scale(tcp_.config()) : 0;
  limit_ = window;
  tcp_.receive_budget().take_anyway(window);
  if (fixed_size != 0) set_fixed_size(fixed_size);
}

void Receiver::set_fixed_size(std::uint32_t bytes) {
  fixed_size_ = bytes;
  if (limit_ != 0) set_limit(bytes);
}

void Receiver::set_limit(std::uint32_t bytes) {
  if (scale_ == 0) bytes = std::min(bytes, kUnscaledMax);
  if (bytes <= limit_) {
    // A smaller limit takes effect as data is read: the promised edge stays.
    tcp_.receive_budget().give_back(limit_ - bytes);
    limit_ = bytes;
  } else if (tcp_.receive_budget().take(bytes - limit_)) {
    limit_ = bytes;
  }
}

void Receiver::stop() {
  tcp_.receive_budget().give_back(limit_);
  limit_ = 0;
  out_of_order_.clear();
  ack_now_ = false;
  delayed_ack_ = kNever;
}

inline void Receiver::deliver(PacketPtr&& payload) {
  rcv_nxt_ += payload->length();
  if (queue_.push(std::move(payload))) tcp_.count(Counter::kRcvCoalesce);
}

Receiver::Outcome Receiver::on_data(Segment& segment, Instant now) {
  Outcome outcome;
  const std::uint32_t before = queue_.bytes();
  const bool had_hole = !out_of_order_.empty();
  SeqNum seq = segment.seq;
  std::uint32_t length = segment.payload_length;
  if (length != 0) {
    const std::uint32_t per_segment =
        segment.packet->offload.gso_size != 0 ? segment.packet->offload.gso_size : length;
    receive_mss_ = std::max(receive_mss_, std::min(per_segment, length));
  }
  if (segment.has(Flags::kFin) && seq + length <= right_edge_) fin_ = seq + length;
  if (seq < rcv_nxt_) {
    // RFC 9293 §3.10.7.4: the part we have already is trimmed off.
    const std::uint32_t known = std::min(length, SeqNum::distance(seq, rcv_nxt_));
    tcp_.count(Counter::kOfoDuplicate, known);
    note_duplicate(seq, seq + known);
    segment.packet->pull(known);
    seq += known;
    length -= known;
    ack_now_ = true;
  }
  if (length != 0 && seq + length > right_edge_) {
    const std::uint32_t fits = right_edge_ > seq ? SeqNum::distance(seq, right_edge_) : 0;
    segment.packet->trim(fits);
    length = fits;
    ack_now_ = true;
  }
  segment.seq = seq;
  segment.payload_length = length;
  if (length != 0) {
    if (seq == rcv_nxt_) {
      deliver(std::move(segment.packet));
      if (had_hole) deliver_ready();
      if (storage() > kStorageFactor * limit_) static_cast<void>(make_room(0, rcv_nxt_));
    } else if (!store_out_of_order(segment)) {
      tcp_.count(Counter::kOfoDrop);
    }
  }
  if (fin_ && *fin_ == rcv_nxt_) {
    rcv_nxt_ += 1;
    if (right_edge_ < rcv_nxt_) right_edge_ = rcv_nxt_;
    fin_.reset();
    outcome.fin = true;
    ack_now_ = true;
  }
  const std::uint32_t delivered = queue_.bytes() - before;
  outcome.readable = delivered != 0;
  if (delivered != 0) {
    if (window() < limit_ / 2) window_was_used_ = true;
    measure(delivered, now);
    unacknowledged_ += delivered;
    // RFC 5681 §4.2: at once when a hole is (partly) filled, for every second full segment, and at the start
    // of a flow.
    if (had_hole || quick_acks_ != 0 || unacknowledged_ >= 2 * receive_mss_) {
      ack_now_ = true;
    } else if (delayed_ack_ == kNever) {
      delayed_ack_ = now + tcp_.config().delayed_ack;
    }
  } else if (segment.payload_length != 0) {
    ack_now_ = true;  // out of order: the duplicate ACK of RFC 5681 §4.2
  }
  return outcome;
}

void Receiver::deliver_ready() {
  PacketQueue ready;
  SeqNum right;
  if (!out_of_order_.take_ready(rcv_nxt_, ready, right)) return;
  while (PacketPtr packet = ready.pop_front()) deliver(std::move(packet));
}

bool Receiver::store_out_of_order(Segment& segment) {
  out_of_order_segments_ += segment.wire_segments;
  if (out_of_order_.range_count() >= kMaxRanges &&
      !out_of_order_.touches(segment.seq, segment.payload_length))
    return false;
  static_cast<void>(segment.packet->compact());
  if (!make_room(segment.packet->storage_held(), segment.seq)) return false;
  const std::uint32_t added = out_of_order_.insert(segment.seq, std::move(segment.packet));
  if (added == 0) {
    note_duplicate(segment.seq, segment.seq + segment.payload_length);
    tcp_.count(Counter::kOfoDuplicate, segment.payload_length);
  } else {
    tcp_.count(Counter::kOfoQueue);
  }
  return true;
}

std::size_t Receiver::storage_limit() const {
  // What the peer was promised may be more than a limit that was lowered since.
  return std::max(kStorageFactor * std::max(limit_, queue_.bytes() + window()), kFloorStorage);
}

bool Receiver::make_room(std::size_t wanted, SeqNum seq) {
  const std::size_t limit = storage_limit();
  if (storage() + wanted <= limit) return true;
  tcp_.count(Counter::kPruneCalled);
  tcp_.count(Counter::kRcvCollapsed, queue_.collapse() + out_of_order_.collapse());
  if (storage() + wanted <= limit) return true;
  // RFC 2018 §8: what was reported may be thrown away. An eighth at once, so that not each segment does this.
  const std::size_t goal = limit - limit / 8, others = queue_.storage() + wanted;
  if (out_of_order_.prune(goal > others ? goal - others : 0, seq)) tcp_.count(Counter::kOfoPruned);
  if (storage() + wanted <= limit) return true;
  if (wanted != 0) tcp_.count(Counter::kRcvPruned);
  return false;
}

SeqNum Receiver::next_right_edge() const {
  const SeqNum possible = rcv_nxt_ + free_space();
  if (possible <= right_edge_) return right_edge_;
  // RFC 9293 §3.8.6.2.2: only in steps of min(half the buffer, one MSS).
  const std::uint32_t step = SeqNum::distance(right_edge_, possible);
  return step >= std::min(limit_ / 2, receive_mss_) ? possible : right_edge_;
}

void Receiver::note_duplicate(SeqNum left, SeqNum right) {
  if (!sack_ || right <= left) return;
  if (duplicate_count_ != 0) {
    wire::SackBlock& last = duplicates_[duplicate_count_ - 1];
    if (left <= last.right && right >= last.left) {
      last = {SeqNum::min(left, last.left), SeqNum::max(right, last.right)};
      return;
    }
  }
  if (duplicate_count_ < kDuplicates) duplicates_[duplicate_count_++] = {left, right};
}

std::uint8_t Receiver::sack_blocks(std::span<wire::SackBlock> out, bool with_duplicate) const {
  std::uint8_t count = 0;
  if (with_duplicate && duplicate_count_ != 0 && !out.empty()) out[count++] = duplicates_[0];
  return static_cast<std::uint8_t>(count + out_of_order_.sack_blocks(out.subspan(count)));
}

std::uint16_t Receiver::advertise() {
  const SeqNum edge = next_right_edge();
  const std::uint32_t value = std::min(SeqNum::distance(rcv_nxt_, edge) >> scale_, kUnscaledMax);
  // What the scale rounds off is not promised; but an edge once given stays.
  right_edge_ = SeqNum::max(right_edge_, rcv_nxt_ + (value << scale_));
  return static_cast<std::uint16_t>(value);
}

void Receiver::on_ack_sent(bool duplicate_told) {
  last_ack_sent_ = rcv_nxt_;
  unacknowledged_ = 0;
  delayed_ack_ = kNever;
  if (quick_acks_ != 0) --quick_acks_;
  if (duplicate_told && duplicate_count_ != 0) {
    std::copy(duplicates_.begin() + 1, duplicates_.begin() + duplicate_count_, duplicates_.begin());
    --duplicate_count_;
  }
  ack_now_ = duplicate_count_ != 0;
}

void Receiver::on_delayed_ack_timer() {
  tcp_.count(Counter::kDelayedAcks);
  delayed_ack_ = kNever;
  ack_now_ = true;
}

bool Receiver::on_read() {
  if (limit_ == 0) return false;
  grow();
  const SeqNum edge = next_right_edge();
  const std::uint32_t opened = SeqNum::distance(right_edge_, edge);
  // A window update of its own when the window doubles or opens by half the buffer; else the next segment
  // carries it.
  if (opened != 0 && (opened >= limit_ / 2 || opened >= window())) {
    ack_now_ = true;
    return true;
  }
  return false;
}

void Receiver::measure(std::uint32_t delivered, Instant now) {
  // A byte that the window allowed at some time comes one round trip later at the earliest. Over a long path
  // the peer may use the whole window and yet have most of it under way, where we do not see it: what tells
  // is that in each round trip as much arrives as the window is large.
  if (space_start_ == Instant{}) {
    round_edge_ = right_edge_;
    round_start_ = space_start_ = now;
  }
  space_bytes_ += delivered;
  if (rcv_nxt_ >= round_edge_ && now > round_start_) {
    round_trip_ = std::min(round_trip_, now - round_start_);
    round_edge_ = right_edge_;
    round_start_ = now;
  }
  if (round_trip_ == Duration::max() || now - space_start_ < round_trip_) return;
  if (space_bytes_ > space_) {
    // Twice as much next time, in slow start; and twice that, so that the window is not what limits it.
    wanted_ = std::max(wanted_, 4 * std::min(space_bytes_, kMostSpace));
    space_ = space_bytes_;
  }
  space_bytes_ = 0;
  space_start_ = now;
}

void Receiver::grow() {
  if (fixed_size_ != 0 || scale_ == 0 || queue_.bytes() > limit_ / 4) return;
  const std::uint32_t wanted =
      window_was_used_ ? std::max(wanted_, 2 * std::min(limit_, kMostSpace)) : wanted_;
  window_was_used_ = false;
  const auto maximum = static_cast<std::uint32_t>(tcp_.config().receive_window_max) /
                       (round_trip_ < kNearby ? kNearbyShare : 1);
  if (limit_ < std::min(wanted, maximum)) set_limit(std::min(wanted, maximum));
}

}  // namespace millrace::tcp
